"""Python's tokens, and what an expression among them is, as far as the kernel's names tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from keyword import kwlist
from typing import NamedTuple

from .framecalls import GROUPED, SAME_COLUMNS

TOKEN = re.compile(
    r"(?P<comment>#[^\n]*)"
    r"|(?P<string>[A-Za-z]{0,2}(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\\?\Z)|\"(?:\\.|[^\"\\\n])*(?:\"|(?=\n)|\\?\Z)))"
    r"|(?P<name>[^\W\d]\w*)|(?P<number>\d[\w.]*)|(?P<space>[^\S\n]+|\\\n)"
    r"|(?P<mark>[=!<>:+\-*/%@&|^]=|.)",
    re.DOTALL,
)
PLAIN = re.compile(r"""(["'])(?!\1\1)((?:\\.|[^\\])*?)\1\Z""", re.DOTALL)
# An f-string that is open, and what begins and ends its fields.
FORMATTED = re.compile(r"(?i:f|fr|rf)([\"'])(?!\1\1)(?P<text>(?:\\.|(?!\1)[^\\])*)\Z", re.DOTALL)
FIELD = re.compile(r"\{\{|\}\}|[{}]")
KEYWORDS = frozenset(kwlist)
CLOSERS = {")": "(", "]": "[", "}": "{"}


class Token(NamedTuple):
    """A piece of Python; ``kind``: the group of TOKEN, ``start``: characters from the code's beginning."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Known:
    """All there are: ``keys`` with their dtypes, ``attributes``, a ``signature``; None: that isn't known.

    ``levels``: the names in a frame's index; ``values``: texts that some columns hold; ``repeating``: the
    columns with few values, None where nobody has looked. ``inside``: as in :class:`..protocol.Variable`.
    ``is_fixed``: no method gives it attributes.
    """

    keys: Mapping[str, str] | None = None
    attributes: Sequence[str] | None = None
    signature: str | None = None
    levels: Sequence[str] = ()
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_frame: bool = False
    is_module: bool = False
    is_fixed: bool = False
    grouped: bool = False
    repeating: frozenset[str] | None = None
    inside: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def at(self, key: str) -> Known | None:
        """What is there in a dict; ``[]``: in a list, anywhere."""
        if key in self.inside:
            return Known(dict.fromkeys(self.inside[key], ""))
        return Known(inside={"[]": self.inside[f"{key}[]"]}) if f"{key}[]" in self.inside else None


def tokenized(code: str) -> list[Token]:
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


def within_field(code: str) -> str:
    """With the expression that is being written in an f-string in place of that."""
    last = [*TOKEN.finditer(code)][-1:]
    opened = FORMATTED.match(last[0][0]) if last else None
    fields: list[int] = []
    for mark in FIELD.finditer(opened["text"]) if opened else ():
        if mark[0] == "{":
            fields.append(mark.end())
        elif mark[0] == "}" and fields:
            fields.pop()
    return code[: last[0].start()] + opened["text"][fields[-1] :] if opened and fields else code


@dataclass
class Statement:
    """A statement that may end anywhere; ``right``: what follows it; ``loops``: names that loops bind."""

    tokens: Sequence[Token]
    known: Mapping[str, Known]
    right: str = ""
    loops: frozenset[str] = frozenset()
    opener: dict[int, int] = field(default_factory=dict)
    inside: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Which bracket each one closes, and in which each token stands."""
        stack: list[int] = []
        for at, token in enumerate(self.tokens):
            mark = token.text if token.kind == "mark" else ""
            if mark in CLOSERS and stack:
                self.opener[at] = stack.pop()
            self.inside[at] = stack[-1] if stack else -1
            if mark in CLOSERS.values():
                stack.append(at)
        self.inside[len(self.tokens)] = stack[-1] if stack else -1

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def owner(self, call: int) -> Known | None:
        """Whose method is called."""
        return self.resolve(call - 3) if self.text(call - 2) == "." else None

    def follows_value(self, bracket: int) -> bool:
        """Whether it subscribes or calls something."""
        if bracket < 1:
            return False
        token = self.tokens[bracket - 1]
        return token.text in ("]", ")") or (token.kind == "name" and token.text not in KEYWORDS)

    def variable(self, at: int) -> Known | None:
        name = self.text(at)
        if self.text(at - 1) == "." or not name.isidentifier():
            return None
        if (maker := self._lambda(at, name)) >= 0:
            call = self.inside[maker]
            owner = self.owner(call) if self.text(call) == "(" else None
            return owner if owner and owner.is_frame else None
        if name in self.loops and self.inside.get(at, -1) >= 0 and "for" in self.right:
            return self._comprehended(name)
        return self.known.get(name)

    def _comprehended(self, name: str) -> Known | None:
        """What a comprehension on the right binds the name to."""
        found = re.search(rf"\bfor\s+{name}\s+in\s+([\w.]+(?:\[[^\]\n]*\])*)", self.right)
        tokens = tokenized(found[1]) if found else ()
        rows = Statement(tokens, self.known).resolve(len(tokens) - 1) if tokens else None
        return rows.at("[]") if rows else None

    def resolve(self, at: int, start: int = -1) -> Known | None:
        """The value of the expression that ends there, and begins right after ``start`` if that is given."""
        if at <= start:
            return None
        token = self.tokens[at]
        if token.text == "plot" and self.text(at - 1) == ".":
            return self.resolve(at - 2, start)
        if token.kind == "name":
            whole = start < 0 or at == start + 1
            return self.variable(at) if whole and token.text not in KEYWORDS else None
        opener = self.opener.get(at, -1)
        if opener < 1 or not self.follows_value(opener):
            is_whole = token.text == ")" and opener >= 0 and start < 0
            return self.resolve(at - 1, opener) if is_whole else None
        if token.text == "]":
            return self._item(opener, at, start)
        return self._called(opener, at, start) if token.text == ")" else None

    def _item(self, opener: int, at: int, start: int) -> Known | None:
        """Some rows or columns of a frame, or what a dict or list has there."""
        is_loc = self.text(opener - 1) == "loc" and self.text(opener - 2) == "."
        known = self.resolve(opener - 3 if is_loc else opener - 1, start)
        inside = self.tokens[opener + 1 : at]
        if known and known.inside and len(inside) == 1:
            plain = PLAIN.match(inside[0].text)
            return known.at(plain[2] if plain else "[]")
        if known is None or not known.is_frame or known.keys is None or len(inside) < 2:
            return None
        commas = any(t.text == "," and self.inside[opener + 1 + n] == opener for n, t in enumerate(inside))
        if commas:
            return None
        if inside[0].text == "[" and inside[-1].text == "]" and not is_loc:
            listed = [plain[2] for token in inside if (plain := PLAIN.match(token.text))]
            return replace(known, keys={name: known.keys.get(name, "") for name in listed}, attributes=None)
        return known

    def _called(self, opener: int, at: int, start: int) -> Known | None:
        method = self.text(opener - 1)
        known = self.owner(opener) if start < 0 else self.resolve(opener - 3, start)
        if known is None or not known.is_frame or self.text(opener - 2) != ".":
            return None
        inside = "".join(token.text for token in self.tokens[opener + 1 : at])
        if method in SAME_COLUMNS or (method == "reset_index" and "drop=True" in inside):
            return replace(known, grouped=known.grouped or method in GROUPED)
        return None

    def _lambda(self, at: int, name: str) -> int:
        """The lambda whose parameter the name is, or -1."""
        for n in range(at - 1, 0, -1):
            if self.text(n) == "lambda" and name in [self.text(m) for m in range(n + 1, min(at, n + 4))]:
                return n
        return -1
