"""The statement around a cursor, and the ways in which what is unfinished there can be finished."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

from .bounds import QUOTES, TEXT_QUOTES, TOKEN, bounds, first_open
from .cellnames import MAGIC, masked
from .cursor import Cursor
from .gaps import fits, gaps
from .pythoncode import UNPARSED, borders, compiled, parsed

# Longer statements of the top level aren't judged: the parser takes 1 to 2 ms for 1,000 characters.
MAX_JUDGED = 4000
# So many ways to finish a statement are tried, with so many of the brackets at the cursor closed there.
MAX_TRIED = 30
MAX_CLOSED = 4
# Of texts by example so many characters are parsed at most.
MAX_PROBED = 6000
# What may come next where a completion ends, in a statement that has the word; the first that does is taken.
ENDINGS = (
    *(("", ""), ("_", ""), (" _", ""), ("=_", "("), (": _", "{"), (": _", "lambda"), (" else _", "if")),
    *((" in _", "for"), (" _ in _", "for"), (" import _", "from"), (" _ import _", "from")),
    *(("()", "def"), (" _()", "def")),
)
# What a statement needs before it, or after it, to be parsed by itself.
BEFORE = {
    "elif": "if _: pass\n",
    "else": "if _: pass\n",
    "except": "try: pass\n",
    "finally": "try: pass\n",
    "case": "match _:\n ",
}
AFTER = {"try": "\nfinally: pass"}
DECORATED = ("", "\ndef _(): pass")
# Of what follows a statement by itself the last one counts; where it stands in others each is tried.
BODIES = (("",), ("", " pass"), ("", ":", ": pass"))
CASES = (("",), ("", "\n case _: pass"), ("", ":", ":\n case _: pass"))
# Code right of the cursor that a text is held against; not marks alone that close something.
JOINED = re.compile(r"\A(?:[^\w#\n]*\w|[ \t]*[(\[{])")
WORD = re.compile(r"\w+")
WORDS = re.compile(r"\A\w\w")
# What may come on the line after one that goes on there.
CONTINUED = ("\n_", "\n+_")
COMPOUND = frozenset(["async", "class", "def", "for", "if", "match", "try", "while", "with", *BEFORE])
FIRST_WORD = re.compile(r"\s*(@|\w+)")
TAKES_VALUE = re.compile(r"(?<=[(,\s])\w+=\Z|[\"']:[ \t]*\Z")


def around(cursor: Cursor) -> Around | None:
    """None in a magic, and in a statement that is too long to be judged."""
    left, right = masked(cursor.above) + cursor.line_left, cursor.line_right + masked(cursor.below)
    if MAGIC.match(cursor.line_left + cursor.line_right) and cursor.line_left.strip():
        return None
    starts = [start for start in borders(left) if start <= len(left) - len(cursor.line_left)]
    start = starts[-2] if len(starts) > 1 else 0
    end = _end(left[start:], right, len(cursor.line_right))
    place = Around(left[:start], left[start:], right[:end], right[end:])
    return place if len(place.left) + len(place.right) <= MAX_JUDGED else None


def _end(left: str, right: str, line: int) -> int:
    """Where the statement ends on the right, no sooner than its line: not within a text in three quotes."""
    quote = bounds(left, len(left)).open[:3]
    if quote in TEXT_QUOTES and (closed := right.find(quote)) >= 0:
        line = max(line, closed + len(quote))
    return line + next((at for at in borders(right[line:]) if at), len(right) - line)


@dataclass(frozen=True)
class Around:
    """The statement of the top level around the cursor, the one before it as well: ``left``, ``right``.

    ``above``, ``below``: the rest of the cell. Without magics.
    """

    above: str
    left: str
    right: str
    below: str

    @property
    def lines(self) -> int:
        """What a line's number in the parser's count is less in the text, for the cursor's line."""
        return 1 + self.left.count("\n")

    def has_room(self, text: str) -> bool:
        return len(self.left) + len(text) + len(self.right) <= MAX_JUDGED

    def tree(self, text: str, ended: bool) -> ast.Module | int:
        """The statement with the text in it, finished somehow; or the text's line that is wrong.

        Where code stands right of the cursor, nothing else comes between the text and that.
        """
        left = self._with(text)
        if self.is_joined and self._is_one_word(text):
            return text.count("\n")
        try:
            return compiled(left + self.right)
        except UNPARSED as error:
            wrong = min(max(0, (getattr(error, "lineno", 0) or 0) - self.lines), text.count("\n"))
        for code in self._finished(left, ended):
            try:
                return compiled(code)
            except UNPARSED:
                continue
        return wrong

    def parses(self, text: str) -> bool:
        """Whether the statement does with the text and nothing else."""
        return _parses(self._with(text) + self.right)

    def could_end(self, text: str) -> bool:
        """Whether nothing has to come behind the text but a bracket's or string's end, a block, or what a

        parameter or a key is given.
        """
        left = self._with(text)
        with suppress(*UNPARSED):
            return bool(compiled(left + self.right))  # mostly known from the text's own check
        left = TAKES_VALUE.sub(r"\g<0>_", left)
        if self.right.partition("\n")[0].strip() and not self._leaves_open(text):
            return False
        opened = bounds(left + self.right, len(left)).open[:1]
        lefts = (left, f"{left}{opened}: _") if opened in QUOTES else (left,)
        return any(_parses(code) for way in lefts for code in self._finished(way, False, bare=True))

    def balanced(self, text: str) -> str:
        """Up to the first bracket or string that it opens and doesn't close; all of it before code."""
        if self.right.partition("\n")[0].strip():
            return text
        return text[: first_open(self.left + text, len(self.left)) - len(self.left)]

    def _leaves_open(self, text: str) -> bool:
        """Whether nothing is open behind it that wasn't before: the same, before a string's end."""
        before, behind = (bounds(code + self.right, len(code)).open for code in (self.left, self.left + text))
        is_ended = before.startswith(QUOTES) and self.right.startswith(before[:1])
        return behind == before if is_ended else before.endswith(behind)

    @property
    def is_joined(self) -> bool:
        """Whether nothing comes between a text and what stands right of the cursor."""
        return self.joined is not None

    @property
    def joined(self) -> ast.Module | None:
        """The statement with some text, where code stands right of the cursor in its line.

        Or what closes something that only the text can open, or in a string that only the text can close.
        None elsewhere, and where none is found.
        """
        return self._joined.tree

    @cached_property
    def _joined(self) -> _Joined:
        line = self.right.partition("\n")[0]
        if not line.strip() or not (JOINED.match(line) or self._lacks_something):
            return _Joined(None, False)
        left = MAX_PROBED
        for code, is_whole in self._with_examples():
            left -= len(code)
            with suppress(*UNPARSED):
                return _Joined(compiled(code), is_whole)
            if left < 0:
                break
        return _Joined(None, False)

    @property
    def _lacks_something(self) -> bool:
        """Whether the text has to open or close something, or nothing that comes further on can finish it."""
        finished = self._finished(self.left, False, joined=False)
        return not (fits(self.left, self.right) and any(map(_parses, finished)))

    def _with_examples(self) -> Iterator[tuple[str, bool]]:
        """The statement with each, and whether nothing comes further on."""
        yield self.left + self.right, True
        opening, closing = (gaps(self.left, self.right, closing) for closing in (False, True))
        further = ((code, False) for code in self._finished(self.left, False, joined=False))
        at_once = ((self.left + gap + self.right, True) for gap in closing)
        yield from ((self.left + gap + self.right, True) for gap in opening)
        # What closes brackets mostly comes further on, if it may.
        yield from chain(further, at_once) if fits(self.left, self.right) else chain(at_once, further)

    def _is_one_word(self, text: str) -> bool:
        """Whether the text's last word goes on to the right, though the cursor isn't within one.

        But for one that becomes a word of Python's own.
        """
        if not WORDS.match(text[-1:] + self.right[:1]):
            return False
        is_within = WORDS.match(self.left[-1:] + self.right[:1]) and WORD.fullmatch(text)
        return not (is_within or keyword.iskeyword(WORD.findall(text)[-1] + WORD.findall(self.right)[0]))

    def _with(self, text: str) -> str:
        line = self.left.rpartition("\n")[2]
        return self.left[: len(self.left) - len(line)] + masked(line + text)

    @property
    def line(self) -> str:
        """The cursor's, left and right of it."""
        return self.line_left + self.right.partition("\n")[0]

    @property
    def line_left(self) -> str:
        return self.left.rpartition("\n")[2]

    def without_right(self) -> Around:
        """The place with nothing right of the cursor in its line."""
        return replace(self, right=self.right[len(self.right.partition("\n")[0]) :])

    def open_string(self, text: str) -> str | None:
        """What stands so far in the string that the text leaves open; None for none."""
        code = self.left + text
        opened = bounds(code + self.right, len(code)).open
        quote = opened[:1] if opened.startswith(QUOTES) else ""
        return code.rpartition(quote)[2] if quote else None

    def without_line(self) -> ast.Module | None:
        """With something else in the cursor's line; None where what is written there begins nothing."""
        head = self.left.rpartition("\n")[2]
        blanks = head[: len(head) - len(head.lstrip())]
        opened = bounds(head, len(head)).open
        endings = islice(_endings(head, opened, bool(opened)), MAX_TRIED)
        if not any(_bodies(head.lstrip(), ending) for ending in endings):
            return None
        _, newline, below = self.right.partition("\n")
        for line in ("pass", "if _:", "elif _:", "try:"):
            with suppress(*UNPARSED):
                return compiled(self.left[: len(self.left) - len(head)] + blanks + line + newline + below)
        return None

    def _finished(
        self, left: str, ended: bool, bare: bool = False, joined: bool | None = None
    ) -> Iterator[str]:
        """Ways to finish it: what is open at the cursor may be closed there, or further on.

        ``bare``: nothing else comes at the cursor but a comma before a next line. ``joined``: nothing at all.
        """
        handler = _handler(left)
        if not self.right.partition("\n")[0].strip():
            left = _without_comment(left)
        joined = self.is_joined if joined is None else joined
        if joined and self.right[:1] in QUOTES:
            yield f"{left}{self.right[0]}: _{self.right[1:]}"  # a key's value comes behind its quote
        if joined and self._joined.is_whole:
            return
        endings = self._as_it_stands(left) if joined else self._endings(left, ended, bare)
        for start, ending, rest, below in islice(endings, MAX_TRIED):
            head = left[start:].lstrip()
            line = f"\n{left[start : len(left) - len(head)]}"
            for body in _bodies(head, ending + rest):
                yield (whole := left + ending + rest + body.replace("\n", line) + below)
                if handler:
                    yield whole + handler

    def _as_it_stands(self, left: str) -> Iterator[tuple[int, str, str, str]]:
        """The same with nothing at the cursor, where it leaves no more open than there was."""
        before, around = (bounds(code + self.right, len(code)) for code in (self.left, left))
        if len(around.closers) <= len(before.closers):
            code = left + self.right
            yield around.start, "", code[len(left) : around.end] + around.closers, code[around.end :]

    def _endings(self, left: str, ended: bool, bare: bool) -> Iterator[tuple[int, str, str, str]]:
        """Where the statement starts, what may come at the cursor, its rest, and what is below."""
        opened = bounds(left + self.right, len(left)).open[:MAX_CLOSED]
        counts = [*range(len(opened) + 1)]
        if opened.startswith(QUOTES) and not self.right.startswith(opened[:1]):
            counts.append(counts.pop(0))  # a string's end is nearer than that of another one on the right
        for closed in counts if opened or not ended else (0,):
            code = left + opened[:closed] + self.right
            around = bounds(code, len(left) + closed)
            rest = code[len(left) + closed : around.end] + around.closers
            head = code[around.start : len(left)]
            closers = opened[:closed]
            few = (closers, f"{closers},") if opened else ("",)
            is_few = bare or (ended and not opened)
            goes_on = CONTINUED if left.endswith("\\") else ()
            for ending in goes_on or (few if is_few else _endings(head, closers, bool(opened))):
                yield around.start, ending, rest, code[around.end :]

    def before_line(self, text: str, line: int) -> str:
        """The text without the statement that holds this line of it, and what follows."""
        at = sum(map(len, text.split("\n", line)[:line])) + line
        start = bounds(self.left + text, len(self.left) + at).start - len(self.left)
        return text[: max(0, start)].rstrip()


class _Joined(NamedTuple):
    """``is_whole``: with the text alone; nothing has to come further on."""

    tree: ast.Module | None
    is_whole: bool


def _endings(head: str, closers: str, is_open: bool) -> Iterator[str]:
    in_word = head[-1:].isalnum()  # "import" goes on, but not as a name
    for ending, word in ENDINGS:
        if word in head and not (in_word and ending == "_"):
            yield ending + closers
    if is_open:
        yield from (f"{closers},", f"{closers}: _,") if closers else (",", "_,")


def _bodies(head: str, rest: str) -> Sequence[str]:
    """What may follow a statement of which the ``head`` was written, none where it isn't one."""
    first = FIRST_WORD.match(head)
    word = first[1] if first else ""
    before, after = BEFORE.get(word, ""), AFTER.get(word, "")
    bodies: Sequence[Sequence[str]] = BODIES if word in COMPOUND else BODIES[:1]
    bodies = CASES if word == "match" else (DECORATED,) if word == "@" else bodies
    return next((body for body in bodies if _parses(before + head + rest + body[-1] + after)), ())


def _without_comment(code: str) -> str:
    """Without the one that it ends with: what finishes a statement would be a part of it."""
    if "#" not in code[code.rfind("\n") + 1 :]:
        return code
    *_, last = TOKEN.finditer(code)
    return code[: last.start()].rstrip(" \t") if last[0][0] == "#" and last.end() == len(code) else code


def _handler(left: str) -> str:
    """What ends the last try statement that isn't over yet."""
    found = [*re.finditer(r"^([ \t]*)try[ \t]*:", left, re.MULTILINE)]
    if not found:
        return ""
    indent = found[-1][1]
    over = re.search(rf"^{indent}(?:except|finally)\b", left[found[-1].end() :], re.MULTILINE)
    return "" if over else f"\n{indent}finally: pass"


def _parses(code: str) -> bool:
    try:
        parsed(code)
    except UNPARSED:
        return False
    return True
