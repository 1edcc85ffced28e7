"""What the kernel knows of what comes next: all columns, keys, attributes or parameters that can stand there.

Python alone. Code that has not run yet is followed as far as it is plain: ``few = df[df["age"] > 9]`` has
the columns of ``df``, and of ``df = load()`` nothing is known any more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..protocol import Cell, Variable
from .cursor import Excerpt
from .expressions import PLAIN, Known, Statement, tokenized, within_field
from .fitting import Spot, is_of_a_column, mentions, weights
from .following import followed
from .framecalls import (
    BY_COLUMN,
    BY_DICT,
    BY_LEVEL,
    COLUMN_KEYWORDS,
    OF_COLUMN,
    OTHER_KEYWORDS,
    PLAIN_COLUMN,
    SECOND,
    SEVERAL,
)
from .known import FIXED, WITH_ATTRIBUTES
from .languages import language_of
from .names import READER, looped
from .parameters import is_enough, missing

# Characters of code left of the cursor that are read, and right of it.
LEFT, RIGHT = 4000, 300

OPEN = re.compile(r"""(["'])(?!\1\1)((?:\\.|[^\\"'])*)\Z""", re.DOTALL)
# In a query, where a name begins: at its beginning, or after what joins two conditions.
CONDITION = re.compile(r"(?:\A\s*|\b(?:and|or|not)\s+|[&|~(]\s*)(`?)(\w*)\Z")
# What stands left of it may be new.
ASSIGNED = re.compile(r"[\"']?\]?\s*=(?!=)")
DATA = re.compile(r"\bdata(?:_frame)?\s*=\s*([^\W\d]\w*)")


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
    code = within_field("\n\n".join([*new, cursor.left])[-LEFT:])
    statement = Statement(followed(tokenized(code), known), known, cursor.right[:RIGHT], _loops(cells))
    found = _Reader(statement, files, _quote(cells)).at_end()
    if found is None:
        return None
    names, spot = found
    rests = [(name, name[len(spot.begun) :]) for name in names if name.startswith(spot.begun)]
    if not any(rest for _, rest in rests) or cursor.right[:1].isidentifier():
        return None
    spot = replace(
        spot,
        left=_line_left(code) + spot.opening,
        right=cursor.right[:RIGHT],
        above=_above(where),
        mentions=mentions(_code_above(where)[-LEFT:]),
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
        columns = (
            [*filter(str.isidentifier, keys or ())] if variable.module.startswith(WITH_ATTRIBUTES) else []
        )
        attributes = [*dict.fromkeys([*inherited, *variable.members, *columns])]
    is_told = "signature" in variable.complete and "**" not in variable.signature
    signature = variable.signature if is_told else None
    values = {name: [text for value in values if (text := _text(value))] for name, values in variable.values}
    repeating = frozenset(variable.repeating) if "repeating" in variable.complete else None
    return Known(
        keys,
        attributes,
        signature,
        variable.levels,
        values,
        is_frame=variable.type == "DataFrame",
        is_module=variable.type == "module",
        is_fixed=variable.type == "module" or variable.module.partition(".")[0] in FIXED,
        repeating=repeating,
        inside=dict(variable.inside),
    )


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


def _quote(cells: Sequence[Cell]) -> str:
    """That of most strings in the notebook."""
    double, single = (sum(c.source.count(mark) for c in cells if c.type == "code") for mark in "\"'")
    return "'" if single > double else '"'


def _line_left(code: str) -> str:
    return code[code.rfind("\n") + 1 :]


def _code_above(where: Excerpt) -> str:
    cells = [cell.source for cell in where.cells[: where.active] if cell.type == "code"]
    return "\n".join([*cells, where.cursor.above])


def _above(where: Excerpt) -> str:
    """What says what is to be done: the comment above the line, or the text above the cell."""
    lines = where.cursor.above.rstrip("\n").split("\n")
    comment = lines[-1] if lines[-1].lstrip().startswith("#") else ""
    before = where.cells[where.active - 1] if where.active else None
    first = not where.cursor.above.strip() or (comment and len(lines) == 1)
    text = before.source[-RIGHT:] if before and before.type == "markdown" and first else ""
    return f"{text}\n{comment}"


@dataclass
class _Reader:
    """What can stand at the end of a statement."""

    code: Statement
    files: Sequence[str] = ()
    quote: str = '"'

    def at_end(self) -> tuple[Sequence[str], Spot] | None:
        """The names, and where they stand."""
        code = self.code
        if not code.tokens:
            return None
        last = len(code.tokens) - 1
        token = code.tokens[last]
        is_header = "def" in (code.text(0), code.text(1))  # whose names are parameters
        if token.kind == "string":
            open_string = OPEN.match(token.text) if not is_header else None
            return self._in_string(last, open_string[1], open_string[2]) if open_string else None
        begun = token.text if token.kind == "name" and not code.right[:1].isalnum() else ""
        at = last if begun else last + 1
        if code.text(at - 1) == ".":
            return self._attribute(at, begun)
        if is_header:
            return None
        return self._argument(at, begun) or (None if begun else self._unquoted(at))

    def _attribute(self, at: int, begun: str) -> tuple[Sequence[str], Spot] | None:
        code = self.code
        known = code.resolve(at - 2) if code.text(at - 2) != "plot" else None
        if known is None or known.attributes is None or known.grouped or begun.startswith("_"):
            return None
        if at == 2 and ASSIGNED.match(code.right):
            return None
        dtypes = known.keys if known.is_frame and known.keys is not None else {}
        columns = [name for name in known.attributes if name in dtypes]
        # What stands right of it wants a column, and no method is used without a call.
        names = columns if columns and is_of_a_column(code.right) else known.attributes
        return names, Spot("attribute", begun, dtypes=dtypes, repeating=known.repeating)

    def _argument(self, at: int, begun: str) -> tuple[Sequence[str], Spot] | None:
        """A parameter: after another one, before its ``=``, or where all that must be given is."""
        code = self.code
        call = code.inside.get(at, -1)
        if call < 1 or code.text(call) != "(" or code.text(at - 1) not in ("(", ","):
            return None
        known = code.variable(call - 1)
        if known is None or known.signature is None:
            return None
        inside = [n for n in range(call + 1, at) if code.inside[n] == call]
        given = {code.text(n - 1) for n in inside if code.text(n) == "="}
        placed = sum(code.text(n) == "," for n in inside) - len(given)
        is_spread = any(code.text(n) in ("*", "**") and code.text(n - 1) in ("(", ",") for n in inside)
        is_before_value = re.match(r"\s*=(?!=)", code.right)
        is_next = bool(given) or (placed > 0 and is_enough(known.signature, placed, given))
        if is_spread or not (is_before_value or is_next):
            return None
        return missing(known.signature, placed, given), Spot(
            "argument", begun, "" if is_before_value else "="
        )

    def _unquoted(self, at: int) -> tuple[Sequence[str], Spot] | None:
        """Where a column comes, whose quote isn't typed yet."""
        code = self.code
        bracket = code.inside.get(at, -1)
        is_first = bracket >= 0 and (code.text(at - 1) == "=" or bracket == at - 1)
        taken = self._taker(at) if is_first and code.right[:1] in ("", "\n", ")", "]", ",") else None
        if taken is None or taken.known.keys is None:
            return None
        if taken.kind not in PLAIN_COLUMN and not self._masks(bracket):
            return None
        quotes = [token.text[0] for token in code.tokens if PLAIN.match(token.text)]
        quote = quotes[-1] if quotes and quotes[-1] in "\"'" else self.quote
        return self._columns(taken, "", quote, quote)

    def _shared(self, names: list[str], at: int) -> list[str]:
        """Those that each table has which is given to the same call; all where there are none."""
        code = self.code
        call = code.inside[at]
        call = code.inside[call] if code.text(call) == "[" else call
        tables = [
            known.keys
            for n in range(call + 1, len(code.tokens))
            if code.text(n - 1) in ("(", ",") and (known := code.known.get(code.text(n))) and known.keys
        ]
        return [name for name in names if all(name in keys for keys in tables)] or names

    def _masks(self, bracket: int) -> bool:
        """Whether a table's own bracket stands in another one of it."""
        code = self.code
        around = code.inside[bracket]
        owner = around - 3 if code.text(around - 1) == "loc" else around - 1
        return [*map(code.text, (bracket, around, owner))] == ["[", "[", code.text(bracket - 1)]

    def _columns(
        self, taken: _Taken, begun: str, quote: str, opening: str = "", at: int = -1
    ) -> tuple[Sequence[str], Spot]:
        """The names for a string, which is the token ``at``."""
        code = self.code
        keys = taken.known.keys or {}
        others = [plain[2] for n, t in enumerate(code.tokens) if n != at and (plain := PLAIN.match(t.text))]
        names = [*keys, *taken.known.levels] if taken.kind in BY_LEVEL else [*keys]
        if taken.kind == "on":
            names = self._shared(names, at if at >= 0 else len(code.tokens))
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
        code = self.code
        before, call = code.text(at - 1), code.inside[at]
        method = code.text(call - 1) if code.text(call) == "(" else ""
        if before == "(" and re.fullmatch(READER, method):
            kind = "open" if method == "open" else "file"
            return (self.files, Spot(kind, begun, quote)) if self.files else None
        if method in ("query", "eval") and before == "(":
            return self._in_query(call, begun)
        if values := self._values(at):
            return values, Spot("value", begun, quote)
        taken = self._taker(at)
        if taken is None or taken.known.keys is None or (call == 1 and ASSIGNED.match(code.right)):
            return None
        return self._columns(taken, begun, quote, at=at)

    def _values(self, at: int) -> Sequence[str]:
        """The texts of the column that the one at ``at`` is compared with."""
        code = self.code
        last = at - 2 if code.text(at - 1) in ("==", "!=") else -1
        call = code.inside[at] - 1 if code.text(code.inside[at]) == "[" else code.inside[at]
        if code.text(call) == "(" and code.text(call - 1) in ("isin", "is_in", "eq", "ne"):
            last = call - 3
        if (
            code.text(last) == "]"
            and code.text(last - 2) == "["
            and (plain := PLAIN.match(code.text(last - 1)))
        ):
            known, name = code.resolve(last - 3), plain[2]
        elif code.text(last - 1) == ".":
            known, name = code.resolve(last - 2), code.text(last)
        else:
            return ()
        values = known.values.get(name, ()) if known and known.is_frame else ()
        return values if len(values) > 1 else ()

    def _in_query(self, call: int, text: str) -> tuple[Sequence[str], Spot] | None:
        frame, found = self.code.owner(call), CONDITION.search(text)
        if frame is None or frame.keys is None or not frame.is_frame or not found:
            return None
        quote, begun = found[1], found[2]
        keys = {name: dtype for name, dtype in frame.keys.items() if name.isidentifier() or quote}
        if not (quote or begun):
            keys |= {f"`{name}`": dtype for name, dtype in frame.keys.items() if not name.isidentifier()}
        named = tuple(re.findall(r"\w+", text))
        return [*keys, *frame.levels], Spot("query", begun, quote, dtypes=keys, named=named)

    def _made(self) -> str:
        """The column that the statement assigns to."""
        texts = [token.text for token in self.code.tokens[:5]]
        plain = PLAIN.match(texts[2]) if len(texts) == 5 and texts[1] == "[" and texts[4] == "=" else None
        return plain[2] if plain else ""

    # Whose column a string is.

    def _taker(self, at: int) -> _Taken | None:
        """What the literal that begins there is a key of: a string, or a list or dict of them."""
        code = self.code
        bracket, before = code.inside[at], code.text(at - 1)
        mark = code.text(bracket) if bracket >= 0 else ""
        if mark == "[" and code.follows_value(bracket):
            return self._subscript(at, bracket)
        if mark == "[":
            return self._taker(bracket)
        if mark == "{" and before in ("{", ","):
            return self._argument_of(bracket, True)
        if mark == "(" and code.follows_value(bracket):
            return self._argument_of(at, False)
        if mark == "(" and before == "(" and code.text(bracket - 1) == "=":  # agg(total=("cargo", "sum"))
            call = code.inside[bracket]
            frame = code.owner(call) if code.text(call - 1) in BY_DICT else None
            return _Taken(frame, "agg") if frame and frame.is_frame else None
        return None

    def _subscript(self, at: int, bracket: int) -> _Taken | None:
        code = self.code
        if code.text(bracket - 1) in ("loc", "at") and code.text(bracket - 2) == ".":
            known = code.resolve(bracket - 3) if code.text(at - 1) == "," else None
            return _Taken(known, "loc") if known and known.is_frame else None
        known = code.resolve(bracket - 1) if code.text(at - 1) == "[" else None
        return _Taken(known, "key") if known else None

    def _argument_of(self, at: int, is_dict: bool) -> _Taken | None:
        """The literal is an argument; ``is_dict``: it is one whose keys are asked for."""
        code = self.code
        call, before = code.inside[at], code.text(at - 1)
        if call < 1 or code.text(call) != "(" or not code.follows_value(call):
            return None
        method, owner = code.text(call - 1), code.owner(call)
        is_function = bool(owner and owner.is_module)
        owner = None if is_function else owner
        keyword = code.text(at - 2) if before == "=" else ""
        place = sum(code.text(n) == "," and code.inside[n] == call for n in range(call, at))
        if is_dict:
            fits = (method in BY_DICT and not place and not keyword) or (method, keyword) == (
                "rename",
                "columns",
            )
            kind = "agg" if method in ("agg", "aggregate") else "key"
            return _Taken(owner, kind) if owner and owner.is_frame and fits else None
        if owner and not owner.is_frame:
            return _Taken(owner, "key") if method in ("get", "pop") and not place and not keyword else None
        if not place and (method == "col" or (is_function and method in OF_COLUMN)):
            frame = self._frame_around(call)
            return _Taken(frame, "key") if frame else None
        if keyword and (keyword not in COLUMN_KEYWORDS or (method, keyword) in OTHER_KEYWORDS):
            return None
        if keyword == "right_on":  # of the other table
            owner = self._data(call)
        if owner and owner.is_frame:
            takers = BY_COLUMN if not place else SEVERAL | (SECOND if place == 1 else frozenset())
            fits = bool(keyword) or method in takers
            kind = "key" if method in ("drop", "dropna", "drop_duplicates") and keyword else keyword or method
            return _Taken(owner, kind) if fits else None
        frame = self._data(call) if keyword else None
        return _Taken(frame, keyword) if frame else None

    def _frame_around(self, call: int) -> Known | None:
        """The frame whose method the call is an argument of."""
        code = self.code
        while call > 0:
            call = code.inside[call]
            owner = code.owner(call) if call > 0 else None
            if owner and owner.is_frame:
                return owner
        return None

    def _data(self, call: int) -> Known | None:
        """The frame that a function has as its first argument, or as ``data``."""
        code = self.code
        inside = code.tokens[call + 1 :]
        found = DATA.search("".join(token.text for token in inside)) or DATA.search(code.right.split("\n")[0])
        name = found[1] if found else code.text(call + 1) if code.text(call + 2) == "," else ""
        known = code.known.get(name)
        return known if known and known.is_frame else None


class _Taken(NamedTuple):
    """``kind``: key, loc, agg, or the method or keyword that takes it."""

    known: Known
    kind: str
