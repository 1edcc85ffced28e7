"""The rest of a line, where the lines around it tell."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.prompt.alike import alike
from santajupyter.prompt.cursor import excerpt
from santajupyter.protocol import Cell

from .steps import lines_of

TEAMS = Cell('teams = ["Golden Eagles", "Night Owls", "City Hawks", "Wild Geese"]')
EAGLES_OWLS = 'eagles = t[t["team"] == "Golden Eagles"]\nowls = t[t["team"] == "Night Owls"]\n'
COUNTED = 'num_opel = count(cars, "Opel")\nnum_ford = count(cars, "Ford")\n'


def rests(code: str, *above: Cell, values: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Those of ``code`` with the cursor at ║, the likeliest first."""
    source, offset = code.replace("║", ""), code.index("║")
    found = alike(excerpt([*above, Cell(source)], len(above), offset), values)
    return found.rests if found else ()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # One word in two places, as it is or written otherwise.
        ("ages = data.ages\nnames = data.names\nplaces = ║", "data.places"),
        ("x_train = scale(X_TRAIN)\nx_test = scale(X_TEST)\nx_new = ║", "scale(X_NEW)"),
        ("a = Var('a')\nb = Var('b')\nfar = ║", "Var('far')"),
        (f"{COUNTED}num_audi = ║", 'count(cars, "Audi")'),
        (f"num_audi = ║\n{COUNTED}", 'count(cars, "Audi")'),
        # By what stands right of the cursor.
        (f'║count(cars, "Audi")\n{COUNTED}', "num_audi = "),
        ("x_a = f(a)\nx_b = f(b)\nx_║ = f(c)", "c"),
        # They count on, up and down, above and below.
        ("ax1.plot(y1)\nax2.plot(y2)\nax║", "3.plot(y3)"),
        ("ax1.plot(y1)\nax║\nax3.plot(y3)", "2.plot(y2)"),
        ("║\ny2 = f(2)\ny3 = f(3)\ny4 = f(4)", "y1 = f(1)"),
        ("t09 = f(9)\nt10 = f(10)\nt11 = f(11)\n║", "t12 = f(12)"),
        ("r07 = g(7)\nr08 = g(8)\nr09 = g(9)\nr║", "10 = g(10)"),
        ("d3 = f(3)\nd2 = f(2)\nd║", "1 = f(1)"),
        ("a = 1  # the first 1\nb = 2  # the first 2\nc = 3  # the first 3\nd║", " = 4  # the first 4"),
        ("a = 1  # set a to 1\nb = 2  # set b to 2\nc = 3  # set c to 3\nd║", " = 4  # set d to 4"),
        ('a = f("a")\nb = f("b")\nc = f("║")', "c"),
        ("assert f(2) == 2\nassert f(7) == 7\nassert f(9) == 9\nassert f(5) == ║", "5"),
        ("    axes[0].plot(x)\n    axes[1].plot(x)\n    axes[2].plot(x)\n    ║", "axes[3].plot(x)"),
    ],
)
def test_what_the_lines_around_tell(code: str, expected: str) -> None:
    assert rests(code)[:1] == (expected,)


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        ("geese = ║", 't[t["team"] == "Wild Geese"]'),
        ("ge║", 'ese = t[t["team"] == "Wild Geese"]'),
        ('hawks = t[t["team"] == "Ci║', 'ty Hawks"]'),
        ('║t[t["team"] == "City Hawks"]', "hawks = "),
        ("storks = ║", ""),
        ("ow║", ""),
        ("║", ""),
        # The text that is begun isn't any one, and a name that is there already isn't a longer one's.
        ('eagles = t[t["║', ""),
        ("owls║", ""),
    ],
)
def test_a_text_that_is_named_by_a_word_of_it_is_one_of_the_notebook(begun: str, expected: str) -> None:
    assert rests(EAGLES_OWLS + begun, TEAMS) == ((expected,) if expected else ())


def test_texts_are_what_is_in_quotes_the_nearest_first() -> None:
    read = Cell("t = read('a.csv', sep=',', encoding='utf-8')  # don't\nkeys = ['zeta', 'zero']")
    code = "t['aa'] = t['aa'].fillna(0)\nt['bb'] = t['bb'].fillna(0)\nt['z"
    assert rests(f"{code}║", read) == ("ero'] = t['zero'].fillna(0)", "eta'] = t['zeta'].fillna(0)")
    assert rests(f"{code[:-1]}║", read) == ()


def test_what_is_the_same_in_all_lines_stays_the_same() -> None:
    above = Cell('f("Wild Cats", "Wild Geese")')
    code = 'golden = f("Golden Eagles", "Golden Eagles")\nnight = f("Night Owls", "Night Owls")\nwild = ║'
    assert rests(code, above) == ('f("Wild Geese", "Wild Geese")', 'f("Wild Cats", "Wild Cats")')


def test_or_of_its_data() -> None:
    assert rests(f"{EAGLES_OWLS}terns = ║") == ()
    assert rests(f"{EAGLES_OWLS}terns = ║", values=("'Arctic Terns'",)) == ('t[t["team"] == "Arctic Terns"]',)


def test_how_a_new_text_is_written_is_the_models_choice() -> None:
    assert rests(f"{COUNTED}num_bmw = ║") == tuple(f'count(cars, "{name}")' for name in ("Bmw", "BMW", "bmw"))


@pytest.mark.parametrize(
    "code",
    [
        "║",
        "x = 1\n║",
        # Nothing in them names anything, and two lines are too few to count.
        "x = rng.randn(100)\ny = rng.randn(100)\ncolors = ║",
        "plt.xlim(-1, 1)\nplt.ylim(-2, 12)\nplt.legend(║",
        "y1 = f(1)\ny2 = f(2)\n║",
        # What differs can't be told.
        'a1 = load("north")\na2 = load("south")\na3 = ║',
        "import numpy as np\nimport pandas as pd\nimport ║",
        # It is another line, or stands apart.
        "x_a = f(a)\nx_b = f(b)\nif ║",
        "x_a = f(a)\nx_b = f(b)\n\nx_c = ║",
        "x_a = f(a)\nx_b = f(b)\n    x_c = ║",
        # It would be there twice, or between two that follow each other.
        "x_a = f(a)\nx_b = f(b)\nx_a = ║",
        "y1 = f(1)\ny║\ny2 = f(2)\ny3 = f(3)",
        "y0 = f(0)\n║",
        "y2 = f(2)\ny1 = f(1)\ny0 = f(0)\n║",
        "x = f(x)\nx = f(x)\nx = ║",
        "'a' 'b║",
        # It is longer than they are.
        "y1 = f(1)\ny2 = f(2)\ny3 = f(3) + f(4) + ║",
        "y1 = f(1)\ny2 = f(2)\ny║ = f(3) + f(4) + f(5)",
        # What the line has already says otherwise.
        "x = x1 + x\ny = y1 + y\nfill = f1 + ║",
        # A number that nothing names; numbers that are equal, in two lines.
        'x = Var("x", init=3)\ny = Var("y", init=4)\nf = ║',
        "assert f(2) == 2\nassert f(7) == 7\nassert f(100) == ║",
        # What is being made isn't there yet, unless it was made above.
        "def g(x, y):\n    x = x[:2]\n    y = y[:2]\n    model = ║",
        # No names.
        "x <- scale(x)\ny <- scale(y)\nif ║",
        "x = f(x)\ny = f(y)\nreturn ║",
        # Another block, and no code.
        "if a:\n    y1 = f(1)\n    y2 = f(2)\n    y3 = f(3)\n║",
        "!rm a1\n!rm a2\n!rm a3\n║",
        "f(-3)\nf(-2)\nf(-1)\nf(║",
        "f(٣)\nf(٤)\nf(٥)\nf(║",
        # Nothing but signs.
        "f(\n    X=X,\n    y=y,\n    z=z║",
    ],
)
def test_nothing_where_they_do_not_tell(code: str) -> None:
    assert rests(code) == ()


def test_what_is_made_anew_is_read_where_it_was_made_above() -> None:
    code = "def g(x, y, model):\n    x = x[:2]\n    y = y[:2]\n    model = ║"
    assert rests(code) == ("model[:2]",)


@pytest.mark.parametrize(
    "code",
    [
        'df["age"] = df["age"].fillna(0)\ndf["fare"] = df["fare"].fillna(0)\ndf["text1║',
        'a = t("a b", "a b", "b")\nc = t("c d", "c d", "d")\ntext1 = ║',
        "".join(f"    [{', '.join(str(n * m) for m in range(1, 40))}],\n" for n in range(1, 9)) + "    [║",
        "".join(f"{' '.join(f'{chr(97 + n)}{m}' for m in range(60))}\n" for n in range(9)) + "x║",
        "x1 = f('" + "a" * 150_000 + "')\nx║",
    ],
)
def test_it_looks_at_little(code: str) -> None:
    texts = Cell("\n".join(f"f('text{n}', 'other text{n}', 'text{n} more')" for n in range(5000)))
    lines = lines_of(lambda: rests(code, texts))
    assert lines < 60_000


def test_what_is_not_sound_is_left_out() -> None:
    code = f"{COUNTED}num_audi = "
    found = alike(excerpt([Cell(code)], 0, len(code)), is_sound=lambda text: "AUDI" in text)
    assert found and found.rests == ('count(cars, "AUDI")',)


NAMES = st.from_regex(r"[a-z]{2,8}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))


@given(st.lists(NAMES, min_size=3, max_size=6, unique=True), st.data())
def test_each_line_is_told_by_the_others_from_its_name_on(names: list[str], data: st.DataObject) -> None:
    lines = [f'{name}_rows = rows[rows["kind"] == "{name}"]  # {name}' for name in names]
    number = data.draw(st.integers(0, len(names) - 1))
    at = data.draw(st.integers(len(names[number]) + 1, len(lines[number]) - 1))
    begun = lines[number][:at]
    code = "\n".join([*lines[:number], f"{begun}║", *lines[number + 1 :]])
    assert [begun + rest for rest in rests(code)[:1]] == [lines[number]]


PATTERNS = [
    "{0} = f({0})",
    "x{1} = g('{0}', \"{0}\", {1})",
    "    d['{0}'] += {1}",
    "{0}{1}",
    "f({1}, '{0} b')",
]
JUNK = st.lists(st.sampled_from(["a", "b2", " ", "=", "'x y'", "'", "(", "1"]), max_size=6).map("".join)


@given(st.sampled_from(PATTERNS), JUNK, JUNK, st.integers(0, 4), st.data())
def test_whatever_the_line_has_it_is_read(
    pattern: str, left: str, right: str, at: int, data: st.DataObject
) -> None:
    lines = [pattern.format(name, number) for number, name in enumerate(["one", "TWO", "three", "f"])]
    line = pattern.format("five", 5)
    cut = data.draw(st.integers(0, len(line)))
    begun = f"{line[:cut]}{left}║{right}{line[data.draw(st.integers(cut, len(line))) :]}"
    for rest in rests("\n".join([*lines[:at], begun, *lines[at:]])):
        assert rest.strip() and "\n" not in rest
