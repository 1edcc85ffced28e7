"""What mends the line that failed, by rules: the nearest name that is there, or what makes it parse.

An error says what it didn't find; where that stands in the line (a name, an attribute, a key, a keyword, a
module, within a string) says among what the right one is to be looked for.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import chain, islice, pairwise
from keyword import kwlist
from typing import NamedTuple

from ..protocol import CompletionRequest, Edit, Fix, Output, Variable
from . import imports
from .around import MAX_JUDGED
from .cellnames import MAX_READ, given, masked
from .check import MAX_LOOKED_THROUGH, Check
from .languages import language_of
from .pythoncode import UNPARSED, borders, parsed
from .scopes import IPYTHON_NAMES
from .syntaxrepairs import applied, syntax_repair

NEVER_RAN = ("IndentationError", "SyntaxError", "TabError")
# How alike two names must be: where what is there is known, and where it is only seen elsewhere.
ALIKE, VERY_ALIKE = 0.72, 0.82
# Shorter ones are alike by chance.
MIN_LENGTH = 4
MAX_NAMES = 20_000
# Of a line of up to so many characters another end is asked for, which is so much like it.
MAX_LINE = 300
SAME_LINE = 0.6
# What no other text of the line would mend.
NO_FAULT = re.compile(
    r"KeyboardInterrupt|Memory|Exit|Import|ModuleNotFound|Assertion|OSError|FileNot|Timeout"
)
TARGET = re.compile(r"[\w., \[\]'\"]+=(?!=)[ ]*")
# So many of the nearest names are held against what is there.
MAX_NEAREST = 4
# Other languages' words for what Python has.
FOREIGN = {
    "null": "None",
    "nil": "None",
    "undefined": "None",
    "NULL": "None",
    "TRUE": "True",
    "FALSE": "False",
}
QUOTED = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"|`([^`\n]+)`")
HINT = re.compile(r"Did you mean:? ['\"`]([^'\"`]+)['\"`]")
ATTRIBUTES = re.compile(r"\.([^\W\d]\w*)")
KEYWORDS = re.compile(r"[(,]\s*([^\W\d]\w*)\s*=(?!=)")
STRINGS = re.compile(r"['\"]([^'\"\n]{1,100})['\"]")
BUILTIN_TYPES = {
    kind.__name__: kind for kind in (str, list, dict, set, tuple, int, float, bytes, bool, complex)
}


class _Place(NamedTuple):
    """Where a word stands; ``kind``: name, attribute, keyword, module or string; ``base``: whose it is."""

    kind: str
    start: int
    end: int
    base: ast.expr | None = None


def failure(request: CompletionRequest) -> Output | None:
    """The error that the active cell's last run ended with."""
    outputs = request.cells[request.active].outputs
    return next((output for output in reversed(outputs) if output.type == "error"), None)


def repair(request: CompletionRequest, files: Sequence[str] = ()) -> Fix:
    """What mends the active cell's error, or why nothing does. ``files``: the data beside the notebook."""
    cell, error = request.cells[request.active], failure(request)
    if error is None:
        return Fix(reason="no-error", why="This cell's last run ended without an error.")
    if request.language != "python" or language_of(cell, "python") != "python":
        return Fix(reason="language", why="Only Python is mended.")
    if len(cell.source) > MAX_READ:
        return Fix(why="The cell is too long to be mended.")
    if error.name in NEVER_RAN:
        edits = syntax_repair(cell.source)
        why = "So it parses." if edits else "Nothing simple makes this parse."
        return Fix(edits, "rule", "syntax", why) if edits else Fix(why=why)
    if (line := failing_line(request)) is None:
        return Fix(reason="gone", why="The line that failed isn't in the cell any more: run it again.")
    return _Names(request, error, line, files).fix()


def failing_line(request: CompletionRequest) -> tuple[int, int] | None:
    """Where the line that raised the active cell's error begins and ends, without its blanks."""
    source, error = request.cells[request.active].source, failure(request)
    if error is None or not error.line.strip():
        return None
    start = 0
    for line in source.split("\n"):
        bare = line.strip()
        # What is longer was cut.
        if bare == error.line.strip() or (len(error.line) > 300 and bare.startswith(error.line)):
            start += len(line) - len(line.lstrip())
            return start, start + len(bare)
        start += len(line) + 1
    return None


def mended(request: CompletionRequest, edits: Sequence[Edit]) -> str:
    """The active cell's text with the changes made."""
    return applied(request.cells[request.active].source, edits)


def is_sound(request: CompletionRequest, edits: Sequence[Edit]) -> bool:
    """Whether the lines that are changed parse, and name only what is there, as far as that is known."""
    source = request.cells[request.active].source
    start = source.rfind("\n", 0, edits[0].start) + 1
    end = source.find("\n", edits[-1].end)
    end = len(source) if end < 0 else end
    new = mended(request, edits)
    line = new[start : len(new) - (len(source) - end)]
    changed = replace(request.cells[request.active], source=source[:start] + source[end:])
    cells = (*request.cells[: request.active], changed, *request.cells[request.active + 1 :])
    check = Check(replace(request, cells=cells, offset=start))
    problem = check.sound(line, False)[1]
    # What else may be wrong there the error isn't about.
    is_new = problem is not None and any(problem.what in edit.text for edit in edits)
    return not is_new and _statement(new, start) is not None


def infilling(request: CompletionRequest) -> CompletionRequest | None:
    """The request for another end of the failing line; None where none would help."""
    error, line = failure(request), failing_line(request)
    if error is None or line is None or NO_FAULT.search(error.name) or line[1] - line[0] > MAX_LINE:
        return None
    cell, (start, end) = request.cells[request.active], line
    text = cell.source[start:end]
    wrong = [text.find(word) for word in _quoted(error.value) if word in text]
    target = TARGET.match(text)
    left = start + max([*wrong, target.end() if target else 0])
    changed = replace(cell, source=cell.source[:left] + cell.source[end:])
    return replace(
        request,
        cells=(*request.cells[: request.active], changed, *request.cells[request.active + 1 :]),
        offset=left,
        mode="line",
        trigger="invoke",
        n=1,
        temperature=0.0,
        stop=(),
        logprobs=False,
        stream=False,
    )


def infilled(request: CompletionRequest, offset: int, texts: Iterable[str]) -> Fix | None:
    """The first of a model's texts that mends the failing line, from ``offset`` on; None for none.

    It is like what it takes the place of: another line altogether would be no repair.
    """
    line = failing_line(request)
    assert line
    source = request.cells[request.active].source
    old, kept = source[line[0] : line[1]], source[line[0] : offset]
    for text in texts:
        new = kept + text.rstrip()
        alike = SequenceMatcher(None, old, new).ratio()
        if text.strip() and new != old and "\n" not in text and alike >= SAME_LINE:
            edits = (Edit(offset, line[1], text.rstrip()),)
            if is_sound(request, edits):
                return Fix(edits, "model", "line", "So the model would write the line.")
    return None


class _Names:
    """The error of a line that has run: something that it names isn't there."""

    def __init__(
        self, request: CompletionRequest, error: Output, line: tuple[int, int], files: Sequence[str]
    ) -> None:
        self._request, self._error, self._files = request, error, files
        self._source = request.cells[request.active].source
        self._line = line
        self._variables = {variable.name: variable for variable in request.variables}
        self._statement = _statement(self._source, line[0])

    def fix(self) -> Fix:
        if self._statement is None:
            return Fix(why="Nothing near what is missing is there.")
        words = self._missing()
        for word in words:
            places = [*self._statement.places(word)]
            # What isn't on the line of the error is another's of the same name.
            for kind in dict.fromkeys(place.kind for place in places):
                found = [place for place in places if place.kind == kind]
                if kind == "name" and (elsewhere := self._made_elsewhere(word)):
                    return Fix(reason="elsewhere", why=elsewhere, words=(word,))
                if kind == "name" and (line := self._import(word)):
                    new = Edit(0, 0, f"{line}\n")
                    return Fix((new,), "rule", "import", f"{word} isn't imported.", (word,))
                for name in self._nearest(word, found[0]):
                    edits = tuple(sorted((Edit(p.start, p.end, name) for p in found), key=lambda e: e.start))
                    if is_sound(self._request, edits):
                        why = f"{word} isn't there; {name} is."
                        return Fix(edits, "rule", "name", why, (word, name))
        return Fix(why="Nothing near what is missing is there.")

    def _missing(self) -> list[str]:
        """What the error may say isn't there, quoted in its message; the last is the likeliest."""
        message = HINT.sub("", self._error.value)
        found = [next(filter(None, match.groups())) for match in QUOTED.finditer(message)]
        inner = [word for text in found for word in re.findall(r"'([^'\n]+)'", text + "'")]
        inner += [word for text in re.findall(r"\[(.*?)\]", message) for word in _quoted(text)]
        argument = re.findall(r"unexpected keyword argument '?(\w+)", message)
        return [*dict.fromkeys([*argument, *inner, *found[::-1]])]

    def _nearest(self, word: str, place: _Place) -> Iterator[str]:
        """The names that are like the word, the nearest first; first of those that are known to be there."""
        hint = HINT.search(self._error.value)
        if hint and hint[1] != word:
            yield hint[1]
        if place.kind == "name" and word in FOREIGN:
            yield FOREIGN[word]
        told = [name for name in _quoted(self._error.value) if name != word]
        for names, least in ((told, ALIKE), *self._pools(place)):
            there = dict.fromkeys(names)
            if word in there and names is not told:
                return
            yield from nearest(word, there, least)

    def _pools(self, place: _Place) -> Iterator[tuple[Iterable[str], float]]:
        """Names that may be meant, and how alike one must be."""
        assert self._statement
        code = self._code()
        variable = self._variable(place.base)
        if place.kind == "name":
            own = self._statement.bound(self._source)
            yield [*own, *self._names(), *dir(builtins), *kwlist], ALIKE
        elif place.kind == "attribute":
            if variable:
                yield self._members(variable), ALIKE
            if kind := re.search(r"'(?:\w+\.)*(\w+)' object has no", self._error.value):
                yield self._members_of(kind[1]), ALIKE
            yield ATTRIBUTES.findall(code), VERY_ALIKE
        elif place.kind == "keyword":
            if variable and variable.signature:
                yield _arguments(variable.signature), ALIKE
            yield KEYWORDS.findall(code), VERY_ALIKE
        elif place.kind == "module":
            modules = [v.name for v in self._request.variables if v.type == "module"]
            yield [*sys.stdlib_module_names, *modules, *_imported(code)], ALIKE
        else:
            if variable:
                yield _keys(variable), ALIKE
            named = [self._variables[name] for name in self._statement.names if name in self._variables]
            yield chain.from_iterable(map(_keys, named)), ALIKE
            yield self._files, ALIKE
            yield chain.from_iterable(map(_keys, self._request.variables)), VERY_ALIKE
            yield STRINGS.findall(code), VERY_ALIKE

    def _names(self) -> Iterator[str]:
        """Those of the kernel, and those that the cells above make."""
        yield from (name for name in (*self._request.names, *self._variables) if name != "*")
        left = MAX_LOOKED_THROUGH
        for cell in reversed(self._request.cells[: self._request.active]):
            left -= len(cell.source)
            if cell.type == "code" and left > 0:
                yield from given(cell.source)
        yield from (name for name in IPYTHON_NAMES.split() if name.isalpha())

    def _import(self, word: str) -> str | None:
        """The statement that imports the name as the failing line uses it."""
        assert self._statement
        used = imports.use(self._statement.tree, word)
        # A cell that imports it would have to run first.
        return imports.statement(word, used, [self._code()], self._request.modules)

    def _made_elsewhere(self, word: str) -> str:
        """That the name is made where it hasn't run, or further down; "" for nowhere."""
        if word in self._variables:
            return ""
        if word in given(self._source[self._line[1] :]):
            return f"{word} is made further down in this cell."
        left = MAX_LOOKED_THROUGH
        cells = self._request.cells
        for cell in (*cells[: self._request.active][::-1], *cells[self._request.active + 1 :]):
            left -= len(cell.source)
            if left > 0 and cell.type == "code" and word in cell.source and word in given(cell.source):
                return f"{word} is made in another cell: run that one first."
        return ""

    def _variable(self, base: ast.expr | None) -> Variable | None:
        """The one that an expression begins with."""
        while isinstance(base, (ast.Subscript, ast.Call)):
            base = base.value if isinstance(base, ast.Subscript) else base.func
        # Of df.loc the columns, too.
        if isinstance(base, ast.Attribute) and base.attr in ("loc", "at"):
            base = base.value
        return self._variables.get(base.id) if isinstance(base, ast.Name) else None

    def _members(self, variable: Variable) -> Iterable[str]:
        kind = self._request.classes.get(f"{variable.module}.{variable.type}", ())
        return [*kind, *variable.members, *(name for name, _ in variable.columns)]

    def _members_of(self, kind: str) -> Iterable[str]:
        if kind in BUILTIN_TYPES:
            return [name for name in dir(BUILTIN_TYPES[kind]) if name[0] != "_"]
        places = (names for place, names in self._request.classes.items() if place.split(".")[-1] == kind)
        return chain.from_iterable(places)

    def _code(self) -> str:
        """The notebook's code, the nearest first."""
        cells = self._request.cells
        near = (*cells[: self._request.active][::-1], *cells[self._request.active + 1 :])
        own = self._source[: self._line[0]] + self._source[self._line[1] :]
        code = "\n".join([own, *(cell.source for cell in near if cell.type == "code")])
        return code[:MAX_LOOKED_THROUGH]


class _Statement:
    """What stands on the failing line: the innermost statement, without the block that it may open."""

    def __init__(self, tree: ast.Module, source: str, offset: int, line: int) -> None:
        """``offset``: of the tree's first line in the source; ``line``: in the tree, from 1."""
        self.tree, self._source, self._lines = tree, source, [offset]
        for match in re.finditer("\n", source[offset:]):
            self._lines.append(offset + match.end())
        self._function: ast.AST = tree
        # On one line there may be several.
        found: list[ast.AST] = [tree]
        while inner := [
            node for outer in found for node in _blocks(outer) if _first(node) <= line <= _last(node)
        ]:
            found = inner
            functions = [node for node in found if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
            self._function = functions[0] if functions else self._function
        blocks = {id(node) for outer in found for node in _blocks(outer)}
        self._statements = found
        self._nodes = [pair for node in found for pair in _walked(node, blocks, node)]

    @property
    def names(self) -> list[str]:
        return [node.id for node, _ in self._nodes if isinstance(node, ast.Name)]

    def bound(self, source: str) -> Iterator[str]:
        """What the function around it, or its loops, give a meaning."""
        for node in ast.walk(self._function):
            if isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id

    def places(self, word: str) -> Iterator[_Place]:
        """Where the word stands in it."""
        for node in self._statements:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == word:
                yield next(self._at("module", node, word))
        for node, parent in self._nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Load()) if name == word:
                    yield from self._at("name", node, word)
                case ast.Attribute(attr=name) if name == word:
                    yield from self._at("attribute", node, word, node.value, last=True)
                case ast.keyword(arg=name) if name == word:
                    base = parent.func if isinstance(parent, ast.Call) else None
                    yield from self._at("keyword", node, word, base)
                case ast.alias(name=name) if name.partition(".")[0] == word:
                    module = getattr(parent, "module", None)
                    base = ast.Name(module) if module else None
                    yield from self._at("attribute" if base else "module", node, word, base)
                case ast.Constant(value=str(text)) if word in text:
                    base = parent.value if isinstance(parent, ast.Subscript) else None
                    yield from self._at("string", node, word, base)

    def _at(
        self, kind: str, node: ast.AST, word: str, base: ast.expr | None = None, last: bool = False
    ) -> Iterator[_Place]:
        """Where it is a whole word of the node's text; ``last``: only at its end.

        Within an f-string the parser of older Pythons tells wrong places: there the word doesn't stand.
        """
        start, end = self._offset(node, ""), self._offset(node, "end_")
        found = [*re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", self._source[start:end])]
        for match in found[-1:] if last else found:
            yield _Place(kind, start + match.start(), start + match.end(), base)

    def _offset(self, node: ast.AST, which: str) -> int:
        """Of a node's beginning or end; the parser counts a line in bytes."""
        line: int = getattr(node, f"{which}lineno")
        column: int = getattr(node, f"{which}col_offset")
        start = self._lines[line - 1]
        end = self._lines[line] if line < len(self._lines) else len(self._source)
        return start + len(self._source[start:end].encode()[:column].decode(errors="ignore"))


def nearest(word: str, names: Iterable[str], least: float) -> list[str]:
    """Those that the word may be a misspelling of, at least as alike as that, the likeliest first."""
    found = []
    plain = _plain(word)
    for name in islice(names, MAX_NAMES):
        if name == word or not plain or (name[:1] == "_" and word[:1] != "_"):
            continue
        other = _plain(name)
        if other == plain:
            found.append((2.0, name))
        elif min(len(plain), len(other)) < MIN_LENGTH:
            # Only letters that changed places, or came twice.
            if len(other) > 1 and abs(len(plain) - len(other)) <= 1 and {*plain} == {*other}:
                found.append((least, name))
        elif _digits(word) == _digits(name) and abs(len(plain) - len(other)) <= 3:
            matcher = SequenceMatcher(None, plain, other)
            if matcher.real_quick_ratio() >= least and matcher.quick_ratio() >= least:
                alike = matcher.ratio() + 0.05 * (plain[0] == other[0])
                found += [(alike, name)] if alike >= least else []
    found.sort(key=lambda pair: -pair[0])
    return [name for _, name in found[:MAX_NEAREST]]


def _plain(name: str) -> str:
    """What of a name is spelled, not styled."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _digits(name: str) -> list[str]:
    """Names that differ in these are others, not misspelled."""
    return re.findall(r"\d", name)


def _statement(source: str, at: int) -> _Statement | None:
    plain = masked(source)
    starts = [0, *(start for start in borders(plain) if start), len(plain)]
    for start, end in pairwise(starts):
        if start <= at < end and end - start <= MAX_JUDGED:
            with suppress(*UNPARSED):
                line = plain.count("\n", start, at) + 1
                return _Statement(parsed(plain[start:end]), source, start, line)
    if len(plain) <= MAX_JUDGED:
        with suppress(*UNPARSED):
            return _Statement(parsed(plain), source, 0, plain.count("\n", 0, at) + 1)
    return None


def _blocks(node: ast.AST) -> Iterator[ast.AST]:
    """The statements within a statement."""
    for name in ("body", "orelse", "handlers", "finalbody", "cases"):
        part = getattr(node, name, ())
        yield from part if isinstance(part, list) else ()


def _first(node: ast.AST) -> int:
    decorators: list[int] = [decorator.lineno for decorator in getattr(node, "decorator_list", ())]
    own: int = getattr(node, "lineno", 0)
    return min([own or min(map(_first, _blocks(node)), default=0), *decorators])


def _last(node: ast.AST) -> int:
    own: int = getattr(node, "end_lineno", 0)
    return own or max(map(_last, _blocks(node)), default=0)


def _walked(node: ast.AST, left_out: set[int], parent: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What is in it but for that, each with what it is in; what a list holds is asked of the list's own."""
    for child in ast.iter_child_nodes(node):
        if id(child) not in left_out:
            yield child, parent
            yield from _walked(child, left_out, parent if isinstance(child, (ast.List, ast.Tuple)) else child)


def _keys(variable: Variable) -> Iterable[str]:
    return [*(name for name, _ in variable.columns), *variable.keys]


def _arguments(signature: str) -> list[str]:
    return [part.partition("=")[0].strip(" *") for part in signature.strip("()").split(",")]


def _imported(code: str) -> list[str]:
    return re.findall(r"^[ \t]*(?:import|from)[ \t]+([\w.]+)", code, re.MULTILINE)


def _quoted(text: str) -> list[str]:
    return [next(filter(None, match.groups())) for match in QUOTED.finditer(text)]
