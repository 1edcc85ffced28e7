"""Where the user types, split once, with as much of the notebook around it as a prompt may hold.

All that follows in this room works on an :class:`Excerpt`, so nothing in it looks at more than that,
however large the request was. What is left out is left out in large steps: the prompt stays the same from
key to key, and with it the prompt cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..protocol import Cell
from .languages import language_of

# Characters above and below the cursor that are looked at; no window reaches further.
REACH_ABOVE = 150_000
REACH_BELOW = 50_000
REACH_STEP = 50_000
# What a cell counts at least, so that very many small ones have a bound, too.
SMALLEST_CELL = 40
# No name is longer.
LONGEST_WORD = 200


@dataclass(frozen=True)
class Cursor:
    """A text split where the user types: what is ``left`` and ``right`` of there."""

    left: str
    right: str

    @classmethod
    def at(cls, text: str, offset: int) -> Cursor:
        """``offset`` in code points from the text's beginning."""
        return cls(text[:offset], text[offset:])

    @cached_property
    def above(self) -> str:
        """The whole lines above the cursor's, with the newline that ends them."""
        return self.left[: self.left.rfind("\n") + 1]

    @cached_property
    def line_left(self) -> str:
        """The cursor's line up to the cursor."""
        return self.left[len(self.above) :]

    @cached_property
    def line_right(self) -> str:
        """The cursor's line from the cursor on."""
        return self.right[: len(self.right) - len(self.below)]

    @cached_property
    def below(self) -> str:
        """The whole lines below the cursor's, with the newline before them."""
        end = self.right.find("\n")
        return self.right[end:] if end >= 0 else ""

    @cached_property
    def before_word(self) -> str:
        """``left`` without the word that is being typed."""
        tail = self.line_left[-LONGEST_WORD:]
        end = len(tail)
        while end and (tail[end - 1].isalnum() or tail[end - 1] == "_"):
            end -= 1
        return self.left[: len(self.left) - len(tail) + end]


@dataclass(frozen=True)
class Excerpt:
    """The cells around the active one, ``cells[active]``, whose source is the cursor's left and right.

    ``first``: how many cells of the notebook stand before them.
    """

    cells: Sequence[Cell]
    active: int
    cursor: Cursor
    first: int = 0


def excerpt(cells: Sequence[Cell], active: int, offset: int, language: str = "python") -> Excerpt:
    """What counts of a notebook in ``language``, the cursor ``offset`` code points into ``cells[active]``.

    Cells go as a whole. Of one that is too long by itself the lines stay that are nearest the cursor; of
    what isn't the notebook's own code the first ones, since they say what it is.
    """
    first, last = _reach(cells, active)
    cursor = Cursor.at(cells[active].source, offset)
    cursor = Cursor(_ending(cursor.left, REACH_ABOVE), _beginning(cursor.right, REACH_BELOW))
    return Excerpt(
        [
            *(_cut(cell, REACH_ABOVE, language) for cell in cells[first:active]),
            replace(cells[active], source=cursor.left + cursor.right),
            *(_cut(cell, REACH_BELOW) for cell in cells[active + 1 : last]),
        ],
        active - first,
        cursor,
        first,
    )


def _reach(cells: Sequence[Cell], active: int) -> tuple[int, int]:
    """The first cell to look at, and one after the last; those far above go in large steps."""
    excess = -REACH_ABOVE
    for number in range(active):
        excess += max(SMALLEST_CELL, len(cells[number].source))
    excess = math.ceil(max(0, excess) / REACH_STEP) * REACH_STEP
    first = 0
    while excess > 0 and first < active - 1:
        excess -= max(SMALLEST_CELL, len(cells[first].source))
        first += 1
    room, last = REACH_BELOW, active + 1
    while last < len(cells) and room > 0:
        room -= max(SMALLEST_CELL, len(cells[last].source))
        last += 1
    return first, last


def _cut(cell: Cell, reach: int, language: str | None = None) -> Cell:
    """The cell's beginning, or its end if it is code in ``language``."""
    if len(cell.source) <= reach:
        return cell
    is_own = language is not None and language_of(cell, language) == language
    return replace(cell, source=(_ending if is_own else _beginning)(cell.source, reach))


def _ending(text: str, reach: int) -> str:
    """The text's last lines. Where they begin moves in steps, while the text grows at its end."""
    if len(text) <= reach:
        return text
    start = math.ceil((len(text) - reach) / REACH_STEP) * REACH_STEP
    line = text.find("\n", start, start + REACH_STEP) + 1
    return text[line or start :]


def _beginning(text: str, reach: int) -> str:
    """The text's first lines."""
    if len(text) <= reach:
        return text
    end = text.rfind("\n", reach // 2, reach)
    return text[: end if end >= 0 else reach]
