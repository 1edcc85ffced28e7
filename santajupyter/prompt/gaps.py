"""What may stand between two pieces of Python's code: texts by example, for whether any makes them whole."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from .bounds import OPENERS, QUOTES, TOKEN, bounds

OPENS = {closer: opener for opener, closer in OPENERS.items()}
# An underscore stands for any name. What is tried first is likeliest.
BETWEEN = (
    *("", "_", ",", "=", "_,", "_=", ",_=", ":", "_:", "+", " _", "_ "),
    *(" _ in ", " in ", "import ", " import", "_ import"),
)
# Before a bracket that the text closes: a key wants its value.
BEFORE_CLOSED = ("", ":_")
STRING_END = re.compile(r"'''|\"\"\"|['\"]")
LAST_WORD = re.compile(r"(?<!\w)[a-z]*\Z")
FIRST_WORD = re.compile(r"[a-z]*(?!\w)")


def fits(left: str, right: str) -> bool:
    """Whether nothing has to be opened or closed between the two."""
    quote, stack = _open(left)
    unopened = _unopened(quote + right)
    return unopened is not None and stack.startswith(unopened)


def gaps(left: str, right: str, closing: bool) -> Iterator[str]:
    """Texts that leave no bracket or string open; ``closing``: those that close brackets of the left."""
    quote, stack = _open(left)
    for begun in dict.fromkeys((quote, "", *QUOTES)):
        unopened = _unopened(begun + right)
        if unopened is None:
            continue
        for closed, opening in _ways(stack, unopened):
            if bool(closed) is closing:
                tail = opening + begun
                ends = ("", "_", "_=") if opening and not begun else ("",)
                for before in BEFORE_CLOSED if closed else ("",):
                    head = quote + before + closed
                    yield from (head + text + tail + end for end in ends for text in BETWEEN)
    if not closing:
        yield from _keywords(left, right)


def _open(left: str) -> tuple[str, str]:
    """What closes the string that its end is in, and the brackets around that."""
    opened = bounds(left, len(left)).open
    quote = STRING_END.match(opened)
    return (quote[0], opened[quote.end() :]) if quote else ("", opened)


def _ways(stack: str, unopened: str) -> Iterator[tuple[str, str]]:
    """What closes brackets that are open on the left, and opens those that are closed on the right.

    Both as the innermost first; the fewest of them first.
    """
    for shared in range(min(len(stack), len(unopened)), -1, -1):
        closed, own = stack[: len(stack) - shared], unopened[: len(unopened) - shared]
        if stack[len(closed) :] == unopened[len(own) :]:
            yield closed, "".join(OPENS[closer] for closer in own[::-1])


def _unopened(code: str) -> str | None:
    """The brackets that close none of the code's own, whatever those within it lack; not those of strings.

    None where a string isn't closed.
    """
    unopened = stack = ""
    for match in TOKEN.finditer(code):
        mark = match["bracket"]
        if match["quote"] and not (match["end"] or match["end3"]):
            return None
        if mark in OPENERS:
            stack += OPENERS[mark]
        elif mark and mark in stack:
            stack = stack[: stack.rindex(mark)]
        elif mark:
            unopened += mark
    return unopened


def _keywords(left: str, right: str) -> Iterator[str]:
    """What makes a word of Python's own of ``impo`` on the left, or of ``rt numpy`` on the right."""
    begun, ending = LAST_WORD.search(left), FIRST_WORD.match(right)
    head, tail = begun[0] if begun else "", ending[0] if ending else ""
    for word in keyword.kwlist:
        if head and tail and word != head + tail and word.startswith(head) and word.endswith(tail):
            yield word[len(head) : len(word) - len(tail)]
        if head and word != head and word.startswith(head):
            yield from (word[len(head) :] + end for end in (" ", " _", " _ "))
        if tail and word != tail and word.endswith(tail):
            yield from (before + word[: -len(tail)] for before in ("", " ", " _ ", "_ "))
