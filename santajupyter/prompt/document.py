"""Cells -> one program text, split at the cursor, and what of it goes first when space is short.

Code stands as it is, markdown and foreign-language cells become comments of the
notebook's language, raw cells are left out. santa-mini is trained on
:func:`render`'s output, so a change here is a change of its training data.

What a decision depends on must not change from key to key, or the prompt cache is of no use:
it is made of the other cells and of those lines of the active cell that the cursor has left.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, islice, pairwise
from typing import NamedTuple

from ..protocol import Cell
from .cursor import Cursor, Excerpt
from .languages import comment_mark, language_of
from .names import bound, defined, used

SEPARATOR = "\n\n"

# A longer comment keeps its headings and first lines, a longer line its first sentences.
COMMENT_LINES = 8
COMMENT_LINE = 240
# An embedded image, a key, a hash: nothing that anybody reads. Other alphabets write without spaces.
_UNREADABLE = re.compile(r"[!-'*-~]{100,}")
# The text right above the active cell says what is to be done there.
TASK_LINES = 40
OUTPUT_LINES = 3
FACTS = 60

# Segments are cut at a blank line before a line that isn't indented, from this many characters on; from
# twice as many at any line that isn't.
SEGMENT = 500
_BORDER = re.compile(r"\n(?=[^\s)\]}])")

# Lines of the active cell count when so many more are complete, and only those near the cursor.
STABLE_STEP = 4
STABLE_LINES = 40
STABLE_LINE = 400
# So many code cells above count with them, each with its last characters.
NEIGHBOURS = 2
NEIGHBOUR = 4_000

# Priorities of segments: the lower, the longer it stays.
FACT, USED, CODE, DOUBTFUL, NARRATIVE = range(5)


class Segment(NamedTuple):
    """So many characters of a prefix, and the priority that they have when space is short."""

    length: int
    priority: int


class Origin(NamedTuple):
    """So many characters of a text, and which of the excerpt's cells they are from; None: of none."""

    length: int
    cell: int | None


@dataclass(frozen=True)
class Document:
    """The program text left (``prefix``) and right (``suffix``) of the cursor.

    ``segments`` cover the prefix from its beginning; what follows them is never left out. ``origins`` cover
    all of the prefix, and ``origins_below`` all of the suffix. ``infill``: a blank suffix is one too.
    """

    prefix: str
    suffix: str
    language: str = "python"
    segments: tuple[Segment, ...] = field(default=(), compare=False)
    origins: tuple[Origin, ...] = field(default=(), compare=False)
    origins_below: tuple[Origin, ...] = field(default=(), compare=False)
    infill: bool = False

    @property
    def segment_texts(self) -> list[str]:
        ends = accumulate(segment.length for segment in self.segments)
        return [self.prefix[start:end] for start, end in pairwise([0, *ends])]


class _Text(NamedTuple):
    """A segment's text. Of its cell are the first ``own`` characters, or all where that is None."""

    text: str
    priority: int
    cell: int | None = None
    own: int | None = None

    def origins(self) -> list[Origin]:
        own = len(self.text) if self.own is None else self.own
        rest = len(self.text) - own
        return [Origin(own, self.cell), *([Origin(rest, None)] if rest else [])]


def document(
    where: Excerpt,
    language: str = "python",
    facts: Sequence[str] = (),
    modules: Sequence[str] = (),
) -> Document:
    """The notebook as its language's program, split at the cursor.

    ``modules`` (what imported files define) go before the first cell and ``facts`` (what the
    kernel knows) right above the active one, each a comment of one line.
    """
    cell, cursor = where.cells[where.active], where.cursor
    cells, own = where.cells, language_of(cell, language)
    if own == "markdown":
        facts = ()
    elif own != language:
        cells, language = _in_foreign_eyes(cells, language, own), own
    stable = _stable(cursor)
    above, below = _in_order(cells, where.active, language, used(stable) - bound(stable))
    names = used("\n".join([stable, *_neighbours([cells[n] for n in above], language)]))
    prefix = [
        *_comments(modules, language, names),
        *_above(cells, above, language, names),
        *_comments([*facts[:FACTS], *_failure(cell)], language),
        *_active(cursor.left, where.active, names),
    ]
    suffix = [_Text(cursor.right, CODE, where.active), *_below(cells, below, language)]
    return Document(
        prefix="".join(text.text for text in prefix),
        suffix="".join(text.text for text in suffix),
        language=own,
        segments=tuple(Segment(len(text.text), text.priority) for text in prefix[:-1]),
        origins=tuple(chain.from_iterable(text.origins() for text in prefix)),
        origins_below=tuple(chain.from_iterable(text.origins() for text in suffix)),
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


def _in_foreign_eyes(cells: Sequence[Cell], language: str, own: str) -> list[Cell]:
    """For a cell in another language the notebook's own code is what becomes comments."""
    return [
        replace(cell, type="markdown") if cell.type == "code" and language_of(cell, language) != own else cell
        for cell in cells
    ]


def _as_comment(lines: Iterable[str], language: str) -> str:
    mark = comment_mark(language)
    return "\n".join(f"{mark} {line.rstrip()}" for line in lines)


def _gist(source: str, most: int) -> list[str]:
    """The lines that aren't blank; of more than ``most`` the headings with a line each, and the first."""
    lines = [line for line in source.split("\n") if line.strip()]
    heads = [line.startswith("#") or before.startswith("#") for before, line in pairwise(["#", *lines])]
    kept = sorted(sorted(range(len(lines)), key=lambda i: (not heads[i], i))[:most])
    return [_sentences(lines[i]) for i in kept]


def _sentences(line: str) -> str:
    """The line, or as many whole sentences or else words as COMMENT_LINE has room for."""
    line = _UNREADABLE.sub("", line)
    if len(line) <= COMMENT_LINE:
        return line
    begun = line[:COMMENT_LINE]
    end = begun.rfind(". ") + 1 or begun.rfind(" ")
    return begun[:end] if end > 0 else begun


def _stable(cursor: Cursor) -> str:
    """Lines around the cursor's own; those above count STABLE_STEP at a time."""
    above, below = cursor.above.split("\n")[:-1], cursor.below.split("\n", STABLE_LINES)[1:]
    whole = len(above) // STABLE_STEP * STABLE_STEP
    lines = [*above[max(0, whole - STABLE_LINES) : whole], *below[: STABLE_LINES - 1]]
    return "\n".join(line[:STABLE_LINE] for line in lines)


def _in_order(
    cells: Sequence[Cell], active: int, language: str, names: frozenset[str]
) -> tuple[list[int], list[int]]:
    """The numbers of the cells that stand above the cursor's, and below; each source once: the nearest.

    The document's order, but for the cells of :func:`_latest`: they come last of the code above.
    """
    near = [*range(active), *range(active + 1, len(cells))]
    code = [i for i in near if cells[i].type == "code" and language_of(cells[i], language) == language]
    latest = _latest(cells, code if names else (), active, names)
    moved = frozenset(latest)
    above = [i for i in near if i < active and i not in moved]
    below = [i for i in near if i > active and i not in moved]
    end = next((n for n in range(len(above), 0, -1) if cells[above[n - 1]].type == "code"), 0)
    above[end:end] = latest
    return _once(cells, reversed(above))[::-1], _once(cells, below)


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


def _once(cells: Sequence[Cell], numbers: Iterable[int]) -> list[int]:
    found: dict[tuple[str, str], int] = {}
    for number in numbers:
        found.setdefault((cells[number].type, cells[number].source.strip()), number)
    return list(found.values())


def _neighbours(above: Sequence[Cell], language: str) -> list[str]:
    code = (cell for cell in reversed(above) if cell.type == "code" and cell.source.strip())
    own = (cell.source[-NEIGHBOUR:] for cell in code if language_of(cell, language) == language)
    return [*islice(own, NEIGHBOURS)]


def _above(
    cells: Sequence[Cell], numbers: Sequence[int], language: str, names: frozenset[str]
) -> Iterator[_Text]:
    ran = any(cells[number].execution_count for number in numbers)
    for number in numbers:
        cell = cells[number]
        source = render_cell(cell, language, TASK_LINES if number == numbers[-1] else COMMENT_LINES)
        if not source:
            continue
        if language_of(cell, language) != language:
            text, priority = source, NARRATIVE
        else:
            text = "\n".join([source, *_shown(cell, language)])
            priority = CODE if cell.execution_count or not ran else DOUBTFUL
        left = len(source)
        for piece in _split(text + SEPARATOR):
            level = DOUBTFUL if _has_failed(cell) else _priority(piece, priority, names)
            yield _Text(piece, level, number, max(0, min(left, len(piece))))
            left -= len(piece)


def _below(cells: Sequence[Cell], numbers: Sequence[int], language: str) -> Iterator[_Text]:
    for number in numbers:
        if text := render_cell(cells[number], language):
            yield _Text(SEPARATOR + text, CODE, number)


def _active(left: str, active: int, names: frozenset[str]) -> Iterator[_Text]:
    """The active cell's segments; the last one, with the cursor, is there even if empty."""
    *before, last = _split(left)
    for piece in before:
        yield _Text(piece, _priority(piece, CODE, names), active)
    yield _Text(last, CODE, active)


def _priority(text: str, priority: int, names: frozenset[str]) -> int:
    return USED if priority != NARRATIVE and names & defined(text.strip("\n")) else priority


def _split(text: str) -> list[str]:
    if len(text) < SEGMENT:
        return [text]
    parts, start = [], 0
    for border in _BORDER.finditer(text, SEGMENT - 1):
        length = border.end() - start
        if length >= 2 * SEGMENT or (length >= SEGMENT and text[border.start() - 1] == "\n"):
            parts.append(text[start : border.end()])
            start = border.end()
    return [*parts, text[start:]]


def _comments(lines: Sequence[str], language: str, names: frozenset[str] | None = None) -> list[_Text]:
    """Each line a comment; facts, or else signatures, of which those of ``names`` count more."""
    mark = comment_mark(language)
    texts = [f"{mark} {' '.join(line.split())}\n" for line in lines]
    if texts:
        texts[-1] += "\n"
    return [_Text(text, FACT if names is None else _signature_priority(text, names)) for text in texts]


def _signature_priority(line: str, names: frozenset[str]) -> int:
    """``place.py: def name(...)``, of which the place's name or the function's may be used."""
    place, _, signature = line.partition(": ")
    return USED if names & (used(place) | defined(signature)) else DOUBTFUL


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
