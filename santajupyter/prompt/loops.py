"""A text that says the same over and over to its end."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A unit of so many characters, so many times, up to the end; "0, 0, 0, 0" is still a list's beginning.
LOOP_UNITS = range(2, 61)
LOOP_TIMES = 4
LOOP_LENGTH = 16
INDENTATION = re.compile(r"\n[ \t]+")
# A loop goes with the line that it begins in, if its first round ends within so many characters of that
# line's beginning; the first line is the first that says anything. So much of a line waits in a stream.
LOOP_FIRST_LINE = 12
LOOP_LINE = 40
# Characters in which a loop that goes on is looked for.
LOOP_REACH = 400


def without_loop(text: str, ended: bool) -> str:
    """Up to the line before the loop; also where it goes deeper each time.

    If that line was begun long before, it stays, with the first round. ``ended``: the text does; otherwise
    what is left of every text that begins so.
    """
    flat = INDENTATION.sub("\n", text)
    end = _loop(flat) if ended else _loop_to_be(flat)
    if end == len(flat):
        return text
    number, column = flat.count("\n", 0, end), end - (flat.rfind("\n", 0, end) + 1)
    *before, line = text.split("\n", number)
    indent = len(line) - len(line.lstrip(" \t")) if before else 0
    return "\n".join([*before, line[: indent + column]]).rstrip()


def _loop(flat: str) -> int:
    """Where the text ends without the loop at its end."""
    end = length = len(flat)
    for size in LOOP_UNITS:
        unit, start = flat[-size:], length - size * LOOP_TIMES
        if start < 0 or flat[start:] != unit * LOOP_TIMES:
            continue
        while start >= size and flat.startswith(unit, start - size):
            start -= size
        if length - start >= LOOP_LENGTH:
            end = min(end, _loop_end(flat, start, size))
    return end


def _loop_to_be(flat: str) -> int:
    """Where the text may end at least, if what comes makes a loop of its end."""
    length = len(flat)
    base = max(0, length - LOOP_REACH)
    # One whose first round isn't over yet takes a line back that has just begun.
    lines = [0, *_newlines(flat, max(base, length - LOOP_LINE - 1), length)]
    end = next((line for line in lines if length - _begin(flat, line) <= _limit(flat, line)), length)
    for size in LOOP_UNITS:
        at = length  # from here on all is as it was so many characters before
        while at - 1 - size >= base and flat[at - 1] == flat[at - 1 - size]:
            at -= 1
        if at < length and at - 1 - size < base and base:
            return 0  # it has begun long ago
        if at < length:
            start = at - size
            newline = next(iter(_newlines(flat, start, at)), at)
            end = min(end, _loop_end(flat, start, size), newline if size <= LOOP_LINE + 1 else at)
    return end


def _loop_end(flat: str, start: int, size: int) -> int:
    """Where a text ends without the loop that begins at ``start`` with units of this size."""
    line = start if flat[start] == "\n" else max(0, flat.rfind("\n", 0, start))
    first_round = start + size
    return line if first_round - _begin(flat, line) <= _limit(flat, line) else first_round


def _begin(flat: str, line: int) -> int:
    """Where the line begins whose newline is at ``line``; the first one has none."""
    return line + 1 if flat[line : line + 1] == "\n" else line


def _limit(flat: str, line: int) -> int:
    return LOOP_LINE if flat[:line].strip() else LOOP_FIRST_LINE


def _newlines(flat: str, start: int, end: int) -> Iterator[int]:
    at = flat.find("\n", start, end)
    while at >= 0:
        yield at
        at = flat.find("\n", at + 1, end)
