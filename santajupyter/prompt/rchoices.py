"""Which columns can stand at a place in R: after ``df$``, in ``df[["…``, in dplyr's verbs and in ``aes(``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..protocol import Variable
from . import fitting
from .choices import Choice
from .cursor import Excerpt
from .languages import language_of

# Characters left of the cursor that are read, and right of it.
LEFT, RIGHT = 4000, 300
TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<string>\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z))"
    r"|(?P<quoted>`[^`]*(?:`|\Z))|(?P<name>(?:[^\W\d_]|\.(?!\d))[\w.]*)|(?P<number>\d[\w.]*)|(?P<space>[^\S\n]+)"
    r"|(?P<mark>%[^%\s]{0,9}%|\|>|<-|\[\[|[=!<>]=|&&|\|\||.|\n)",
    re.DOTALL,
)
PLAIN = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*\Z")
PIPES = frozenset(["%>%", "|>"])
# Functions whose arguments are read in the frame that comes first; those keep all of its columns.
_KEEPING = """filter arrange group_by slice slice_max slice_min slice_head slice_tail distinct subset head
    tail ungroup drop_na fill sample_n"""
_OTHERS = """select summarise summarize count pull rename relocate transmute pivot_longer pivot_wider with
    nest_by n_distinct reframe across"""
KEEPING = frozenset(_KEEPING.split())
ADDING = frozenset(["mutate", "transform", "add_count"])
READING = KEEPING | ADDING | frozenset(_OTHERS.split())
# In these an argument's beginning names what is made.
MAKING = ADDING | {"summarise", "summarize"}
GROUPING = frozenset(["group_by", "count", "distinct"])
# Before a column that is used: an argument's beginning, an operator.
BEFORE = frozenset(["(", ",", "=", "&", "|", "!", "+", "-", "*", "/", "~", "&&", "||"])
SUMS = frozenset(["mean", "sum", "median", "sd", "var", "min", "max", "quantile", "cor"])
DATA = re.compile(r"[^\n]{0,200}?\bdata\s*=\s*([\w.]+)")
TYPES = {
    **dict.fromkeys(("integer", "double", "numeric", "integer64"), "float64"),
    **dict.fromkeys(("Date", "POSIXct", "POSIXlt", "difftime", "hms"), "datetime64"),
    **dict.fromkeys(("character", "factor", "ordered"), "str"),
    "logical": "bool",
}


class _Token(NamedTuple):
    kind: str
    text: str


class _Spot(NamedTuple):
    """``names`` that can stand there; ``kind`` and ``named`` as fitting.Spot has them."""

    names: Mapping[str, str]
    begun: str
    quote: str = ""
    kind: str = "key"
    named: tuple[str, ...] = ()


def r_choice(variables: Sequence[Variable], where: Excerpt) -> Choice | None:
    """The columns or keys that can stand at the cursor; None where that isn't known."""
    cell, cursor = where.cells[where.active], where.cursor
    if cell.type != "code" or language_of(cell, "r").lower() != "r" or not variables:
        return None
    tokens = [_Token(str(m.lastgroup), m[0]) for m in TOKEN.finditer(cursor.left[-LEFT:])]
    if tokens and tokens[-1].kind == "comment":
        return None
    frames = {v.name: dict(v.columns) or dict.fromkeys(v.keys, "") for v in variables if v.columns or v.keys}
    spot = _Reader(
        [t for t in tokens if t.kind not in ("space", "comment")], frames, cursor.right[:RIGHT]
    ).spot(bool(tokens) and tokens[-1].kind in ("space", "mark"))
    if spot is None or cursor.right[:1].isidentifier():
        return None
    names = [name for name in spot.names if name.startswith(spot.begun)]
    rests = [(name if spot.quote or PLAIN.match(name) else f"`{name}`")[len(spot.begun) :] for name in names]
    if not any(rests):
        return None
    dtypes = {name: TYPES.get(dtype, "") for name, dtype in spot.names.items() if dtype}
    right = '"]' + cursor.line_right
    place = fitting.Spot(
        spot.kind, spot.begun, dtypes=dtypes, named=spot.named, right=right, above=_above(cursor.above)
    )
    weights = fitting.weights(names, place)
    closed = cursor.line_right.strip(")]\"'` ") != ""
    return Choice(tuple(rests), tuple(weights), spot.quote, alone=closed)


def _above(above: str) -> str:
    line = above.rstrip("\n").rpartition("\n")[2]
    return line if line.lstrip().startswith("#") else ""


class _Reader:
    """Tokens up to the cursor."""

    def __init__(self, tokens: list[_Token], frames: Mapping[str, Mapping[str, str]], right: str) -> None:
        self._frames, self._right = frames, right
        self._begun = ""
        self._quote = ""
        if tokens and tokens[-1].kind in ("string", "quoted"):
            text = tokens[-1].text
            if len(text) == 1 or text[-1] != text[0]:
                self._quote, self._begun = text[0], text[1:]
                tokens = tokens[:-1]
        self._tokens = tokens

    def spot(self, is_apart: bool) -> _Spot | None:
        """``is_apart``: the cursor touches no name."""
        if not self._quote and not is_apart and self._tokens and self._tokens[-1].kind == "name":
            self._begun = self._tokens[-1].text
            self._tokens = self._tokens[:-1]
        texts = [token.text for token in self._tokens]
        before = texts[-1] if texts else ""
        if before == "$":
            names = self._frame(len(texts) - 2)
            return self._of(names, "key") if self._quote in ("", "`") else None
        if self._quote in ('"', "'"):
            if before in ("[[", "["):
                return self._of(self._frame(len(texts) - 2), "key")
            call = self._call(len(texts))
            is_column = before == "," and call >= 0 and texts[call] == "["
            return self._of(self._frame(call - 1), "key") if is_column else None
        if before not in BEFORE:
            return None
        return self._in_call(len(texts))

    def _of(self, names: Mapping[str, str] | None, kind: str, named: tuple[str, ...] = ()) -> _Spot | None:
        return _Spot(names, self._begun, self._quote, kind, named) if names else None

    def _in_call(self, at: int) -> _Spot | None:
        """In a verb's arguments, also within functions in them."""
        call, inner = self._call(at), ""
        before = self._tokens[at - 1].text
        while call > 0 and self._tokens[call].text == "(":
            function = self._tokens[call - 1].text
            frame: Mapping[str, str] | None = None
            if function in READING:
                frame = self._data(call)
                is_first = before == "(" and call == at - 1
                if is_first and not self._is_piped(call):
                    return None
            elif function == "aes":
                frame = self._plotted(call)
            elif before == "~" and (found := DATA.match(self._right)):
                frame = self._frames.get(found[1])
            if frame:
                if function in MAKING and before in ("(", ",") and not inner:
                    return None
                kind = (
                    "groupby" if function in GROUPING else "sort_values" if function == "arrange" else "key"
                )
                used = [t.text for t in self._tokens[call:at] if t.text in frame]
                return self._of(frame, "values" if inner in SUMS else kind, tuple(used))
            inner = inner or function
            call = self._call(call)
        return None

    def _call(self, at: int) -> int:
        """The bracket that the token ``at`` stands in, or -1."""
        depth = 0
        for n in range(at - 1, -1, -1):
            text = self._tokens[n].text
            depth += text in (")", "]") and self._tokens[n].kind == "mark"
            if self._tokens[n].kind == "mark" and text in ("(", "[", "[["):
                depth -= 2 if text == "[[" else 1
                if depth < 0:
                    return n
            if text in ("{", "}") and not depth:
                return -1
        return -1

    def _is_piped(self, call: int) -> bool:
        return self._pipe(call - 1) >= 0

    def _pipe(self, at: int) -> int:
        """The pipe before the token ``at``, or -1; newlines may stand between."""
        n = at - 1
        while n >= 0 and self._tokens[n].text == "\n":
            n -= 1
        return n if n >= 0 and self._tokens[n].text in PIPES else -1

    def _data(self, call: int) -> Mapping[str, str] | None:
        """The frame that a verb works on: what is piped into it, or its first argument."""
        pipe = self._pipe(call - 1)
        if pipe >= 0:
            return self._piped(pipe)
        return self._frames.get(self._tokens[call + 1].text) if call + 1 < len(self._tokens) else None

    def _piped(self, pipe: int) -> Mapping[str, str] | None:
        """What stands left of a pipe: a frame, or what a verb leaves of one."""
        end = pipe - 1
        while end >= 0 and self._tokens[end].text == "\n":
            end -= 1
        if end < 0 or self._tokens[end].text != ")":
            return self._frames.get(self._tokens[end].text.strip("`")) if end >= 0 else None
        call = self._call(end)
        verb = self._tokens[call - 1].text if call > 0 else ""
        frame = self._data(call) if verb in KEEPING or verb in ADDING else None
        if frame and verb in ADDING:
            inside = self._tokens[call:end]
            made = [a.text for a, b in pairwise(inside) if b.text == "=" and a.kind == "name"]
            return {**frame, **dict.fromkeys(made, "")}
        return frame

    def _plotted(self, call: int) -> Mapping[str, str] | None:
        """The frame of the ggplot that the ``aes(`` belongs to."""
        for n in range(call - 1, 0, -1):
            if self._tokens[n].text == "(" and self._tokens[n - 1].text == "ggplot":
                return self._data(n)
        return None

    def _frame(self, at: int) -> Mapping[str, str] | None:
        if at < 0 or self._tokens[at].kind not in ("name", "quoted"):
            return None
        return self._frames.get(self._tokens[at].text.strip("`"))
