"""Is a suggestion broken? It is held against Python's grammar, the names there are, and the kernel's objects.

Judged is only what the suggestion adds: a cell that didn't parse before needn't parse with it, and a name
or column that the user has written himself is his own affair. What is unfinished isn't broken: a beginning
that something can follow is sound.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import NamedTuple

from ..protocol import Cell, CompletionRequest
from .choices import Choice
from .cursor import Cursor
from .imports import statement, use
from .languages import language_of
from .names import Remembered, bound, imported, used
from .pythoncode import AT_ONCE, UNPARSED, borders, compiled, parsed
from .scopes import ALWAYS, ANY, Names, read
from .uses import Facts

# Longer statements of the top level aren't judged: the parser takes 1 to 2 ms for 1,000 characters.
MAX_JUDGED = 4000
# Longer cells aren't read at all: a regular expression keeps others waiting for as long as it searches.
MAX_READ = 100_000
# So many characters of the notebook are read for one name, or for what hasn't run: it takes 7 us for each.
MAX_LOOKED_THROUGH = 100_000
# So many words of a text that goes on are taken back to where it is sound; else none of it is.
MAX_BACK = 8
# Of one that has ended, so many words and signs.
MAX_PART = 16
# So many names may stand in the place of one that nobody has.
MAX_INSTEAD = 200
# So many ways to finish a statement are tried, with so many of the brackets at the cursor closed there.
MAX_TRIED = 30
MAX_CLOSED = 4
# What may come next where a completion ends, in a statement that has the word; the first that does is taken.
ENDINGS = (
    *(("", ""), ("_", ""), (" _", ""), ("=_", "("), (": _", "{"), (": _", "lambda"), (" else _", "if")),
    *((" in _", "for"), (" _ in _", "for"), (" import _", "from"), ("()", "def"), (" _()", "def")),
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
COMPOUND = frozenset(["async", "class", "def", "for", "if", "match", "try", "while", "with", *BEFORE])
FIRST_WORD = re.compile(r"\s*(@|\w+)")
# At the end of a text that goes on: a word and what it is an attribute of, or a number.
GROWING = re.compile(r"(?<![\w.])[\w.]+\Z")
WORD_LEFT = re.compile(r"(?<![\w.])[^\W\d]\w*\Z")
NEXT = re.compile(r"\W*\w+")
# The last word or sign.
LAST = re.compile(r"(?<!\w)\w+\Z|\W\Z")
CALLS = re.compile(r"(?<!\w)(\w+)\(\Z")
# What wants something after it.
ASKING = "-+*/%&|^=<>!"
OPENERS = {"(": ")", "[": "]", "{": "}"}
# A string that isn't closed ends with its line, or in three quotes with the code.
TOKEN = re.compile(
    r"#[^\n]*|(?P<newline>\n)|\\\n|(?P<bracket>[()\[\]{}])"
    r"|(?P<prefix>\b[A-Za-z]{1,2})?(?P<quote>'''|\"\"\"|'|\")"
    r"(?:(?<='''|\"\"\")(?:\\.|[^\\])*?(?P<end3>(?P=quote)|\Z)"
    r"|(?<!'''|\"\"\")(?:\\.|(?!(?P=quote))[^\\\n])*(?P<end>(?P=quote)|))",
    re.DOTALL,
)
# Lines that IPython reads, not Python.
MAGIC = re.compile(r"^([ \t]*)(?:[%!][^\n]*|[\w.]+\?\??[ \t]*|\?[^\n]*)$", re.MULTILINE)
ASSIGNED_MAGIC = re.compile(r"^([ \t]*[\w,.][\w, .]*=[ \t]*)[%!][^\n]*$", re.MULTILINE)
# Those that bring names from elsewhere.
BRINGS_NAMES = re.compile(r"^[ \t]*%(?:load|pylab|run|store)\b", re.MULTILINE)
MAY_BRING_NAMES = re.compile(r"import[ \t(]*\*|\b(?:exec|globals|locals|vars)\b|^[ \t]*%", re.MULTILINE)
# IPython's outputs and inputs.
NUMBERED = re.compile(r"_i?\d+")
WORD = re.compile(r"[^\W\d]\w*")


class Problem(NamedTuple):
    """``kind``: syntax, name or member; ``what``: the name; ``line``: of the text, from 0."""

    kind: str
    what: str
    line: int


class Check:
    """Holds texts against one place. Reads of the notebook no more than what a text makes necessary."""

    def __init__(self, request: CompletionRequest) -> None:
        self._request = request
        self._cells, self._active = request.cells, request.active
        cell = request.cells[request.active]
        is_judged = (
            len(cell.source) <= MAX_READ
            and request.language == "python"
            and language_of(cell, "python") == "python"
        )
        self._place = _place(Cursor.at(cell.source, request.offset)) if is_judged else None

    def sound(self, text: str, ended: bool) -> tuple[str, Problem | None]:
        """The text up to its first statement that is broken, and what is wrong there.

        ``ended``: the text is all that its author had to say, so its last line must be whole.
        """
        first = None
        while text.strip():
            problem = self._problem(text, ended)
            if problem is None:
                return text, first
            first, ended = first or problem, True
            assert self._place
            text = self._place.before_line(text, problem.line)
        return "", first

    def sure(self, text: str, least: int = 0) -> str:
        """The longest beginning of a text that goes on, up to a word's end, that is sound by now.

        Not shorter than ``least``. Where it ends within a statement, what follows of that is broken.
        """
        place, whole = self._place, text
        if place is None:
            return text
        text = _settled(text)
        for _ in range(MAX_BACK):
            problem = self._problem(text, False) if len(text) > least else None
            if problem is None:
                return max(text, whole[:least], key=len)
            shorter = place.before_line(text, problem.line)
            # Within the first statement it goes back word by word.
            text = shorter if shorter.strip() else _settled(text.rstrip()[:-1])
        return whole[:least]

    def part(self, text: str) -> str:
        """The longest sound beginning, up to a word's end, of a broken first statement; "" for none."""
        problem = self._problem(text, True)
        text = "\n".join(text.split("\n")[: problem.line + 1]) if problem else ""
        for _ in range(MAX_PART):
            text = LAST.sub("", text.rstrip())
            if not text.strip() or self._problem(text, False) is None:
                return text.rstrip(ASKING + ". ")
        return ""

    def instead(self, text: str) -> tuple[str, Choice] | None:
        """Where a text's first fault is a name that nobody has: what goes before it, and the names there are.

        None where something else is wrong, or where no name begins as the user's word does.
        """
        problem, place = self._problem(text, True), self._place
        if problem and problem.kind == "syntax" and (word := NEXT.match(text, len(self.part(text)))):
            text = text[: word.end()]
            problem = self._problem(text, False)
        if place is None or problem is None or problem.kind != "name":
            return None
        word = WORD_LEFT.search(place.left)
        typed = word[0] if word else ""
        found = re.search(rf"(?<![\w.]){re.escape(problem.what)}(?!\w)", typed + text)
        if found is None or (typed and found.start() and found.start() < len(typed)):
            return None
        before = (typed + text)[len(typed) : found.start()]
        typed = "" if found.start() else typed
        # A function is hardly its own argument.
        called = CALLS.search(place.left + before)
        names = (name for name in self._names(place) if not called or name != called[1])
        meant = (name[len(typed) :] for name in names if _may_be_meant(name, typed))
        rests = tuple(islice(meant, MAX_INSTEAD))
        return (before, Choice(rests, (0.0,) * len(rests))) if rests else None

    def _names(self, place: _Place) -> dict[str, None]:
        """Names that there are, each once: those the kernel told of, then the code's, the nearest first."""
        told = (variable.name for variable in self._request.variables)
        code = chain.from_iterable(given(code) for code, _ in self._earlier)
        return dict.fromkeys(chain(told, bound(place.left), code))

    def imports(self, text: str) -> tuple[str, ...]:
        """What has to be imported for the names that the text uses, those of the cursor's line among them."""
        place = self._place
        if place is None or not text.strip() or not place.has_room(text):
            return ()
        tree = place.tree(text, False)
        if isinstance(tree, int):
            return ()
        last = text.count("\n")
        found = [
            self._import(name, tree, text)
            for name, line in read(tree).missing.items()
            if 0 <= line - place.lines <= last and not self._exists(name, False)
        ]
        return tuple(dict.fromkeys(filter(None, found)))

    def _problem(self, text: str, ended: bool) -> Problem | None:
        place, before = self._place, self._before
        if place is None or before is None or not place.has_room(text):
            return None
        tree = place.tree(text, ended)
        if isinstance(tree, int) and not (ended or before.is_whole):
            # What is wrong on the right is the user's own affair; what goes before it may come yet.
            tree = place.without_right().tree(text, ended)
        if isinstance(tree, int):
            return Problem("syntax", "", tree)
        last = text.count("\n")
        missing = read(tree).missing
        new = [(line - place.lines, name) for name, line in missing.items() if name not in before.missing]
        for line, name in sorted(new):
            if not self._exists(name) and not self._import(name, tree, "" if ended else text):
                return Problem("name", name, min(max(0, line), last))
        facts = self._facts.copy()
        wrong = [use for use in facts.ran(tree) if use.what not in before.wrong]
        if wrong and not ended and (begun := place.open_string(text)) is not None:
            wrong = [use for use in wrong if use.name != begun or not self._facts.may_become(use)]
        if wrong:
            return Problem("member", wrong[0].name, min(max(0, wrong[0].line - place.lines), last))
        return None

    @cached_property
    def _before(self) -> _Before | None:
        """What the user's own code lacks; None where it doesn't parse."""
        if self._place is None:
            return None
        found = self._place.tree("", False)
        # A line that nothing can finish yet may have what is wrong on its right.
        is_whole = not isinstance(found, int)
        tree = self._place.without_line() if isinstance(found, int) else found
        if tree is None:
            return None
        written = [] if is_whole else WORD.findall(self._place.line)
        wrong = frozenset(use.what for use in self._facts.copy().ran(tree))
        return _Before(frozenset(read(tree).missing).union(written), wrong, is_whole)

    @cached_property
    def _facts(self) -> Facts:
        """What is known of the kernel's objects once the code above the cursor's statement has run."""
        request = self._request
        facts = Facts(request.variables, request.classes)
        above = self._place.above if self._place else ""
        unrun = [*_unrun(self._cells[: self._active]), above] if facts else []
        left = sum(map(len, unrun))
        for code in unrun:
            _follow(facts, code, left > MAX_LOOKED_THROUGH)
            left -= len(code)
        return facts

    def _exists(self, name: str, later: bool = True) -> bool:
        """``later``: what cells below that were not run make is there too."""
        if name in self._told or NUMBERED.fullmatch(name) or self._is_open:
            return True
        left = MAX_LOOKED_THROUGH
        for code, names in self._code if later else self._earlier:
            if name in code:
                left -= len(code)
                if left < 0 or name in names(code):
                    return True
        return False

    def _import(self, name: str, tree: ast.Module, growing: str) -> str | None:
        """What has to be imported for a name, if that can be told. ``growing``: a text that goes on."""
        end = GROWING.search(growing)
        return statement(name, use(tree, name, end[0] if end else ""), (code for code, _ in self._code))

    @cached_property
    def _told(self) -> frozenset[str]:
        variables = (variable.name for variable in self._request.variables)
        return ALWAYS.union(variables, self._request.names)

    @cached_property
    def _code(self) -> list[tuple[str, Remembered]]:
        """The code around the statement at the cursor, the nearest first, and how its names are told."""
        return [*self._earlier, *self._later]

    @cached_property
    def _earlier(self) -> list[tuple[str, Remembered]]:
        """Of that, what runs first, or did."""
        assert self._place
        above = [cell.source for cell in self._cells[: self._active][::-1] if cell.type == "code"]
        own = [(self._place.above, mentioned), (self._place.below, given)]
        ran = [(cell.source, given) for cell in self._below if cell.execution_count is not None]
        return [*own, *((code, mentioned) for code in above), *ran]

    @cached_property
    def _later(self) -> list[tuple[str, Remembered]]:
        return [(cell.source, given) for cell in self._below if cell.execution_count is None]

    @property
    def _below(self) -> list[Cell]:
        return [cell for cell in self._cells[self._active + 1 :] if cell.type == "code"]

    @cached_property
    def _is_open(self) -> bool:
        """Whether there may be names that nobody can tell."""
        return ANY in self._request.names or any(
            ANY in given(code)
            for code, _ in self._code
            if len(code) > MAX_READ or MAY_BRING_NAMES.search(code)
        )


class _Before(NamedTuple):
    """``is_whole``: something that is put in at the cursor makes the statement parse."""

    missing: frozenset[str]
    wrong: frozenset[tuple[str, str, str]]
    is_whole: bool


@dataclass(frozen=True)
class _Place:
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
        """The statement with the text in it, finished somehow; or the text's line that is wrong."""
        line = self.left.rpartition("\n")[2]
        left = self.left[: len(self.left) - len(line)] + masked(line + text)
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

    @property
    def line(self) -> str:
        """The cursor's, left and right of it."""
        return self.left.rpartition("\n")[2] + self.right.partition("\n")[0]

    def without_right(self) -> _Place:
        """The place with nothing right of the cursor in its line."""
        return replace(self, right=self.right[len(self.right.partition("\n")[0]) :])

    def open_string(self, text: str) -> str | None:
        """What stands so far in the string that the text leaves open; None for none."""
        code = self.left + text
        opened = _around(code + self.right, len(code)).open
        quote = opened[:1] if opened[:1] in ("'", '"') else ""
        return code.rpartition(quote)[2] if quote else None

    def without_line(self) -> ast.Module | None:
        """With something else in the cursor's line; None where what is written there begins nothing."""
        head = self.left.rpartition("\n")[2]
        blanks = head[: len(head) - len(head.lstrip())]
        opened = _around(head, len(head)).open
        endings = islice(_endings(head, opened, bool(opened)), MAX_TRIED)
        if not any(_bodies(head.lstrip(), ending) for ending in endings):
            return None
        _, newline, below = self.right.partition("\n")
        for line in ("pass", "if _:", "elif _:", "try:"):
            with suppress(*UNPARSED):
                return compiled(self.left[: len(self.left) - len(head)] + blanks + line + newline + below)
        return None

    def _finished(self, left: str, ended: bool) -> Iterator[str]:
        """Ways to finish it: what is open at the cursor may be closed there, or further on."""
        handler = _handler(left)
        for start, ending, rest, below in islice(self._endings(left, ended), MAX_TRIED):
            for body in _bodies(left[start:].lstrip(), ending + rest):
                yield (whole := left + ending + rest + body + below)
                if handler:
                    yield whole + handler

    def _endings(self, left: str, ended: bool) -> Iterator[tuple[int, str, str, str]]:
        """Where the statement starts, what may come at the cursor, its rest, and what is below."""
        opened = _around(left + self.right, len(left)).open[:MAX_CLOSED]
        counts = [*range(len(opened) + 1)]
        if opened[:1] in ("'", '"'):
            counts.append(counts.pop(0))  # a string's end is nearer than that of another one on the right
        for closed in counts if opened or not ended else (0,):
            code = left + opened[:closed] + self.right
            around = _around(code, len(left) + closed)
            rest = code[len(left) + closed : around.end] + around.closers
            head = code[around.start : len(left)]
            for ending in _endings(head, opened[:closed], bool(opened)) if opened or not ended else ("",):
                yield around.start, ending, rest, code[around.end :]

    def before_line(self, text: str, line: int) -> str:
        """The text without the statement that holds this line of it, and what follows."""
        at = sum(map(len, text.split("\n", line)[:line])) + line
        start = _around(self.left + text, len(self.left) + at).start - len(self.left)
        return text[: max(0, start)].rstrip()


class _Around(NamedTuple):
    """The statement around a place: its start and end, what closes it there (``open``) and at its end."""

    start: int
    end: int
    open: str
    closers: str


def _around(code: str, at: int) -> _Around:
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
                opened = _string_end(match, at) + "".join(stack[::-1])
            if not is_closed and end in (line_end, len(code)):
                stack.append(_string_end(match, end))
        elif match["bracket"]:
            if match[0] in OPENERS:
                stack.append(OPENERS[match[0]])
            elif stack and stack[-1] == match[0]:
                stack.pop()
        elif match["newline"] and not stack:
            if begin >= at:
                return _Around(start, begin, opened or "", "")
            start = end
    opened = "".join(stack[::-1]) if opened is None else opened
    if not stack:
        return _Around(start, len(code), opened, "")
    return _Around(start, line_end, opened, "".join(stack[::-1]) if closers is None else closers)


def _string_end(match: re.Match[str], at: int) -> str:
    """What closes the string at a place in it."""
    inside = match[0][: at - match.start()].replace("{{", "").replace("}}", "")
    is_in_field = "f" in (match["prefix"] or "").lower() and inside.count("{") > inside.count("}")
    return ("}" if is_in_field else "") + match["quote"]


def _settled(text: str) -> str:
    """Without the word at its end, which may go on, and without the signs that ask for another one."""
    growing = GROWING.search(text)
    settled = text[: growing.start()] if growing else text
    bare = settled.rstrip()
    signs = bare.rstrip(ASKING)
    return settled if signs == bare else signs.rstrip()


def _endings(head: str, closers: str, is_open: bool) -> Iterator[str]:
    for ending, word in ENDINGS:
        if word in head:
            yield ending + closers
    if closers and is_open:
        yield from (f"{closers},", f"{closers}: _,")


def _bodies(head: str, rest: str) -> Sequence[str]:
    """What may follow a statement of which the ``head`` was written, none where it isn't one."""
    first = FIRST_WORD.match(head)
    word = first[1] if first else ""
    before, after = BEFORE.get(word, ""), AFTER.get(word, "")
    bodies = BODIES if word in COMPOUND else (DECORATED,) if word == "@" else BODIES[:1]
    return next((body for body in bodies if _parses(before + head + rest + body[-1] + after)), ())


def _handler(left: str) -> str:
    """What ends the last try statement that isn't over yet."""
    found = [*re.finditer(r"^([ \t]*)try[ \t]*:", left, re.MULTILINE)]
    if not found:
        return ""
    indent = found[-1][1]
    over = re.search(rf"^{indent}(?:except|finally)\b", left[found[-1].end() :], re.MULTILINE)
    return "" if over else f"\n{indent}finally: pass"


def _place(cursor: Cursor) -> _Place | None:
    left, right = masked(cursor.above) + cursor.line_left, cursor.line_right + masked(cursor.below)
    if MAGIC.match(cursor.line_left + cursor.line_right) and cursor.line_left.strip():
        return None
    starts = [start for start in borders(left) if start <= len(left) - len(cursor.line_left)]
    start = starts[-2] if len(starts) > 1 else 0
    end = next((at for at in borders(cursor.below) if at), len(right) - len(cursor.line_right))
    end += len(cursor.line_right)
    place = _Place(left[:start], left[start:], right[:end], right[end:])
    return place if len(place.left) + len(place.right) <= MAX_JUDGED else None


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


def _told(code: str, with_missing: bool) -> Iterator[str]:
    if len(code) > MAX_READ:
        yield ANY
        return
    if BRINGS_NAMES.search(code):
        yield ANY
    for match in MAGIC.finditer(code):
        yield from WORD.findall(match[0])
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


def _unrun(above: Sequence[Cell]) -> Iterator[str]:
    """What the kernel doesn't know of yet: cells that were not run, or edited since."""
    for cell in above:
        if cell.type == "code" and cell.execution_count is None:
            yield cell.source


def _follow(facts: Facts, code: str, is_far: bool) -> None:
    """``is_far``: there is so much that only the variables that it names are taken to be changed."""
    if len(code) > MAX_READ or BRINGS_NAMES.search(code):
        facts.forget()
    if not facts or not facts.may_change(words := {match[0] for match in WORD.finditer(code)}):
        return
    facts.forget(word for match in MAGIC.finditer(code) for word in WORD.findall(match[0]))
    try:
        if is_far or len(code) > AT_ONCE:
            facts.forget(words)
        else:
            facts.ran(compiled(masked(code)))
    except UNPARSED:
        facts.forget(words)


def _may_be_meant(name: str, typed: str) -> bool:
    return len(name) > len(typed) and name.startswith(typed or name[:1]) and name[:1] not in ("_", ANY)


def _parses(code: str) -> bool:
    try:
        parsed(code)
    except UNPARSED:
        return False
    return True
