"""What a Python kernel's namespace holds: names, types, shapes, columns, signatures; and what it can import.

No value, unless they are asked for: then the texts of columns that hold few different ones, one text of
other columns, and a dict's short values. Of columns it is told whether few values come again and again.

The frontend (kernelfacts.ts) sends this file's text to the kernel, where ``read`` runs in a namespace of
its own. It needs Python 3.8 and the standard library, and never runs what a user's class, or any class
but the few known ones, defines: classes are told apart by ``type(x) is``, and what a class or an object
holds is read through the descriptors of ``type`` and ``object``, past every overridden property.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import types
from collections.abc import Iterator
from importlib.machinery import all_suffixes
from itertools import chain, islice
from pathlib import Path
from typing import Any

# Limits of one reading: what takes longer, or is more, is left out. Seconds of computing, which is all that
# it does: other programs that keep the machine busy make no fact untrue.
SECONDS = 0.02
CHARACTERS = 60_000
MAX_VARIABLES = 200
# Spark's frames, of which each takes 1 ms.
MAX_SPARK = 10
MAX_COLUMNS = 100
MAX_SEARCHED = 100_000
MAX_KEYS = 50
MAX_INSIDE = 100
MAX_MEMBERS = 2000
MAX_OWN = 200
MAX_NAME = 200
MAX_NAMES = 5000
MAX_MODULES = 2000
MAX_FILES = 10_000
# Of each column so many rows are looked at for its values, and no longer texts are told.
MAX_ROWS = 2000
MAX_VALUES = 20
MAX_VALUE = 40
# Whether a column's values repeat so many of its rows tell.
HEAD_ROWS = 100
# Whose finders find nothing beside what lies on sys.path, or in packages that do.
FINDERS = (
    "_frozen_importlib",
    "_frozen_importlib_external",
    "_distutils_hack",
    "_virtualenv",
    "pkg_resources",
    "setuptools",
    "six",
)
# IPython puts these there.
HIDDEN = ("In", "Out", "exit", "get_ipython", "open", "quit")
# Their modules' __getattr__ only serves what __all__ names, or what is deprecated.
KNOWN_MODULES = ("numpy", "pandas", "polars", "torch")
SPARK_FRAMES = (("pyspark.sql.classic.dataframe", "DataFrame"), ("pyspark.sql.dataframe", "DataFrame"))
# Their __getattr__ serves columns, or what is deprecated, as well.
KNOWN_CLASSES = (
    *(("pandas", "DataFrame"), ("pandas", "Series"), ("polars", "DataFrame"), ("polars", "Series")),
    *SPARK_FRAMES,
)

# How a class of Python's own make gives its objects' dictionary, a SimpleNamespace's among them.
DICTIONARIES = (types.GetSetDescriptorType, types.MemberDescriptorType)

_name_of = type.__dict__["__name__"].__get__
_module_of = type.__dict__["__module__"].__get__
_dict_of = type.__dict__["__dict__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_module_dict = vars(types.ModuleType)["__dict__"].__get__


def read(namespace: dict[str, Any], used_names: list[str], values: int = 0) -> str:
    """JSON: ``variables``, those named in ``used_names`` first, then the newest; ``classes``: their names;

    ``names``: of all that is there, "*" for more than can be told; ``modules``, see there; ``databases``,
    where databases.py's text stands behind this one's.

    ``used_names`` are also the columns that are listed however many a dataframe has. A list of names is all
    there are where ``complete`` names it. ``values``: 1 for values, as Python writes them, 0 for none.
    """
    collects = gc.isenabled()
    gc.disable()  # a full collection of the kernel's own objects takes longer than all of this
    try:
        return json.dumps(_read(namespace, used_names, values))
    finally:
        if collects:
            gc.enable()


def _read(namespace: dict[str, Any], used_names: list[str], values: int) -> dict[str, Any]:
    deadline = time.thread_time() + SECONDS
    facts: list[dict[str, Any]] = []
    classes: dict[str, tuple[type, list[str], bool]] = {}
    size = 0
    partial = False
    spark = 0
    seen = set(HIDDEN)
    for name in chain((name for name in used_names if name in namespace), reversed(list(namespace))):
        if not _is_name(name) or name in seen:
            continue
        if time.thread_time() > deadline or len(facts) == MAX_VARIABLES:
            partial = True
            break
        seen.add(name)
        is_spark = _is_spark(type(namespace[name]))
        spark += is_spark
        if is_spark and spark > MAX_SPARK:
            partial = True
            continue
        with contextlib.suppress(Exception):
            fact, known = describe(namespace[name], used_names, classes)
            if values and (found := _values(namespace[name], fact)):
                fact["values"] = found
            if fact["type"] == "DataFrame" and "columns" in fact["complete"]:
                fact["repeating"] = [name for name, cells in _heads(namespace[name], fact) if _repeat(cells)]
                fact["complete"].append("repeating")
            more = len(json.dumps([fact, [names for _, names, _ in known.values()]]))
            if size + more <= CHARACTERS:
                size += more
                facts.append({"name": name, **fact})
                classes.update(known)
            else:
                partial = True
    names = {place: names for place, (_, names, _) in classes.items()}
    told = {"variables": facts, "classes": names, "names": _names(namespace), "partial": partial}
    with contextlib.suppress(Exception):
        told["modules"] = modules()
    if "databases" in globals():
        told["databases"] = globals()["databases"](namespace, used_names)
    return told


def _names(namespace: dict[str, Any]) -> list[str]:
    names = [name for name in islice(namespace, MAX_NAMES + 1) if type(name) is str and name.isidentifier()]
    told = [name for name in names if name not in HIDDEN and not _is_history(name)]
    return ["*"] if len(namespace) > MAX_NAMES or max(map(len, told), default=0) > MAX_NAME else told


def _is_history(name: str) -> bool:
    """Whether it is one of IPython's for a cell's input or output, or the like."""
    return name[:1] == "_" and (name.strip("_")[:1] in ("", "i") or name[1:].isdigit())


def modules() -> list[str]:
    """The top-level names of all that can be imported, as it lies in the folders of sys.path; none where

    that isn't all. Nothing is imported, and no finder of others is asked.
    """
    found = {
        *sys.builtin_module_names,
        *(name.partition(".")[0] for name in sys.modules if type(name) is str),
    }
    for finder in sys.meta_path:
        module = _module_of(finder if issubclass(type(finder), type) else type(finder))
        if module.startswith("__editable__"):  # by setuptools, for a package that is being worked on
            told = _module_dict(sys.modules[module])
            found.update(name.partition(".")[0] for name in (*told["MAPPING"], *told.get("NAMESPACES", ())))
        elif module.partition(".")[0] not in FINDERS:
            return []
    suffixes, deadline, left = tuple(all_suffixes()), time.monotonic() + SECONDS, MAX_FILES
    for folder in sys.path:
        if type(folder) is not str:  # which Python passes over
            continue
        if Path(folder).is_file():  # a zip file
            return []
        with contextlib.suppress(OSError, ValueError), os.scandir(folder or ".") as files:
            for file in islice(files, left + 1):
                left -= 1
                name, dot, _ = file.name.partition(".")
                if name.isidentifier() and (file.name.endswith(suffixes) if dot else file.is_dir()):
                    found.add(name)
        if left < 0 or time.monotonic() > deadline:
            return []
    return sorted(found) if len(found) <= MAX_MODULES else []


def read_if_used(namespace: dict[str, Any], used_names: list[str], values: int = 0) -> str:
    """As ``read`` where a cell has run in this IPython; nothing where none has, or that isn't known."""
    inputs = namespace.get("In")
    has_run = type(inputs) is list and len(inputs) > 1
    return read(namespace if has_run else {}, used_names, values)


def describe(
    value: Any, used_names: list[str], classes: dict[str, tuple[type, list[str], bool]]
) -> tuple[dict[str, Any], dict[str, tuple[type, list[str], bool]]]:
    """The value's fact; and its class with its names, where that isn't in ``classes``."""
    kind = type(value)
    if kind is types.ModuleType:
        return _module(value), {}
    if kind is types.FunctionType:
        return _function(value), {}
    if issubclass(kind, type):  # a class, of whatever metaclass
        return _class(value), {}
    fact: dict[str, Any] = {"type": _text(_name_of(kind)), "module": _text(_module_of(kind)), "complete": []}
    place = f"{fact['module']}.{fact['type']}"
    known = {} if place in classes else {place: (kind, *_members(kind))}
    seen, names, closed = {**classes, **known}[place]
    own = _own(value, kind)
    if own:
        fact["members"] = own[:MAX_OWN]
    # Of a class that was defined again there are two by one name.
    if closed and seen is kind and len(own) <= MAX_OWN and len(names) < MAX_MEMBERS:
        fact["complete"].append("members")
    details = DETAILS.get(place.partition(".")[0])
    if details:
        details(value, kind, fact, used_names)
    return fact, known


def _module(module: Any) -> dict[str, Any]:
    inside = _module_dict(module)
    name = _text(inside.get("__name__"))
    names = [*inside]
    if type(inside.get("__all__")) in (list, tuple):
        names += inside["__all__"]
    public = _public(names)
    closed = "__getattr__" not in inside or name in KNOWN_MODULES
    complete = ["members"] if closed and len(public) < MAX_MEMBERS else []
    return {"type": "module", "module": name, "members": public, "complete": complete}


def _function(function: Any, skip: int = 0, kind: str = "function") -> dict[str, Any]:
    """``skip`` so many of the first parameters."""
    fact: dict[str, Any] = {"type": kind, "module": _text(function.__module__), "complete": ["signature"]}
    for _ in range(8):
        inner = function.__dict__.get("__wrapped__")
        if type(inner) is not types.FunctionType:
            break
        # A decorator may take other arguments than what it decorates.
        function, fact["complete"] = inner, []
    fact["signature"] = _signature(function, skip)
    return fact


def _signature(function: Any, skip: int) -> str:
    """``(path, /, sep=…, *rows, key=…, **options)``: the defaults are values, and not told."""
    code = function.__code__
    positional, only, keyword = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    names = code.co_varnames
    optional = positional - len(function.__defaults__ or ())
    parts = [name + ("=…" if at >= optional else "") for at, name in enumerate(names[:positional])]
    if only > skip:
        parts.insert(only, "/")
    rest = positional + keyword
    if code.co_flags & 4:
        parts.append("*" + names[rest])
        rest += 1
    elif keyword:
        parts.append("*")
    defaults = function.__kwdefaults__ or {}
    parts += [name + ("=…" if name in defaults else "") for name in names[positional : positional + keyword]]
    if code.co_flags & 8:
        parts.append("**" + names[rest])
    return "(" + ", ".join(parts[skip:]) + ")"


def _class(kind: Any) -> dict[str, Any]:
    names, closed = _members(kind)
    meta = _members(type(kind))
    fact: dict[str, Any] = {
        "type": "class",
        "module": _text(_module_of(kind)),
        "members": _public([*names, *meta[0]]),
    }
    fact["complete"] = ["members"] if closed and meta[1] and len(names) < MAX_MEMBERS else []
    init = next((_dict_of(base)["__init__"] for base in _mro_of(kind) if "__init__" in _dict_of(base)), None)
    if type(init) is types.FunctionType and type(kind) is type:
        made = _function(init, 1)
        fact["signature"] = made["signature"]
        if not any("__new__" in _dict_of(base) for base in _mro_of(kind)[:-1]):
            fact["complete"] += made["complete"]
    return fact


def _members(kind: Any) -> tuple[list[str], bool]:
    """The public names of a class, and whether there can't be others."""
    closed = True
    names: list[str] = []
    for base in _mro_of(kind):
        inside = _dict_of(base)
        names += inside
        dynamic = type(inside.get("__getattribute__", object.__getattribute__))
        closed = closed and "__getattr__" not in inside and dynamic is types.WrapperDescriptorType
    return _public(names), closed or any(_is(kind, *known) for known in KNOWN_CLASSES)


def _own(value: Any, kind: Any) -> list[str]:
    """The public names in the object's own dictionary, unless that is the class's own make."""
    for base in _mro_of(kind):
        found = _dict_of(base).get("__dict__")
        if found is not None:
            inside = found.__get__(value) if type(found) in DICTIONARIES else None
            return _public(list(inside)) if type(inside) is dict else []
    return []


def _builtin(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    if kind in (list, tuple, set, frozenset, dict):
        fact["shape"] = [len(value)]
    if kind in (list, tuple):
        kinds = {type(item) for item in islice(value, 20)}
        fact["dtype"] = _text(_name_of(kinds.pop())) if len(kinds) == 1 else ""
    if kind is dict:
        fact["keys"] = [key for key in islice(value, MAX_KEYS) if _shown(key)]
        if len(value) <= MAX_KEYS and len(fact["keys"]) == sum(type(key) is str for key in value):
            fact["complete"].append("keys")
    if kind in (list, tuple, dict) and (inside := _inside(value, kind)):
        fact["inside"] = inside


def _inside(value: Any, kind: Any) -> list[list[Any]]:
    """The keys of the dicts in a dict or list, as far as there is room for all of one."""
    found, left = [], MAX_INSIDE
    there = [pair for pair in islice(value.items(), MAX_KEYS) if _shown(pair[0])] if kind is dict else []
    for name, item in there or [("", value)]:
        if type(item) in (list, tuple) and item and type(item[0]) is dict:
            name, item = name + "[]", item[0]
        if name and type(item) is dict and 0 < len(item) <= left and all(map(_shown, item)):
            found.append([name, list(item)])
            left -= len(item)
    return found


def _numpy(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    if _is(kind, "numpy", "ndarray"):
        fact["shape"] = list(value.shape)
        fact["dtype"] = _dtype(value.dtype)


def _torch(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    if _is(kind, "torch", "Tensor") or _is(kind, "torch.nn", "Parameter"):
        fact["shape"] = [int(length) for length in value.shape]
        fact["dtype"] = str(value.dtype)[len("torch.") :]


def _polars(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    if _is(kind, "polars", "DataFrame"):
        fact["shape"] = list(value.shape)
        dtypes = value.dtypes
        _columns(value.columns, lambda at: _dtype(dtypes[at]), fact, used_names)
    elif _is(kind, "polars", "Series"):
        fact["shape"] = [len(value)]
        fact["dtype"] = _dtype(value.dtype)


def _relation(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    """DuckDB's: a query that hasn't run, of which the columns are known."""
    there = sys.modules.get("duckdb")
    if type(there) is types.ModuleType and _module_dict(there).get("DuckDBPyRelation") is kind:
        dtypes = value.types
        _columns(value.columns, lambda at: str(dtypes[at])[:40], fact, used_names)


def _spark(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    """The kernel's own Java process has the columns, and runs nothing for them. What is a frame of Spark

    Connect is a server's, which isn't asked.
    """
    own = object.__getattribute__(value, "__dict__")
    if _is_spark(kind) and own["_sc"]._jsc is not None:
        columns = json.loads(own["_jdf"].schema().json())["fields"]
        dtypes = [one["type"] if type(one["type"]) is str else one["type"]["type"] for one in columns]
        _columns([one["name"] for one in columns], lambda at: dtypes[at][:40], fact, used_names)


def _pandas(value: Any, kind: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    """``df.dtypes`` would ask a column of a user's own array type: the arrays are looked at one by one."""
    if _is(kind, "pandas.core.groupby", "DataFrameGroupBy"):
        value = object.__getattribute__(value, "obj")
        kind = type(value)
    frame = _is(kind, "pandas", "DataFrame")
    if not frame and not _is(kind, "pandas", "Series"):
        return
    index = value.index
    manager = object.__getattribute__(value, "_mgr")
    blocks = manager.blocks
    if _plain(index):
        fact["shape"] = [len(index)]
    if not frame:
        fact["dtype"] = _dtype_of(blocks[0].values)
        # Labels of the index are attributes too.
        if _is(type(index), "pandas", "Index") and "members" in fact["complete"]:
            fact["complete"].remove("members")
        return
    columns = value.columns
    if not _plain(columns):
        fact["complete"] = []
        return
    if "shape" in fact:
        fact["shape"].append(len(columns))
    if not _is(type(columns), "pandas", "Index"):
        if not _is(type(columns), "pandas", "RangeIndex"):
            fact["complete"] = []
        return
    numbers = manager.blknos
    labels = columns[:MAX_SEARCHED].tolist()
    _columns(labels, lambda at: _dtype_of(blocks[numbers[at]].values), fact, used_names)
    if "columns" not in fact["complete"]:
        fact["complete"] = []
    levels = [name for name in index.names if _shown(name)] if _plain(index) else []
    if levels:
        fact["levels"] = levels


DETAILS: Any = {
    "_duckdb": _relation,
    "builtins": _builtin,
    "duckdb": _relation,
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyspark": _spark,
    "torch": _torch,
}


def _values(value: Any, fact: dict[str, Any]) -> list[list[Any]]:
    """Pairs of a column or key and its values."""
    kind, found = type(value), []
    if kind is dict:
        found = [[key, [value[key]]] for key in fact["keys"] if _is_short(value[key])]
    elif "columns" in fact["complete"]:
        found = [[name, _told(cells)] for name, cells in _heads(value, fact, MAX_ROWS, "O")]
    return [[name, [repr(one) for one in told]] for name, told in found if told]


def _heads(
    value: Any, fact: dict[str, Any], rows: int = HEAD_ROWS, kinds: str = "Oiu"
) -> Iterator[tuple[str, list[Any]]]:
    """The first rows of a frame's columns of texts, and of whole numbers: ``kinds`` are numpy's."""
    kind = type(value)
    if _is(kind, "pandas", "DataFrame"):
        manager = object.__getattribute__(value, "_mgr")
        for at, name in enumerate(value.columns[:MAX_COLUMNS].tolist()):
            array = manager.blocks[manager.blknos[at]].values
            if _root(type(array)) == "numpy":
                array = array[manager.blklocs[at]]
            is_known = _shown(name) and _root(type(array)) in ("numpy", "pandas")
            if is_known and array.dtype.kind in kinds:
                yield name, array[:rows].tolist()
    elif _is(kind, "polars", "DataFrame"):
        texts = ("String", "Categorical", "Enum")
        for name, dtype in fact["columns"]:
            if dtype in texts or ("i" in kinds and dtype.startswith(("Int", "UInt"))):
                yield name, value.get_column(name).head(rows).to_list()


def _repeat(cells: list[Any]) -> bool:
    """Whether few texts or numbers come again and again."""
    told = [cell for cell in cells if type(cell) in (str, int)]
    most = len(told) / 2 if any(type(cell) is str for cell in told) else min(MAX_VALUES, len(told) / 3)
    return 0 < len(set(told)) <= most


def _told(cells: list[Any]) -> list[str]:
    """The different texts where these are few, else the first one; none where there are other values."""
    texts = [cell for cell in cells if type(cell) is str]
    if not texts or any(type(cell) not in (str, float, type(None)) for cell in cells):
        return []
    different = [*dict.fromkeys(texts)]
    told = different if len(different) <= min(MAX_VALUES, len(texts) / 2) else different[:1]
    return told if all(map(_is_short, told)) else []


def _is_short(value: Any) -> bool:
    if type(value) is str:
        return len(value) <= MAX_VALUE and value.isprintable()
    return type(value) in (bool, float) or (type(value) is int and abs(value) < 10**15)


def _columns(labels: list[Any], dtype: Any, fact: dict[str, Any], used_names: list[str]) -> None:
    """The first columns, and any others that are used_names."""
    sought = set(used_names)
    found = [
        (at, label)
        for at, label in enumerate(labels)
        if _shown(label) and (at < MAX_COLUMNS or label in sought)
    ]
    fact["columns"] = []
    for at, label in found:
        name = ""
        with contextlib.suppress(Exception):
            name = dtype(at)
        fact["columns"].append([label, name])
    if len(labels) < MAX_SEARCHED and len(found) == sum(type(label) is str for label in labels):
        fact["complete"].append("columns")


def _plain(index: Any) -> bool:
    """Whether an index is one of pandas' own, over an array that isn't a user's."""
    kind = type(index)
    if not _is(kind, "pandas", "Index"):
        return _root(kind) == "pandas"
    return _root(type(object.__getattribute__(index, "_data"))) in ("numpy", "pandas")


def _dtype_of(array: Any) -> str:
    return _dtype(array.dtype) if _root(type(array)) in ("numpy", "pandas") else ""


def _dtype(dtype: Any) -> str:
    """polars' by its class alone: an Enum's own name spells its categories."""
    kind = type(dtype)
    if issubclass(kind, type):
        return _text(_name_of(dtype))
    if _root(kind) == "polars":
        return _text(_name_of(kind))
    return str(dtype.name)[:40] if _root(kind) in ("numpy", "pandas") else ""


def _is(kind: Any, module: str, name: str) -> bool:
    """Whether ``kind`` is this very class of a library, which is never imported for it."""
    there = sys.modules.get(module)
    if type(there) is not types.ModuleType or _root(kind) != module.partition(".")[0]:
        return False
    return _module_dict(there).get(name) is kind


def _is_spark(kind: Any) -> bool:
    return any(_is(kind, *known) for known in SPARK_FRAMES)


def _root(kind: Any) -> str:
    return _text(_module_of(kind)).partition(".")[0]


def _public(names: list[Any]) -> list[str]:
    return list(dict.fromkeys(islice(filter(_is_name, names), MAX_MEMBERS)))


def _is_name(name: Any) -> bool:
    """Whether a user would write it: a name that isn't private."""
    return type(name) is str and name[:1] != "_" and len(name) <= MAX_NAME and name.isidentifier()


def _shown(label: Any) -> bool:
    return type(label) is str and label.isprintable() and len(label) <= MAX_NAME


def _text(name: Any) -> str:
    return name[:MAX_NAME] if type(name) is str else ""
