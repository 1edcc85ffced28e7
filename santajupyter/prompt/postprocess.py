"""Pure rules from what a model wrote to what goes in at the cursor.

:data:`RULES` is the whole chain, in order. Every rule takes the text and the place and
returns a beginning of the text, so a stream that grows can be shown as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from .document import Document
from .fim import ALL_TOKENS

OPENERS, CLOSERS, QUOTES = "([{", ")]}", "\"'`"
# Those that are HTML too may be meant.
SPECIAL_TOKEN = re.compile(
    "|".join(re.escape(token) for token in ALL_TOKENS - {"<s>", "</s>", "<bos>", "<eos>"})
)
# Characters above and below the cursor that are looked at.
REACH = 2000
# A shorter beginning of what stands right of the cursor may stand there by chance.
OVERLAP = 3
# A compound statement's colon or a brace; not a bracket, whose call mostly ends on its own line.
OPENS_BLOCK = re.compile(
    r"(^\s*(async|case|class|def|elif|else|except|finally|for|if|match|try|while|with)\b.*:|\{)\s*(#.*|//.*)?$"
)
CONTINUATIONS = ("elif", "else", "except", "finally", "case", "catch")
CONTINUES_STATEMENT = re.compile(rf"({'|'.join(CONTINUATIONS)})\b|[)\]}}]")
# A unit of 2 to 60 characters, four times and more, up to the end; "0, 0, 0, 0" is still a list's beginning.
LOOP = re.compile(r"(.{2,60}?)\1{3,}\Z", re.DOTALL)
LOOP_LENGTH = 16
INDENTATION = re.compile(r"\n[ \t]+")
LOOP_REACH = 400


@dataclass(frozen=True)
class Place:
    """Where the completion lands: the line left and right of the cursor, what stands above and

    below, and whether it may run over more than one line (``block``).
    """

    left: str
    right: str
    above: str
    below: str
    block: bool


def place(document: Document, mode: str = "auto", trigger: str = "automatic") -> Place:
    """Resolve the mode: in mid-line a line; at a line's end a block where the context opens one.

    An empty line that only continues a block is offered one line; an explicit ``invoke`` a block.
    """
    above, _, left = document.prefix.rpartition("\n")
    right, _, below = document.suffix.partition("\n")
    if mode == "auto":
        opener = left if left.strip() else above.rstrip().rpartition("\n")[2]
        block = not right.strip() and (trigger == "invoke" or bool(OPENS_BLOCK.search(opener)))
    else:
        block = mode == "block"
    return Place(left=left, right=right, above=above[-REACH:], below=below[:REACH], block=block)


class Stream:
    """What a user sees of one candidate while it streams."""

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._raw = self._visible = ""
        self.finished = False

    def add(self, delta: str) -> str:
        """Take the next piece of raw text; return what it adds to the visible text."""
        self._raw += delta
        if self._place is None:
            return delta
        self.finished = finished(self._raw, self._place)
        visible = clean(self._raw, self._place)
        if not visible.startswith(self._visible):
            return ""
        new, self._visible = visible[len(self._visible) :], visible
        return new


def clean(text: str, place: Place, cut_off: bool = False) -> str:
    """What may be shown of ``text``; "" when nothing in it is worth showing.

    ``cut_off``: the model hadn't ended; of a block, only whole lines are worth accepting then.
    """
    whole, _, _ = text.rpartition("\n")
    if cut_off and place.block and whole.strip():
        text = whole
    for rule in RULES:
        text = rule(text, place)
    return text


def finished(text: str, place: Place) -> bool:
    """Whether nothing that follows ``text`` could be shown: the model may stop."""
    if not place.block:
        return "\n" in text
    lines = text.split("\n")
    begun = lines[-1].lstrip()
    if begun and any(word.startswith(begun) for word in CONTINUATIONS):
        lines.pop()
    return _block_length(lines, place)[1]


def _special_token(text: str, place: Place) -> str:
    """Where a model spells one of its own tokens, what it had to say is over."""
    found = SPECIAL_TOKEN.search(text)
    return text[: found.start()] if found else text


def _end_of_line(text: str, place: Place) -> str:
    return text if place.block else text.partition("\n")[0]


def _end_of_block(text: str, place: Place) -> str:
    """Up to the last line of the block that has something on it."""
    lines = text.split("\n")
    return "\n".join(lines[: _block_length(lines, place)[0]])


def _block_length(lines: list[str], place: Place) -> tuple[int, bool]:
    """How many lines belong to the block, and whether a line that doesn't follows them.

    A line leaves the block when it is less indented than the cursor's line; as far indented
    after a line that opened a block; or, at top level, when it begins a new paragraph or
    statement after an indented one. Closing brackets, else, except and the like stay.
    """
    base = _indent(place.left)
    opened = bool(place.left.strip()) and bool(OPENS_BLOCK.search(place.left))
    kept, deeper, blank = 1, False, False
    for number, line in enumerate(lines[1:], 1):
        if not line.strip():
            blank = True
            continue
        indent = _indent(line)
        stays = bool(CONTINUES_STATEMENT.match(line.lstrip()))
        new_paragraph = base == 0 and (deeper or (blank and any(map(str.strip, lines[:number]))))
        if indent < base or (indent == base and not stays and (opened or new_paragraph)):
            return kept, True
        kept, deeper, blank = number + 1, deeper or indent > base, False
    return kept, False


def _loops(text: str, place: Place) -> str:
    """A model that says the same over and over to the end has lost the thread: back to the line before.

    Also where it goes deeper each time.
    """
    flat = INDENTATION.sub("\n", text)
    tail = flat[-LOOP_REACH:]
    loop = LOOP.search(tail)
    if not loop or len(loop[0]) < LOOP_LENGTH:
        return text
    before = flat[: len(flat) - len(tail) + loop.start() + 1].count("\n")
    return "\n".join(text.split("\n")[:before])


def _repeats_below(text: str, place: Place) -> str:
    """A completion that is the next line over again says nothing."""
    following = next((line for line in place.below.split("\n") if line.strip()), "")
    first = (place.left + text).partition("\n")[0] if text.strip() else ""
    return "" if first and first.strip() == following.strip() and len(first.strip()) > 1 else text


def _repeats_above(text: str, place: Place) -> str:
    """Nor does one that is no more than the line above over again."""
    line = (place.left + text + place.right).strip()
    again = len(line) > 1 and line == place.above.rstrip().rpartition("\n")[2].strip()
    return "" if again else text


def _closes_twice(text: str, place: Place) -> str:
    """Up to the bracket or quote that closes what is closed right of the cursor already."""
    here = _scan([*_paragraph(place.above.split("\n")[::-1])[::-1], place.left])
    after = _scan([place.right, *_paragraph(place.below.split("\n"))], here.quote)
    first, end = text.partition("\n")[0], len(text)
    if here.quote and place.right.startswith(here.quote) and not _scan([first], here.quote).quote:
        end = first.rfind(here.quote)
    if after.unopened:
        free, made = max(0, here.opened - len(after.unopened)), _scan(text.split("\n"), here.quote)
        if not place.right.strip():
            free += made.opened  # what it opens in turn is closed by what was there
        end = min([end, *made.unopened[free:]])
    line = text[:end].rpartition("\n")
    return line[0] if end < len(text) and not line[2].strip() else text[:end]


@dataclass(frozen=True)
class _Scan:
    """Of some lines: brackets left open, the places of closers that close none, an open quote."""

    opened: int
    unopened: list[int]
    quote: str


def _scan(lines: Sequence[str], quote: str = "") -> _Scan:
    opened, unopened, start, last = 0, [], 0, quote
    for line in lines:
        escaped = False
        for at, mark in enumerate(line, start):
            if quote:
                quote = "" if mark == quote and not escaped else quote
                escaped = mark == "\\" and not escaped
            elif mark in QUOTES:
                quote = mark
            elif mark in OPENERS:
                opened += 1
            elif mark in CLOSERS and opened:
                opened -= 1
            elif mark in CLOSERS:
                unopened.append(at)
        start += len(line) + 1
        last, quote = quote, ""
    return _Scan(opened, unopened, last)


def _paragraph(lines: Iterable[str]) -> list[str]:
    """The lines up to a blank one; comments may hold any bracket."""
    taken = takewhile(str.strip, lines)
    return ["" if line.lstrip().startswith(("#", "//")) else line[:REACH] for line in taken]


def _repeats_right(text: str, place: Place) -> str:
    """Up to where it goes on with what stands right of the cursor, or with a beginning of that."""
    right = place.right.rstrip()
    first = text.partition("\n")[0].rstrip()
    if not right.strip(CLOSERS + QUOTES):
        return text  # brackets are counted, not compared
    beginnings = range(min(len(right) - 1, len(first)), OVERLAP - 1, -1)
    for end in (right, *(right[:length] for length in beginnings)):
        body = first[: -len(end)]
        if first.endswith(end) and _closes_none(body, end):
            return body
    return text


def _closes_none(body: str, end: str) -> bool:
    """Whether what ``end`` begins with closes nothing that ``body`` opened itself."""
    return end[0] not in CLOSERS or not _scan([body]).opened


def _only_space(text: str, place: Place) -> str:
    return text if text.strip() else ""


def _indent(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


RULES: tuple[Callable[[str, Place], str], ...] = (
    _special_token,
    _end_of_line,
    _end_of_block,
    _loops,
    _closes_twice,
    _repeats_right,
    _repeats_below,
    _repeats_above,
    _only_space,
)
