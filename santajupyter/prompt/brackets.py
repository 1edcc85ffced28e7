"""The brackets and quotes of lines, by their marks alone: what a model writes needn't parse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

OPENERS, CLOSERS, QUOTES = "([{", ")]}", "\"'`"
MARKS = re.compile(r"[()\[\]{}\"'`\\]")


@dataclass(frozen=True)
class Scan:
    """Of some lines: brackets left open, the places of closers that close none, an open quote."""

    opened: int
    unopened: list[int]
    quote: str


def scan(lines: Sequence[str], quote: str = "") -> Scan:
    """``quote``: what is open at the beginning. None goes on to the next line."""
    opened, unopened, start, last = 0, [], 0, quote
    for line in lines:
        brackets, last = brackets_of(line, quote)
        for at, mark in brackets:
            if mark in OPENERS:
                opened += 1
            elif opened:
                opened -= 1
            else:
                unopened.append(start + at)
        start, quote = start + len(line) + 1, ""
    return Scan(opened, unopened, last)


def brackets_of(line: str, quote: str) -> tuple[list[tuple[int, str]], str]:
    """The brackets outside of strings with their places, and the quote that is open at the line's end."""
    found, escaped = [], -1
    for match in MARKS.finditer(line):
        mark, at = match[0], match.start()
        if quote:
            if mark == "\\" and at != escaped:
                escaped = at + 1
            elif mark == quote and at != escaped:
                quote = ""
        elif mark in QUOTES:
            quote = mark
        elif mark != "\\":
            found.append((at, mark))
    return found, quote


def paragraph(lines: Iterable[str]) -> list[str]:
    """The lines up to a blank one; comments may hold any bracket."""
    taken = takewhile(str.strip, lines)
    return ["" if line.lstrip().startswith(("#", "//")) else line for line in taken]


def opened_before(line: str) -> list[int]:
    """How many brackets are open before each character."""
    counts, opened, start = [], 0, 0
    for at, mark in brackets_of(line, "")[0]:
        counts += [opened] * (at + 1 - start)
        start, opened = at + 1, max(0, opened + (1 if mark in OPENERS else -1))
    return counts + [opened] * (len(line) + 1 - start)
