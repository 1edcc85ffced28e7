"""Nothing in this room costs more than in proportion to a request: counted in steps, not in time."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pkgutil import iter_modules

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from santajupyter import prompt
from santajupyter.prompt.cellnames import MAX_READ
from santajupyter.prompt.check import Check
from santajupyter.prompt.cursor import REACH_ABOVE, REACH_BELOW, excerpt
from santajupyter.prompt.doccomments import slot_around
from santajupyter.prompt.document import Document, document
from santajupyter.prompt.explain import locate_pieces
from santajupyter.prompt.facts import facts
from santajupyter.prompt.names import REMEMBERED, bound, defined, imported, looped, used
from santajupyter.prompt.place import Place
from santajupyter.prompt.postprocess import RULES, Stream, clean
from santajupyter.protocol import Cell, CompletionRequest, Variable

from .steps import Matcher, lines_of


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every regular expression of the room, whoever adds one."""
    for _, module, _ in iter_modules(prompt.__path__):
        for name, value in vars(import_module(f"{prompt.__name__}.{module}")).items():
            for key, pattern in _within(value):
                yield f"{module}.{name}{key}", pattern


def _within(value: object, key: str = "") -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(value, re.Pattern):
        yield key, value
    elif isinstance(value, dict | tuple):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _within(inner, f"{key}[{name}]")


PATTERNS = dict(patterns())
# Looked for at one place only.
ANCHORED = (
    "alike.MADE",
    "around.FIRST_WORD",
    "check.NEXT",
    "choices.ASSIGNED",
    "doccomments.BODIES",
    "doccomments.DECLARATIONS",
    "doccomments.MAGIC",
    "expressions.PLAIN",
    "fim.WORD",
    "fitting.DTYPES",
    "fitting.EQUAL",
    "fitting.RIGHT",
    "fitting.TARGET",
    "fitting.TOTALS",
    "postprocess.MAY_BE_MEASURED",
    "postprocess.MEASURED",
    "repairs.TARGET",
    "languages._MAGIC",
    "rchoices.DATA",
    "rchoices.PLAIN",
    "sql.BEGINS",
    "sql.CELL_MAGIC",
    "sql.OTHER_ARGUMENT",
    "sql.SURELY_BEGINS",
    "sqlchoices.ASSIGNED",
    "sqlchoices.PLAIN",
)
# Ends of texts that stop a pattern just before its end.
ENDS = ["", "x", "\n", "!"]
UNITS = [
    " ",
    "\n",
    "\t",
    "a",
    "a ",
    "a, ",
    "a.",
    "ab",
    "(",
    ")",
    "((a",
    "a)",
    "[",
    "{",
    "<",
    "a<",
    ",",
    "=",
    ": ",
    "#",
]
UNITS += [
    "/",
    "=/",
    "/*",
    "*/",
    "//",
    "'",
    '"',
    '"""',
    "'''",
    "`",
    "\\",
    "\\'",
    "@a ",
    "@a(",
    "=>",
    "a=>",
    "%",
    "%%a",
    "!",
]
UNITS += [
    "for ",
    "for x ",
    "import ",
    "import (",
    "from a ",
    "from a import b, ",
    "as ",
    "def f(",
    "lambda ",
    "async ",
]
UNITS += [
    "export const ",
    "open(",
    "'a/",
    "throws ",
    "a b ",
    "List<",
    "f() {",
    "\n a",
    "a\n",
    "x = ",
    "mut ",
    "static ",
]


@contextmanager
def deep_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(30_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def steps(pattern: re.Pattern[str], text: str) -> int:
    matcher = Matcher(pattern, text)
    is_anchored = any(pattern is PATTERNS[name] for name in PATTERNS if name.startswith(ANCHORED))
    with deep_recursion():
        matcher.match() if is_anchored else matcher.find_all()
    return matcher.steps


@pytest.mark.parametrize("name", PATTERNS)
def test_the_count_is_of_what_python_does(name: str) -> None:
    """The matcher of these tests finds what Python's own does."""
    pattern = PATTERNS[name]
    for unit in UNITS:
        text = unit * 3 + "x"
        found = [match.span() for match in pattern.finditer(text) if match.end() > match.start()]
        with deep_recursion():
            ours = [span for span in Matcher(pattern, text, 1000).find_all() if span[1] > span[0]]
        assert ours == found


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_is_linear_in_what_repeats_itself(name: str) -> None:
    pattern = PATTERNS[name]
    for unit in UNITS:
        for end in ENDS:
            counts = [steps(pattern, unit * (length // len(unit)) + end) for length in (24, 48)]
            if counts[1] >= 3 * counts[0]:  # a bound may not be reached in so short a text
                counts = [steps(pattern, unit * (length // len(unit)) + end) for length in (192, 384)]
            assert counts[1] < 3 * counts[0], (unit, end)


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(PATTERNS)),
    st.lists(st.sampled_from(UNITS), min_size=2, max_size=4),
    st.sampled_from(ENDS),
)
def test_each_pattern_is_linear_in_any_repetition(name: str, units: list[str], end: str) -> None:
    unit = "".join(units)
    short, long = (steps(PATTERNS[name], unit * (length // len(unit)) + end) for length in (192, 384))
    assert long < 3 * short


def test_a_quadratic_pattern_is_seen() -> None:
    short, long = (steps(re.compile(r"(?m)^\s*import"), "\n" * length) for length in (192, 384))
    assert long > 3 * short


SOURCES = {
    "blanks": lambda n: " " * n + "x",
    "blank lines": lambda n: "\n" * n + "x",
    "brackets": lambda n: "(" * n,
    "words": lambda n: "a " * (n // 2),
    "lines of words": lambda n: "a a a\n" * (n // 6),
    "headers": lambda n: "f() {\n" * (n // 6),
    "annotated": lambda n: "@a f() {\n" * (n // 9),
    "nested": lambda n: "".join(" " * depth + "f() {\n" for depth in range(int(n**0.5))) + "\n" * (n // 2),
    "functions": lambda n: "def f(x):\n    return x\n\n\n" * (n // 25),
    "strings": lambda n: "'''a\n" * (n // 5),
    "one line": lambda n: '{"a": [' + "1, " * (n // 3),
}


def assert_linear(work: Callable[[int], object], *sizes: int) -> None:
    """Twice as much costs at most little more than twice as many lines of Python."""
    short, long = (lines_of(partial(work, size)) for size in sizes)
    assert long < 2.5 * short + 2000


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("language", ["python", "java", "javascript"])
def test_documentation(kind: str, language: str) -> None:
    def work(size: int) -> None:
        source = SOURCES[kind](size)
        with suppress(ValueError):
            slot_around(source, len(source) // 2, language)

    assert_linear(work, 9_000, 18_000)


@pytest.mark.parametrize("kind", SOURCES)
def test_prompts(kind: str) -> None:
    def work(size: int) -> None:
        source = SOURCES[kind](size)
        cells = [Cell(source), Cell(source + "1", "markdown"), Cell(source + "2"), Cell(source)]
        where = excerpt(cells, 2, size // 2)
        known = facts([Variable("a", "int"), Variable("x", "int")], where)
        where_from = document(where, facts=known)
        locate_pieces(where_from, where, cells)

    assert_linear(work, 9_000, 18_000)


@pytest.mark.parametrize("source", ["x", "", "x = 1\nprint(x)", "# text"])
def test_many_cells(source: str) -> None:
    """Once there are more than any window reaches, twice as many cost twice as much at most."""

    def work(count: int) -> None:
        cells = [Cell(source, execution_count=n) for n in range(count)]
        locate_pieces(document(where := excerpt(cells, count // 2, 0)), where, cells)

    short, long = (lines_of(partial(work, count)) for count in (20_000, 40_000))
    assert long < 2.2 * short


@pytest.mark.parametrize("unit", ["(", "x", "1, ", "x = 1\n", "\n", "import (\n"])
def test_no_more_is_looked_at_than_a_window_may_hold(unit: str) -> None:
    source = unit * (3_000_000 // len(unit))
    cells = [Cell(source), Cell(source + "1"), Cell(source, "markdown"), Cell(source)]
    where = excerpt(cells, 1, len(source) // 2)
    assert len(where.cursor.left) <= REACH_ABOVE and len(where.cursor.right) <= REACH_BELOW
    assert sum(len(cell.source) for cell in where.cells) <= 3 * (REACH_ABOVE + REACH_BELOW)
    found = document(where)
    assert found.prefix.endswith(source[: len(source) // 2][-REACH_ABOVE // 2 :])
    assert found.suffix.startswith(source[len(source) // 2 :][: REACH_BELOW // 2])


UNRUN = "import numpy as np\n\n\ndef mean(values):\n    return sum(values) / len(values)\n\n\n"


@pytest.mark.parametrize("size", [900, 9_000, 90_000, 900_000])
def test_a_check_reads_a_limited_part_of_the_notebook(size: int) -> None:
    """However long its cells are; what isn't read may have any names, and may change any variable."""
    source = UNRUN * (size // len(UNRUN)) + f"x = {size}\n"
    cells = (*(Cell(f"{source}#{n}") for n in range(1_000_000 // size)), Cell("mea"))
    request = CompletionRequest(cells, len(cells) - 1, 3, variables=(Variable("values", "DataFrame"),))

    def work() -> None:
        check = Check(request)
        is_read = size <= MAX_READ
        assert check.sure("n(values, nowhere)") == ("n(values, " if is_read else "n(values, nowhere)")
        check.sound("n(np.values)", True)

    assert lines_of(work) < 2_000_000


@pytest.mark.parametrize("unit", ["(", "x", "1, ", "x = 1\n", "\n", "import (\n"])
def test_a_check_in_a_cell_of_any_length(unit: str) -> None:
    def work() -> None:
        check = Check(CompletionRequest((Cell(unit * (3_000_000 // len(unit))),), 0, 1_000_000))
        check.sound("x", True)

    assert lines_of(work) < 1000


def test_what_is_left_out_stays_so_from_key_to_key() -> None:
    source = "x = 1\n" * 100_000
    seen = {
        excerpt([Cell(source * 2), Cell(source + "y" * n)], 1, len(source) + n).cursor.left[:-n]
        for n in range(1, 40)
    }
    assert len(seen) == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("block", [True, False])
def test_each_rule(rule: Callable[[str, Place, bool], str], ended: bool, block: bool) -> None:
    for left, right in (("", ""), ("(" * 5000, ")" * 5000 + "x"), ('"', '"')):
        spot = Place.at(Document(left, right), "block" if block else "line")
        for unit in UNITS[::3]:
            short, long = (
                lines_of(partial(rule, unit * (size // len(unit)), spot, ended)) for size in (1500, 3000)
            )
            assert long < 2.5 * short + 2000


@pytest.mark.parametrize("unit", ["x = 1\n    ", "(", "ab", "0, ", "    y = f(x)\n", "\n", "'"])
@pytest.mark.parametrize("mode", ["line", "block"])
def test_a_stream_costs_in_proportion_to_what_is_written(unit: str, mode: str) -> None:
    spot = Place.at(Document("(" * 3000 + "if x:\n    ", ")" * 3000), mode)

    def work(tokens: int) -> None:
        stream = Stream(spot)
        for _ in range(tokens):
            stream.add(unit)
        clean(unit * tokens, spot)

    assert_linear(work, 600, 1200)


def test_a_line_of_any_length_costs_a_place_the_same() -> None:
    def work(size: int) -> None:
        spot = Place.at(Document("(" * size, "1, " * size))
        clean("x, y)", spot)

    short, long = lines_of(lambda: work(10_000)), lines_of(lambda: work(1_000_000))
    assert long == short


@pytest.mark.parametrize("names", [defined, looped, imported])
def test_names_are_remembered_up_to_a_size(names: Callable[[str], frozenset[str]]) -> None:
    """At each key of a long cell its text is another."""
    for key in range(40):
        names("x = 1\n" * 20_000 + "y" * key)
    remembered = names._known  # type: ignore[attr-defined]
    assert sum(map(len, remembered)) <= REMEMBERED
    assert bound("for i in x: pass") == {"i"} and "x" in used("x")
