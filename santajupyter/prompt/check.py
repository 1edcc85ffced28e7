"""Is a suggestion broken? It is held against Python's grammar, the names there are, and the kernel's objects.

Judged is only what the suggestion adds: a cell that didn't parse before needn't parse with it, and a name
or column that the user has written himself is his own affair. What is unfinished isn't broken: a beginning
that something can follow is sound.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

from ..protocol import Cell, CompletionRequest
from .around import Around, around
from .cellnames import BRINGS_NAMES, MAGIC, MAX_READ, WORD, given, masked, mentioned, of_magics
from .choices import Choice
from .closing import LAST, closed
from .cursor import Cursor
from .imports import imported, statement, use
from .languages import language_of
from .names import Remembered, bound
from .pythoncode import AT_ONCE, UNPARSED, compiled
from .scopes import ALWAYS, ANY, read
from .uses import Facts

# So many characters of the notebook are read for one name, or for what hasn't run: it takes 7 us for each.
MAX_LOOKED_THROUGH = 100_000
# So many words of a text that goes on are taken back to where it is sound; else none of it is.
MAX_BACK = 8
# Of one that has ended, so many words and signs.
MAX_PART = 16
# So many names may stand in the place of one that nobody has.
MAX_INSTEAD = 200
# At the end of a text that goes on: a word and what it is an attribute of, or a number.
GROWING = re.compile(r"(?<![\w.])[\w.]+\Z")
WORD_LEFT = re.compile(r"(?<![\w.])[^\W\d]\w*\Z")
NEXT = re.compile(r"\W*\w+")
REST = re.compile(r"\w+")
MADE = re.compile(r"\A\s*([^\W\d]\w*)\s*(?::[^=\n]*)?=(?!=)")
CALLS = re.compile(r"(?<!\w)(\w+)\(\Z")
# What wants something after it.
ASKING = "-+*/%&|^=<>!"
MAY_BRING_NAMES = re.compile(r"import[ \t(]*\*|\b(?:exec|globals|locals|vars)\b|^[ \t]*%", re.MULTILINE)
# By what hasn't run more may be found than the kernel could import so far.
FINDS_MORE = re.compile(
    r"\bsys\.path\b|\b(?:chdir|addsitedir|install|urlretrieve|write_text)\b"
    r"|^[ \t]*(?:!|%+(?!matplotlib|time|config|load_ext|autoreload|capture))",
    re.MULTILINE,
)
# What something is stored to: a name, with attributes, and what is in brackets behind it.
STORED = re.compile(
    r"^[ \t]*(?:for\b[^\n:]*:[ \t]*)?([^\W\d][\w.]*)((?:\[[^\n=]*\])?)[ \t]*=(?!=)", re.MULTILINE
)
QUOTED = re.compile(r"""["']([^"'\n]+)["']""")
# IPython's outputs and inputs.
NUMBERED = re.compile(r"_i?\d+")


class Problem(NamedTuple):
    """``kind``: syntax, name, module or member; ``what``: the name; ``line``: of the text, from 0."""

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
        cursor = Cursor.at(cell.source, request.offset)
        self._above = cursor.above
        self._place = around(cursor) if is_judged else None

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
            if self._place.is_joined and problem.kind == "syntax":
                return self._leading(text), first
            text = self._place.before_line(text, problem.line)
        return "", first

    def _leading(self, text: str) -> str:
        """The longest beginning that what stands right of the cursor goes on from; "" for none."""
        for _ in range(2 * MAX_PART):
            text = LAST.sub("", text)
            if not text.strip() or self._problem(text, True) is None:
                return text if text.strip() else ""
        return ""

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
                return max(text if text.strip() else "", whole[:least], key=len)
            shorter = place.before_line(text, problem.line)
            # Within the first statement it goes back word by word.
            text = shorter if shorter.strip() else _settled(text.rstrip()[:-1])
        return whole[:least]

    def rounded(self, text: str, least: int = 0, balanced: bool = False) -> str:
        """The longest sound beginning, up to a word or sign, behind which nothing has to come but what closes

        brackets. All of it where nothing makes the place whole, or where it is the rest of a word. Not
        shorter than ``least``. ``balanced``: at a line's end none that it has opened itself.
        """
        place, before, whole = self._place, self._before, text
        if place is None or before is None or not (before.is_whole and place.has_room(text)):
            return text
        # Only before code nothing else comes.
        ended = bool(place.right.partition("\n")[0].strip()) or not balanced
        shorten = place.balanced if balanced else str
        text = shorten(text)
        is_rest = WORD_LEFT.search(place.left) and REST.fullmatch(text)
        if text == whole:
            if is_rest or place.could_end(text):
                return text
            text = shorten(LAST.sub("", text))
        for _ in range(MAX_PART):
            text = text.rstrip()
            if not text or len(text) <= least:
                return whole[:least]
            if place.could_end(text) and self._problem(text, ended) is None:
                return text
            text = shorten(LAST.sub("", text))
        return max(whole.rpartition("\n")[0], whole[:least], key=len)

    def closed(self, text: str, least: int = 0, goes_on: bool = False) -> str:
        """With what makes its place parse, if that is a bracket's or string's end, a comma or a colon.

        Not less than ``least`` of it; see :func:`.closing.closed`.
        """
        place = self._place
        if place is None or not place.has_room(text):
            return text
        return closed(place, text, least, lambda part: self._problem(part, True) is None, goes_on)

    def part(self, text: str) -> str:
        """The longest sound beginning, up to a word's end, of a broken first statement; "" for none."""
        problem = self._problem(text, True)
        text = "\n".join(text.split("\n")[: problem.line + 1]) if problem else ""
        for _ in range(MAX_PART):
            text = LAST.sub("", text).rstrip()
            if not text.strip() or (self._could_end(text) and self._problem(text, False) is None):
                return text
        return ""

    def _could_end(self, text: str) -> bool:
        """Whether nothing has to come behind it but what closes something, as far as that can be told."""
        if self._place and self._before and self._before.is_whole:
            return self._place.could_end(text)
        return text.rstrip()[-1:] not in ASKING + "."

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
        # Nor is what the line makes there yet.
        made = MADE.match(place.line)
        others = {problem.what, *(match[1] for match in (called, made) if match)}
        names = (name for name in self._names(place) if name not in others)
        meant = (name[len(typed) :] for name in names if _may_be_meant(name, typed))
        rests = tuple(islice(meant, MAX_INSTEAD))
        return (before, Choice(rests, (0.0,) * len(rests))) if rests else None

    def _names(self, place: Around) -> dict[str, None]:
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
            for line, name, at_once in _missing(tree, place.lines)
            if 0 <= line <= last and not self._exists(name, at_once)
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
        brought = {*of_magics(place.line_left + text)}
        missing = _missing(tree, place.lines) if ANY not in brought else ()
        for line, name, at_once in sorted(missing, key=lambda each: (each[0], text.find(each[1]))):
            is_new = name not in before.missing | brought and not self._exists(name, at_once)
            if is_new and not self._import(name, tree, "" if ended else text):
                return Problem("name", name, min(max(0, line), last))
        judged = self._modules and not FINDS_MORE.search(text)
        for package, number in imported(tree) if judged else ():
            line = number - place.lines
            if 0 <= line <= last and not self._is_found(package, "" if ended else place.left + text):
                return Problem("module", package, line)
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
        is_whole = self._place.is_joined or not isinstance(found, int)
        tree = found if isinstance(found, ast.Module) else self._place.joined or self._place.without_line()
        if tree is None:
            return None
        written = WORD.findall(self._place.line) if isinstance(found, int) else []
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
        # If the cell has run before, they are what it makes of them further down.
        for name, brackets in STORED.findall(self._place.below) if self._place else ():
            variable, _, attribute = name.partition(".")
            columns = QUOTED.findall(brackets) or ([attribute] if attribute and not brackets else None)
            facts.forget_dtypes(columns, variable)
        return facts

    def _exists(self, name: str, at_once: bool) -> bool:
        """``at_once``: what the code further down makes isn't there yet, unless that has run."""
        if name in self._told or NUMBERED.fullmatch(name) or self._is_open:
            return True
        left = MAX_LOOKED_THROUGH
        for code, names in self._earlier if at_once else self._code:
            if name in code:
                left -= len(code)
                if left < 0 or name in names(code):
                    return True
        return False

    def _is_found(self, package: str, growing: str) -> bool:
        """Whether the kernel can import it, or the user's code names it; ``growing``: a text that goes on."""
        assert self._place
        end = GROWING.search(growing)
        if end and end[0] == package and any(module.startswith(package) for module in self._modules):
            return True
        code = (code for code, _ in self._code if package in code)
        named = (package in WORD.findall(text) for text in chain([self._place.left, self._place.line], code))
        return package in self._modules or any(named)

    def _import(self, name: str, tree: ast.Module, growing: str) -> str | None:
        """What has to be imported for a name, if that can be told. ``growing``: a text that goes on."""
        end = GROWING.search(growing)
        used, code = use(tree, name, end[0] if end else ""), (code for code, _ in self._code)
        return statement(name, used, code, self._modules)

    @cached_property
    def _modules(self) -> frozenset[str]:
        """What can be imported; none where that isn't known, or not until more has run."""
        unrun = chain(_unrun(self._cells[: self._active]), [self._cells[self._active].source])
        return frozenset() if any(map(FINDS_MORE.search, unrun)) else self._request.modules

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
        """Of that, what runs first, or has run."""
        above = [cell for cell in self._cells[: self._active][::-1] if cell.type == "code"]
        ran = [(code, given) for code, has_run in self._further_down if has_run]
        return [(self._above, mentioned), *((cell.source, mentioned) for cell in above), *ran]

    @cached_property
    def _later(self) -> list[tuple[str, Remembered]]:
        return [(code, given) for code, has_run in self._further_down if not has_run]

    @property
    def _further_down(self) -> Iterator[tuple[str, bool]]:
        """The rest of the cell, the cells below, and whether they have run."""
        assert self._place
        yield self._place.below, self._cells[self._active].execution_count is not None
        for cell in self._cells[self._active + 1 :]:
            if cell.type == "code":
                yield cell.source, cell.execution_count is not None

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


def _missing(tree: ast.Module, lines: int) -> Iterator[tuple[int, str, bool]]:
    """The line of the text, the name, and whether it is used when the code runs, not when a function does."""
    names = read(tree)
    if ANY not in names.bound:
        yield from ((line - lines, name, name in names.at_once) for name, line in names.missing.items())


def _settled(text: str) -> str:
    """Without the word at its end, which may go on, and without the signs that ask for another one."""
    growing = GROWING.search(text)
    settled = text[: growing.start()] if growing else text
    bare = settled.rstrip()
    signs = bare.rstrip(ASKING + "{")  # of an f-string, perhaps, where nothing would end it
    return settled if signs == bare else signs.rstrip()


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
