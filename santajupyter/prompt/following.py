"""What code that hasn't run yet does to what is known, as far as it is plain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .expressions import CLOSERS, PLAIN, Known, Statement, Token
from .framecalls import ROWS

COMPOUND = frozenset(
    ["async", "class", "def", "elif", "else", "except", "finally", "for", "if", "try", "while", "with"]
)
COMPARISONS = frozenset(["<", "<=", "==", "!=", ">", ">=", "in"])
CHANGES = re.compile(
    r"\binplace\s*=\s*True\b|\.\s*(?:columns|names?)\s*=(?!=)|\.\s*(?:clear|eval|insert|pop|setdefault|update)\("
)


def followed(tokens: Sequence[Token], known: dict[str, Known]) -> list[Token]:
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
    code = Statement(statement, known)
    texts = [token.text for token in statement]
    first = texts[0]
    if first in ("import", "from", "def", "class", "with", "except", "global", "del"):
        at = 1 if first in ("def", "class") else 0
        for name in texts[at : at + 2] if first in ("def", "class") else texts:
            known.pop(name, None)
        return
    if first in ("for", "async"):
        _bind_loop(code, known)
        return
    source = "".join(texts)
    if CHANGES.search(source):
        known.pop(first, None)
        return
    _use(code, known)
    _assign(code, known)


def _assign(code: Statement, known: dict[str, Known]) -> None:
    """``a = b = value``, or ``a, b = value``, of which nobody can tell what each one is."""
    texts = [token.text for token in code.tokens]
    marks = [at for at, text in enumerate(texts) if text in ("=", ",") and code.inside[at] < 0]
    last = next((at for at in marks[::-1] if texts[at] == "="), -1)
    ends = [at for at in marks if at <= last]
    is_one = all(texts[at] == "=" for at in ends)
    value = code.resolve(len(texts) - 1, last) if is_one else None
    for start, end in zip([0, *(at + 1 for at in ends)], ends, strict=False):
        _bind(texts[start:end], value, known)


def _use(code: Statement, known: dict[str, Known]) -> None:
    """What else it may do: a method may give an object of the user's own class any attribute."""
    for at, token in enumerate(code.tokens):
        named = known.get(token.text)
        if named and code.text(at + 1) == ":=":
            del known[token.text]
        elif named and (code.text(at + 1), code.text(at + 3)) == (".", "("):
            is_fixed = named.is_frame or named.is_fixed
            known[token.text] = named if is_fixed else replace(named, attributes=None)


def _bind(target: Sequence[str], value: Known | None, known: dict[str, Known]) -> None:
    """The value is assigned to the target, which may be annotated."""
    name = target[0] if target else ""
    if target[1:2] in ([], [":"]):
        known.pop(name, None)
        if value is not None:
            known[name] = value
    elif target[-1] == "]" and name in known:
        _store(target, known)
    elif target[1] != ".":
        for other in target:
            known.pop(other, None)


def _bind_loop(code: Statement, known: dict[str, Known]) -> None:
    """``for name, group in df.groupby("port")``: the last target is some of the frame."""
    texts = [token.text for token in code.tokens]
    if "in" not in texts:
        return
    at = texts.index("in")
    targets = [token.text for token in code.tokens[:at] if token.kind == "name"][1:]
    last = len(texts) - 1
    opener = code.opener.get(last, -1)
    frame = code.owner(opener) if opener > at and code.text(opener - 1) in ROWS else None
    rows = code.resolve(last, at)
    for name in targets:
        known.pop(name, None)
    if len(targets) == 1 and rows and (row := rows.at("[]")):
        known[targets[0]] = row
    if not (frame and frame.is_frame and targets):
        return
    if code.text(opener - 1) != "itertuples":
        known[targets[-1]] = replace(frame, attributes=None, grouped=False)
    elif len(targets) == 1 and opener == last - 1 and frame.keys is not None:
        known[targets[0]] = Known(attributes=["Index", *filter(str.isidentifier, frame.keys)])


def _store(target: Sequence[str], known: dict[str, Known]) -> None:
    """``df["new"]``, ``df.loc[rows, "new"]`` or ``df[rows]`` is assigned to."""
    name, before, new = target[0], known[target[0]], _named(target[:-1])
    if not before.is_frame and len(target) > 4:  # in what is there
        known[name] = replace(before, inside={})
    elif new and before.keys is not None:
        attributes: Sequence[str] | None = before.attributes
        if before.is_frame and attributes is not None:
            attributes = [*dict.fromkeys([*attributes, *filter(str.isidentifier, new)])]
        inside = {key: keys for key, keys in before.inside.items() if key.removesuffix("[]") not in new}
        keys = {**before.keys, **dict.fromkeys(new, "")}
        known[name] = replace(before, keys=keys, attributes=attributes, inside=inside)
    elif not new and target[1] == "[" and COMPARISONS.isdisjoint(target):
        known.pop(name)  # nobody can tell which column


def _named(subscript: Sequence[str]) -> list[str]:
    """The columns at the end of a subscript that isn't closed: a string, or a list of them."""
    start, parts = len(subscript) - 1, [*subscript[-1:]]
    if parts == ["]"] and "[" in subscript:
        start -= subscript[::-1].index("[")
        parts = [part for part in subscript[start + 1 : -1] if part != ","]
    before = subscript[start - 1]
    found = [PLAIN.match(part) for part in parts] if before in ("[", ",") else []
    return [plain[2] for plain in found if plain] if all(found) else []
