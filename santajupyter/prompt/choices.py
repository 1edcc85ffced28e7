"""What the kernel knows of what comes next: all columns, keys, attributes or parameters that can stand there.

Python alone. Code that has not run yet is followed as far as it is plain: ``few = df[df["age"] > 9]`` has
the columns of ``df``, and of ``df = load()`` nothing is known any more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from keyword import kwlist
from typing import NamedTuple

from ..protocol import Cell, Variable
from .cursor import Excerpt
from .fitting import Spot, is_of_a_column, weights
from .languages import language_of
from .names import READER, looped
from .parameters import is_enough, missing

# Characters of code left of the cursor that are read, and right of it.
LEFT, RIGHT = 4000, 300

TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)"
    r"|(?P<string>[A-Za-z]{0,2}(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\\?\Z)|\"(?:\\.|[^\"\\\n])*(?:\"|(?=\n)|\\?\Z)))"
    r"|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<space>[^\S\n]+|\\\n)"
    r"|(?P<mark>[=!<>:+\-*/%@&|^]=|.)",
    re.DOTALL,
)
PLAIN = re.compile(r"""(["'])(?!\1\1)((?:\\.|[^\\])*?)\1\Z""", re.DOTALL)
OPEN = re.compile(r"""(["'])(?!\1\1)((?:\\.|[^\\"'])*)\Z""", re.DOTALL)
# In a query, where a name begins: at its beginning, or after what joins two conditions.
CONDITION = re.compile(r"(?:\A|\band|\bor|\bnot|[&|~(])\s*(`?)(\w*)\Z")
# What stands left of it may be new.
ASSIGNED = re.compile(r"[\"']?\]?\s*=(?!=)")
DATA = re.compile(r"\bdata(?:_frame)?\s*=\s*([^\W\d]\w*)")
COMPOUND = frozenset(
    ["async", "class", "def", "elif", "else", "except", "finally", "for", "if", "try", "while", "with"]
)
KEYWORDS = frozenset(kwlist)
COMPARISONS = frozenset(["<", "<=", "==", "!=", ">", ">=", "in"])
CLOSERS = {")": "(", "]": "[", "}": "{"}

# Methods that return some rows of a frame, or groups of them, with the same columns.
SAME_COLUMNS = frozenset(
    [
        "copy",
        "drop_duplicates",
        "dropna",
        "ffill",
        "fillna",
        "filter",
        "group_by",
        "groupby",
        "head",
        "nlargest",
        "nsmallest",
        "query",
        "resample",
        "rolling",
        "sample",
        "set_index",
        "sort",
        "sort_index",
        "sort_values",
        "tail",
        "where",
    ]
)
# Methods of frames whose first argument is a column or a list of them.
BY_COLUMN = frozenset(
    [
        "drop_duplicates",
        "explode",
        "get_column",
        "group_by",
        "groupby",
        "n_unique",
        "select",
        "set_index",
        "sort",
        "sort_values",
        "unique",
        "value_counts",
    ]
)
GROUPED = frozenset(["groupby", "group_by", "resample", "rolling"])
# Those that take a level of the index as well.
BY_LEVEL = frozenset(["by", "groupby", "sort_values"])
SECOND = frozenset(["nlargest", "nsmallest"])
# Those whose first argument is a dict with columns as its keys.
BY_DICT = frozenset(["agg", "aggregate", "astype", "fillna", "transform"])
COLUMN_KEYWORDS = frozenset(
    [
        "by",
        "c",
        "color",
        "column",
        "columns",
        "facet_col",
        "facet_row",
        "hover_name",
        "hue",
        "id_vars",
        "index",
        "left_on",
        "names",
        "on",
        "size",
        "style",
        "subset",
        "value_vars",
        "values",
        "weights",
        "x",
        "y",
    ]
)
# Hardly anything else than a column or a list of them is given to these: its quote may be missing.
PLAIN_COLUMN = frozenset(
    [
        *("by", "group_by", "groupby", "hue", "left_on", "nlargest", "nsmallest", "on", "set_index"),
        *("sort_values", "subset", "value_vars", "values", "x", "y"),
    ]
)
# Functions that take no columns by those names, or others than those that there are.
OTHER_KEYWORDS = frozenset([("rename", "index"), ("reindex", "index"), ("reindex", "columns")])
ROWS = frozenset(["iterrows", "itertuples", "groupby"])
CHANGES = re.compile(
    r"\binplace\s*=\s*True\b|\.\s*(?:columns\s*=(?!=)|eval\(|insert\(|pop\(|update\(|clear\()"
)


@dataclass(frozen=True)
class Choice:
    """All that can come next: the ``rests`` of the names, and how well each one fits there, as a logarithm.

    ``quote``: what ends the name; "": anything that is no part of one. ``always``: one of them is worth
    showing even if none is likely, and a model may not know them, as it knows the methods of a library.
    ``alone``: nothing goes in after it.
    """

    rests: tuple[str, ...]
    weights: tuple[float, ...]
    quote: str = ""
    always: bool = True
    alone: bool = False


class Token(NamedTuple):
    """A piece of Python; ``kind``: the group of TOKEN, ``start``: characters from the code's beginning."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Known:
    """All there are: ``keys`` with their dtypes, ``attributes``, a ``signature``; None: that isn't known.

    ``levels``: the names in a frame's index; ``values``: texts that some columns hold; ``repeating``: the
    columns with few values, None where nobody has looked.
    """

    keys: Mapping[str, str] | None = None
    attributes: Sequence[str] | None = None
    signature: str | None = None
    levels: Sequence[str] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_frame: bool = False
    grouped: bool = False
    repeating: frozenset[str] | None = None


def choice(
    variables: Sequence[Variable],
    classes: Mapping[str, Sequence[str]],
    where: Excerpt,
    files: Sequence[str] = (),
) -> Choice | None:
    """What can stand at the cursor; None where that isn't known, or its author has begun something else."""
    cells, cursor = where.cells, where.cursor
    cell = cells[where.active]
    is_python = cell.type == "code" and language_of(cell, "python") == "python"
    if not is_python or not (variables or files):
        return None
    known = {variable.name: _known(variable, classes) for variable in variables}
    new = [c.source for c in cells[: where.active] if c.type == "code" and c.execution_count is None]
    code = "\n\n".join([*new, cursor.left])[-LEFT:]
    statement = _followed(_tokens(code), known)
    reader = _Reader(statement, known, files, cursor.right[:RIGHT], _loops(cells))
    found = reader.at_end()
    if found is None:
        return None
    names, spot = found
    rests = [(name, name[len(spot.begun) :]) for name in names if name.startswith(spot.begun)]
    if not any(rest for _, rest in rests) or cursor.right[:1].isidentifier():
        return None
    spot = replace(
        spot, left=_line_left(code) + spot.opening, right=cursor.right[:RIGHT], above=_above(where)
    )
    fitting = weights([name for name, _ in rests], spot)
    return Choice(
        tuple(spot.opening + _spelt(rest, spot.quote) for _, rest in rests),
        tuple(fitting),
        spot.quote,
        always=spot.kind != "attribute" or spot.dtypes.keys() >= set(names),
        alone=spot.kind == "open" or _is_closed(spot, cursor.line_right),
    )


def _known(variable: Variable, classes: Mapping[str, Sequence[str]]) -> Known:
    # Of very many only some are told: they exist, and that is what counts.
    keys: Mapping[str, str] | None = None
    if variable.columns or "columns" in variable.complete:
        keys = dict(variable.columns)
    elif variable.keys or "keys" in variable.complete:
        keys = dict.fromkeys(variable.keys, "")
    attributes: Sequence[str] | None = None
    inherited: Sequence[str] | None = classes.get(f"{variable.module}.{variable.type}")
    if variable.type in ("module", "class"):
        inherited = ()
    if "members" in variable.complete and inherited is not None:
        columns = [*filter(str.isidentifier, keys or ())] if variable.module.startswith("pandas") else []
        attributes = [*dict.fromkeys([*inherited, *variable.members, *columns])]
    is_told = "signature" in variable.complete and "**" not in variable.signature
    signature = variable.signature if is_told else None
    values = {name: [text for value in values if (text := _text(value))] for name, values in variable.values}
    is_frame = variable.type == "DataFrame"
    repeating = frozenset(variable.repeating) if "repeating" in variable.complete else None
    return Known(keys, attributes, signature, variable.levels, values, is_frame, repeating=repeating)


def _text(value: str) -> str:
    """The text that Python would read from it; "" where that is no text."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _spelt(rest: str, quote: str) -> str:
    return rest.replace("\\", "\\\\").replace(quote, "\\" + quote) if quote in ("'", '"') else rest


def _is_closed(spot: Spot, right: str) -> bool:
    """Whether what ends the name stands there already."""
    if spot.quote:
        return right.startswith(spot.quote)
    if spot.kind == "attribute":
        return bool(spot.dtypes) and is_of_a_column(right)
    return spot.kind in ("argument", "query") and right.strip("\"')]} ") != ""


def _loops(cells: Sequence[Cell]) -> frozenset[str]:
    return frozenset[str]().union(*(looped(cell.source) for cell in cells if cell.type == "code"))


def _line_left(code: str) -> str:
    return code[code.rfind("\n") + 1 :]


def _above(where: Excerpt) -> str:
    """What says what is to be done: the comment above the line, or the text above the cell."""
    lines = where.cursor.above.rstrip("\n").split("\n")
    comment = lines[-1] if lines[-1].lstrip().startswith("#") else ""
    before = where.cells[where.active - 1] if where.active else None
    first = not where.cursor.above.strip() or (comment and len(lines) == 1)
    text = before.source[-RIGHT:] if before and before.type == "markdown" and first else ""
    return f"{text}\n{comment}"


def _tokens(code: str) -> list[Token]:
    """Without spaces and comments; newlines within brackets are none, either."""
    found: list[Token] = []
    depth = 0
    for match in TOKEN.finditer(code):
        kind, text = str(match.lastgroup), match[0]
        if kind == "comment" and match.end() == len(code):
            return [Token("comment", text, match.start())]
        if kind in ("space", "comment") or (text == "\n" and depth):
            continue
        depth = max(0, depth + (text in CLOSERS.values()) - (text in CLOSERS)) if kind == "mark" else depth
        found.append(Token(kind, text, match.start()))
    return found


def _followed(tokens: Sequence[Token], known: dict[str, Known]) -> list[Token]:
    """The statement at the end; ``known`` is what holds there."""
    statement: list[Token] = []
    depth = 0
    for token in tokens:
        if token.kind == "mark":
            depth = max(0, depth + (token.text in CLOSERS.values()) - (token.text in CLOSERS))
        opens_block = token.text == ":" and not depth and _is_compound(statement)
        if not depth and (token.text in ("\n", ";") or opens_block) and token.kind == "mark":
            _follow(statement, known)
            statement = []
        else:
            statement.append(token)
    return statement


def _is_compound(statement: Sequence[Token]) -> bool:
    return (
        bool(statement) and statement[0].text in COMPOUND and not any(t.text == "lambda" for t in statement)
    )


def _follow(statement: Sequence[Token], known: dict[str, Known]) -> None:
    """What the statement does to what is known."""
    if not statement:
        return
    reader = _Reader(statement, known)
    texts = [token.text for token in statement]
    first = texts[0]
    if first in ("import", "from", "def", "class", "with", "except", "global", "del"):
        at = 1 if first in ("def", "class") else 0
        for name in texts[at : at + 2] if first in ("def", "class") else texts:
            known.pop(name, None)
        return
    if first in ("for", "async"):
        reader.bind_loop(known)
        return
    source = "".join(texts)
    if CHANGES.search(source):
        known.pop(first, None)
        return
    if "=" not in texts:
        return
    at = texts.index("=")
    targets, value = statement[:at], reader.resolve(len(statement) - 1, at)
    if len(targets) == 1:
        known.pop(first, None)
        if value is not None:
            known[first] = value
    elif texts[at - 1] == "]" and first in known:
        _store(texts[:at], known)
    elif "[" not in texts[:at] and "." not in texts[:at]:
        for token in targets:
            known.pop(token.text, None)


def _store(target: Sequence[str], known: dict[str, Known]) -> None:
    """``df["new"]``, ``df.loc[rows, "new"]`` or ``df[rows]`` is assigned to."""
    name, before, plain = target[0], known[target[0]], PLAIN.match(target[-2])
    plain = plain if target[-3] in ("[", ",") else None
    if plain and before.keys is not None:
        known[name] = replace(before, keys={**before.keys, plain[2]: ""})
    elif not plain and target[1] == "[" and COMPARISONS.isdisjoint(target):
        known.pop(name)  # nobody can tell which column


@dataclass
class _Reader:
    """A statement that may end anywhere; ``right``: what follows it."""

    tokens: Sequence[Token]
    known: Mapping[str, Known]
    files: Sequence[str] = ()
    right: str = ""
    loops: frozenset[str] = frozenset()
    _opener: dict[int, int] = field(default_factory=dict)
    _inside: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Which bracket each one closes, and in which each token stands."""
        stack: list[int] = []
        for at, token in enumerate(self.tokens):
            mark = token.text if token.kind == "mark" else ""
            if mark in CLOSERS and stack:
                self._opener[at] = stack.pop()
            self._inside[at] = stack[-1] if stack else -1
            if mark in CLOSERS.values():
                stack.append(at)
        self._inside[len(self.tokens)] = stack[-1] if stack else -1

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    # What can stand at the end.

    def at_end(self) -> tuple[Sequence[str], Spot] | None:
        """The names, and where they stand."""
        if not self.tokens:
            return None
        last = len(self.tokens) - 1
        token = self.tokens[last]
        if token.kind == "string":
            open_string = OPEN.match(token.text)
            return self._in_string(last, open_string[1], open_string[2]) if open_string else None
        begun = token.text if token.kind == "name" and not self.right[:1].isalnum() else ""
        at = last if begun else last + 1
        if self.text(at - 1) == ".":
            return self._attribute(at, begun)
        return self._argument(at, begun) or (None if begun else self._unquoted(at))

    def _attribute(self, at: int, begun: str) -> tuple[Sequence[str], Spot] | None:
        known = self.resolve(at - 2)
        if known is None or known.attributes is None or known.grouped or begun.startswith("_"):
            return None
        if at == 2 and ASSIGNED.match(self.right):
            return None
        dtypes = known.keys if known.is_frame and known.keys is not None else {}
        columns = [name for name in known.attributes if name in dtypes]
        # What stands right of it wants a column, and no method is used without a call.
        names = columns if columns and is_of_a_column(self.right) else known.attributes
        return names, Spot("attribute", begun, dtypes=dtypes, repeating=known.repeating)

    def _argument(self, at: int, begun: str) -> tuple[Sequence[str], Spot] | None:
        """A parameter: after another one, before its ``=``, or where all that must be given is."""
        call = self._inside.get(at, -1)
        if call < 1 or self.text(call) != "(" or self.text(at - 1) not in ("(", ","):
            return None
        known = self._variable(call - 1)
        if known is None or known.signature is None:
            return None
        inside = [n for n in range(call + 1, at) if self._inside[n] == call]
        given = {self.text(n - 1) for n in inside if self.text(n) == "="}
        placed = sum(self.text(n) == "," for n in inside) - len(given)
        is_spread = any(self.text(n) in ("*", "**") and self.text(n - 1) in ("(", ",") for n in inside)
        is_before_value = re.match(r"\s*=(?!=)", self.right)
        is_next = bool(given) or (placed > 0 and is_enough(known.signature, placed, given))
        if is_spread or not (is_before_value or is_next):
            return None
        return missing(known.signature, placed, given), Spot(
            "argument", begun, "" if is_before_value else "="
        )

    def _unquoted(self, at: int) -> tuple[Sequence[str], Spot] | None:
        """Where a column comes, whose quote isn't typed yet."""
        bracket = self._inside.get(at, -1)
        is_first = bracket >= 0 and (self.text(at - 1) == "=" or bracket == at - 1)
        taken = self._taker(at) if is_first and self.right[:1] in ("", "\n", ")", "]", ",") else None
        if taken is None or taken.known.keys is None:
            return None
        if taken.kind not in PLAIN_COLUMN and not self._masks(bracket):
            return None
        quotes = [token.text[0] for token in self.tokens if PLAIN.match(token.text)]
        quote = "'" if quotes and quotes[-1] == "'" else '"'
        return self._columns(taken, "", quote, quote)

    def _shared(self, names: list[str], at: int) -> list[str]:
        """Those that each table has which is given to the same call; all where there are none."""
        call = self._inside[at]
        call = self._inside[call] if self.text(call) == "[" else call
        tables = [
            known.keys
            for n in range(call + 1, len(self.tokens))
            if self.text(n - 1) in ("(", ",") and (known := self.known.get(self.text(n))) and known.keys
        ]
        return [name for name in names if all(name in keys for keys in tables)] or names

    def _masks(self, bracket: int) -> bool:
        """Whether a table's own bracket stands in another one of it."""
        around = self._inside[bracket]
        owner = around - 3 if self.text(around - 1) == "loc" else around - 1
        return [*map(self.text, (bracket, around, owner))] == ["[", "[", self.text(bracket - 1)]

    def _columns(
        self, taken: _Taken, begun: str, quote: str, opening: str = "", at: int = -1
    ) -> tuple[Sequence[str], Spot]:
        """The names for a string, which is the token ``at``."""
        keys = taken.known.keys or {}
        others = [plain[2] for n, t in enumerate(self.tokens) if n != at and (plain := PLAIN.match(t.text))]
        names = [*keys, *taken.known.levels] if taken.kind in BY_LEVEL else [*keys]
        if taken.kind == "on":
            names = self._shared(names, at if at >= 0 else len(self.tokens))
        return names, Spot(
            taken.kind,
            begun,
            quote,
            opening,
            keys,
            tuple(others),
            self._made(),
            repeating=taken.known.repeating,
        )

    def _in_string(self, at: int, quote: str, begun: str) -> tuple[Sequence[str], Spot] | None:
        before, call = self.text(at - 1), self._inside[at]
        method = self.text(call - 1) if self.text(call) == "(" else ""
        if before == "(" and re.fullmatch(READER, method):
            kind = "open" if method == "open" else "file"
            return (self.files, Spot(kind, begun, quote)) if self.files else None
        if method in ("query", "eval") and before == "(":
            return self._in_query(call, begun)
        if values := self._values(at):
            return values, Spot("value", begun, quote)
        taken = self._taker(at)
        if taken is None or taken.known.keys is None or (call == 1 and ASSIGNED.match(self.right)):
            return None
        return self._columns(taken, begun, quote, at=at)

    def _values(self, at: int) -> Sequence[str]:
        """The texts of the column that the one at ``at`` is compared with."""
        last = at - 2 if self.text(at - 1) in ("==", "!=") else -1
        call = self._inside[at] - 1 if self.text(self._inside[at]) == "[" else self._inside[at]
        if self.text(call) == "(" and self.text(call - 1) in ("isin", "is_in", "eq", "ne"):
            last = call - 3
        if (
            self.text(last) == "]"
            and self.text(last - 2) == "["
            and (plain := PLAIN.match(self.text(last - 1)))
        ):
            known, name = self.resolve(last - 3), plain[2]
        elif self.text(last - 1) == ".":
            known, name = self.resolve(last - 2), self.text(last)
        else:
            return ()
        values = known.values.get(name, ()) if known and known.is_frame else ()
        return values if len(values) > 1 else ()

    def _in_query(self, call: int, text: str) -> tuple[Sequence[str], Spot] | None:
        frame, found = self._owner(call), CONDITION.search(text)
        if frame is None or frame.keys is None or not frame.is_frame or not found:
            return None
        quote, begun = found[1], found[2]
        keys = {name: dtype for name, dtype in frame.keys.items() if name.isidentifier() or quote}
        named = tuple(re.findall(r"\w+", text))
        return [*keys, *frame.levels], Spot("query", begun, quote, dtypes=keys, named=named)

    def _made(self) -> str:
        """The column that the statement assigns to."""
        texts = [token.text for token in self.tokens[:5]]
        plain = PLAIN.match(texts[2]) if len(texts) == 5 and texts[1] == "[" and texts[4] == "=" else None
        return plain[2] if plain else ""

    # Whose column a string is.

    def _taker(self, at: int) -> _Taken | None:
        """What the literal that begins there is a key of: a string, or a list or dict of them."""
        bracket, before = self._inside[at], self.text(at - 1)
        mark = self.text(bracket) if bracket >= 0 else ""
        if mark == "[" and self._follows_value(bracket):
            return self._subscript(at, bracket)
        if mark == "[":
            return self._taker(bracket)
        if mark == "{" and before in ("{", ","):
            return self._argument_of(bracket, True)
        if mark == "(" and self._follows_value(bracket):
            return self._argument_of(at, False)
        if mark == "(" and before == "(" and self.text(bracket - 1) == "=":  # agg(total=("cargo", "sum"))
            call = self._inside[bracket]
            frame = self._owner(call) if self.text(call - 1) in BY_DICT else None
            return _Taken(frame, "agg") if frame and frame.is_frame else None
        return None

    def _subscript(self, at: int, bracket: int) -> _Taken | None:
        if self.text(bracket - 1) in ("loc", "at") and self.text(bracket - 2) == ".":
            known = self.resolve(bracket - 3) if self.text(at - 1) == "," else None
            return _Taken(known, "loc") if known and known.is_frame else None
        known = self.resolve(bracket - 1) if self.text(at - 1) == "[" else None
        return _Taken(known, "key") if known else None

    def _argument_of(self, at: int, is_dict: bool) -> _Taken | None:
        """The literal is an argument; ``is_dict``: it is one whose keys are asked for."""
        call, before = self._inside[at], self.text(at - 1)
        if call < 1 or self.text(call) != "(" or not self._follows_value(call):
            return None
        method, owner = self.text(call - 1), self._owner(call)
        keyword = self.text(at - 2) if before == "=" else ""
        place = sum(self.text(n) == "," and self._inside[n] == call for n in range(call, at))
        if is_dict:
            fits = (method in BY_DICT and not place and not keyword) or (method, keyword) == (
                "rename",
                "columns",
            )
            kind = "agg" if method in ("agg", "aggregate") else "key"
            return _Taken(owner, kind) if owner and owner.is_frame and fits else None
        if owner and not owner.is_frame:
            return _Taken(owner, "key") if method in ("get", "pop") and not place and not keyword else None
        if method == "col" and not place:
            frame = self._frame_around(call)
            return _Taken(frame, "key") if frame else None
        if keyword and (keyword not in COLUMN_KEYWORDS or (method, keyword) in OTHER_KEYWORDS):
            return None
        if owner and owner.is_frame:
            fits = bool(keyword) or (not place and method in BY_COLUMN) or (place == 1 and method in SECOND)
            kind = "key" if method in ("drop", "dropna", "drop_duplicates") and keyword else keyword or method
            return _Taken(owner, kind) if fits else None
        frame = self._data(call) if keyword else None
        return _Taken(frame, keyword) if frame else None

    def _frame_around(self, call: int) -> Known | None:
        """The frame whose method the call is an argument of."""
        while call > 0:
            call = self._inside[call]
            owner = self._owner(call) if call > 0 else None
            if owner and owner.is_frame:
                return owner
        return None

    def _data(self, call: int) -> Known | None:
        """The frame that a function has as its first argument, or as ``data``."""
        inside = self.tokens[call + 1 :]
        found = DATA.search("".join(token.text for token in inside)) or DATA.search(self.right.split("\n")[0])
        name = found[1] if found else self.text(call + 1) if self.text(call + 2) == "," else ""
        known = self.known.get(name)
        return known if known and known.is_frame else None

    # What an expression is.

    def _follows_value(self, bracket: int) -> bool:
        """Whether it subscribes or calls something."""
        if bracket < 1:
            return False
        token = self.tokens[bracket - 1]
        return token.text in ("]", ")") or (token.kind == "name" and token.text not in KEYWORDS)

    def _owner(self, call: int) -> Known | None:
        """Whose method is called."""
        return self.resolve(call - 3) if self.text(call - 2) == "." else None

    def _variable(self, at: int) -> Known | None:
        name = self.text(at)
        if self.text(at - 1) == "." or not name.isidentifier():
            return None
        if (maker := self._lambda(at, name)) >= 0:
            call = self._inside[maker]
            owner = self._owner(call) if self.text(call) == "(" else None
            return owner if owner and owner.is_frame else None
        if name in self.loops and self._inside.get(at, -1) >= 0 and "for" in self.right:
            return None
        return self.known.get(name)

    def _lambda(self, at: int, name: str) -> int:
        """The lambda whose parameter the name is, or -1."""
        for n in range(at - 1, 0, -1):
            if self.text(n) == "lambda" and name in [self.text(m) for m in range(n + 1, min(at, n + 4))]:
                return n
        return -1

    def resolve(self, at: int, start: int = -1) -> Known | None:
        """The value of the expression that ends there, and begins right after ``start`` if that is given."""
        if at <= start:
            return None
        token = self.tokens[at]
        if token.text == "plot" and self.text(at - 1) == ".":
            return self.resolve(at - 2, start)
        if token.kind == "name":
            whole = start < 0 or at == start + 1
            return self._variable(at) if whole and token.text not in KEYWORDS else None
        opener = self._opener.get(at, -1)
        if opener < 1 or not self._follows_value(opener):
            return self.resolve(at - 1) if token.text == ")" and opener >= 0 and start < 0 else None
        if token.text == "]":
            return self._item(opener, at, start)
        return self._called(opener, at, start) if token.text == ")" else None

    def _item(self, opener: int, at: int, start: int) -> Known | None:
        """Some rows or columns of a frame."""
        is_loc = self.text(opener - 1) == "loc" and self.text(opener - 2) == "."
        known = self.resolve(opener - 3 if is_loc else opener - 1, start)
        inside = self.tokens[opener + 1 : at]
        if known is None or not known.is_frame or known.keys is None or len(inside) < 2:
            return None
        commas = any(t.text == "," and self._inside[opener + 1 + n] == opener for n, t in enumerate(inside))
        if commas:
            return None
        if inside[0].text == "[" and inside[-1].text == "]" and not is_loc:
            listed = [plain[2] for token in inside if (plain := PLAIN.match(token.text))]
            return replace(known, keys={name: known.keys.get(name, "") for name in listed}, attributes=None)
        return known

    def _called(self, opener: int, at: int, start: int) -> Known | None:
        method = self.text(opener - 1)
        known = self._owner(opener) if start < 0 else self.resolve(opener - 3, start)
        if known is None or not known.is_frame or self.text(opener - 2) != ".":
            return None
        inside = "".join(token.text for token in self.tokens[opener + 1 : at])
        if method in SAME_COLUMNS or (method == "reset_index" and "drop=True" in inside):
            return replace(
                known, grouped=known.grouped or method in ("groupby", "group_by", "resample", "rolling")
            )
        return None

    def bind_loop(self, known: dict[str, Known]) -> None:
        """``for name, group in df.groupby("port")``: the last target is some of the frame."""
        texts = [token.text for token in self.tokens]
        if "in" not in texts:
            return
        at = texts.index("in")
        targets = [token.text for token in self.tokens[:at] if token.kind == "name"][1:]
        last = len(texts) - 1
        opener = self._opener.get(last, -1)
        frame = self._owner(opener) if opener > at and self.text(opener - 1) in ROWS else None
        for name in targets:
            known.pop(name, None)
        if frame and frame.is_frame and targets and self.text(opener - 1) != "itertuples":
            known[targets[-1]] = replace(frame, attributes=None, grouped=False)


class _Taken(NamedTuple):
    """``kind``: key, loc, agg, or the method or keyword that takes it."""

    known: Known
    kind: str
