from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.engine import candidates
from santajupyter.engine.candidates import MAX_OPEN, TOKEN, Constraints, known_names
from santajupyter.protocol import Cell, Variable

NAMES: dict[str, dict[str, list[str]]] = {
    "df": {"attribute": ["age", "drop", "groupby", "head"], "key": ["age", "sex", "fare paid"]},
    "f": {"argument": ["path", "sep"]},
    "p": {"field": ["x", "y"]},
    "größe": {"attribute": ["maß"], "key": ["年齢"]},
    "": {"file": ["ages.csv", "data/rows.csv"]},
}


def refuses(code: str, text: str) -> bool:
    return Constraints(code, NAMES, ["p"]).refuses(text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("df.", "fo"),
        ("df.dro", "wn"),
        ("df.dro", "(1)"),
        ("f(pa", "=1)"),
        ("x = df.gr", "owl"),
        ("if df.", "nope"),
        ("x = (1,\n  df.", "zz"),
        ('s = "it\'s"\ny = df.', "zz"),
        ("", "a = 1\nb = df.nope()"),
        ('x = df["', "foo"),
        ('x = df["ag', '"]'),
        ('x = df["age', 's"]'),
        ("", 'y = df["incom'),
        ('y = [df["sex"], ', "df['zz']"),
        ('x = df[["age", "', "fo"),
        ('x = df[df["', "nope"),
        ('df["new"] = df["', "old"),
        ('df["', ':"] = 1'),
        ("f(path=1, ", "fo"),
        ("", "f(1, foo="),
        ("df = df.", "bar"),
        ("x = p.", "z"),
        ("größe.", "mas"),
        ("y = größe['年", "号']"),
        ("f(lambda x: 1, df.", "nope"),
        # columns as arguments
        ('df.groupby("', "zz"),
        ('df.groupby(["age", "', "zz"),
        ('y = df.groupby("a', 'g")'),
        ('df.sort_values(by="', "zz"),
        ('x = df.head().foo(df.sort_values(["', "zz"),
        ('df.plot(x="age", y="', "zz"),
        # files
        ('open("', "notes.txt"),
        ('pd.read_csv("data/', "ages.csv"),
        ('with open("', 'ages.csv", "w")'),
        ("", 'open("ages.csv", mode="wb")'),
        # neither a name nor a key
        ("x = df.", " 1"),
        ("x = df['", "\n"),
        ("x = df.", "\ufffd"),
        ("x = df['", "ag\\"),
        # half of a character, where all names go on in ASCII
        ("df.dr", "\ufffd"),
        ("y = größe['年齢", "\ufffd"),
    ],
)
def test_what_the_kernel_does_not_know_is_refused(code: str, text: str) -> None:
    assert refuses(code, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("df.", ""),
        ("df.dro", "p(columns=1)"),
        ('x = df["', 'age"]'),
        ('x = df["', "fare p"),
        ('x = df[["age", "', 'sex"]].head()'),
        ("f(1, ", "se"),
        ("f(path=1, ", "sep=2, *more)"),
        ("größe.", "maß"),
        # half of a character is no other one yet
        ("y = größe['年", "\ufffd"),
        # nothing is known in full
        ("other.", "nope"),
        ("x.df.", "nope"),
        ("f(", "foo"),
        ("f.", "nope"),
        ("x = df[", "nope]"),
        ('x = df[f"', 'nope"]'),
        ("df.", "_mgr"),
        # not code
        ("# ", "df.nope"),
        ("'", "df.nope'"),
        ('"""\n', "df.nope"),
        ('print("', 'df.csv")'),
        ('df.groupby("', 'age")'),
        ('df.drop("', "zz"),
        ('df.plot(kind="', "bar"),
        ('df.head().groupby("', "zz"),
        ('other.groupby("', "zz"),
        ('open("', 'ages.csv", encoding="utf-8")'),
        ('pd.read_csv("data', '/rows.csv", sep=";")'),
        ('open("/etc/', "passwd"),
        ('open("ages.csv", "', "w"),
        ('load_dataset("', "tips"),
        ('print("', "notes.txt"),
        ('a = "notes.txt"\nopen("', 'notes.txt"'),
        # a loop's own, perhaps
        ("[p.", "name for p in people]"),
        ("print(p.", "name"),
        # set, or set to something else, by the code itself
        ('df["', 'new"] = 1'),
        ("p.", "z = 1"),
        ('df["new"] = 1\ny = df["', 'new"]'),
        ("", 'df["new"] = 1\ny = df["new"]'),
        ('df.columns = ["q"]\nx = df["', 'q"]'),
        ("df = 3\n", "df.nope"),
        ("a, df = 1, 2\n", "df.nope"),
        ("", "df = df.drop()\ny = df.nope"),
        ("for df in x:\n    ", "df.nope"),
        ("with open(x) as df:\n    ", "df.nope"),
        ("def g(df=1):\n    return ", "df.nope"),
        ("y = lambda df: ", "df.nope"),
        ("if (df := g()):\n    ", "df.nope"),
        # begun by the user himself
        ("df.ow", "n"),
        ('x = df["in', 'come"]'),
        ('x = df["ag"', "] + 1"),
        ("f(foo", "=1)"),
    ],
)
def test_anything_else_is_not(code: str, text: str) -> None:
    assert not refuses(code, text)


def test_an_import_gives_a_name_no_other_meaning() -> None:
    assert refuses("import x as df\ndf.", "nope")


@given(
    st.text(st.sampled_from("df.p[]()=,:;'\"\\\n \ufffdñ for lambda as#"), max_size=40), st.text(max_size=10)
)
def test_any_text_is_judged(code: str, text: str) -> None:
    assert refuses(code, text) in (True, False)
    assert not refuses(code, "")


pieces = st.text(st.sampled_from("df.p[]()=,:;'\"\\\n \ufffdñ for lambda as#age"), max_size=9)


@given(st.lists(pieces, max_size=6), st.text(max_size=10))
def test_what_is_read_already_needs_no_second_reading(texts: list[str], last: str) -> None:
    """Judged after each text is what is judged of all of them at once."""
    at_once = step_by_step = Constraints("x = df", NAMES, ["p"])
    whole = ""
    for text in texts:
        if at_once.refuses(whole + text):
            break
        whole += text
        step_by_step = step_by_step.after(text)
    if whole == "".join(texts):
        assert last == "" or step_by_step.refuses(last) == at_once.refuses(whole + last)


class Pattern:
    """Counts the characters that are looked at."""

    def __init__(self) -> None:
        self.read = 0

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.read += len(text)
        return TOKEN.finditer(text)


@pytest.mark.parametrize(
    "code",
    [
        "x = [" + "'one of many', " * 250 + 'df["',
        "y = df['" + "a" * 3900,
        'y = """' + "word " * 700 + 'df["',
        "x = " + "(" * 3900 + "df.",
        "x = " + "df.age + " * 400 + "df.",
    ],
)
def test_a_trial_reads_only_what_is_new(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """However long the statement is, and what has been generated."""
    constraints = Constraints(code, NAMES).after("age + 1 + " * 400)
    pattern = Pattern()
    monkeypatch.setattr(candidates, "TOKEN", pattern)
    for text in ("zz", "年", "\ufffd", '"]'):
        pattern.read = 0
        constraints.refuses(text)
        assert pattern.read <= 2 * (MAX_OPEN + len(text))


class Name(str):
    """Counts how often it is compared."""

    compared = 0

    def __lt__(self, other: str) -> bool:
        Name.compared += 1
        return str.__lt__(self, other)


def test_thousands_of_names_are_not_gone_through_for_each_trial() -> None:
    names = [Name(f"column {number}") for number in range(5000)]
    constraints = Constraints("x = df['", {"df": {"key": names}, "other": {"key": names}})
    assert constraints.refuses("nope")
    Name.compared = 0
    assert not any(constraints.refuses(f"column {number}']") for number in range(100))
    assert Name.compared <= 100 * 5 * 13


DF = Variable(
    "df", "DataFrame", "pandas", columns=(("age", "int64"),), complete=frozenset(["members", "columns"])
)
CLASSES = {"pandas.DataFrame": ("head",), "m.C": ("run",), "builtins.dict": ("keys",)}


def names_of(*variables: Variable, cells: tuple[Cell, ...] = (Cell("x"),)) -> dict[str, Any]:
    found = known_names(variables, CLASSES, cells, len(cells) - 1, 1)
    return found["names"] if found else {}


def test_names_come_from_what_is_complete() -> None:
    assert names_of(DF) == {"df": {"attribute": ["head", "age"], "key": ["age"]}}
    c = Variable("c", "C", "m", members=("y",), complete=frozenset(["members"]))
    assert names_of(c) == {"c": {"field": ["run", "y"]}}
    np = Variable("np", "module", "numpy", members=("zeros",), complete=frozenset(["members"]))
    assert names_of(np) == {"np": {"attribute": ["zeros"]}}
    d = Variable("d", "dict", "builtins", keys=("a", "it's"), complete=frozenset(["keys"]))
    assert names_of(d) == {"d": {"key": ["a", "it's", "it\\'s"]}}
    f = Variable(
        "f", "function", "__main__", signature="(a, /, b, *c, d=…)", complete=frozenset(["signature"])
    )
    assert names_of(f) == {"f": {"argument": ["b", "d"]}}
    assert names_of(Variable("df", "DataFrame", "pandas", columns=(("age", ""),))) == {}
    assert names_of(Variable("e", "Unknown", "m", complete=frozenset(["members"]))) == {}
    open_end = Variable("f", "function", signature="(a, **b)", complete=frozenset(["signature"]))
    assert names_of(open_end) == {}


def test_cells_that_were_not_run_are_new_to_the_kernel() -> None:
    cells = (Cell("a = 1", execution_count=1), Cell("df = 2"), Cell("df.nope"))
    found = known_names([DF], CLASSES, cells, 2, 3)
    assert found
    assert found["code"] == "df = 2\n\ndf."
    assert not Constraints(**found).refuses("nope")
    assert known_names([DF], CLASSES, [Cell("df.", "markdown")], 0, 3) is None
