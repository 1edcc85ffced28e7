"""Cells -> one program text, split at the cursor, and what of it goes first when space is short.

Code stands as it is, markdown and foreign-language cells become comments of the
notebook's language, raw cells are left out. santa-mini is trained on
:func:`render`'s output, so a change here is a change of its training data.

What a decision depends on must not change from key to key, or the prompt cache is of no use:
it is made of the other cells and of those lines of the active cell that the cursor has left.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from typing import NamedTuple

from ..protocol import Cell
from .names import bound, defined, used

SEPARATOR = "\n\n"
SLASH_LANGUAGES = frozenset(
    [
        "c",
        "c++",
        "cpp",
        "csharp",
        "dart",
        "go",
        "groovy",
        "java",
        "javascript",
        "js",
        "kotlin",
        "php",
        "rust",
        "scala",
        "swift",
        "ts",
        "typescript",
    ]
)
OTHER_MARKS = {"haskell": "--", "latex": "%", "lua": "--", "matlab": "%", "octave": "%", "sql": "--"}
_MAGIC = re.compile(r"\s*%%(\w+)")
# Cell magics whose body is still code of the notebook's own language.
TRANSPARENT_MAGICS = frozenset(["capture", "debug", "memit", "prun", "python", "python3", "time", "timeit"])
# %% begins a section there.
NO_MAGICS = frozenset(["matlab", "octave"])

# A longer comment keeps its headings and first lines, a longer line its first sentences.
COMMENT_LINES = 8
COMMENT_LINE = 240
# The text right above the active cell says what is to be done there.
TASK_LINES = 40
OUTPUT_LINES = 3
FACTS = 60

# Characters above and below the cursor that are looked at; no window reaches further.
REACH_ABOVE = 150_000
REACH_BELOW = 50_000
REACH_STEP = 50_000

# Parts are cut at a blank line before a line that isn't indented, from this many characters on; from
# twice as many at any line that isn't.
PART = 500
_BORDER = re.compile(r"\n(?=[^\s)\]}])")

# Lines of the active cell count when so many more are complete, and only those near the cursor.
SETTLED_STEP = 4
SETTLED_LINES = 40
SETTLED_LINE = 400
# So many code cells above count with them, each with its last characters.
NEIGHBOURS = 2
NEIGHBOUR = 4_000

# Ranks of parts: the lower, the longer it stays.
FACT, USED, CODE, DOUBTFUL, NARRATIVE = range(5)


class Part(NamedTuple):
    """So many characters of a prefix, and the rank that they have when space is short."""

    length: int
    rank: int


@dataclass(frozen=True)
class Document:
    """The program text left (``prefix``) and right (``suffix``) of the cursor.

    ``parts`` cover the prefix from its beginning; what follows them is never left out.
    """

    prefix: str
    suffix: str
    language: str = "python"
    parts: tuple[Part, ...] = field(default=(), compare=False)


def document(
    cells: Sequence[Cell],
    active: int,
    offset: int,
    language: str = "python",
    facts: Sequence[str] = (),
    modules: Sequence[str] = (),
) -> Document:
    """The notebook as its language's program, cut ``offset`` code points into ``cells[active]``.

    ``modules`` (what imported files define) go before the first cell and ``facts`` (what the
    kernel knows) right above the active one, each a comment of one line.
    """
    cell = cells[active]
    left, right = cell.source[:offset], cell.source[offset:]
    spoken = language_of(cell, language)
    if spoken == "markdown":
        facts = ()
    elif spoken != language:
        cells, language = _in_foreign_eyes(cells, language, spoken), spoken
    settled = _settled(left, right)
    above, below = _in_order(cells, active, language, used(settled) - bound(settled))
    wanted = used("\n".join([settled, *_neighbours(above, language)]))
    texts = [
        *_comments(modules, language, wanted),
        *_above(above, language, wanted),
        *_comments([*facts[:FACTS], *_failure(cell)], language),
        *_own(left, wanted),
    ]
    rest = render(below, language)
    return Document(
        prefix="".join(text for text, _ in texts),
        suffix=right + SEPARATOR + rest if rest else right,
        language=spoken,
        parts=tuple(Part(len(text), rank) for text, rank in texts[:-1]),
    )


def render(cells: Iterable[Cell], language: str = "python") -> str:
    """The cells in order, a blank line between two; empty and raw cells leave no trace."""
    parts = (render_cell(cell, language) for cell in cells)
    return SEPARATOR.join(part for part in parts if part)


def render_cell(cell: Cell, language: str = "python", comment_lines: int = COMMENT_LINES) -> str:
    """One cell as program text without surrounding blank lines; "" for one that says nothing."""
    source = cell.source.strip("\n")
    if not source.strip() or cell.type == "raw":
        return ""
    if language_of(cell, language) != language:
        return _as_comment(_gist(source, comment_lines), language)
    return source


def language_of(cell: Cell, language: str) -> str:
    """The language that a cell of a notebook in ``language`` is written in: a cell magic names its own."""
    if cell.type == "markdown":
        return "markdown"
    magic = _MAGIC.match(cell.source) if language.lower() not in NO_MAGICS else None
    return magic[1].lower() if magic and magic[1] not in TRANSPARENT_MAGICS else language


def _in_foreign_eyes(cells: Sequence[Cell], language: str, spoken: str) -> list[Cell]:
    """For a cell in another language the notebook's own code is what becomes comments."""
    return [
        replace(cell, type="markdown")
        if cell.type == "code" and language_of(cell, language) != spoken
        else cell
        for cell in cells
    ]


def comment_mark(language: str) -> str:
    name = language.lower()
    return "//" if name in SLASH_LANGUAGES else OTHER_MARKS.get(name, "#")


def _as_comment(lines: Iterable[str], language: str) -> str:
    mark = comment_mark(language)
    return "\n".join(f"{mark} {line.rstrip()}" for line in lines)


def _gist(source: str, most: int) -> list[str]:
    """The lines that aren't blank; of more than ``most`` the headings with a line each, and the first."""
    lines = [line for line in source.split("\n") if line.strip()]
    told = [line.startswith("#") or before.startswith("#") for before, line in pairwise(["#", *lines])]
    kept = sorted(sorted(range(len(lines)), key=lambda i: (not told[i], i))[:most])
    return [_sentences(lines[i]) for i in kept]


def _sentences(line: str) -> str:
    """The line, or as many whole sentences or else words as COMMENT_LINE has room for."""
    if len(line) <= COMMENT_LINE:
        return line
    begun = line[:COMMENT_LINE]
    end = begun.rfind(". ") + 1 or begun.rfind(" ")
    return begun[:end] if end > 0 else begun


def _settled(left: str, right: str) -> str:
    """Lines around the cursor's own; those above count SETTLED_STEP at a time."""
    above, below = left.split("\n")[:-1], right.split("\n", SETTLED_LINES)[1:]
    whole = len(above) // SETTLED_STEP * SETTLED_STEP
    lines = [*above[max(0, whole - SETTLED_LINES) : whole], *below[: SETTLED_LINES - 1]]
    return "\n".join(line[:SETTLED_LINE] for line in lines)


def _in_order(
    cells: Sequence[Cell], active: int, language: str, names: frozenset[str]
) -> tuple[list[Cell], list[Cell]]:
    """The cells that stand above the cursor's, and those below, each source once: the nearest.

    The document's order, but for the cells of :func:`_latest`: they come last of the code above.
    """
    first, last = _reach(cells, active)
    near = [*range(first, active), *range(active + 1, last)]
    code = [i for i in near if cells[i].type == "code" and language_of(cells[i], language) == language]
    latest = _latest(cells, code if names else (), active, names)
    above = [i for i in near if i < active and i not in latest]
    below = [i for i in near if i > active and i not in latest]
    end = next((n for n in range(len(above), 0, -1) if cells[above[n - 1]].type == "code"), 0)
    above[end:end] = latest
    return _once(cells[i] for i in reversed(above))[::-1], _once(cells[i] for i in below)


def _reach(cells: Sequence[Cell], active: int) -> tuple[int, int]:
    """The first cell to look at, and one after the last; those far above go in large steps."""
    excess = sum(len(cell.source) for cell in cells[:active]) - REACH_ABOVE
    excess = math.ceil(max(0, excess) / REACH_STEP) * REACH_STEP
    first = 0
    while excess > 0 and first < active - 1:
        excess -= len(cells[first].source)
        first += 1
    room, last = REACH_BELOW, active + 1
    while last < len(cells) and room > 0:
        room -= len(cells[last].source)
        last += 1
    return first, last


def _latest(cells: Sequence[Cell], code: Sequence[int], active: int, names: frozenset[str]) -> list[int]:
    """The cells whose place misleads: what they define of ``names`` is what the kernel holds now.

    They stand below the cursor and nothing above defines the name; or another cell above does
    so after them, which ran before them.
    """
    definers: dict[str, list[int]] = defaultdict(list)
    for i in code:
        for name in names & defined(cells[i].source.strip("\n")):
            definers[name].append(i)
    found: dict[int, int] = {}
    for places in definers.values():
        above = [i for i in places if i < active]
        counts = {i: cells[i].execution_count or 0 for i in above or places if not _has_failed(cells[i])}
        newest = max(counts, key=lambda i: counts[i], default=active)
        if counts.get(newest) and (not above or 0 < (cells[above[-1]].execution_count or 0) < counts[newest]):
            found[newest] = counts[newest]
    return sorted(found, key=lambda i: found[i])


def _once(cells: Iterable[Cell]) -> list[Cell]:
    found: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        found.setdefault((cell.type, cell.source.strip()), cell)
    return list(found.values())


def _neighbours(above: Sequence[Cell], language: str) -> list[str]:
    code = (cell for cell in reversed(above) if cell.type == "code" and cell.source.strip())
    own = (cell.source[-NEIGHBOUR:] for cell in code if language_of(cell, language) == language)
    return [*islice(own, NEIGHBOURS)]


def _above(cells: Sequence[Cell], language: str, wanted: frozenset[str]) -> Iterator[tuple[str, int]]:
    ran = any(cell.execution_count for cell in cells)
    for number, cell in enumerate(cells, 1):
        text = render_cell(cell, language, TASK_LINES if number == len(cells) else COMMENT_LINES)
        if not text:
            continue
        if language_of(cell, language) != language:
            rank = NARRATIVE
        else:
            rank = CODE if cell.execution_count or not ran else DOUBTFUL
            text = "\n".join([text, *_shown(cell, language)])
        for part in _split(text + SEPARATOR):
            yield part, DOUBTFUL if _has_failed(cell) else _rank(part, rank, wanted)


def _rank(part: str, rank: int, wanted: frozenset[str]) -> int:
    return USED if rank != NARRATIVE and wanted & defined(part.strip("\n")) else rank


def _own(left: str, wanted: frozenset[str]) -> Iterator[tuple[str, int]]:
    """The active cell's parts; the last one, with the cursor, is there even if empty."""
    for part in _split(left):
        yield part, _rank(part, CODE, wanted)


def _split(text: str) -> list[str]:
    if len(text) < PART:
        return [text]
    parts, start = [], 0
    for border in _BORDER.finditer(text, PART - 1):
        length = border.end() - start
        if length >= 2 * PART or (length >= PART and text[border.start() - 1] == "\n"):
            parts.append(text[start : border.end()])
            start = border.end()
    return [*parts, text[start:]]


def _comments(
    lines: Sequence[str], language: str, wanted: frozenset[str] | None = None
) -> list[tuple[str, int]]:
    """Each line a comment; facts, or else signatures, of which the ``wanted`` count more."""
    mark = comment_mark(language)
    texts = [f"{mark} {' '.join(line.split())}\n" for line in lines]
    if texts:
        texts[-1] += "\n"
    return [(text, FACT if wanted is None else _signature_rank(text, wanted)) for text in texts]


def _signature_rank(line: str, wanted: frozenset[str]) -> int:
    """``place.py: def name(...)``, of which the place's name or the function's may be used."""
    place, _, signature = line.partition(": ")
    return USED if wanted & (used(place) | defined(signature)) else DOUBTFUL


def _has_failed(cell: Cell) -> bool:
    return any(output.type == "error" for output in cell.outputs)


def _failure(cell: Cell) -> list[str]:
    """What to know of the active cell's last run: its error, and the line that raised it."""
    error = next((output for output in reversed(cell.outputs) if output.type == "error"), None)
    if error is None:
        return []
    said = ": ".join(filter(None, (error.name, error.value)))
    return [f"This cell failed: {said}", *([f"in the line: {error.line}"] if error.line.strip() else [])]


def _shown(cell: Cell, language: str) -> list[str]:
    """The first lines that a cell's last run showed, as comments."""
    texts = (output.text for output in cell.outputs if output.type == "text")
    lines = [line for line in chain.from_iterable(map(str.splitlines, texts)) if line.strip()]
    return [_as_comment(map(_sentences, lines[:OUTPUT_LINES]), language)] if lines else []
