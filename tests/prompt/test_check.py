"""Goldens of what is broken: ``║`` is the cursor, and what goes in there stands beside it."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from santajupyter.prompt.check import Check, Problem
from santajupyter.protocol import completion_request

NOTEBOOKS = Path(__file__).parents[2] / "benchmarks" / "notebooks"
SHIPS = {
    "name": "ships",
    "type": "DataFrame",
    "module": "pandas",
    "columns": [["port", "str"], ["depth", "float64"]],
    "levels": ["voyage"],
    "complete": ["members", "columns"],
}
OPTIONS = {"name": "options", "type": "dict", "module": "builtins", "keys": ["a", "b"], "complete": ["keys"]}
LOAD = {
    "name": "load",
    "type": "function",
    "module": "__main__",
    "signature": "(path, *, sep=…)",
    "complete": ["signature"],
}
KERNEL: dict[str, Any] = {
    "variables": [SHIPS, OPTIONS, LOAD],
    "classes": {"pandas.DataFrame": ["columns", "eval", "groupby", "head", "insert", "rename", "plot"]},
}


def check(source: str, *cells: str, **changes: Any) -> Check:
    """Of a cell with the cursor, below the other cells, which have run."""
    ran = [{"source": cell, "execution_count": n} for n, cell in enumerate(cells, 1)]
    body = {
        "cells": [*ran, {"source": source.replace("║", "")}],
        "active": len(cells),
        "offset": source.index("║"),
    }
    return Check(completion_request({**body, **changes}))


def sound(source: str, text: str, *cells: str, ended: bool = True, **changes: Any) -> str:
    return check(source, *cells, **changes).sound(text, ended)[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = sum(║)", "[1, 2]"),
        ("x = sum(║", "[1, 2])"),
        ("x = sum(║", "[1,"),
        ("for i in ║", "range(3):"),
        ("for i in ║", "range(3):\n    print(i)"),
        ("for i in ║\n    print(i)", "range(3):"),
        ("if 1:\n    pass\nel║", "se:\n    y = 1"),
        ("if 1:\n    ║\nelse:\n    pass", "x = 2"),
        ("try:\n    x = 1\n    ║", "y = x"),
        ("try:\n    x = 1\n    y = ║\nexcept KeyError as error:\n    pass", "x"),
        ("print(f'{║}')", "abs(3)"),
        ("print(f'{║", "abs(3)}')"),
        ("x = {\n    'a': 1,\n    ║\n}\ny = 3", "'b': 2,"),
        ("def f(x):\n    '''║\n    '''\n    return x", "What (it) does."),
        ("# ║", "anything (at all"),
        ("║\nclass A: pass", "@staticmethod"),
        ("class A:\n    ║", "@property"),
        ("class A:\n    x = 1\n\n    @║", "staticmethod"),
        ("║", "match sum([]):"),
        ("def f(x):\n    ║", "match x:"),
        ("match 1:\n    ║", "case 1:"),
        ("y = 1\n║", "x = y \\"),
        ("y = 1\n║", "x = (y + \\"),
        ("║", "assert 1, \\"),
        ("║", "for i in range(3):  # each"),
        ("if 1:\n    ║", "for i in range(3):  # each"),
        ("x = dict(\n    ║", "a=1,  # one"),
        ("try:\n    x = 1\n║", "except:  # any"),
        ("x = 1\n║", "def f(y):  # it's (one\n    return y  # the same"),
        ("║", "await print(1)"),
        ("║", "%matplotlib inline"),
        ("║", "!ls\nx = 1"),
        ("║", "files = !ls\nfiles"),
        ("%%time\nx = 1\n║", "x + 1"),
    ],
)
def test_what_parses_is_sound(source: str, text: str) -> None:
    assert sound(source, text) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = sum(║)", "1 2"),
        ("x = ║", "1 +"),
        ("for i in ║\n    print(i)", "range(3 4):"),
        ("x = {\n    'a': 1,\n    ║\n}\ny = 3", "'b' 2,"),
        ("║len([])", "print(1)"),
        ("x = 1\n║", "return x"),
        ("x = 1\n║", "break"),
        ("x = 1\n║", "    y = 2"),
        ("for i in ║", "3):"),
    ],
)
def test_what_does_not_parse_is_broken(source: str, text: str) -> None:
    assert sound(source, text) == ""


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    ("source", "text", "left"),
    [
        ("║abs(n)", "y = max(n)", "y = "),
        ("║abs(n)", "y = ", "y = "),
        ("║abs(n)", "print(n)", ""),
        ("║abs(n)", "y", ""),
        ("║n", "y", ""),
        ("print(║n)", "1", ""),
        ("print(║n)", "1, ", "1, "),
        ("x = ║abs(n) + 1", "2 * max(n)", "2 * "),
        ("x = ║'a'", "f", "f"),
        # within a word
        ("n║n = 1", "n", "n"),
        ("ma║abs(n)", "th.floor(1)", "th."),
        # what stands there needs something before it
        ("x = n ║ n", "+", "+"),
        ("x = ║.max()", "ma.sqrt(n)", "ma.sqrt(n)"),
        # or closes what only the text can open
        ("x = ma.║)", "floor(n)", "floor(n"),
        ("x = ma.║n)", "floor(n)", "floor("),
        ("x = ║n]", "[nn, n]", "[nn, "),
        ("x = [\n    ma.sqrt(n),\n    ma.floor║, n),\n]", "(nn)", "(nn"),
        ("def g║):\n    return 1", "(y)", "(y"),
        ("x = ma.floor(║\n    n)", "nn * ", "nn * "),
        # or goes on in a string that only the text can begin, or with what it has to close
        ("x = dict║a', b='b')", "(n", ""),
        ("x = dict║a', b='b')", "(c='", "(c='"),
        ("x = dict(a='║)", "b'", "b'"),
        ("x = dict(a='║)", "b", ""),
        ("x = dict(a=['║)", "b'", ""),
        ("x = dict(a=['║)", "b']", "b']"),
        ("x = dict(a={'b║)", "': n}", "': n}"),
        ("for ║[1]):\n    pass", "i in range(n):", "i in range(n"),
        ("for ║[1]):\n    pass", "i in max(", "i in max("),
        ("x ║{}", "= dict()", "= "),
        ("x = max(║(n))", "n, max", "n, max"),
        # or with the rest of a word of Python's own, or a name that it imports
        ("impo║s np", "rt numpy a", "rt numpy a"),
        ("from math║ floor", " import", " import"),
        ("from math║ floor", " import sqrt", " import "),
        # a text in three quotes goes on below
        ('x = """a;b\n1;║n\n2;3\n"""', "2;", "2;"),
        # no more is left open than there was
        ("x = ║ + n", "max(nn", "max"),
        ("print(n, ║)", "max(n", "max(n"),
    ],
)
def test_what_stands_on_the_right_parses_with_it(source: str, text: str, left: str, ended: bool) -> None:
    cell = "n = nn = 1\nimport math\nma = math"
    assert sound(source, text, cell, ended=ended and text != "max(n") == left


def test_what_stood_there_is_sound() -> None:
    """Pieces that are taken out of people's lines: nothing that is right is lost."""
    draw = random.Random(5)
    for book in sorted(NOTEBOOKS.glob("*.ipynb")):
        code = [cell.source for cell in nbformat.read(book, 4).cells if cell.cell_type == "code"]
        for number, source in enumerate(code):
            begins = [0, *(match.end() for match in re.finditer(r"\w+|[^\w@]", source))]
            start = draw.choice(begins[:-1])
            end = min(begins[begins.index(start) + draw.randrange(1, 9) :], default=len(source))
            text = source[start:end]
            checked = check(f"{source[:start]}║{source[end:]}", *code[:number])
            found = checked.rounded(checked.sound(text, False)[0])
            assert found == text or not text.strip() or "\n" in text, (book.name, source[:start], text)


def test_a_line_that_may_go_on_is_sound_as_a_beginning() -> None:
    assert sound("x = ║", "1 +", ended=False) == "1 +"
    assert sound("for i in ║", "range(", ended=False) == "range("
    assert sound("x = ║", "1 + )", ended=False) == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('ships.agg({"a": "sum", "║"})', "depth"),
        ('ships.agg({"a": "sum", "║"})', 'depth": "sum'),
        ('x = {"║"}', "depth"),
        ('ships.agg({"a": "sum", "║', "depth"),
        ('ships.rename(columns={"║"})', "depth"),
    ],
)
def test_a_key_may_get_its_value_behind_its_quote(source: str, text: str) -> None:
    checked = check(source, **KERNEL)
    assert checked.sound(text, True)[0] == checked.sound(text, False)[0] == text
    assert checked.rounded(text) == checked.rounded(text, 0, True) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("║", "import"),
        ("imp║", "ort"),
        ("║\nx = 1", "from"),
        ("x = 1\n║", "def"),
        ("x = 1\n║", "while"),
        ("dict(\n    a=1,\n    ║\n    c=3)", "b="),
        ("dict(\n    a=1,\n    ║\n    c=3)", "b=2"),
        ("dict(a=[1, ║\n    c=3)", "2]"),
    ],
)
def test_a_word_that_asks_for_more_is_sound_as_a_beginning(source: str, text: str) -> None:
    """An underscore right behind it, or nothing but what closes the bracket, made another word of it."""
    assert sound(source, text, ended=False) == text


@pytest.mark.parametrize(
    ("source", "text", "rounded"),
    [
        ("║", "import", ""),
        ("║", "import json as", "import json"),
        ("║", "def", ""),
        ("║", "for i in", ""),
        ("║", "for i in range(len(", "for i in range(len("),
        # what isn't closed where more stands on the right
        ("load(║)", "1, sep=[", "1, sep="),
        ("load(║)", "max(1", "max"),
        ('load(1, sep="║")', 'a", max("', "a"),
        ("║", "if 1 ==", "if 1"),
        ("║", "prices =", ""),
        ("x = ║", "[1, 2, ", "[1, 2, "),
        ("x = ║", "1 if", "1"),
        ("print(║", '"mean of', '"mean of'),
        ("print(f'a {║", "1", "1"),
        ("load(1, sep=2, ║\n)", "3, width", ""),
        ("load(║\n)", "1, sep=2, width", "1, sep=2,"),
        ("load(║", "1, sep=", "1, sep="),
        ('x.agg({"a": "mean", "║', 'b": ', 'b": '),
        ('x = {"a": 1, ║}', '"b":', '"b":'),
        ("load(║)", "1, sep=", "1, sep="),
        ("load(1, ║\n    3)", "2", "2"),
        ('x = {"a": 1,\n    "b": ║\n    "c": 3}', "2", "2"),
        ('x = {\n    "a": 1,\n    ║\n}', '"b": 2,', '"b": 2,'),
        ("x = 1\n║", "while True:\n    y =", "while True:"),
        ("try:\n    1\n║", "except ValueError as", "except ValueError"),
        ("import ║", "json as", "json"),
        ("def clean_║\n    pass", "heights(", "heights("),
        # The rest of a word, and where nothing is whole.
        ("imp║", "ort", "ort"),
        ("x = ║ if", "1 or", "1 or"),
    ],
)
def test_what_may_end_anywhere_ends_where_only_brackets_are_open(
    source: str, text: str, rounded: str
) -> None:
    checked = check(source)
    assert checked.rounded(text) == rounded
    assert checked.rounded(text, len(text)) == text
    assert check("%%html\n" + source).rounded(text) == text


@pytest.mark.parametrize(
    ("source", "text", "rounded"),
    [
        ("║", "for i in range(len(", "for i in range"),
        ("║", "load(1, sep=[2], width", "load"),
        ("║", "load(1, sep=[2])", "load(1, sep=[2])"),
        ("║", "load(1).set(2", "load(1).set"),
        ("x = ║", "[1, 2, ", ""),
        ("load(║", "1, sep=f'of {", "1, sep="),
        ("load(║", "1, max(2", "1, max"),
        ('x["║', 'a"] = load(1', 'a"] = load'),
        ('x.agg({"║', 'a": "mean', 'a":'),
        ("║", "load(1)\nprint(2", "load(1)\nprint"),
        ("║", "def load(a", ""),
        # A name that nobody has is one by itself, too.
        ("║", "print(1)\nnp.zeros(", "print(1)\nnp.zeros"),
        ("║", "print(1)\nPath(", "print(1)"),
        # What stands on the right closes it.
        ("║1)", "load(", "load("),
        ("imp║", "ort", "ort"),
    ],
)
def test_who_types_gets_nothing_that_leaves_a_bracket_open(source: str, text: str, rounded: str) -> None:
    checked = check(source, "def load(a, b=1, sep=2): pass\nx = {}")
    assert checked.rounded(text, 0, True) == rounded
    assert checked.rounded(text, len(text), True) == text


@pytest.mark.parametrize(
    "text",
    ['s = ("a %s"\n     % 1)', 's = "a %s" \\\n    % 1', "s = (1\n     != 2)", "%time x = 1", "!ls", "% "],
)
def test_what_goes_on_with_the_line_above_is_no_magic(text: str) -> None:
    assert sound("║", text) == text


@pytest.mark.parametrize(
    ("source", "text", "closed"),
    [
        ("║", "load(1, 2,", "load(1, 2)"),
        ("║", "load(1, [2, ", "load(1, [2])"),
        ("║", "load(1, sep=", "load(1)"),
        ("║", 'print("mean of', 'print("mean of")'),
        ("║", "print(f'{", "print(f'')"),
        ("║", "print(1 + ", "print(1)"),
        # What the user has opened, if nothing else ends it.
        ("x = load(║", "1, 2", "1, 2)"),
        ("x = load(║\n    b)", "1, 2", "1, 2,"),
        ("x = [\n    1,\n    ║\n    3,\n]", "max(2", "max(2),"),
        ("x = load(1, [║", "2], 3", "2], 3)"),
        # A header before its body; one without stays as it is.
        ("║\n    print(i)", "for i in range(3)", "for i in range(3):"),
        ("║", "for i in range(3):", "for i in range(3):"),
        ("║", "x = 1\nfor i in range(3):", "x = 1\nfor i in range(3):"),
        ("║", "for i in range(3, ", "for i in range(3):"),
        ("║", "x = 1", "x = 1"),
        ("║", "load((1,", "load((1,))"),
        ("load(║", "1, sep=", "1)"),
        # Both, also where the text has closed what the user opened.
        ("def load(a║\n    return a", ", c)", ", c):"),
        ("for i in range(║\n    load(i)", "3", "3):"),
        ('x = {\n  "a": [1, ║\n  "b": [2]}', "2]", "2],"),
        ('x = {\n  "a": [1, ║\n  "b": [2]}', "2", "2],"),
        # A text whose end stands below.
        ('x = ║\nhello\n"""\ny = 1', '"""abc', '"""abc'),
        # Code on the right is joined as it is.
        ("load(║, 2)", "max(1", "max(1"),
        ("║1)", "load(", "load("),
    ],
)
def test_who_asks_gets_it_closed(source: str, text: str, closed: str) -> None:
    cells = ["def load(a, b=1, sep=2): pass"]
    checked = check(source, *cells)
    assert checked.closed(text) == closed
    assert checked.closed(text, len(text)).startswith(text)


@pytest.mark.parametrize(
    ("source", "text", "closed"),
    [
        ("x = load(║\n    b)", "1, 2", "1, 2,"),
        ("x = load(║\n    b)", "1, max(2", "1, max(2"),
        ("x = load(║\n    b)", "1, sep=", "1, sep="),
        ("x = load(║", "1, 2", "1, 2"),
        ("║\n    print(i)", "for i in range(3)", "for i in range(3)"),
    ],
)
def test_who_types_gets_the_comma_before_the_next_line(source: str, text: str, closed: str) -> None:
    assert check(source, "def load(a, b=1): pass").closed(text, 0, True) == closed


def test_a_stream_shows_no_blanks_alone() -> None:
    assert check("x = 1\n║").sure("    initial") == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("x = (1 + \ny = ║", "1 2"),
        ("def f(:\n    ║", "1 2"),
        ("%time x = ║", "1 2"),
        ("%%bash\n║", "ls ("),
        ("%%sql result <<\n║", "SELECT * FROM ships"),
    ],
)
def test_what_did_not_parse_before_is_not_judged(source: str, text: str) -> None:
    assert sound(source, text) == text


def test_other_languages_are_not_judged() -> None:
    assert sound("x <- ║", "c(1, 2", language="r") == "c(1, 2"


@pytest.mark.parametrize(
    ("source", "text", "cells"),
    [
        ("y = ║", "x", ["x = 1"]),
        ("y = ║", "x", ["for x in [1]: pass"]),
        ("y = ║", "x", ["if (x := 1): pass"]),
        ("y = ║", "x", ["with open('a') as x: pass"]),
        ("y = ║", "x", ["def f():\n    global x\n    x = 1"]),
        ("y = ║", "x", ["x = 1\nthis is not Python"]),
        ("y = ║", "spark.sql()", ["spark.table('a')"]),
        ("y = ║", "anything", ["from numpy import *"]),
        ("y = ║", "anything", ["%run other.py"]),
        ("y = ║", "anything", ["exec(open('a.py').read())"]),
        ("y = ║", "result", ["%%sql result <<\nSELECT 1"]),
        ("y = ║", "_ + _3 if __name__ else display", []),
        ("y = ║", "[i for i in range(3) if i]", []),
        ("y = ║", "sorted([], key=lambda each: -each)", []),
        ("║\nx = 1", "def f():\n    return x", []),
        ("def f(a, *b, c=1, **d):\n    ║", "return a, b, c, d, f", []),
        ("def f(n):\n    ║\n    return m", "m = n", []),
        ("║", "import numpy as np\nnp.zeros(3)", []),
        ("║", "class A:\n    n = 1\n    def m(self):\n        return A.n", []),
        ("║", "for i in range(3):\n    print(i)\ni", []),
        ("x = undefined\ny = ║", "undefined", []),
        # What brings them may stand right above, or in the text.
        ("from tkinter import *\nroot = Tk()\n║", "Button(root)", []),
        ("if True:\n    from math import *\n    ║", "sin(1)", []),
        ("import os\n%time x = os.getcwd()\n║", "x.upper()", []),
        ("%pylab inline\n║", "plot([1])", []),
        ("globals()['x'] = 1\n║", "print(x)", []),
        ("║", "from os.path import *\njoin('a')", []),
        ("║", "%time x = 1\nprint(x)", []),
        ("║", "exec('x = 1')\nprint(x)", []),
        # Who catches it knows that it may not be there.
        ("║", "try:\n    cached\nexcept NameError:\n    cached = 1", []),
        ("try:\n    ║\nexcept (KeyError, NameError):\n    pass", "cached", []),
        ("from contextlib import suppress\n║", "with suppress(NameError):\n    print(cached)", []),
        ("import contextlib\nwith contextlib.suppress(NameError):\n    ║", "cached.close()", []),
        # What is said of a field's type may come further down.
        ("class A:\n    ║\nclass B:\n    pass", "b: B", []),
    ],
)
def test_names_that_are_there(source: str, text: str, cells: list[str]) -> None:
    assert sound(source, text, *cells) == text


@pytest.mark.parametrize(
    ("source", "text", "cells", "name"),
    [
        ("y = ║", "x", [], "x"),
        ("x = ║", "x + 1", [], "x"),
        ("y = ║", "local", ["def f():\n    local = 1"], "local"),
        ('s = ("a %s"\n     % 1)\n║', "nowhere(1)", [], "nowhere"),
        ("y = ║", "list(map(lambda a: nowhere, []))", [], "nowhere"),
        ("y = ║", "i", ["[i for i in range(3)]"], "i"),
        ("y = ║", "x", ["# x = 1\nprint('x = 1')"], "x"),
        ("y = [i for i in range(3)] + ║", "[i]", [], "i"),
        ("def f(a):\n    ║", "return b", [], "b"),
        ("║", "for i in range(3):\n    total += i", [], "total"),
        ("║", "x + 1\nx = 1", [], "x"),
        # What the cell makes further down isn't there yet.
        ("║\nmost = max(prices)\n", "print(most)", ["prices = [1]"], "most"),
        ("║\n\ndef add(a): return a", "add(1)", [], "add"),
        ("║", "__()", [], "__"),
    ],
)
def test_names_that_are_not(source: str, text: str, cells: list[str], name: str) -> None:
    problem = check(source, *cells).sound(text, True)[1]
    assert problem is not None and (problem.kind, problem.what) == ("name", name)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("║\n\ndef add(a): return a", "def two(): return add(2)"),
        ("for i in range(3):\n    ║\n    last = i", "print(last)"),
        ("fib = lambda n: n if n < 2 else ║", "fib(n - 1) + fib(n - 2)"),
        ("║", "fib = lambda n: n if n < 2 else fib(n - 1)\nfib(3)"),
        ("b = dict(click=lambda e: ║)\ndef handle(e): pass", "handle(e)"),
        ("class A:\n    ║\nlater = 1", "m = lambda self: later"),
    ],
)
def test_names_that_are_made_by_the_time(source: str, text: str) -> None:
    assert sound(source, text) == text


def test_what_the_cell_makes_further_down_is_there_once_that_has_run() -> None:
    cells = [{"source": "\nmost = 1", "execution_count": 2}, {"source": "other = 1"}]
    assert sound("║", "print(most)", cells=cells, active=0, offset=0) == "print(most)"
    assert sound("║", "print(other)", cells=cells, active=0, offset=0) == ""
    assert sound("║", "def show():\n    print(other)", cells=cells, active=0, offset=0)


def test_the_kernel_has_names_of_its_own() -> None:
    assert sound("y = ║", "ships", **KERNEL) == "ships"
    assert sound("y = ║", "hidden", names=["hidden"]) == "hidden"
    assert sound("y = ║", "anything", names=["*"]) == "anything"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("ships[║]", '"port"'),
        ("ships[║]", '["port", "depth"]'),
        ("ships.║", "depth"),
        ("ships.loc[0, ║]", '"port"'),
        ("ships.groupby(║)", '"port"'),
        ("ships.groupby(║)", '"voyage"'),
        ("options[║]", '"a"'),
        ("load(║)", "'a.csv', sep=','"),
        # What the code makes itself is there.
        ('ships["new"] = 1\nships[║]', '"new"'),
        # A string ends where its end stands.
        ('print(ships["║"]', "port"),
        ("print(sum(ships['║'])", "depth"),
        ('ships.insert(0, "new", 1)\nships[║]', '"new"'),
        ('ships.loc[:, "new"] = 1\nships.║', "new"),
        ('options["new"] = 1\noptions[║]', '"new"'),
        ("ships = other\nships[║]", '"new"'),
        ('ships.eval("new = depth", inplace=True)\nships[║]', '"new"'),
        ('ships.rename(columns={"port": "new"}, inplace=True)\nships[║]', '"new"'),
        ("for c in 'ab':\n    ships[c + '_new'] = 1\nships[║]", '"a_new"'),
        ("ships.columns = ['new', 'old']\nships[║]", '"new"'),
        ("options.update(new=1)\noptions[║]", '"new"'),
        ("def add(frame): frame['new'] = 1\nadd(ships)\nships[║]", '"new"'),
        ("[ships for ships in ║", '"ab" if ships["new"]]'),
        ("║", 'ships["new"] = ships["depth"] * 2\nships["new"]'),
    ],
)
def test_what_objects_have(source: str, text: str) -> None:
    assert sound(source, text, "add = other = 1", **KERNEL) == text


@pytest.mark.parametrize(
    ("source", "text", "name"),
    [
        ("ships[║]", '"flag"', "flag"),
        ("ships[║]", '["port", "flag"]', "flag"),
        ("ships.║", "flag", "flag"),
        ("ships.loc[0, ║]", '"flag"', "flag"),
        ("ships.groupby(║)", '"flag"', "flag"),
        ("ships.plot(x=║)", '"flag"', "flag"),
        ("ships[ships.depth > 1][║]", '"flag"', "flag"),
        ("options[║]", '"flag"', "flag"),
        ('print(ships["║"]', "flag", "flag"),
        ("load(║)", "'a.csv', flag=1", "flag"),
        # What the line makes isn't there yet, what was taken away isn't any more.
        ('ships["new"] = ships[║', '"new"] * 2', "new"),
        ('del ships["port"]\nships[║]', '"port"', "port"),
        ('x = ships.pop("port")\nships[║]', '"port"', "port"),
    ],
)
def test_what_objects_have_not(source: str, text: str, name: str) -> None:
    assert check(source, **KERNEL).sound(text, True) == ("", Problem("member", name, 0))


SALES = {
    "name": "sales",
    "type": "DataFrame",
    "module": "pandas",
    "columns": [
        *[["day", "str"], ["age", "int64"], ["sold", "datetime64[us]"], ["kind", "object"]],
        *[["size", "category"], ["list", "list<item: int64>[pyarrow]"]],
    ],
    "complete": ["columns"],
}
AGES = {"name": "ages", "type": "Series", "module": "pandas", "dtype": "int64", "complete": []}


@pytest.mark.parametrize(
    ("source", "text", "name"),
    [
        ('y = sales["age"]║', ".str[:-3]", "str"),
        ('y = sales["day"]║', ".dt.year", "dt"),
        ('y = sales["kind"]║', ".dt.year", "dt"),
        ('y = sales["day"]║', ".mean()", "mean"),
        ('y = sales["kind"]║', ".cat.codes", "cat"),
        ('y = sales["size"]║', ".mean()", "mean"),
        ('y = sales[sales["age"] > 3]║', '["day"].dt.year', "dt"),
        ("y = ║", "sales.age.str[0]", "str"),
        ("y = ║", "sales.groupby('kind')['day'].mean()", "mean"),
        ("y = ║", "sales['day'].dropna().mean()", "mean"),
        ("y = ║", "sales.dropna().head()['age'].str[0]", "str"),
        ("s = sales['age']\nt = s\ny = ║", "s.str[0]", "str"),
        ("s = sales['age']\nfor i in range(3):\n    ║", "s.dt.year", "dt"),
        ("y = ║", "ages.str[0]", "str"),
        ("sales['day'] = ║", "sales['day'].dt.year", "dt"),
    ],
)
def test_what_columns_of_a_dtype_have_not(source: str, text: str, name: str) -> None:
    problem = check(source, variables=[SALES, AGES]).sound(text, True)[1]
    assert problem is not None and (problem.kind, problem.what) == ("member", name)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('y = sales["day"]║', ".str[:-3]"),
        ('y = sales["kind"]║', ".str[:-3]"),
        ('y = sales["kind"]║', ".mean()"),
        ('y = sales["sold"]║', ".dt.year"),
        ('y = sales["age"]║', ".mean()"),
        ('y = sales["size"]║', ".cat.codes"),
        ('y = sales["list"]║', ".list.len()"),
        # Of what has changed since, or is made of it, nobody knows.
        ('y = sales["age"]║', ".astype(str).str[0]"),
        ('sales["day"] = pd.to_datetime(sales["day"])\ny = sales["day"]║', ".dt.year"),
        ("sales.day = pd.to_datetime(sales.day)\ny = sales.day║", ".dt.year"),
        ('sales.loc[:, "age"] = "a"\ny = sales["age"]║', ".str[0]"),
        ('sales.iloc[:, 1] = "a"\ny = sales["age"]║', ".str[0]"),
        ('sales[sales["age"] > 3] = "a"\ny = sales["age"]║', ".str[0]"),
        ('for c in "ab": sales[c] = "a"\ny = sales["age"]║', ".str[0]"),
        ('sales["age"].replace(1, "a", inplace=True)\ny = sales["age"]║', ".str[0]"),
        ('sales.update(other)\ny = sales["age"]║', ".str[0]"),
        ("clean(sales)\ny = sales['age']║", ".str[0]"),
        ('y = sales.fillna("a")║', '["age"].str[0]'),
        ('ages[0] = "a"\ny = ages║', ".str[0]"),
        ('ages.loc[5] = "a"\ny = ages║', ".str[0]"),
        ('sales.loc[len(sales)] = ["a"] * 6\ny = sales["age"]║', ".str[0]"),
        ('sales.isetitem(1, "a")\ny = sales["age"]║', ".str[0]"),
        ("s = sales['age']\ns = s.astype(str)\ny = ║", "s.str[0]"),
        ("s = sales['age']\ns.iloc[0] = 'a'\ny = ║", "s.str[0]"),
        ("s = sales['age']\nclean(s)\ny = ║", "s.str[0]"),
        ("s = sales['age']\nfor s in 'ab':\n    ║", "s.dt.year"),
        ("s = sales['age'] if other else 'a'\ny = ║", "s.str[0]"),
        ("y = ║", "sales.fillna('a').groupby('kind')['age'].str[0]"),
        ("y = ║", "sales[clean(sales)]['age'].str[0]"),
        # What the cell makes of it further down, it has already if that has run.
        ('y = sales["sold"]║\nsales.sold = pd.to_datetime(sales.sold)', ".str[:10]"),
        ('y = sales["sold"]║\nsales[["sold", "age"]] = other', ".str[:10]"),
        ('y = sales["sold"]║\nsales = sales.assign(sold=1)', ".str[:10]"),
        ('y = sales["sold"]║\nfor c in other: sales[c] = 1', ".str[:10]"),
        # Who looks at the type himself.
        ("║", 'if sales["age"].dtype == object:\n    sales["age"].str.strip()'),
        ("y = ║", 'sales["age"].str[0] if isinstance(sales["age"][0], str) else 1'),
        ("║", 'try:\n    sales["age"].str.strip()\nexcept AttributeError:\n    pass'),
        # A frame's own, though there is such a column.
        ("y = ║", "named.index.str.upper()"),
        ('║\nsales["sold"] = pd.to_datetime(sales["sold"])', 'sales["sold"] = sales["sold"].str[:10]'),
    ],
)
def test_what_columns_of_a_dtype_may_have(source: str, text: str) -> None:
    cells = ["import pandas as pd\nother = clean = 1"]
    named = {**SALES, "name": "named", "columns": [["index", "int64"]]}
    assert sound(source, text, *cells, variables=[SALES, AGES, named]) == text


MODEL = {"name": "model", "type": "Model", "module": "__main__", "members": ["n"], "complete": ["members"]}
MORE: dict[str, Any] = {
    "variables": [
        *KERNEL["variables"],
        MODEL,
        {**MODEL, "name": "other"},
        {"name": "Model", "type": "class", "module": "__main__", "members": ["fit"], "complete": ["members"]},
        {**SHIPS, "name": "boats"},
        {**SHIPS, "name": "ports", "shape": [3, 2]},
        {"name": "frames", "type": "list", "module": "builtins"},
        {"name": "plt", "type": "module", "members": ["plot"], "complete": ["members"]},
        {"name": "score", "type": "function", "module": "sklearn.metrics"},
    ],
    "classes": {**KERNEL["classes"], "__main__.Model": ["fit"]},
    "names": ["ax", "far", "go"],
}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        # By another name.
        ("tmp = ships\ntmp['new'] = 1", 'ships["new"]'),
        ("tmp, rest = ships, 1\ntmp['new'] = 1", 'ships["new"]'),
        ("boats['new'] = 1", 'ships["new"]'),
        ("for each in [ships, ports]:\n    each['new'] = 1", 'ships["new"]'),
        ("for each in [ships, ports]:\n    each.loc[:, 'new'] = 1", "ships.new"),
        ("for each in frames:\n    each['new'] = 1", 'ships["new"]'),
        ("for at, each in enumerate(frames):\n    each['new'] = 1", 'ships["new"]'),
        ("frames[0]['new'] = 1", 'ships["new"]'),
        ("for each in far.values():\n    each['new'] = 1", 'ships["new"]'),
        ("first = far.get('a')\nfirst['new'] = 1", 'ships["new"]'),
        ("for each in frames:\n    each.insert(0, 'new', 1)", 'ships["new"]'),
        ("for each in frames:\n    each.rename(columns=dict(port='new'), inplace=True)", 'ships["new"]'),
        ("for each in frames:\n    for c in 'ab':\n        each[c + '_new'] = 1", 'ships["a_new"]'),
        ("both = [ships]\nfor each in both:\n    load(each)", 'ships["new"]'),
        ("load([ships])", 'ships["new"]'),
        ("load(*frames)", 'ships["new"]'),
        ("list(map(load, frames))", 'ships["new"]'),
        ("def add(frame):\n    frame['new'] = 1\nfor each in frames:\n    add(each)", 'ships["new"]'),
        ("tmp = model\ntmp.new = 1", "model.new"),
        ("other.new = 1", "model.new"),
        ("for each in (model, other):\n    each.fit()", "model.new"),
        ("[each.fit() for each in frames]", "model.new"),
        ("frames[0].fit()", "model.new"),
        ("go([model])", "model.new"),
        ("go(a={1: model})", "model.new"),
        ("list(map(Model.fit, [model]))", "model.new"),
        # By its own code, its class's, or the user's.
        ("model(3)", "model.new"),
        ("for each in model:\n    pass", "model.new"),
        ("[each for each in model]", "model.new"),
        ("with model:\n    pass", "model.new"),
        ("model[0] = 1", "model.new"),
        ("Model.new = 1", "model.new"),
        ("def put():\n    global ships\n    ships = ships.assign(new=1)\nput()", 'ships["new"]'),
        ("def put():\n    ships['new'] = 1\nput()", 'ships["new"]'),
        ("load()", 'ships["new"]'),
        ("load()", "model.new"),
        # By its labels.
        ("ships.index.name = 'new'", 'ships.groupby("new")'),
        ("ships.index.names = ['new']", 'ships.groupby("new")'),
        ("ships.index = other", 'ships.groupby("new")'),
        ("ships.index.rename('new', inplace=True)", 'ships.groupby("new")'),
        ("ships.index.set_names('new', inplace=True)", 'ships.groupby("new")'),
        ("ships.columns.name = 'new'", 'ships.groupby("new")'),
        ("ships.columns.values[0] = 'new'", 'ships["new"]'),
    ],
)
def test_objects_change_in_other_ways(code: str, text: str) -> None:
    assert sound("║", text, **MORE) == ""
    assert sound(code + "\n║", text, **MORE) == text
    above = [{"source": line} for line in code.split("\n")] if "    " not in code else [{"source": code}]
    body = {"cells": [*above, {"source": ""}], "active": len(above), "offset": 0, **MORE}
    assert Check(completion_request(body)).sound(text, True)[0] == text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ax.set_title('x')", 'ships["flag"]'),
        ("x = [1]\nx.append(2)", 'ships["flag"]'),
        ("plt.plot(model)", 'ships["flag"]'),
        ("plt.plot(ships)", "plt.flag"),
        ("print(ships, model)", 'ships["flag"]'),
        ("score(ax, [ax])", 'ships["flag"]'),
        ("x = load(1)", 'ships["flag"]'),
        ("load()", "load(1, flag=2)"),
        ("load()", "plt.flag"),
        ("ax.plot(1, inplace=True)", "plt.flag"),
        ("x = {}\nfor c in 'ab':\n    x[c] = 1", 'ships["flag"]'),
        ("x = ships.copy()\nx['flag'] = 1", 'ships["flag"]'),
        ("x = ships[['port']]\nx['flag'] = 1", 'ships["flag"]'),
        ("frames[0]['new'] = 1", 'ships["flag"]'),
        ("for each in frames:\n    each['port'].fillna(0, inplace=True)", 'ships["flag"]'),
        ("for c in ships.columns:\n    print(ships[c])", 'ships["flag"]'),
        ("ports['flag'] = 1", 'ships["flag"]'),
        ("ships.index.name = 'new'", 'ships["flag"]'),
        ("ships.fillna(0, inplace=True)", 'ships["flag"]'),
        ("def put(x):\n    global y\n    y = x\n    x['flag'] = 1", 'ships["flag"]'),
        ("x = [1]\nx.append(2)", "model.flag"),
        ("x = plt.plot()\nx.set_title('x')", "model.flag"),
        ("plt.plot(frames)", "model.flag"),
        ("print(model)", "model.flag"),
        ("for each in ships:\n    print(each)", "model.flag"),
        ("other.fit()", "model.flag"),
        ("x = Model()\nx.fit()\nx.flag = 1", "model.flag"),
    ],
)
def test_what_others_do_changes_nothing(code: str, text: str) -> None:
    assert check(code + "\n║", **MORE).sound(text, True) == ("", Problem("member", "flag", 0))


def test_what_did_not_run_counts_by_its_own_text() -> None:
    cells = [{"source": 'ships["new"] = 1'}, {"source": "ships[]"}]
    body = {"cells": cells, "active": 1, "offset": 6, **KERNEL}
    assert Check(completion_request(body)).sound('"new"', True)[0] == '"new"'
    cells[0]["execution_count"] = 1  # type: ignore[assignment]
    assert Check(completion_request(body)).sound('"new"', True)[0] == ""


def test_a_key_that_is_being_written_may_become_one() -> None:
    assert sound("ships[║]", '"po', ended=False, **KERNEL) == '"po'
    assert sound("ships[║]", '"fl', ended=False, **KERNEL) == ""


def test_what_the_user_wrote_himself_is_his_own_affair() -> None:
    assert sound("ships['flag'] + ║", "ships['flag']", **KERNEL) == "ships['flag']"


def test_a_block_ends_before_what_is_broken() -> None:
    text = "range(3):\n    print(i)\n    y = undefined\nx = 2"
    assert sound("for i in ║", text) == "range(3):\n    print(i)"
    assert sound("x = 1║", "\nprint(x)\nprint(undefined)") == "\nprint(x)"


def test_a_stream_shows_what_is_sound_by_now() -> None:
    checked = check("total = ║", "prices = [1]")
    assert checked.sure("sum(pri") == "sum("
    assert checked.sure("sum(prices)") == "sum(prices)"
    assert checked.sure("sum(undefined) + 1") == "sum("
    # nothing that ends with a sign, if no more comes
    assert checked.sure("sum(prices) *") == checked.sure("sum(prices) * pri") == "sum(prices)"
    assert checked.sure("sum(prices) * 2 ") == "sum(prices) * 2 "
    assert checked.sure('print(f"sum {') == 'print(f"sum'
    assert checked.sure("sum(undefined) + 1", len("sum(un")) == "sum(un"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sum(prices) + undefined", "sum(prices)"),
        ("sum(prices))\nprint(1)", "sum(prices)"),
        ("ships.nothing()", "ships"),
        ("sum(f'{undefined} of')", "sum(f'"),
        ("sum(prices) if undefined else 1", "sum(prices)"),
        ("sum(prices, start=undefined)", "sum(prices, start="),
        ("undefined", ""),
        ("sum(prices)", ""),
    ],
)
def test_of_what_is_broken_a_part_may_be_sound(text: str, part: str) -> None:
    assert check("total = ║", "prices = [1]", **KERNEL).part(text) == part


@pytest.mark.parametrize(
    ("source", "text", "before", "names"),
    [
        ("total = sum(║", "values)", "", {"ships", "options", "load", "prices", "np"}),
        ("total = ║", "sum(values) / 2", "sum(", {"ships", "options", "load", "prices", "np"}),
        ("total = sum(pr║", "oducts)", "", {"ices"}),
        ("total = sum(║", "values, start=0):", "", {"ships", "prices"}),
        ("def f(price, tax):\n    return ║", "cost", "", {"price", "tax", "f", "prices", "ships"}),
    ],
)
def test_for_a_name_that_nobody_has_there_are_those_that_somebody_has(
    source: str, text: str, before: str, names: set[str]
) -> None:
    found = check(source, "import numpy as np\nprices = [1]", **KERNEL).instead(text)
    assert found and found[0] == before and names <= set(found[1].rests)
    assert "_" not in {rest[:1] for rest in found[1].rests}


@pytest.mark.parametrize("text", ["total + 1", "sum(totals)", "[total for _ in prices]"])
def test_what_the_line_makes_is_no_name_for_it(text: str) -> None:
    found = check("total = ║", "prices = [1]").instead(text)
    assert found and found[1].rests == ("prices",)


@pytest.mark.parametrize(
    ("source", "text"),
    [("x = ║", "1 +* 2"), ("ships.║", "nothing"), ("x = ║", "prices"), ("x = zz║", "zz + 1")],
)
def test_where_something_else_is_wrong_no_name_helps(source: str, text: str) -> None:
    assert check(source, "prices = [1]", **KERNEL).instead(text) is None


@pytest.mark.parametrize("text", ["sum(prices)", "[p * 2 for p in prices]", 'f"{prices[0]:.2f}"'])
def test_what_is_sound_is_so_at_each_beginning(text: str) -> None:
    checked = check("total = ║", "prices = [1]")
    shown = ""
    for end in range(len(text) + 1):
        sure = checked.sure(text[:end], len(shown))
        assert sure.startswith(shown)
        shown = sure
    assert text.startswith(shown) and checked.sound(text, True)[0] == text


@pytest.mark.parametrize("text", ["(" * 300, "x" * 10_000, "\\", "\x00", "'" * 7, "f'{" * 50, "\t\n \n\t"])
def test_no_text_is_too_strange(text: str) -> None:
    checked = check("x = ║")
    assert text.startswith(checked.sound(text, True)[0])
    assert text.startswith(checked.sure(text))


@pytest.mark.parametrize(
    ("source", "text", "imports"),
    [
        ("x = ║", "np.zeros(3)", ["import numpy as np"]),
        ("x = np.║", "zeros(3)", ["import numpy as np"]),
        ("║.zeros(3)", "np", ["import numpy as np"]),
        (
            "for p in ║",
            "Path('.').glob('*'):\n    df = pd.read_csv(p)",
            ["from pathlib import Path", "import pandas as pd"],
        ),
        ("x = 1\n║", "import numpy as np\nnp.zeros(x)", []),
        ("y = np.ones(3)\nx = 1\nx = 2\n║", "x + 1", []),
        ("x = ║", "[1]", []),
    ],
)
def test_a_usual_name_that_nobody_imported_comes_with_its_import(
    source: str, text: str, imports: list[str]
) -> None:
    held = check(source)
    assert held.sound(text, True) == (text, None)
    assert held.imports(text) == tuple(imports)


@pytest.mark.parametrize("text", ["foo.zeros(3)", "np", "x = np", "e", "re.findal('a')"])
def test_others_are_as_broken_as_before(text: str) -> None:
    assert sound("y = ║", text) == "" and check("y = ║").imports(text) == ()


def test_nothing_is_imported_that_is_there_or_may_be() -> None:
    text = "np.zeros(3)"
    for cell in ("import numpy as np", "np = 3", "y = np.ones(2)", "from numpy import *", "%pylab"):
        assert check("x = ║", cell).imports(text) == ()
    assert check("x = ║", names=["np"]).imports(text) == ()
    assert check("x = ║", names=["*"]).imports(text) == ()
    assert check("x = ║", language="r").imports(text) == ()


def test_what_a_cell_below_imports_comes_unless_it_has_run() -> None:
    for count, imports in ((None, ("import numpy as np",)), (1, ())):
        below = {"source": "import numpy as np", "execution_count": count}
        body = {"cells": [{"source": "x = "}, below], "active": 0, "offset": 4}
        held = Check(completion_request(body))
        assert held.sound("np.zeros(3)", True)[0] and held.imports("np.zeros(3)") == imports


def test_a_text_that_goes_on_is_shown_with_what_is_imported() -> None:
    assert check("x = ║").sure("np.zeros(3) + np.on") == "np.zeros(3)"
    assert check("x = ║").sure("foo.zeros(3) + np.on") == ""


MODULES = ["numpy", "os", "pandas", "tensorboard"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("║", "import numpy as np, os.path\nnp.zeros(3)"),
        ("║", "from pandas.api import types"),
        ("import tensorflow as ║", "tf"),
        ("║", "try:\n    import tensorflow\nexcept ImportError:\n    tensorflow = None"),
        ("║", "try:\n    import tomllib\nexcept ImportError:\n    import tomli as tomllib"),
        ("║", "def f():\n    import torch"),
        ("║", "import sys\nsys.path.append('lib')\nimport mine"),
        ("║", "%pip install torch\nimport torch"),
        ("open('mine.py', 'w').write('')\n║", "import mine"),
        ("║", "from . import parts"),
        ("import sys\nsys.path.append('lib')\n║", "import mine"),
        ("%pip install torch\n║", "import torch"),
    ],
)
def test_what_can_be_imported(source: str, text: str) -> None:
    assert sound(source, text, modules=MODULES) == text


@pytest.mark.parametrize(
    ("source", "text", "left"),
    [
        ("║", "import tensorflow as tf", ""),
        ("import ║", "tensorflow as tf", ""),
        ("from ║", "sklearn.svm import SVC", ""),
        ("║", "x = 1\nimport os, torch", "x = 1"),
        ("%matplotlib inline\n║", "import torch", ""),
        ("x = ║", "sns.load_dataset('tips')", ""),
    ],
)
def test_what_cannot_be_imported(source: str, text: str, left: str) -> None:
    """Nor comes the usual import of a package that isn't installed with what uses it."""
    assert sound(source, text, modules=MODULES) == left
    assert sound(source, text) == text


def test_a_module_that_is_being_written_may_become_one() -> None:
    held = check("║", modules=MODULES)
    assert held.sound("import tens", False)[0] and not held.sound("import tensors", False)[0]
    assert check("import te║", modules=MODULES).sound("nso", False)[0]
    assert held.imports("np.zeros(3)") == ("import numpy as np",)
    assert held.imports("plt.plot(3)") == ()


def test_where_more_may_be_found_once_it_runs() -> None:
    cell = {"source": "!sh prepare.sh", "execution_count": None}
    for count, left in ((None, "import torch"), (1, "")):
        cells = [{**cell, "execution_count": count}, {"source": ""}]
        body = {"cells": cells, "active": 1, "offset": 0, "modules": MODULES}
        assert Check(completion_request(body)).sound("import torch", True)[0] == left
