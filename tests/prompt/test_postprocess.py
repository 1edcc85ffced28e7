"""Golden cases: ║ is the cursor in the document, ├…┤ the completion as it goes in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import ALL_TOKENS
from santajupyter.prompt.place import Place
from santajupyter.prompt.postprocess import Stream, certain, clean, finished

PIECES = st.sampled_from("ab ()[]{}\"'`\\\n\t:,#")
GOLDEN = [
    # a line's end: the line
    ("x = ║", "1\ny = 2", "x = ├1┤"),
    # mid-line: up to where the suffix takes over
    ("print(║)", "x, y)", "print(├x, y┤)"),
    ("print(║)", "x)\nprint(y)", "print(├x┤)"),
    ("f(g(║))", "x)", "f(g(├x┤))"),
    ("f(║)", "g(x)", "f(├g(x)┤)"),
    ("x = [║]", "1, 2]", "x = [├1, 2┤]"),
    ('open("║")', 'a.txt")', 'open("├a.txt┤")'),
    ('open("║")', "a.txt", 'open("├a.txt┤")'),
    ("║ + 1", "x + 1", "├x┤ + 1"),
    ("f(lambda x:║\n    y\n)", " x).g(", "f(lambda x:├ x).g(┤"),
    ("f(lambda x:║\n    y\n)", " x)", "f(lambda x:├ x┤"),
    ("for i in ║:", "range(3):", "for i in ├range(3)┤:"),
    ("if f(║):", "g(x)):", "if f(├g(x)┤):"),
    ("n = Counter(║", "words)\nprint(n)", "n = Counter(├words)┤"),
    ("x[1:║", "2]\ny", "x[1:├2]┤"),
    ("plot(║, label='a')", "x, y, la", "plot(├x, y┤, label='a')"),
    ("plot(x, ║, label='a')", "y, label='a')", "plot(x, ├y┤, label='a')"),
    ("x = ║ + total", "n + tot", "x = ├n┤ + total"),
    ("f(h(║), y)", "g(x)", "f(h(├g(x)┤), y)"),
    ("n = ║  # count", "len(x)  # count", "n = ├len(x)┤  # count"),
    # a line of code is complete without a comment
    ("print('Hi')║", "  # says hi", "print('Hi')├┤"),
    ("x = ║", "1  # one", "x = ├1┤"),
    ("x = ║", "'a #1'  # one", "x = ├'a #1'┤"),
    ("x = 1  # see ║", "issue #3", "x = 1  # see ├issue #3┤"),
    ("# see ║", "issue #3", "# see ├issue #3┤"),
    ("║", "# one", "├# one┤"),
    ('"""Text\nsee ║', "issue #3", "see ├issue #3┤"),
    ("s = 'a║", " #1'", "s = 'a├ #1'┤"),
    # a fence ends the code
    ("x = 1║", "\n```\n\nThis sets x.", "x = 1├┤"),
    ("for x in y:\n    ║", "print(x)\n```\nIt prints.", "├print(x)┤"),
    ("def f():\n    ║", "```python\nreturn 1", "├┤"),
    ("s = ║", "```x```", "s = ├```x```┤"),
    # what the prompt says of the kernel's names isn't said again
    ("for x in y:\n    ║", "print(x)\n    # ships: DataFrame 50x3 (a int64)\n    x", "├print(x)┤"),
    ("║", "# ships[\"flag\"]: 'NO', 'SE'", "├┤"),
    ("# ships║", ": DataFrame 50x3 (a int64)", "# ships├┤"),
    ("║", "# files (a.csv)", "├┤"),
    ('big = t.query("║', 'size_m2 float64")', 'big = t.query("├size_m2┤'),
    ('big = t.query("si║', 'ze_m2 str")', 'big = t.query("si├ze_m2┤'),
    ('big = t.query("a == str║', '")', 'big = t.query("a == str├")┤'),
    ('print("║', 'no str")', 'print("├no str")┤'),
    ("x = f(║", '"a str, b float64)', 'x = f(├"a┤'),
    ("for x in y:\n    ║", "print(x)\n    f('a datetime64[ns, UTC], b int64')\n    g()", "├print(x)┤"),
    ("x = f(║", '"a str", b', 'x = f(├"a str", b┤'),
    ("x = f(║", '"a float, b float")', 'x = f(├"a float, b float")┤'),
    ("for x in y:\n    ║", "few = ships[:3]  # 3x12 (flag str, depth float64)", "├few = ships[:3]┤"),
    ("for x in y:\n    ║", "few = ships[:3]  # few: DataFrame 3x12 (fl", "├few = ships[:3]┤"),
    ("for x in y:\n    ║", "few = ships[:3]  # 3x12 (flag)", "├few = ships[:3]  # 3x12 (flag)┤"),
    ("for x in y:\n    ║", "few = ships[:3]  # a 3x12 grid", "├few = ships[:3]  # a 3x12 grid┤"),
    ("║", "# rows: list of 10 dict", "├┤"),
    ("║", "# rows: list of them", "├# rows: list of them┤"),
    ("║", "# ships: the fleet", "├# ships: the fleet┤"),
    ("║", "# the ships", "├# the ships┤"),
    # a string that has just begun closes no bracket
    ('x = ships["║', "] = 1", 'x = ships["├┤'),
    ("f('║')", ") + 1", "f('├┤')"),
    ('f("a" + "║', ")", 'f("a" + "├)┤'),
    ('read_csv("║")', '""', 'read_csv("├┤")'),
    # what is closed already isn't closed twice
    ("print(║)", "x) + 1", "print(├x┤)"),
    ("f(g(║)", "x))", "f(g(├x)┤)"),
    ('open("║")', 'a.txt") as f:', 'open("├a.txt┤")'),
    ('open("║")', 'a", "b") as f', 'open("├a", "b┤")'),
    ("open('║')", "it\\'s", "open('├it\\'s┤')"),
    ('d = {"║"}', 'a": 1, "b', 'd = {"├a": 1, "b┤"}'),
    ("x = [║]", '"]", 2]', 'x = [├"]", 2┤]'),
    ("print(`║`)", "a`)", "print(`├a┤`)"),
    ("x = [\n    1,\n    ║\n]", "2]\nprint(x)", "├2┤"),
    ("x = f(\n    g(║\n)", "y)\nz", "    g(├y)┤"),
    ("# (a\nprint(║)", "x)", "print(├x┤)"),
    # where only a bracket stands on the right, the text closes the string
    ("m = (d['║] == 1)", "SEX'] == 2)", "m = (d['├SEX'┤] == 1)"),
    ('f("a║)', 'b")', 'f("a├b"┤)'),
    ("print('║)", "a', f(x))", "print('├a', f(x)┤)"),
    # nor opened twice
    ("rng = np.random.defa║(seed=42)", "ult_rng(", "rng = np.random.defa├ult_rng┤(seed=42)"),
    ("plt.║(x, y)", "plot(x, label='y", "plt.├plot┤(x, y)"),
    ("plt.║(x, y)", "plot(x, z)", "plt.├plot┤(x, y)"),
    ("y = ║(a)", "f(b) + g", "y = ├f(b) + g┤(a)"),
    ("y = ║(a)", "f(b) + (", "y = ├f(b) + ┤(a)"),
    ("print(║(a + b) / 2)", "np.sqrt(", "print(├np.sqrt┤(a + b) / 2)"),
    ("y = ║(a))", "f(g", "y = ├f(g┤(a))"),
    ("df║['a']", ".loc[", "df├.loc┤['a']"),
    ("df║['a']", ".loc['b']", "df├.loc['b']┤['a']"),
    ("f║(x)", "(y)", "f├┤(x)"),
    ("for i║(1000):", " in range(", "for i├ in range┤(1000):"),
    # what would never run
    ("def f(n):\n    return n\n    ║", "print(n)", "├┤"),
    ("for i in x:\n    if i:\n        break\n\n        ║", "y = 1", "├┤"),
    ("for i in x:\n    if i:\n        break\n    ║", "y = 1", "├y = 1┤"),
    ("def f(n):\n    return (\n    ║", "n", "├n┤"),
    ("def f(n):\n    return \\\n    ║", "n", "├n┤"),
    ("def f(n):\n    returned = n\n    ║", "g()", "├g()┤"),
    ("def f(n):\n    if n: return n\n    ║", "g()", "├g()┤"),
    ('def f(n):\n    """\n    return: a number\n    ║', "n: a number", "├n: a number┤"),
    # on a new line: a statement, and the block that it opens
    (
        "def f(n):\n    if n:\n        return 1\n    ║",
        "else:\n        return 2\n    x = 1",
        "├else:\n        return 2┤",
    ),
    ("x = 1\n║", "for i in x:\n    y\n\n    z\nw = 2", "├for i in x:\n    y\n\n    z┤"),
    ("x = 1\n║", "try:\n    y\nexcept E:\n    z\nw = 2", "├try:\n    y\nexcept E:\n    z┤"),
    ("x = 1\n║", "y = f(\n    x\n)\nz = 2", "├y = f(\n    x\n)┤"),
    ("x = 1\n║", "# all of it\ny = f(x)\nz = 2", "├# all of it\ny = f(x)┤"),
    ("x = 1\n║", "y = f(x)\nz = 2", "├y = f(x)┤"),
    ("for i in x:\n    ║\n    y", "if i:\n        z\n    y", "├if i:\n        z┤"),
    ("x = {\n    'a': 1,\n    ║\n}", "'b': 2,\n    'c': 3", "├'b': 2,┤"),
    ('def f():\n    """What it does.\n\n    ║', "For all.\n    And more.", "├For all.┤"),
    # after a line that opens a block: the block
    (
        "def f(n):\n    ║",
        "if n:\n        return 1\n    return 2\n\nf(1)",
        "├if n:\n        return 1\n    return 2┤",
    ),
    ("def f(n):║", "\n    return n\n\nprint(f(1))", "def f(n):├\n    return n┤"),
    ("if x:║", "\n    y\nelse:\n    z\nw", "if x:├\n    y\nelse:\n    z┤"),
    ("function f(n) {\n  ║\n}", "return n\n}\nf(1)", "├return n┤"),
    ("function f(n) {\n║\n}", "  return n\n}\nf(1)", "├  return n┤"),
    (
        "for x in y:\n    ║",
        "if x:\n        f(\n            x\n        )\nprint(y)",
        "├if x:\n        f(\n            x\n        )┤",
    ),
    ("def f():\n    ║", "return 1\n\ndef g():\n    return 2", "├return 1┤"),
    (
        "class A:\n    ║",
        "x = 1\n\n    def f(self):\n        pass\n\n@b\nclass B:",
        "├x = 1\n\n    def f(self):\n        pass┤",
    ),
    ("function f(n) {║", "\n  return n\n}\nf(1)", "function f(n) {├\n  return n\n}┤"),
    ("if a:\n    if b:\n        ║", "c\n    d\ne", "├c┤"),
    # a model that has lost the thread
    ("print(║", 'f"' + "\\n" * 20, "print(├┤"),
    ("x = ║", "a / len(b)" + " / len(b)" * 6, "x = ├┤"),
    (
        "function f(n) {\n  ║",
        "n += 1\n" + "".join(f"{'  ' * depth}for (const x of y) {{\n" for depth in range(1, 8)),
        "├n += 1┤",
    ),
    ("x = ║", "[0, 0, 0, 0, 0, 0, 0, 0]", "x = ├[0, 0, 0, 0, 0, 0, 0, 0]┤"),
    ("def f():║", "\n    a\n    b" + "\n    import pandas as pd" * 5, "def f():├\n    a\n    b┤"),
    # nothing worth showing
    ("x = 1\n║\ny = 2", "y = 2", "├┤"),
    ("x = ║", "   ", "x = ├┤"),
    ("import numpy as np\n║", "import numpy as np", "├┤"),
    ("import numpy as np\nimport ║", "numpy as np", "import ├┤"),
    ("import numpy as np\nimport ║", "numpy.linalg as np", "import ├numpy.linalg as np┤"),
    ("if x:\n    y()\n\n    ║", "y()", "├┤"),
    # no token of a model's own is ever shown
    ("x = ║", "1<|endoftext|>2", "x = ├1┤"),
    ("x = ║", "<fim-middle>", "x = ├┤"),
    ("x = ║", "1 <｜fim▁hole｜>", "x = ├1 ┤"),
    ("║", "<s>1</s>", "├<s>1</s>┤"),
    ("x = 1║", "\ny = 2", "x = 1├┤"),
    ("x = ║", "1\r", "x = ├1┤"),
    ("║f(x)", "print(y)\ry = ", "├print(y)┤f(x)"),
    # a comment's end is a place for what it asks for
    ("# add two numbers║", " a and b\ns = a + b\nt = 1", "# add two numbers├ a and b\ns = a + b┤"),
    ("# add two numbers║", "\ns = a + b\nt = 1", "# add two numbers├\ns = a + b┤"),
    ("# add two numbers║\ns = a + b", "\nt = a + b", "# add two numbers├┤"),
    ("#║", "\ns = a + b", "#├┤"),
    ("#!║", "\ns = a + b", "#!├┤"),
    # a line that opens a block comes with it
    ("if x:\n    y()\nelif z║", " == 1:\n    f()\ng()", "elif z├ == 1:\n    f()┤"),
    ("for x in ║", "y:\n    print(x)\nz", "for x in ├y:\n    print(x)┤"),
    ("for year in ║\n    f(year)", "years:\n    print(year)", "for year in ├years:┤"),
    ("while f(║", "x):\n    g()\nh()", "while f(├x):┤"),
    ("match ║", "= 1\ny = 2", "match ├= 1┤"),
    ("x = [a for a in ║", "b]\ny", "x = [a for a in ├b]┤"),
    # whitespace is kept exactly
    ("x =║", " 1", "x =├ 1┤"),
    ("if x:\n  ║", "\ty", "├\ty┤"),
]


@pytest.mark.parametrize(("where", "raw", "shown"), GOLDEN)
def test_golden(where: str, raw: str, shown: str) -> None:
    prefix, suffix = where.split("║")
    spot = Place.at(Document(prefix, suffix))
    text = clean(raw, spot)
    line = prefix.rpartition("\n")[2]
    visible = f"{line if line.strip() else ''}├{text}┤{suffix.partition(chr(10))[0]}"
    assert visible == shown


@pytest.mark.parametrize(
    ("where", "raw", "shown"),
    [
        # the statement begun on the line, and no more
        ("ships = ║", "load(path)\nboats = load(other)", "load(path)"),
        ("ships = ║", "load(\n    path,\n)\nboats = 1", "load(\n    path,\n)"),
        ("f(\n    a,\n    b║", ",\n    c)\ng()", ",\n    c)"),
        ("x = 1 + \\║", "\n    2\ny = 3", "\n    2"),
        ('x = """║', 'a\nb\n"""\ny = 1', 'a\nb\n"""'),
        # which may open a block
        ("def ║", "f(n):\n    return n\n\nf(1)", "f(n):\n    return n"),
        ("for x in ║", "y:\n    print(x)\nz", "y:\n    print(x)"),
        ("# the sum║", "\ndef add(a, b):\n    return a + b\n\nadd(1)", "\ndef add(a, b):\n    return a + b"),
        # or the next one, where nothing is left to say of it
        ("import os║", "\nimport sys\nimport re", "\nimport sys"),
        ("x = 1║", "\n\n# then\ny = 2\nz = 3", "\n\n# then\ny = 2"),
        # a blank line has begun nothing
        ("║", "x = 1\ny = 2", "x = 1\ny = 2"),
        # what stands below isn't written again
        ("total = 0\n║\nprint(total)", "n = 1\ntotal += n\nprint(total)\nz", "n = 1\ntotal += n"),
        ("for year in ║\n    print(year)", "years:\n    print(year)", "years:"),
        # nor the body of what the line opens, nor another one
        ("for year in ║\n    f(year)", "years:\n    y = year\n    print(year)", "years:"),
        ("n = 1\n║\n    f(n)", "while n < 9:\n    n += 1\n    f(n)", "while n < 9:"),
        ("if f(\n    ║\n        b):\n    c", "a,\n    d,", "a,\n    d,"),
        ("for year in years:║\n    f(year)", "\n    y = year\n    g(y)", "\n    y = year\n    g(y)"),
        # a line isn't said twice
        ("║", "self.y = y\nself.y = y\nself.z = z", "self.y = y"),
        ("if x:\n    ║", "a = 1\n    b = [\n        [\n            1\n        ]\n    ]", None),
    ],
)
def test_what_is_asked_for_ends_where_it_should(where: str, raw: str, shown: str | None) -> None:
    """None: all of it."""
    prefix, suffix = where.split("║")
    whole = raw if shown is None else shown
    assert clean(raw, Place.at(Document(prefix, suffix), trigger="invoke")) == whole


def test_a_block_that_was_asked_for_goes_beyond_the_statement() -> None:
    assert clean("1\ny = 2", Place.at(Document("x = ", ""), "block", "invoke")) == "1\ny = 2"


def test_a_block_that_was_cut_off_ends_with_a_whole_line() -> None:
    """Accepted with Tab, half a line broke the cell."""
    spot = Place.at(Document("def f(n):\n    ", ""))
    assert clean("if n:\n        return 1\n    x = [n for", spot, cut_off=True) == "if n:\n        return 1"
    assert clean("return [n for", spot, cut_off=True) == "return [n for"
    assert clean("x = [n for", Place.at(Document("", "")), cut_off=True) == "x = [n for"


def test_a_quote_left_open_at_a_lines_end_takes_nothing_away() -> None:
    assert clean("a\nb", Place.at(Document('f("', '")'), "block")) == "a\nb"


def test_explicit_generation_ends_at_the_next_paragraph() -> None:
    spot = Place.at(Document("# add two numbers", ""), "block", "invoke")
    assert clean("\n\ndef add(a, b):\n    return a + b\n\n\nprint(add(1, 2))", spot) == (
        "\n\ndef add(a, b):\n    return a + b"
    )


@given(
    st.text(PIECES),
    st.text(PIECES),
    st.text(PIECES),
    st.sampled_from(["line", "block", "auto"]),
    st.booleans(),
)
def test_what_is_shown_is_a_beginning_of_what_was_written(
    prefix: str, suffix: str, raw: str, mode: str, cut_off: bool
) -> None:
    spot = Place.at(Document(prefix, suffix), mode)
    assert raw.startswith(clean(raw, spot, cut_off))


# Lines, loops, words and marks that a rule takes back when they stand in the right place.
MARKS = [
    *"ab ()[]{}\"'`\\\n\t:,#=",
    "x = 1",
    "else:",
    "\n    ",
    "\n",
    ", label",
    " / len(b)",
    "return n",
    "0, ",
    " datetime64[ns]",
    ", b str",
]
LINES = [
    "import pandas as pd",
    "def f(n):",
    "<fim-middle>",
    "<|end",
    ")\n",
    "    y\n",
    "for x in y:\n",
    "\n\n",
]
UNITS = st.sampled_from(MARKS + LINES)
LOOPS = st.tuples(st.lists(UNITS, min_size=1, max_size=5), st.integers(1, 9)).map(
    lambda u: "".join(u[0]) * u[1]
)
WRITTEN = st.lists(UNITS | LOOPS, max_size=12).map("".join)


@settings(max_examples=150)
@given(WRITTEN, WRITTEN, WRITTEN, st.data(), st.sampled_from(["line", "block", "auto"]), st.booleans())
def test_a_stream_takes_nothing_back(
    prefix: str, suffix: str, raw: str, data: st.DataObject, mode: str, cut_off: bool
) -> None:
    """Whatever the model writes, in whatever pieces it comes, asked for or not."""
    trigger = data.draw(st.sampled_from(["automatic", "invoke"]))
    if data.draw(st.booleans()):  # it says what is there already
        raw = (
            data.draw(st.sampled_from([prefix.rpartition("\n")[2], suffix, suffix[: len(suffix) // 2]])) + raw
        )
    spot = Place.at(Document(prefix, suffix), mode, trigger)
    stream, shown, at = Stream(spot), "", 0
    while at < len(raw):
        size = data.draw(st.integers(1, 20))
        shown += stream.add(raw[at : at + size])
        at += size
        assert clean(raw[:at], spot, cut_off).startswith(shown)
    assert clean(raw, spot, not cut_off).startswith(shown)


@settings(max_examples=100)
@given(WRITTEN, WRITTEN, WRITTEN, WRITTEN, st.sampled_from(["line", "block"]), st.booleans())
def test_what_is_certain_of_a_beginning_stays(
    prefix: str, suffix: str, begun: str, more: str, mode: str, cut_off: bool
) -> None:
    spot = Place.at(Document(prefix, suffix), mode)
    assert clean(begun + more, spot, cut_off).startswith(certain(begun, spot))


@pytest.mark.parametrize(
    ("where", "raw", "shown"),
    [
        # at once, but for the line's first characters
        ("x = ║", "df.groupby('a')", "df.groupby('a')"),
        ("x = ║", "df.groupby(", ""),
        # what may be no more than the line below or above waits until it differs
        ("x = 1\n║\nresult = df.groupby(x)", "result = df.group", ""),
        ("x = 1\n║\nresult = df.groupby(x)", "result = df.gross(", "result = df.gross("),
        ("import numpy.linalg as np\nimport ║", "numpy.linalg as", ""),
        # what may go on with the text right of the cursor
        ("plot(║, label='a')", "x, lambda n: n + 1, lab", "x, lambda n: n + 1"),
        # whole lines of a block, as soon as they can't be a loop's first
        ("def f(x):\n    ║", "y = first(x, 1, 2)\n    z = s", "y = first(x, 1, 2)"),
        ("def f(x):\n    ║", "y = first(x, 1, 2)\n    z = second(y)\n    retu", "y = first(x, 1, 2)"),
        # what may be no more than what the prompt says of a table
        ("def f(x):\n    ║", "y = x[:3]  # 3x12 (flag\n    z = second", ""),
        ("def f(x):\n    ║", "y = x[:3]  # 3x12 (flag)\n    z = s", "y = x[:3]  # 3x12 (flag)"),
        # what comes after a beginning of one of the model's own tokens
        ("x = ║", "df.groupby('a')<|end", "df.groupby('a')"),
    ],
)
def test_what_a_stream_shows(where: str, raw: str, shown: str) -> None:
    prefix, suffix = where.split("║")
    stream = Stream(Place.at(Document(prefix, suffix)))
    assert "".join(map(stream.add, raw)) == shown


def test_a_line_that_begins_well_stays_up_to_where_it_repeats_itself() -> None:
    spot = Place.at(Document("share = ", ""))
    assert clean("count[name] / total" + " / len(b)" * 7, spot) == "count[name] / total / len(b)"


@given(
    st.text(PIECES), st.sampled_from(sorted(ALL_TOKENS - {"<s>", "</s>", "<bos>", "<eos>"})), st.text(PIECES)
)
def test_no_special_token_is_shown(before: str, token: str, after: str) -> None:
    assert token not in clean(before + token + after, Place.at(Document("", ""), "block"))


def test_a_stream_stops_at_a_fence() -> None:
    spot = Place.at(Document("", ""), "block")
    assert finished("print(x)\n```", spot) and not finished("print(x)\n``", spot)


@pytest.mark.parametrize(("where", "raw", "shown"), GOLDEN)
def test_a_stream_may_stop_when_finished(where: str, raw: str, shown: str) -> None:
    """What `finished` says of a beginning holds: nothing later changes what is shown."""
    prefix, suffix = where.split("║")
    spot = Place.at(Document(prefix, suffix))
    for length in range(len(raw)):
        if finished(raw[:length], spot):
            assert clean(raw[:length], spot) == clean(raw, spot)
