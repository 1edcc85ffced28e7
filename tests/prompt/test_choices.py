"""All that can come next, where the kernel knows it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from santajupyter.prompt import fitting
from santajupyter.prompt.choices import Choice, choice
from santajupyter.prompt.cursor import excerpt
from santajupyter.protocol import Cell, Variable

COLUMNS = (
    ("left_at", "datetime64[ns]"),
    ("flag", "str"),
    ("depth", "float64"),
    ("crew", "int64"),
    ("late", "bool"),
    ("fare paid", "float64"),
)
DF = Variable("df", "DataFrame", "pandas", columns=COLUMNS, complete=frozenset(["members", "columns"]))
CONFIG = Variable("config", "dict", "builtins", keys=("lr", "it's"), complete=frozenset(["keys", "members"]))
SMOOTH = Variable(
    "smooth", "function", "m", signature="(data, window=…, *, center=…)", complete=frozenset(["signature"])
)
STACK = Variable("stack", "function", "m", signature="(*rows, key=…)", complete=frozenset(["signature"]))
LINE = Variable("line", "Line", "__main__", members=("slope",), complete=frozenset(["members"]))
DRAW = Variable("draw", "module", complete=frozenset(["members"]))
SPARK = Variable(
    "rows",
    "DataFrame",
    "pyspark.sql.classic.dataframe",
    columns=(("kind", "string"), ("n", "long"), ("paid", "double")),
    complete=frozenset(["members", "columns"]),
)
CLASSES = {
    "pyspark.sql.classic.dataframe.DataFrame": ("filter", "groupBy"),
    "__main__.Line": ("fit",),
    "pandas.DataFrame": ("groupby", "head"),
    "builtins.dict": ("get", "items"),
}
NAMES = [name for name, _ in COLUMNS]


def at(code: str, above: tuple[Cell, ...] = (), files: tuple[str, ...] = ()) -> Choice | None:
    """``code`` with the cursor at ║, in the last cell."""
    offset = code.index("║")
    cells = [*above, Cell(code.replace("║", ""))]
    where = excerpt(cells, len(above), offset)
    return choice([DF, CONFIG, SMOOTH, STACK, LINE, DRAW], CLASSES, where, files)


def best(code: str, above: tuple[Cell, ...] = ()) -> list[str]:
    """The names that fit best."""
    found = at(code, above)
    assert found is not None
    most = max(found.weights)
    return [rest for rest, weight in zip(found.rests, found.weights, strict=True) if weight == most]


def first(code: str, variable: Variable, above: tuple[Cell, ...] = ()) -> str:
    """The name that fits best."""
    source, offset = code.replace("║", ""), code.index("║")
    found = choice([variable], CLASSES, excerpt([*above, Cell(source)], len(above), offset))
    assert found is not None
    return found.rests[max(range(len(found.rests)), key=found.weights.__getitem__)]


@pytest.mark.parametrize(
    "code",
    [
        'x = df["║',
        'df["║"]',
        'x = df[["depth", "║"]]',
        'x = df[df["║"] > 0]',
        'df.loc[:, "║"]',
        'df.loc[df["depth"] > 1, ["║"]]',
        'df.groupby("║")',
        'df.groupby(["flag", "║',
        'df.groupby("flag")["║"].sum()',
        'df.sort_values(by="║")',
        'df.nlargest(3, "║")',
        'df.plot(x="depth", y="║")',
        'df.plot.scatter(x="║")',
        'df.agg({"║": "sum"})',
        'df.groupby("flag").agg(n=("║", "sum"))',
        'df.rename(columns={"║": "x"})',
        'df.head().dropna()["║',
        'other.merge(df, left_on="ship", right_on="║")',
        "print(f'mean: {df[\"║\"].mean():.1f}')",
        "print(f'{{not}} {1}: {df[\"║",
        "print(f\"{len(df)} {df['║",
        'df[df["depth"] > 1]["║"]',
        'sns.boxplot(data=df, x="║")',
        'sns.boxplot(x="║", data=df)',
        'px.scatter(df, x="depth", y="║")',
        'df.select(pl.col("║"))',
        'df.assign(n=lambda d: d["║"])',
        'few = df[df["depth"] > 1]\nfew["║"]',
        'for port, group in df.groupby("flag"):\n    group["║"]',
        '(\n    df\n    .groupby("║")\n)',
        "x = df['║",
    ],
)
def test_columns(code: str) -> None:
    found = at(code)
    assert found is not None
    assert {*NAMES} - {"depth"} <= {*found.rests} | {"depth"}
    assert found.always


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('x = df["de║', ["pth"]),
        ('df.query("║ > 1")', ["left_at", "flag", "depth", "crew", "late", "`fare paid`"]),
        ('df.query("depth > 1 and cr║', ["ew"]),
        ('df.query("`fare║', [" paid"]),
        ('config["║"]', ["lr", "it's"]),
        ("config['║']", ["lr", "it\\'s"]),
        ('config.get("║")', ["lr", "it's"]),
        ("df.║", ["groupby", "head", "left_at", "flag", "depth", "crew", "late"]),
        ("df.he║", ["ad"]),
        ("smooth(x, window=3, ║", ["center"]),
        ("smooth(data=x, ║", ["window", "center"]),
        ("smooth(x, ║=3)", ["window", "center"]),
        ("smooth(x, ║)", ["window", "center"]),
        ("smooth(x, 3, ║)", ["center"]),
        ("smooth(x, w║", ["indow"]),
        ("total = df.║.sum()", ["left_at", "flag", "depth", "crew", "late"]),
        ('df["new"] = 1\nx = df["ne║', ["w"]),
        ('df.loc[df["crew"] > 3, "new"] = 1\nx = df["ne║', ["w"]),
        ('df[df["crew"] > 3] = 0\nx = df["c║', ["rew"]),
        ('df[["flag", "late"]]["║"]', ["flag", "late"]),
        ('df["new"] = df["more"] = 1\nx = df["mo║', ["re"]),
        ('df["new"], df["more"] = 1, 2\nx = df["ne║', ["w"]),
        ('df.loc[:, ["new", "more"]] = 1\nx = df["mo║', ["re"]),
        ('df["new"] = 1\nx = df.ne║', ["w"]),
        ('x = y = df[["flag", "late"]]\nx["║"]', ["flag", "late"]),
        ('draw.bars(data=df, x="de║', ["pth"]),
        ('draw.merge(df, other, on="de║', ["pth"]),
        ('df.query("depth > 1 and not cr║', ["ew"]),
        ("for row in df.itertuples():\n    row.║", ["Index", "left_at", "flag", "depth", "crew", "late"]),
        ("line.║", ["fit", "slope"]),
        ("print(line.slope)\nline.║", ["fit", "slope"]),
        ('pd.read_csv("║")', ["a.csv", "raw/b.csv"]),
        ('open("a║', [".csv"]),
    ],
)
def test_names(code: str, names: list[str]) -> None:
    found = at(code, files=("a.csv", "raw/b.csv"))
    assert found is not None
    assert [*found.rests] == names


@pytest.mark.parametrize(
    "code",
    [
        'df["║"] = 1',
        "df.║ = 1",
        "║",
        "x = ║",
        'print("║',
        '# df["║',
        's = """df["║',
        "smooth(║",
        "smooth(x, not_║",
        "smooth(*x, ║)",
        "smooth(x, 3, 4, 5, center=1, ║)",
        'df = load()\ndf["║',
        'df.rename(columns=str.upper, inplace=True)\ndf["║',
        'df.columns = names\ndf["║',
        'for name in names:\n    df[name + "_z"] = 0\ndf["║',
        'df[f"{name}_z"] = 0\ndf["║',
        'def f(df):\n    return 1\nother["║',
        'f = lambda df: df["║',
        'df["flag"]["║',
        'df.drop("║")',
        'df.plot(kind="║")',
        'df.merge(other)["║',
        'df.query("depth > ║',
        'df["nope║',
        # what they are may have changed
        'df: Table = load()\ndf["║',
        'print(df := load())\ndf["║',
        "line.fit(1)\nline.║",
        'df.index.name = "day"\ndf.groupby("║',
        'config.setdefault("new", 1)\nconfig["║',
        # another thing than what stands before the dot
        "(x <= line).║",
        "df.plot.║",
        "for row in df.itertuples(name=None):\n    row.║",
        # no column, or anything else
        'df.drop(index="║',
        'df.plot(color="║',
        "stack(a, ║",
        'def f(df, column="║',
        "def f(a, b=smooth(1, ║",
        'df.query("depth > 1 and║',
        'df[f"║',
        'df["dep║th"]',
        "df._║",
        "%%bash\ndf.║",
    ],
)
def test_there_is_no_opinion(code: str) -> None:
    assert at(code) is None


MENU = Variable(
    "menu",
    "dict",
    "builtins",
    keys=("kitchen", "courses", "n"),
    inside=(("kitchen", ("chef", "ovens")), ("courses[]", ("dish", "kcal"))),
    complete=frozenset(["keys", "members"]),
)
ROWS = Variable("rows", "list", "builtins", inside=(("[]", ("dish", "kcal")),))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('menu["kitchen"]["║"]', ["chef", "ovens"]),
        ('menu["courses"][0]["║', ["dish", "kcal"]),
        ('kitchen = menu["kitchen"]\nkitchen["║', ["chef", "ovens"]),
        ('for course in menu["courses"]:\n    course["║', ["dish", "kcal"]),
        ('rows[n]["k║"]', ["cal"]),
        ('[row["║"] for row in rows]', ["dish", "kcal"]),
        ('total = sum(c["║"] for c in menu["courses"])', ["dish", "kcal"]),
        ('[row["║"] for row in load()]', None),
        ('[row["║"] for other in rows]', None),
        ('for row in rows:\n    print(row["║"])', ["dish", "kcal"]),
        ('menu["kitchen"]["new"] = 1\nmenu["║', ["kitchen", "courses", "n"]),
        ('menu["new"] = 1\nmenu["kitchen"]["║', ["chef", "ovens"]),
        # nobody knows
        ('menu["kitchen"]["new"] = 1\nmenu["kitchen"]["║', None),
        ('menu["kitchen"] = load()\nmenu["kitchen"]["║', None),
        ('menu = load()\nmenu["kitchen"]["║', None),
        ('menu["courses"]["║', None),
        ('menu["n"]["║', None),
        ('rows["║', None),
        ('rows[1:]["║', None),
        ('for name in menu:\n    name["║', None),
    ],
)
def test_what_is_inside(code: str, names: list[str] | None) -> None:
    cells = [Cell(code.replace("║", ""))]
    found = choice([MENU, ROWS], {"builtins.dict": ("get",)}, excerpt(cells, 0, code.index("║")))
    assert (found and [*found.rests]) == names


@pytest.mark.parametrize("code", ['df.groupby("po║")', 'df.sort_values(by="po║")', 'df.query("po║")'])
def test_a_level_of_the_index(code: str) -> None:
    indexed = structs.replace(DF, levels=("port",))
    found = choice([indexed], {}, excerpt([Cell(code.replace("║", ""))], 0, code.index("║")))
    assert found and found.rests == ("rt",)


@pytest.mark.parametrize(
    "code",
    [
        'df[df["flag"] == "N║"]',
        "late = df[df.flag != 'N║",
        'df.loc[df["flag"] == "N║',
        'df[df["flag"].isin(["SE", "N║"])]',
        'df[(df["crew"] > 3) & (df["flag"].eq("N║',
        'few = df[df["crew"] > 3]\nfew[few["flag"] == "N║',
    ],
)
def test_a_value_that_exists(code: str) -> None:
    told = structs.replace(DF, values=(("flag", ("'NO'", "'SE'", "'it\\'s'")), ("crew", ("1", "2"))))
    found = choice([told], {}, excerpt([Cell(code.replace("║", ""))], 0, code.index("║")))
    assert found and found.rests == ("O",)


@pytest.mark.parametrize("code", ['df[df["crew"] == "║', 'df["flag"] = "║', 'print(df["flag"], "║', '"║'])
def test_no_value_where_none_is_known_or_compared(code: str) -> None:
    told = structs.replace(DF, values=(("flag", ("'NO'", "'SE'")), ("crew", ("1", "2"))))
    assert choice([told], {}, excerpt([Cell(code.replace("║", ""))], 0, code.index("║"))) is None


@pytest.mark.parametrize(
    ("code", "quote"),
    [
        ("df.groupby(║)", '"'),
        ("many = df.groupby(║", '"'),
        ("df['depth'].max(); df.sort_values(by=║, ascending=False)", "'"),
        ("df.sort_values(║\nprint(df)", '"'),
        ("x = df[df['flag'] > df[║", "'"),
        ("x = df[df[║]]", '"'),
        ("x = df.loc[df[║", '"'),
        ("name, flag = 'a', 'b'\ndf.groupby(║)", "'"),
    ],
)
def test_a_columns_quote_may_be_missing(code: str, quote: str) -> None:
    found = at(code)
    assert found is not None and found.quote == quote
    assert [*found.rests] == [quote + name for name in NAMES]


@pytest.mark.parametrize(
    "code",
    ["x = df[║", "df.groupby(║df)", "df.head(║", "x[df[║", "df.drop(columns=║", "df.groupby(by║"],
)
def test_other_things_than_a_column_may_come(code: str) -> None:
    assert at(code) is None


def test_two_tables_are_merged_on_what_both_have() -> None:
    other = structs.replace(DF, name="other", columns=(("crew", "int64"), ("name", "str")))
    where = excerpt([Cell("df.merge(other, on=)")], 0, 19)
    found = choice([DF, other], CLASSES, where)
    assert found is not None and found.rests == ('"crew',)


def test_of_very_many_those_that_are_told_exist() -> None:
    some = Variable("df", "DataFrame", "pandas", columns=COLUMNS[:2])
    found = choice([some], {}, excerpt([Cell('df["')], 0, 4))
    assert found and found.rests == ("left_at", "flag")


def test_a_cell_that_was_not_run_may_have_changed_it() -> None:
    assert at('df["║', (Cell("df = load()"),)) is None
    assert at('df["║', (Cell("df = load()", execution_count=1),)) is not None


@pytest.mark.parametrize(
    ("code", "fits"),
    [
        ('df["hour"] = df["║"].dt.hour', ["left_at"]),
        ('df["║"].str.upper()', ["flag"]),
        ('late = df[df["║"] > 0]', ["depth", "crew", "fare paid"]),
        ('df[~df["║"]]', ["late"]),
        ('df["depth"] / df["║"]', ["crew", "fare paid"]),
        ('by_flag = df.groupby("║")', ["flag"]),
        ('mean_depth = df["║"].mean()', ["depth"]),
        ('df["crew"] = df["crew"] * df["║"]', ["depth", "fare paid"]),
        ('df["left_at"] = pd.to_datetime(df["║"])', ["left_at"]),
        ('df[df["║"] == "US"]', ["flag"]),
        ('df.plot(x="left_at", y="║")', ["depth", "crew", "fare paid"]),
        ("df.║.dt.hour", ["left_at"]),
        ("df.║(3)", ["groupby", "head"]),
        ('# the deepest ones\ndf.nlargest(3, "║")', ["depth"]),
        ("total = df.║.sum()", ["depth", "crew"]),
        ('df.plot.scatter(x="║", y="depth")', ["crew", "fare paid"]),
        ('deepest = df["║"].max()', ["depth"]),
        ('show_depths(df["║"])', ["depth"]),
        ('# by the crews\ndf.sort_values("║")', ["crew"]),
        ('flags = df["║"]', ["flag"]),
        ('cheapest = df["║"]', ["fare paid"]),
        ('tallest = df["║', ["depth", "crew", "fare paid"]),
        ('tallest = df.groupby("║', ["flag"]),
        ('df["new"] = df["║"]', ["depth", "crew", "fare paid"]),
    ],
)
def test_what_fits_best(code: str, fits: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "EARLIER", 0.0)
    assert best(code) == fits


SALES = Variable(
    "sales",
    "DataFrame",
    "pandas",
    columns=(
        *(("order_id", "int64"), ("customer", "str"), ("region", "str"), ("paid", "float64")),
        *(("fee", "float64"), ("units", "int64"), ("rating", "int64"), ("tip", "float64")),
    ),
    levels=("when",),
    repeating=("region", "rating"),
    complete=frozenset(["columns", "repeating"]),
)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        # What comes first in the table, and lists in its order.
        ('total = sales["║"].sum()', "paid"),
        ('sales[["paid", "║"]]', "fee"),
        ('sales[["units", "║', "rating"),
        # A number that tells rows apart is none to count with.
        ('sales["║"] / sales["units"]', "paid"),
        # What groups: texts that come again, rather than numbers, or the index.
        ('sales.groupby("║")', "region"),
        ('pd.crosstab(sales["║"], sales["rating"])', "region"),
        ('sales[sales["║"] == "north"]', "region"),
        # What is sorted by isn't what groups.
        ('sales.sort_values(by = "║")', "order_id"),
        # Of other strings' quotes on the right.
        ('sns.barplot(x="region", y="║", data=sales, tip="h")', "paid"),
    ],
)
def test_the_likeliest_in_a_table(code: str, name: str) -> None:
    assert first(code, SALES) == name


def test_a_tables_own_name_says_nothing() -> None:
    tips = structs.replace(SALES, name="tips")
    assert first('tips = tips.loc[:, "║"]', tips) == "order_id"
    assert first('tips = sales.loc[:, "║"]', SALES) == "tip"
    # But by another word for the same thing.
    amounts = structs.replace(SALES, name="amounts")
    assert first('amount = amounts["║"].max()', amounts) == "units"


def test_what_was_named_above_is_named_again() -> None:
    above = (Cell('sales["tip"].hist()\n', execution_count=1), Cell("x = 1\n" * 19, execution_count=2))
    assert first('y = sales["║"].max()', SALES) == "paid"
    assert first('y = sales["║"].max()', SALES, above[:1]) == "tip"
    assert first('y = sales["║"].max()', SALES, above) == "paid"
    # But no method.
    ran = (Cell("x.head()", execution_count=1),)
    before, after = at("df.║(3)"), at("df.║(3)", ran)
    assert before and after and before.weights == after.weights


def test_no_name_comes_twice_in_a_list() -> None:
    found = at('df[["║", "depth", \'crew\']]')
    assert found is not None
    weights = dict(zip(found.rests, found.weights, strict=True))
    assert max(weights["depth"], weights["crew"]) <= min(weights["late"], weights["flag"]) - 5


def test_nobody_adds_up_what_tells_rows_apart() -> None:
    told = Variable("df", "DataFrame", "pandas", columns=tuple((n, "int64") for n in ("loom_nr", "ends")))
    code = 'total = df["║"].sum()'
    cells = [Cell(code.replace("║", ""))]
    found = choice([told], {}, excerpt(cells, 0, code.index("║")))
    assert found is not None and found.weights[0] < found.weights[1]


@pytest.mark.parametrize(
    "code",
    [
        'df.groupby("║")',
        'df.pivot_table(index="║")',
        'df["║"].value_counts()',
        'sns.boxplot(data=df, hue="║")',
    ],
)
def test_rows_are_put_together_by_what_repeats(code: str) -> None:
    columns = (("title", "str"), ("genre", "str"), ("price", "float64"), ("rooms", "int64"))
    complete = frozenset(["members", "columns", "repeating"])
    for repeating, fits in ((("genre", "rooms"), "genre"), (("rooms",), "rooms")):
        df = structs.replace(DF, columns=columns, repeating=repeating, complete=complete)
        found = choice([df], {}, excerpt([Cell(code.replace("║", ""))], 0, code.index("║")))
        assert found and found.rests[found.weights.index(max(found.weights))] == fits


def test_what_stands_right_of_it_closes_it() -> None:
    for code, alone in (
        ('df["║"]', True),
        ('df["║', False),
        ("df.║.sum()", True),
        ("df.║ + 1", True),
        ("df.║", False),
    ):
        found = at(code)
        assert found and found.alone is alone


def test_a_keyword_is_followed_by_its_value() -> None:
    for code, quote in (("smooth(x, ║)", "="), ("smooth(x, ║ = 3)", "")):
        found = at(code)
        assert found and found.quote == quote


PIECES = st.text(st.sampled_from("df.config[]()=,:;'\"\\\n ñ{}║lambda for in as#`@age"), max_size=60)


@given(PIECES, PIECES)
def test_any_text_is_read(left: str, right: str) -> None:
    code = f"{left}║{right}".replace("║", "|").replace("|", "║", 1)
    at(code if "║" in code else code + "║")


@pytest.mark.parametrize(
    "code", ['x = df["a" + (' * 400, "df[" * 1300, 'y = """' + "df[" * 1000, "a = df.b\n" * 400]
)
def test_long_code_costs_little(code: str) -> None:
    begun = time.process_time()
    at(code + 'df["║')
    assert time.process_time() - begun < 2  # a hundredth of that


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('rows.filter(F.col("║', {"kind", "n", "paid"}),
        ('rows.withColumn("more", F.col("║', {"kind", "n", "paid"}),
        ('rows.groupBy("║', {"kind", "n", "paid"}),
        ('rows.groupBy("kind").agg(draw.sum("║', {"kind", "n", "paid"}),
        ('rows.groupBy("kind", "║', {"kind", "n", "paid"}),
        ('rows.select("kind", "p║', {"aid"}),
        ('rows.where("n > 1").orderBy("║', {"kind", "n", "paid"}),
        ('rows["║', {"kind", "n", "paid"}),
        ("rows.║ > 1", {"kind", "n", "paid"}),
    ],
)
def test_sparks_frames(code: str, expected: set[str]) -> None:
    offset = code.index("║")
    found = choice([SPARK, DRAW], CLASSES, excerpt([Cell(code.replace("║", ""))], 0, offset))
    assert found and {*found.rests} == expected
