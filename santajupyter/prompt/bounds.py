"""What is open at a place in Python's code, by its marks alone: it needn't parse."""

from __future__ import annotations

import re
from typing import NamedTuple

OPENERS = {"(": ")", "[": "]", "{": "}"}
QUOTES = ("'", '"')
TEXT_QUOTES = ("'''", '"""')
# A string that isn't closed ends with its line, or in three quotes with the code.
TOKEN = re.compile(
    r"#[^\n]*|(?P<newline>\n)|\\\n|(?P<bracket>[()\[\]{}])"
    r"|(?P<prefix>\b[A-Za-z]{1,2})?(?P<quote>'''|\"\"\"|'|\")"
    r"(?:(?<='''|\"\"\")(?:\\.|[^\\])*?(?P<end3>(?P=quote)|\Z)"
    r"|(?<!'''|\"\"\")(?:\\.|(?!(?P=quote))[^\\\n])*(?P<end>(?P=quote)|))",
    re.DOTALL,
)


class Bounds(NamedTuple):
    """The statement around a place: its start and end, what closes it there (``open``) and at its end."""

    start: int
    end: int
    open: str
    closers: str


def bounds(code: str, at: int) -> Bounds:
    """Where it is open to the code's end, it ends with the line of ``at``, and with that the ``closers``."""
    line_end = code.find("\n", at)
    line_end = len(code) if line_end < 0 else line_end
    stack: list[str] = []
    start = 0
    opened: str | None = None
    closers: str | None = None
    for match in TOKEN.finditer(code):
        begin, end = match.span()
        if opened is None and begin >= at:
            opened = "".join(stack[::-1])
        if closers is None and begin >= line_end:
            closers = "".join(stack[::-1])
        if match["quote"]:
            is_closed = bool(match["end"] or match["end3"])
            if opened is None and (at < end or (at == end and not is_closed)):
                opened = string_end(match, at) + "".join(stack[::-1])
            if not is_closed and end in (line_end, len(code)):
                stack.append(string_end(match, end))
        elif match["bracket"]:
            if match[0] in OPENERS:
                stack.append(OPENERS[match[0]])
            elif stack and stack[-1] == match[0]:
                stack.pop()
        elif match["newline"] and not stack:
            if begin >= at:
                return Bounds(start, begin, opened or "", "")
            start = end
    opened = "".join(stack[::-1]) if opened is None else opened
    if not stack:
        return Bounds(start, len(code), opened, "")
    return Bounds(start, line_end, opened, "".join(stack[::-1]) if closers is None else closers)


def first_open(code: str, at: int) -> int:
    """Where the first bracket or string begins that is opened from ``at`` on and open at the code's end.

    The code's length where there is none.
    """
    opened: list[tuple[int, str]] = []
    for match in TOKEN.finditer(code):
        if match["quote"] and not (match["end"] or match["end3"]) and match.end() == len(code):
            opened.append((match.start(), ""))
        elif match["bracket"] and match[0] in OPENERS:
            opened.append((match.start(), OPENERS[match[0]]))
        elif match["bracket"] and opened and opened[-1][1] == match[0]:
            opened.pop()
    return next((start for start, _ in opened if start >= at), len(code))


def string_end(match: re.Match[str], at: int) -> str:
    """What closes the string at a place in it."""
    inside = match[0][: at - match.start()].replace("{{", "").replace("}}", "")
    is_in_field = "f" in (match["prefix"] or "").lower() and inside.count("{") > inside.count("}")
    return ("}" if is_in_field else "") + match["quote"]
