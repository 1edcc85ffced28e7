"""What is imported for a name, by how it is used and what the notebook has."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from santajupyter.prompt.imports import MAX_SEARCHED, MODULES, OBJECTS, statement, use
from santajupyter.prompt.scopes import imported_as


def wanted(code: str, *cells: str, growing: str = "") -> list[str]:
    """What is imported for the code's names."""
    tree = ast.parse(code)
    names = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return [line for name in names if (line := statement(name, use(tree, name, growing), cells))]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("np.zeros(3)", "import numpy as np"),
        ("plt.show()", "import matplotlib.pyplot as plt"),
        ("pd.DataFrame", "import pandas as pd"),
        ("nn.Linear(2, 3)", "from torch import nn"),
        ("os.path.join('a', 'b')", "import os"),
        ("Path('a')", "from pathlib import Path"),
        ("Path.cwd()", "from pathlib import Path"),
        ("map(Path, [])", "from pathlib import Path"),
        ("f(key=Counter)", "from collections import Counter"),
        ("datetime.now()", "from datetime import datetime"),
        ("datetime(2020, 1, 1)", "from datetime import datetime"),
        ("datetime.datetime.now()", "import datetime"),
        ("time.time()", "import time"),
        ("time()", "from time import time"),
        ("glob('*')", "from glob import glob"),
        ("glob.glob('*')", "import glob"),
        ("Image.open('a')", "from PIL import Image"),
        ("Image('a')", "from IPython.display import Image"),
        ("train_test_split(x)", "from sklearn.model_selection import train_test_split"),
        ("@dataclass\nclass A: pass", "from dataclasses import dataclass"),
        ("class A(ABC): pass", "from abc import ABC"),
        ("def f(a: Optional[int]): pass", "from typing import Optional"),
        ("def f() -> List[int]: pass", "from typing import List"),
        ("x: Counter = {}", "from collections import Counter"),
    ],
)
def test_the_usual_import(code: str, line: str) -> None:
    assert line in wanted(code)


@pytest.mark.parametrize(
    "code",
    [
        "np",
        "x = np",
        "np(3)",
        "x[np]",
        "e",
        "e.a",
        "e(1)",
        "foo.bar()",
        "x = Path",
        "re.findal('a')",
        "math.mean(x)",
    ],
)
def test_no_import(code: str) -> None:
    assert wanted(code) == []


def test_an_attribute_that_may_go_on() -> None:
    assert wanted("re.findal", growing="re.findal") == ["import re"]
    assert wanted("re._", growing="re.") == ["import re"]
    assert wanted("re.wrong(re.findal)", growing="re.findal") == []


@pytest.mark.parametrize(
    ("code", "cell", "line"),
    [
        ("pl.plot(x)", "import pylab as pl", "import pylab as pl"),
        ("pl.plot(x)", "x = 1\nimport os, pylab as pl  # both", "import pylab as pl"),
        ("load(x)", "from my.own import (\n    save,\n    load,\n)", "from my.own import load"),
        ("load(x)", "def f():\n    from ..own import read as load\n", "from ..own import read as load"),
        ("tools.run()", "import tools.deep", "import tools.deep"),
        ("F.col('a')", "from pyspark.sql import SparkSession", "from pyspark.sql import functions as F"),
        ("F.relu(a)", "import torch", "import torch.nn.functional as F"),
        ("np.zeros(3)", "import os\nfrom a import (", "import numpy as np"),
        ("print_function(3)", "from __future__ import print_function", None),
    ],
)
def test_the_notebooks_own_import(code: str, cell: str, line: str | None) -> None:
    assert wanted(code, "y = 2", cell) == ([line] if line else [])


def test_no_more_is_searched_than_is_quick() -> None:
    long = "import a\n" * (MAX_SEARCHED // 9 + 1)
    assert wanted("load(x)", long + "import load") == []
    assert wanted("load(x)", "x = 1", "import load") == ["import load"]


def lines(table: str) -> Iterator[tuple[str, str, str]]:
    """Each name of a table, its package and the name there, if it has one."""
    for node in ast.parse(table).body:
        assert isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names:
            name = alias.name if isinstance(node, ast.ImportFrom) else ""
            yield (
                imported_as(alias),
                str(node.module) if isinstance(node, ast.ImportFrom) else alias.name,
                name,
            )


def test_each_usual_name_is_there_once_for_its_use() -> None:
    for table in (MODULES, OBJECTS):
        names = [name for name, _, _ in lines(table)]
        assert sorted({name for name in names if names.count(name) > 1}) in ([], ["F"])


@pytest.mark.parametrize(
    ("module", "name"), sorted({line[1:] for t in (MODULES, OBJECTS) for line in lines(t)})
)
def test_the_table_is_true(module: str, name: str) -> None:
    """Of the packages that are here."""
    found = pytest.importorskip(module, exc_type=ImportError)
    assert not name or hasattr(found, name)
