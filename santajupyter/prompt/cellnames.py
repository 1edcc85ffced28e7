"""The names that a cell's code brings and uses, with the lines that IPython reads and Python doesn't."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ..protocol import Cell
from .languages import language_of
from .names import Remembered, bound, imported, used
from .pythoncode import AT_ONCE, UNPARSED, borders, compiled
from .scopes import ANY, Names, read

# Longer cells aren't read at all: a regular expression keeps others waiting for as long as it searches.
MAX_READ = 100_000
# Lines that IPython reads, not Python, where ``% x`` and ``!= x`` go on with the line above.
MAGIC = re.compile(
    r"^([ \t]*)(?:%(?:%?[^\W\d][^\n]*|%![^\n]*|[ \t]*)|!(?!=)[^\n]*|[\w.]+\?\??[ \t]*|\?[^\n]*)$",
    re.MULTILINE,
)
ASSIGNED_MAGIC = re.compile(r"^([ \t]*[\w,.][\w, .]*=[ \t]*)[%!][^\n]*$", re.MULTILINE)
# Those that bring names from elsewhere.
BRINGS_NAMES = re.compile(r"^[ \t]*%(?:load|pylab|run|store)\b", re.MULTILINE)
WORD = re.compile(r"[^\W\d]\w*")


def masked(code: str) -> str:
    """The code with something as long for Python in place of IPython's own lines."""
    if not any(mark in code for mark in "%!?"):
        return code

    def plain(match: re.Match[str]) -> str:
        room = len(match[0]) - len(match[1])
        return match[1] + ("pass".ljust(room) if room >= 4 else "0".ljust(room))

    return MAGIC.sub(plain, ASSIGNED_MAGIC.sub(lambda match: (match[1] + "0").ljust(len(match[0])), code))


@Remembered
def given(code: str) -> frozenset[str]:
    """The names that a cell leaves behind; ANY among them where that can't be told."""
    return frozenset(_told(code, False))


@Remembered
def mentioned(code: str) -> frozenset[str]:
    """Those, and what it uses without having it: somebody else has."""
    return frozenset(_told(code, True))


def of_magics(code: str) -> Iterator[str]:
    """The names that magics may bring; ANY among them where that can't be told."""
    if BRINGS_NAMES.search(code):
        yield ANY
    for match in MAGIC.finditer(code):
        yield from WORD.findall(match[0])


def _told(code: str, with_missing: bool) -> Iterator[str]:
    if len(code) > MAX_READ:
        yield ANY
        return
    yield from of_magics(code)
    if language_of(Cell(code), "python") != "python":
        return
    plain = masked(code)
    whole = _names(plain) if len(plain) <= AT_ONCE else None
    # Where one statement is unfinished the others still say what they do.
    pieces = [plain] if whole else [plain[a:b] for a, b in pairwise([0, *borders(plain), len(plain)])]
    for piece in pieces:
        names = whole or _names(piece)
        if names is None:
            yield from bound(piece) | imported(piece) | (used(piece) if with_missing else frozenset())
        else:
            yield from names.bound
            yield from names.missing if with_missing else ()


def _names(code: str) -> Names | None:
    try:
        return read(compiled(code))
    except UNPARSED:
        return None
