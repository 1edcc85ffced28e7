"""Constrained decoding: what a completion may call the columns, attributes and parameters of objects.

Judged is only what the kernel knows in full: ``df["`` and ``df.groupby("`` against all columns, ``obj.``
against all attributes, ``f(key=`` against all parameters, ``open("`` against the files that are there. What
the code gives to a name itself, and what its author wrote, it knows better than the kernel.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..prompt.names import READER, looped
from ..protocol import Cell, Variable

# What is of these modules takes no new attributes, or shouldn't.
FIXED = ("builtins", "numpy", "pandas", "polars", "torch")
# The code that is looked through for what it says itself.
MAX_CODE = 4000
# No name or string that is longer can be a known one, however it is spelt.
MAX_OPEN = 500

TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)"
    r"|(?P<string>[A-Za-z]{0,2}(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\\?\Z)|\"(?:\\.|[^\"\\\n])*(?:\"|(?=\n)|\\?\Z)))"
    r"|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<space>[^\S\n]+|\\\n)"
    r"|(?P<mark>[=!<>:+\-*/%@&|^]=|.)",
    re.DOTALL,
)
PLAIN = re.compile(r"""(["'])(?!\1\1)((?:\\.|[^\\])*?\\?)(\1?)\Z""", re.DOTALL)
# Stands for the first part of a character that isn't ASCII.
HALF = "\ua000"
MODE = re.compile(r"[rabt+]*[wx][wxrabt+]*\Z")
# No new column is called ":".
NAMELESS = re.compile(r"\W+\Z")
OPENERS = {")": "(", "]": "[", "}": "{"}
# Methods of frames whose first argument is a column, and those that take columns by these keywords.
BY_COLUMN = frozenset(
    ["drop_duplicates", "explode", "group_by", "groupby", "select", "set_index", "sort", "sort_values"]
)
WITH_COLUMNS = BY_COLUMN | {"boxplot", "drop", "hist", "melt", "pivot", "pivot_table", "plot", "scatter"}
COLUMN_KEYWORDS = frozenset(
    ["by", "c", "columns", "id_vars", "on", "subset", "value_vars", "values", "x", "y"]
)
# After these words come names that get a meaning there, up to the mark or word.
BINDING = {"as": "\n", "class": ":", "def": ":", "del": "\n", "for": "in", "lambda": ":"}


def known_names(
    variables: Sequence[Variable],
    classes: Mapping[str, Sequence[str]],
    cells: Sequence[Cell],
    active: int,
    offset: int,
    files: Sequence[str] = (),
) -> dict[str, Any] | None:
    """The arguments of :class:`Constraints` as JSON has them; None where nothing is known in full.

    ``files``: what a path in the code may be. Cells above that were not run count as code that the kernel
    doesn't know yet. What a loop has left behind may be any comprehension's own.
    """
    names = {v.name: known for v in variables if (known := _known(v, classes))}
    if files:
        names[""] = {"file": [*files]}
    if not names or cells[active].type != "code":
        return None
    new = [c.source for c in cells[:active] if c.type == "code" and c.execution_count is None]
    loops = frozenset[str]().union(*(looped(c.source) for c in cells if c.type == "code"))
    return {
        "code": "\n\n".join([*new, cells[active].source[:offset]])[-MAX_CODE:],
        "names": names,
        "loops": sorted(loops & names.keys()),
    }


def _known(variable: Variable, classes: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """All that can follow, by kind: ``attribute`` (``field``: others can be set), ``key``, ``argument``."""
    known: dict[str, list[str]] = {}
    fixed = variable.module.partition(".")[0] in FIXED
    inherited: Sequence[str] | None = classes.get(f"{variable.module}.{variable.type}")
    if variable.type in ("module", "class"):
        fixed, inherited = variable.type == "module", ()
    if "members" in variable.complete and inherited is not None:
        columns = [name for name, _ in variable.columns if variable.module.startswith("pandas")]
        known["attribute" if fixed else "field"] = [
            *inherited,
            *variable.members,
            *filter(str.isidentifier, columns),
        ]
    if "columns" in variable.complete:
        known["key"] = [spelt for name, _ in variable.columns for spelt in _spellings(name)]
    if "keys" in variable.complete:
        known["key"] = [spelt for name in variable.keys for spelt in _spellings(name)]
    if "signature" in variable.complete and "**" not in variable.signature:
        named = variable.signature.strip("()").rpartition("/")[2].split(", ")
        known["argument"] = [part.partition("=")[0] for part in named if part and part[0] != "*"]
    return known


def _spellings(name: str) -> list[str]:
    """A string between quotes of either kind."""
    name = name.replace("\\", "\\\\")
    return list(dict.fromkeys([name, name.replace("'", "\\'"), name.replace('"', '\\"')]))


class Constraints:
    """Tells the texts that must not go in where ``code`` ends.

    ``names``: by variable, then by kind (attribute, field, key, argument), all there are; of the variable
    "" the kind file. ``loops``: those that mean something else in brackets, perhaps.

    What is read already, the statement and the text up to here, isn't read again for each text to come;
    see :class:`santajupyter.engine.work.Constraint`.
    """

    def __init__(
        self, code: str, names: Mapping[str, Mapping[str, Sequence[str]]], loops: Sequence[str] = ()
    ) -> None:
        gone: set[str] = set()
        written: set[str] = set()
        start = 0
        for event in _Scanner().whole(code):
            if isinstance(event, _Bound):
                gone.add(event.name)
            elif isinstance(event, _Statement):
                start = event.start
            elif event.closed:
                written.add(event.text)
        self._names = _Names({name: names[name] for name in names.keys() - gone}, written)
        self._loops = frozenset(loops)
        # From here on positions are those in the statement.
        self._ours = len(code) - start
        self._scanner = _Scanner()
        # Names with another meaning; columns that the text makes, and files that it reads.
        self._gone: frozenset[str] = frozenset()
        self._made: frozenset[str] = frozenset()
        self._opened: frozenset[str] = frozenset()
        self._read(code[start:])

    def after(self, text: str) -> Constraints:
        """What holds for the text that follows ``text``."""
        later = self._copy()
        later._read(text)
        return later

    def refuses(self, text: str) -> bool:
        """Whether ``text``, so far, gives one of the variables what it doesn't have.

        A word or string that is longer than any name isn't judged before it has ended.
        """
        if not text or self._scanner.open_length > MAX_OPEN:
            return False
        trial = self._copy()
        whole = text.removesuffix("\ufffd")
        return trial._read(whole + (HALF if whole != text else "")) or any(
            map(trial._is_wrong, trial._scanner.end())
        )

    def _copy(self) -> Constraints:
        copied = Constraints.__new__(Constraints)
        copied.__dict__.update(self.__dict__, _scanner=self._scanner.copy())
        return copied

    def _read(self, text: str) -> bool:
        """Go on; whether something in it is wrong."""
        return any([self._is_wrong(event) for event in self._scanner.feed(text)])  # noqa: C419  all of it

    def _is_wrong(self, event: _Event) -> bool:
        if isinstance(event, _Bound):
            self._gone |= {event.name}
        elif isinstance(event, _Use) and event.variable not in self._gone and _reaches(event, self._ours):
            if event.kind == "mode":
                return event.variable in self._opened and MODE.fullmatch(event.text) is not None
            if event.nested and event.variable in self._loops:
                return False
            if event.first and event.kind == "key" and not (event.closed and NAMELESS.match(event.text)):
                self._made |= {event.text}
            elif event.text not in self._made and self._invents(event):
                return True
            elif event.kind == "file" and event.closed:
                self._opened |= {event.text}
        return False

    def _invents(self, use: _Use) -> bool:
        """What was typed itself and begins no known name is the author's own affair."""
        names = self._names.known(use.variable, use.kind)
        if names is None and use.kind == "attribute" and not use.first:
            names = self._names.known(use.variable, "field")
        if names is None or (use.kind == "attribute" and use.text[:1] == "_"):  # only public ones are read
            return False
        if not _has_beginning(names, use.text[: max(0, self._ours - use.start)]):
            return False
        if use.closed:
            at = bisect_left(names, use.text)
            return names[at : at + 1] != [use.text]
        text = use.text.removesuffix(HALF)
        # Half of a character is no ASCII one.
        return not _has_beginning(names, text, "\x80" if text != use.text else "")


class _Names:
    """The names of each variable and kind, with the strings that the code has itself, in order."""

    def __init__(self, names: Mapping[str, Mapping[str, Sequence[str]]], written: Iterable[str]) -> None:
        self._names, self._written = names, frozenset(written)
        self._sorted: dict[tuple[str, str], list[str] | None] = {}

    def known(self, variable: str, kind: str) -> list[str] | None:
        """None where nothing is known. There may be many thousands, of which few variables are used."""
        if (variable, kind) not in self._sorted:
            names = self._names.get(variable, {}).get(kind)
            self._sorted[variable, kind] = None if names is None else sorted(self._written.union(names))
        return self._sorted[variable, kind]


def _has_beginning(names: Sequence[str], text: str, least: str = "") -> bool:
    """Whether one of the sorted ``names`` begins with ``text``, with no less than ``least`` behind it."""
    at = bisect_left(names, text + least)
    return at < len(names) and names[at].startswith(text)


@dataclass(frozen=True)
class _Use:
    """What follows a variable, or a plain string anywhere (of no variable).

    ``closed``: nothing can lengthen it. ``first``: it stands where it could be assigned to. ``nested``: in
    brackets. Of the kind mode, ``variable`` is the file that is opened.
    """

    variable: str
    kind: str
    text: str
    start: int
    end: int
    closed: bool
    first: bool
    nested: bool = False


def _reaches(use: _Use, ours: int) -> bool:
    """Whether it is still open where the typed text ends: a quote ends a string, any mark a name."""
    quoted = use.end > use.start + len(use.text)
    return use.end > ours or (use.end == ours and not quoted)


@dataclass(frozen=True)
class _Bound:
    """From here on a name stands for something else."""

    name: str


@dataclass(frozen=True)
class _Statement:
    """A statement begins here."""

    start: int


@dataclass(frozen=True)
class _Bracket:
    """``variable``: what it follows; ``called``: that, or what is called of it or of anything.

    ``frame``: whose columns it takes. ``listed``: it is a list of such, or the inner one of ``df[["a"]]``.
    ``file``: its first argument, a path.
    """

    mark: str = ""
    variable: str = ""
    called: str = ""
    frame: str = ""
    first: bool = False
    nested: bool = False
    listed: bool = False
    keywords: bool = False
    file: str = ""


_Event = _Use | _Bound | _Statement


class _Scanner:
    """Goes through Python code that may end anywhere, token by token.

    All but the last token of what it was fed has been looked at; that one may grow by what follows.
    """

    def __init__(self) -> None:
        self._tail, self._at = "", 0
        self._brackets: tuple[_Bracket, ...] = ()
        self._last = ""
        # The variable that the last token is, or whose attribute comes; whether it begins a statement.
        self._variable, self._first, self._nested = "", False, False
        # Whose attribute the last token is; the keyword before the last "=".
        self._owner, self._keyword = "", ""
        self._begins, self._opening = True, ""
        self._argument: _Use | None = None
        # Plain names so far in this statement, and those of them that it assigns to.
        self._targets: tuple[str, ...] = ()
        self._assigned: tuple[str, ...] = ()
        self._until, self._depth = "", 0

    @property
    def open_length(self) -> int:
        """Of the last token, in characters."""
        return len(self._tail)

    def copy(self) -> _Scanner:
        """One that goes on by itself: no field's value is ever changed."""
        copied = _Scanner.__new__(_Scanner)
        copied.__dict__.update(self.__dict__)
        return copied

    def whole(self, code: str) -> Iterator[_Event]:
        """All of some code's events."""
        yield from self.feed(code)
        yield from self.end()

    def feed(self, text: str) -> Iterator[_Event]:
        """The events of the tokens that are complete by ``text``."""
        start, tokens = self._at, [*TOKEN.finditer(self._tail + text)]
        for match in tokens[:-1]:
            yield from self._token(match, start + match.start(), True)
        if tokens:
            self._tail, self._at = tokens[-1][0], start + tokens[-1].start()

    def end(self) -> Iterator[_Event]:
        """The events of the last token, if nothing follows it; for the scanner there is nothing more then."""
        for match in TOKEN.finditer(self._tail):
            yield from self._token(match, self._at + match.start(), False)

    def _token(self, match: re.Match[str], start: int, closed: bool) -> Iterator[_Event]:
        kind, text = match.lastgroup, match[0]
        if self._last == "." and self._variable and kind != "name":
            yield _Use(self._variable, "attribute", "", start, start, True, self._first, self._nested)
        if kind in ("comment", "space"):
            return
        if kind == "name":
            yield from self._name(text, start, closed)
        elif kind == "string":
            yield from self._string(text, start, closed)
        elif kind == "mark":
            yield from self._mark(text, start)
        if kind != "name" and text != ".":
            self._variable = self._owner = ""
        self._begins = text in ("\n", ";", ":") and not self._brackets
        self._last = text

    @property
    def _top(self) -> _Bracket:
        return self._brackets[-1] if self._brackets else _Bracket()

    def _name(self, text: str, start: int, closed: bool) -> Iterator[_Event]:
        variable, self._variable, self._owner = self._variable, "", ""
        if self._begins:
            self._opening = text
        if self._last == ".":
            if variable:
                end = start + len(text)
                yield _Use(variable, "attribute", text, start, end, closed, self._first, self._nested)
                self._owner = variable
        elif text in BINDING and not (text == "as" and self._opening in ("import", "from")):
            self._until, self._depth = BINDING[text], len(self._brackets)
        elif text == self._until:
            self._until = ""
        elif self._until:
            yield _Bound(text)
        else:
            yield from self._plain_name(text, start, closed)

    def _plain_name(self, text: str, start: int, closed: bool) -> Iterator[_Event]:
        self._variable, self._first, self._nested = text, self._begins, bool(self._brackets)
        self._targets += () if self._brackets else (text,)
        self._argument, top = None, self._top
        if top.mark == "(" and top.variable and self._last in ("(", ","):
            self._argument = _Use(top.variable, "argument", text, start, start + len(text), closed, False)
            if top.keywords:  # after one comes no other kind
                yield self._argument

    def _string(self, text: str, start: int, closed: bool) -> Iterator[_Event]:
        plain, top = PLAIN.match(text), self._top
        if not plain:
            return
        variable, kind, owner = "", "key", _Bracket()
        if top.listed and self._last in ("[", ","):
            owner = self._brackets[-2]
        elif self._last == "[":
            owner = top
        elif self._takes_columns():
            variable = top.frame
        elif self._last == "(" and re.fullmatch(READER, top.called):
            kind = "file"
            self._change_top(file=plain[2])
        elif top.called == "open":
            kind, variable = "mode", top.file
        variable = variable or owner.frame or owner.variable
        closed, end = bool(plain[3]) or closed, start + len(text)
        yield _Use(variable, kind, plain[2], start + 1, end, closed, owner.first, owner.nested)

    def _takes_columns(self) -> bool:
        """Whether what comes now are columns of the frame whose method is called."""
        top = self._top
        if self._last == "(":
            return bool(top.frame) and top.called in BY_COLUMN
        return bool(top.frame) and self._last == "=" and self._keyword in COLUMN_KEYWORDS

    def _change_top(self, **changes: Any) -> None:
        self._brackets = (*self._brackets[:-1], replace(self._top, **changes))

    def _mark(self, text: str, start: int) -> Iterator[_Event]:
        variable, top = self._variable, self._top
        if variable and text in (".", "(", "[") and self._targets[-1:] == (variable,):
            self._targets = self._targets[:-1]
        if text in ("(", "[", "{"):
            listed = text == "[" and ((self._last == "[" and bool(top.variable)) or self._takes_columns())
            frame = self._owner if text == "(" and self._last in WITH_COLUMNS else ""
            owner = variable if text != "{" else ""
            first = self._first and text == "["
            self._brackets += (_Bracket(text, owner, self._last, frame, first, self._nested, listed),)
        elif top.mark and top.mark == OPENERS.get(text):
            self._brackets = self._brackets[:-1]
        elif text == "=" and self._brackets:
            self._keyword = variable
            if self._argument and variable == self._argument.text:
                self._change_top(keywords=True)
                yield self._argument
        elif text == ":=":
            yield _Bound(variable)
        elif text == "=":
            self._assigned += self._targets
            self._targets = ()
        if (text == self._until and len(self._brackets) <= self._depth) or (
            text == "\n" and not self._brackets
        ):
            self._until = ""
        if text in ("\n", ";") and not self._brackets:
            yield from map(_Bound, self._assigned)
            yield _Statement(start + 1)
            self._targets, self._assigned = (), ()
