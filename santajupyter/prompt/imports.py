"""Which import a name stands for that nobody has imported: the notebook's own elsewhere, or the usual one.

Only where the name is used as what the import gives: ``np.zeros(3)``, ``Path("data")``; a bare ``np`` may be
anything.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from itertools import islice
from typing import NamedTuple

from .pythoncode import UNPARSED, parsed
from .scopes import imported_as

# Of these attributes are asked.
MODULES = """
import altair as alt, arviz as az, geopandas as gpd, jax, jax.numpy as jnp, joblib, lightgbm as lgb
import matplotlib as mpl, matplotlib.pyplot as plt, networkx as nx, numpy as np, pandas as pd
import plotly.express as px, plotly.graph_objects as go, polars as pl, pymc as pm, pytest, requests
import seaborn as sns, scipy as sp, sqlalchemy as sa, statsmodels.api as sm
import statsmodels.formula.api as smf, sympy, tensorflow as tf, torch, torch.nn.functional as F
import torchvision, xarray as xr, xgboost as xgb, argparse, ast, asyncio, base64, bisect, calendar
import collections, contextlib, copy, csv, dataclasses, datetime, datetime as dt, functools, gc
import glob, gzip, hashlib, heapq, inspect, io, itertools, json, logging, math, operator, os
import pathlib, pickle, platform, pprint, random, re, shutil, sqlite3, statistics, string, struct
import subprocess, sys, tempfile, textwrap, threading, time, traceback, typing, unicodedata, uuid
import warnings, zipfile
from PIL import Image
from pyspark.sql import functions as F
from scipy import stats
from sklearn import datasets, metrics
from torch import nn, optim
"""
# These are called, or asked.
OBJECTS = """
from bs4 import BeautifulSoup
from IPython.display import HTML, Image, Markdown, clear_output
from pyspark.sql import SparkSession
from scipy.optimize import curve_fit
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.manifold import TSNE
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, classification_report
from sklearn.metrics import confusion_matrix, f1_score, mean_absolute_error, mean_squared_error
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelEncoder, MinMaxScaler, OneHotEncoder, PolynomialFeatures
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sqlalchemy import create_engine
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm, trange
from abc import ABC, abstractmethod
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque, namedtuple
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache, partial, reduce, wraps
from glob import glob
from io import BytesIO, StringIO
from itertools import combinations, groupby, islice, permutations, zip_longest
from math import sqrt
from operator import attrgetter, itemgetter
from pathlib import Path
from pprint import pprint
from random import randint
from tempfile import TemporaryDirectory
from time import perf_counter, sleep, time
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union
from urllib.request import urlopen
from uuid import uuid4
from zipfile import ZipFile
"""
# In so many characters of code one name's import is looked for, in so many statements, none longer than that.
MAX_SEARCHED = 100_000
MAX_PARSED = 20
MAX_STATEMENT = 1000
# With what stands in brackets that are open at the line's end.
STATEMENT = re.compile(r"^[ \t]*((?:import|from)\b[^\n(]*(?:\([^)]{0,400}\))?[^\n]*)", re.MULTILINE)


class Use(NamedTuple):
    """How code uses a name: whether something ``is_asked`` of it, which ``attributes``, if they are whole;

    and whether it ``is_called``, given to a call, or stands for a type.
    """

    is_asked: bool
    attributes: frozenset[str]
    is_called: bool


def imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The packages that the code imports whatever happens, and the lines from 1.

    Not those that stand in other statements: what is tried, or hangs on a condition, needn't be there.
    """
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def use(tree: ast.Module, name: str, growing: str = "") -> Use:
    """How the code uses a name, wherever that stands. ``growing``: ``np.ze`` where that may go on."""
    attributes = set()
    is_called = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is(node.value, name):
            attributes.add(node.attr)
        is_called = is_called or any(_is(value, name) for value in _values(node))
    owner, dot, begun = growing.rpartition(".")
    whole = {found for found in attributes if not (dot and owner == name and found.startswith(begun))}
    return Use(bool(attributes), frozenset(whole), is_called)


def statement(name: str, used: Use, code: Iterable[str], modules: Container[str] = frozenset()) -> str | None:
    """The import that gives the name what is asked of it: the ``code``'s own, else a usual one.

    ``modules``: what can be imported, if that is known.
    """
    if not (used.is_asked or used.is_called):
        return None
    left = MAX_SEARCHED
    importing = []
    for text in code:
        left -= len(text)
        if left < 0:
            break
        if "import" in text:
            importing.append(text)
            if name in text and (found := _found(name, text)):
                return found
    usual = [
        line
        for line, is_module in _usual().get(name, ())
        if _gives(line, is_module, used) and (not modules or _package(line) in modules)
    ]
    # A name that several packages have is that of the package that the code uses.
    of_used = (line for line in usual if any(_package(line) in text for text in importing))
    return next(iter((*of_used, *usual)), None)


def _found(name: str, code: str) -> str | None:
    """The code's own import of the name, as one that imports nothing else."""
    mentions = (
        match[1] for match in STATEMENT.finditer(code) if name in match[1] and len(match[1]) <= MAX_STATEMENT
    )
    for mention in islice(mentions, MAX_PARSED):
        with suppress(*UNPARSED):
            for found, line in _each(mention):
                if found == name:
                    return line
    return None


def _each(code: str) -> Iterator[tuple[str, str]]:
    """Each name that the code imports, and the line that imports it alone."""
    for node in parsed(code).body:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield imported_as(alias), ast.unparse(ast.Import([alias]))
            case ast.ImportFrom(module=module) if module != "__future__":
                for alias in node.names:
                    yield imported_as(alias), ast.unparse(ast.ImportFrom(module, [alias], node.level))


@lru_cache(1)
def _usual() -> dict[str, list[tuple[str, bool]]]:
    """By name, the lines that import it, and whether that is a module."""
    usual: dict[str, list[tuple[str, bool]]] = {}
    for is_module, table in ((True, MODULES), (False, OBJECTS)):
        for name, line in _each(table):
            usual.setdefault(name, []).append((line, is_module))
    return usual


def _gives(line: str, is_module: bool, used: Use) -> bool:
    """Whether what a usual import gives may be used so, as far as that is known."""
    if is_module and not used.is_asked:
        return False
    members = _members(line) if used.attributes else None
    return members is None or used.attributes <= members


@lru_cache(None)
def _members(line: str) -> frozenset[str] | None:
    """What can be asked of what a line of the tables imports; None for other packages than Python's own."""
    if _package(line) not in sys.stdlib_module_names:
        return None
    node = parsed(line).body[0]
    with suppress(ImportError, AttributeError):
        if isinstance(node, ast.ImportFrom):
            return frozenset(dir(getattr(import_module(node.module or ""), node.names[0].name)))
        return frozenset(dir(import_module(_package(line))))
    return None


def _package(line: str) -> str:
    return line.split()[1].partition(".")[0]


def _values(node: ast.AST) -> Iterator[ast.AST | None]:
    """Where a name stands for something that can be called, or for a type."""
    match node:
        case ast.Call():
            yield from (node.func, *node.args, *(keyword.value for keyword in node.keywords))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from (*node.decorator_list, *_types(node.returns))
        case ast.ClassDef():
            yield from (*node.decorator_list, *node.bases)
        case ast.arg() | ast.AnnAssign():
            yield from _types(node.annotation)


def _types(annotation: ast.expr | None) -> Iterator[ast.AST]:
    return ast.walk(annotation) if annotation else iter(())


def _is(node: ast.AST | None, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
