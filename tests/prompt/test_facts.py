from __future__ import annotations

import pytest
from msgspec import structs

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.facts import MAX_FACTS, MAX_LENGTH, line
from santajupyter.prompt.facts import facts as facts_of
from santajupyter.protocol import Cell, Variable

DF = Variable("df", "DataFrame", "pandas", (891, 2), columns=(("age", "float64"), ("sex", "str")))
N = Variable("n", "int", "builtins")
LOAD = Variable("load", "function", "__main__", signature="(path, sep=…)")


def facts(variables: list[Variable], cells: list[Cell], active: int, offset: int) -> tuple[str, ...]:
    return facts_of(variables, excerpt(cells, active, offset))


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        (DF, "df: DataFrame 891x2 (age float64, sex str)"),
        (N, "n: int"),
        (LOAD, "load(path, sep=…)"),
        (Variable("Point", "class", "__main__", signature="(x)"), "class Point(x)"),
        (Variable("split", "function", "sklearn", signature="(x)"), ""),
        (Variable("np", "module", "numpy"), "np: module numpy"),
        (Variable("x", "ndarray", "numpy", (100, 3), "float32"), "x: ndarray (100, 3) float32"),
        (Variable("s", "Series", "pandas", (9,), "int64"), "s: Series of 9 int64"),
        (Variable("rows", "list", "builtins", (10,), "dict"), "rows: list of 10 dict"),
        (Variable("d", "dict", "builtins", (2,), keys=("a", "b c")), "d: dict of 2 (a, b c)"),
        (Variable("p", "Point", "__main__", members=("x", "y")), "p: Point (x, y)"),
    ],
)
def test_a_line_says_it_compactly(variable: Variable, said: str) -> None:
    assert line(variable) == said


def test_a_line_stays_one_and_short() -> None:
    """Column names are other people's text."""
    columns = (("a\nimport os\u2028\x1b" * 9, "int64"), *((f"column {i}", "int64") for i in range(99)))
    said = line(Variable("df", "DataFrame\n", "pandas", columns=columns, dtype="x" * 150))
    assert len(said) <= MAX_LENGTH
    assert said.isprintable()
    said = line(Variable("df", "DataFrame", "pandas", columns=columns))
    assert len(said) <= MAX_LENGTH
    assert said.endswith("…)")


def test_only_what_the_code_around_names() -> None:
    cells = [Cell("df"), Cell("n"), Cell("x"), Cell("load()\n"), Cell("y"), Cell("df")]
    assert facts([DF, N, LOAD], cells, 3, 0) == ("load(path, sep=…)", "n: int")
    assert facts([DF, N, LOAD], cells, 4, 1) == (
        "df: DataFrame 891x2 (age float64, sex str)",
        "load(path, sep=…)",
    )
    assert facts([N], [Cell("n", "markdown")], 0, 0) == ()


def test_values_of_the_columns_that_are_named() -> None:
    values = (("sex", ("'f'", "'m'")), ("home town", ("'Rome'",)), ("age", ("1",)))
    df = structs.replace(DF, values=values)
    told = facts([df], [Cell("df['home town']\ndf[df.sex == ")], 0, 31)
    assert told == (line(DF), "df[\"sex\"]: 'f', 'm'", "df[\"home town\"]: 'Rome'")


def test_the_lines_stay_the_same_from_key_to_key() -> None:
    source = "df.head()\nx = n + load"
    told = {facts([DF, N, LOAD], [Cell(source[:at])], 0, at) for at in range(len(source) + 1)}
    assert sorted(told) == [(), (line(DF),), (line(DF), line(N))]


def test_what_the_cells_say_is_not_told_again() -> None:
    np = Variable("np", "module", "numpy")
    cells = [
        Cell("import numpy as np"),
        Cell(""),
        Cell(""),
        Cell("def load(): pass"),
        Cell("np.zeros(load())"),
    ]
    assert facts([np, LOAD], cells, 4, 5) == ()
    assert facts([np, LOAD], [Cell("np.zeros(load())")], 0, 5) == (line(LOAD), line(np))


def test_the_nearest_are_kept() -> None:
    many = [Variable(f"v{i}", "int", "builtins") for i in range(20)]
    source = " ".join(variable.name for variable in many) + " "
    told = facts(many, [Cell(source)], 0, len(source))
    assert told == tuple(f"v{i}: int" for i in range(20 - MAX_FACTS, 20))
