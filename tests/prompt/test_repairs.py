"""Goldens of what mends a cell that failed: the cell, its error, and the cell as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from santajupyter.prompt.repairs import mended, repair
from santajupyter.prompt.syntaxrepairs import applied, syntax_repair
from santajupyter.protocol import Fix, completion_request

SHIPS = {
    "name": "ships",
    "type": "DataFrame",
    "module": "pandas",
    "columns": [["port", "str"], ["depth", "float64"], ["color", "str"], ["col 1", "int64"]],
    "complete": ["members", "columns"],
}
OPTIONS = {
    "name": "options",
    "type": "dict",
    "module": "builtins",
    "keys": ["model", "rate"],
    "complete": ["keys"],
}
LOAD = {
    "name": "load",
    "type": "function",
    "module": "__main__",
    "signature": "(path, *, separator=…)",
    "complete": ["signature"],
}
PANDAS = {
    "name": "pd",
    "type": "module",
    "members": ["DataFrame", "read_csv", "read_json", "concat"],
    "complete": ["members"],
}
KERNEL: dict[str, Any] = {
    "variables": [SHIPS, OPTIONS, LOAD, PANDAS],
    "classes": {"pandas.DataFrame": ["columns", "groupby", "head", "rename", "plot", "mean"]},
    "names": ["ships", "options", "load", "pd", "total_depth", "x1"],
}


def fix(source: str, error: str, line: str | None = None, *cells: str, **changes: Any) -> tuple[str, Fix]:
    """Of a cell below others, which have run: its text then, and the answer."""
    name, _, value = error.partition(": ")
    failed = {
        "type": "error",
        "name": name,
        "value": value,
        "line": source.split("\n")[0] if line is None else line,
    }
    above = [{"source": cell, "execution_count": n} for n, cell in enumerate(cells, 1)]
    body = {
        "cells": [*above, {"source": source, "execution_count": 9, "outputs": [failed]}],
        "active": len(cells),
        "offset": 0,
        **KERNEL,
        **changes,
    }
    request = completion_request(body)
    found = repair(request, ["data/ships.csv", "ports.json"])
    return mended(request, found.edits), found


@pytest.mark.parametrize(
    ("source", "error", "new"),
    [
        # A name.
        ("y = shps.head()", "NameError: name 'shps' is not defined", "y = ships.head()"),
        ("y = totaldepth + 1", "NameError: name 'totaldepth' is not defined", "y = total_depth + 1"),
        ("pirnt(ships)", "NameError: name 'pirnt' is not defined", "print(ships)"),
        ("y = true", "NameError: name 'true' is not defined", "y = True"),
        ("y = null", "NameError: name 'null' is not defined", "y = None"),
        ("y = shps + shps", "NameError: name 'shps' is not defined", "y = ships + ships"),
        ("y = ['shps', shps]", "NameError: name 'shps' is not defined", "y = ['shps', ships]"),
        (
            "for x in rnage(3):\n    pass",
            "NameError: name 'rnage' is not defined",
            "for x in range(3):\n    pass",
        ),
        ("Ships.head()", "NameError: name 'Ships' is not defined", "ships.head()"),
        # A column or key.
        ("ships['colour']", "KeyError: 'colour'", "ships['color']"),
        ('ships["colour"].mean()', "KeyError: 'colour'", 'ships["color"].mean()'),
        ("ships['Port']", "KeyError: 'Port'", "ships['port']"),
        (
            "ships[['port', 'dpeth']]",
            "KeyError: \"['dpeth'] not in index\"",
            "ships[['port', 'depth']]",
        ),
        (
            "ships[['dpeth']]",
            "KeyError: \"None of [Index(['dpeth'], dtype='object')] are in the [columns]\"",
            "ships[['depth']]",
        ),
        ("ships.groupby('prot').mean()", "KeyError: 'prot'", "ships.groupby('port').mean()"),
        (
            "ships.drop(columns=['dpth'])",
            "KeyError: \"['dpth'] not found in axis\"",
            "ships.drop(columns=['depth'])",
        ),
        (
            "ships.query('dephts > 3')",
            "UndefinedVariableError: name 'dephts' is not defined",
            "ships.query('depth > 3')",
        ),
        ("options['modle']", "KeyError: 'modle'", "options['model']"),
        (
            "sns.scatterplot(data=ships, x='detph')",
            "ValueError: Could not interpret value `detph` for `x`. An entry with this name does not appear.",
            "sns.scatterplot(data=ships, x='depth')",
        ),
        # What the message itself lists.
        (
            "plt.imshow(z, cmap='virids')",
            "ValueError: 'virids' is not a valid value for cmap; supported values are 'plasma', 'viridis'",
            "plt.imshow(z, cmap='viridis')",
        ),
        (
            "frame.select('colour')",
            'ColumnNotFoundError: unable to find column "colour"; valid columns: ["color", "port"]',
            "frame.select('color')",
        ),
        # An attribute.
        (
            "ships.grupby('port')",
            "AttributeError: 'DataFrame' object has no attribute 'grupby'",
            "ships.groupby('port')",
        ),
        (
            "ships.dpeth.max()",
            "AttributeError: 'DataFrame' object has no attribute 'dpeth'",
            "ships.depth.max()",
        ),
        (
            "pd.read_cvs('a')",
            "AttributeError: module 'pandas' has no attribute 'read_cvs'",
            "pd.read_csv('a')",
        ),
        ("'a'.uper()", "AttributeError: 'str' object has no attribute 'uper'", "'a'.upper()"),
        ("f(3).apend(1)", "AttributeError: 'list' object has no attribute 'apend'", "f(3).append(1)"),
        # A keyword.
        (
            "load('a', seperator=',')",
            "TypeError: load() got an unexpected keyword argument 'seperator'",
            "load('a', separator=',')",
        ),
        (
            "sorted([1], revers=True)",
            "TypeError: sort() got an unexpected keyword argument 'revers'. Did you mean 'reverse'?",
            "sorted([1], reverse=True)",
        ),
        # A module, and what is in one.
        ("import jsno", "ModuleNotFoundError: No module named 'jsno'", "import json"),
        (
            "import colections.abc as c",
            "ModuleNotFoundError: No module named 'colections'",
            "import collections.abc as c",
        ),
        (
            "from functols import cache",
            "ModuleNotFoundError: No module named 'functols'",
            "from functools import cache",
        ),
        (
            "from pd import DataFram",
            "ImportError: cannot import name 'DataFram' from 'pandas' (/usr/lib/pandas/__init__.py)",
            "from pd import DataFrame",
        ),
        # A file.
        (
            "pd.read_csv('data/shps.csv')",
            "FileNotFoundError: [Errno 2] No such file or directory: 'data/shps.csv'",
            "pd.read_csv('data/ships.csv')",
        ),
    ],
)
def test_the_nearest_name(source: str, error: str, new: str) -> None:
    made, found = fix(source, error)
    assert (made, found.by, found.reason) == (new, "rule", "name")


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("x = np.zeros(3)", "NameError: name 'np' is not defined", "import numpy as np"),
        ("p = Path('a')", "NameError: name 'Path' is not defined", "from pathlib import Path"),
        ("plt.plot([1])", "NameError: name 'plt' is not defined", "import matplotlib.pyplot as plt"),
    ],
)
def test_a_missing_import(source: str, error: str, line: str) -> None:
    made, found = fix(source, error)
    assert (made, found.by, found.reason) == (f"{line}\n{source}", "rule", "import")


def test_only_the_failing_line_is_mended() -> None:
    source = "x = 'ü', 1\n%time pass\nwith open('a') as f:\n    y = shps.head()\nz = shps"
    made, _ = fix(source, "NameError: name 'shps' is not defined", "y = shps.head()")
    assert made == source.replace("y = shps", "y = ships")


def test_a_function_has_names_of_its_own() -> None:
    source = "def f(weights):\n    return sum(wieghts)\nf([1])"
    made, _ = fix(source, "NameError: name 'wieghts' is not defined", "return sum(wieghts)")
    assert made == source.replace("wieghts", "weights")


def test_where_nothing_is_known_of_the_object_other_cells_say_how_its_keys_are_spelled() -> None:
    made, _ = fix("read()['temprature']", "KeyError: 'temprature'", None, "a = read()['temperature']")
    assert made == "read()['temperature']"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("y = qqq", "NameError: name 'qqq' is not defined"),
        ("y = x2", "NameError: name 'x2' is not defined"),
        ("y = nlp(3)", "NameError: name 'nlp' is not defined"),
        ("ships['col 2']", "KeyError: 'col 2'"),
        ("ships['owner']", "KeyError: 'owner'"),
        ("options[3]", "KeyError: 3"),
        ("[1][2]", "IndexError: list index out of range"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("load(1, 2)", "TypeError: load() takes 1 positional argument but 2 were given"),
        ("ships.port.owner()", "AttributeError: 'Series' object has no attribute 'owner'"),
        ("import polars", "ModuleNotFoundError: No module named 'polars'"),
        ("raise ValueError('shps')", "ValueError: shps"),
        ("int('ship')", "ValueError: invalid literal for int() with base 10: 'ship'"),
        ("open('a.txt')", "FileNotFoundError: [Errno 2] No such file or directory: 'a.txt'"),
    ],
)
def test_nothing_is_near(source: str, error: str) -> None:
    made, found = fix(source, error)
    assert (made, found.by, found.reason) == (source, None, "nothing")
    assert found.why


def test_what_another_cell_makes_is_to_be_run() -> None:
    unknown: dict[str, Any] = {"names": [], "variables": []}
    made, found = fix(
        "y = prices.sum()", "NameError: name 'prices' is not defined", None, "prices = [1]", **unknown
    )
    assert (made, found.reason, found.words) == ("y = prices.sum()", "elsewhere", ("prices",))
    assert found.why == "prices is made in another cell: run that one first."
    _, found = fix("print(cost)\ncost = 1", "NameError: name 'cost' is not defined")
    assert found.why == "cost is made further down in this cell."


def test_why_there_is_nothing_to_mend() -> None:
    assert fix("x = 1", "NameError: name 'shps' is not defined", "y = shps")[1].reason == "gone"
    assert fix("%%sql\nshps", "NameError: name 'shps' is not defined", "shps")[1].reason == "language"
    assert fix("shps", "NameError: name 'shps' is not defined", language="r")[1].reason == "language"
    request = completion_request({"cells": [{"source": "x"}], "active": 0, "offset": 0})
    assert repair(request).reason == "no-error"


@pytest.mark.parametrize(
    ("code", "new"),
    [
        # Brackets.
        ("x = foo(1\ny = 3", "x = foo(1)\ny = 3"),
        ("x = np.array([[1, 2], [3, 4]\ny = 2", "x = np.array([[1, 2], [3, 4]])\ny = 2"),
        ("def f():\n    print(foo(1)\n    return 2", "def f():\n    print(foo(1))\n    return 2"),
        ("foo(\n  a,\n  b\ny = 3", "foo(\n  a,\n  b)\ny = 3"),
        ("if foo(x:\n   pass", "if foo(x):\n   pass"),
        ("x = f(1  # note", "x = f(1)  # note"),
        ("x = [1, 2)", "x = [1, 2]"),
        ("x = f(1))", "x = f(1)"),
        ("a = (1\nb = (2", "a = (1)\nb = (2"),
        # Strings.
        ('print("hello)', 'print("hello")'),
        ('print(hello")', 'print("hello")'),
        ("print('hello\")", "print('hello')"),
        ("x = 'it's'", "x = 'it\\'s'"),
        ("plt.plot(x, color='red)\ny = 1", "plt.plot(x, color='red')\ny = 1"),
        ("f'{x", "f'{x}'"),
        ('def f():\n    """doc\n    return 1', 'def f():\n    """doc"""\n    return 1'),
        # Colons, commas, keywords, other languages.
        ("if x\n  y = 1", "if x:\n  y = 1"),
        ("def f(x)  # note\n  return x", "def f(x):  # note\n  return x"),
        ("for i in range(3) print(i)", "for i in range(3): print(i)"),
        ("foo(a b)", "foo(a, b)"),
        ("x = [1 2 3]", "x = [1, 2, 3]"),
        ("x = [\n1\n2\n]", "x = [\n1,\n2\n]"),
        ("d = {'a' 1}", "d = {'a': 1}"),
        ("if x = 3:\n  pass", "if x == 3:\n  pass"),
        ("print x", "print(x)"),
        ("improt pandas", "import pandas"),
        ("def f():\n    retrun x", "def f():\n    return x"),
        ("if 1:\n  pass\nelse if x:\n  pass", "if 1:\n  pass\nelif x:\n  pass"),
        ("try:\n    x = 1\nexcpet ValueError:\n    pass", "try:\n    x = 1\nexcept ValueError:\n    pass"),
        ("a && b", "a and b"),
        ("i++", "i += 1"),
        ("x = “a”", 'x = "a"'),
        ("a\u00a0= '\u00a0'", "a = '\u00a0'"),
        # Indentation.
        ("for i in range(3):\nprint(i)", "for i in range(3):\n    print(i)"),
        ("x = 1\n  y = 2", "x = 1\ny = 2"),
        ("if x:\n  y\n else:\n  z", "if x:\n  y\nelse:\n  z"),
        ("def f():\n", "def f():\n    pass\n"),
        # Lines that IPython reads.
        ("%time x\ny = !ls -l\nz = (1", "%time x\ny = !ls -l\nz = (1)"),
    ],
)
def test_what_makes_it_parse(code: str, new: str) -> None:
    assert applied(code, syntax_repair(code)) == new
    assert fix(code, "SyntaxError: invalid syntax")[0] == new


@pytest.mark.parametrize(
    "code",
    [
        "x = 1",
        "x = 3 +",
        "hello world this is text",
        "f(a=1, 2)",
        "from x import",
        "(" * 300,
        "x = (" * 30_000,
        "",
    ],
)
def test_what_nothing_simple_makes_parse(code: str) -> None:
    assert syntax_repair(code) == ()
