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
    r"\binplace\s*=\s*True\b|\.\s*(?:columns\s*=(?!=)|eval\(|insert\(|pop\(|update\(|clear\()"
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
    if "=" not in texts:
        return
    at = texts.index("=")
    targets, value = statement[:at], code.resolve(len(statement) - 1, at)
    if len(targets) == 1:
        known.pop(first, None)
        if value is not None:
            known[first] = value
    elif texts[at - 1] == "]" and first in known:
        _store(texts[:at], known)
    elif "[" not in texts[:at] and "." not in texts[:at]:
        for token in targets:
            known.pop(token.text, None)


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
    for name in targets:
        known.pop(name, None)
    if frame and frame.is_frame and targets and code.text(opener - 1) != "itertuples":
        known[targets[-1]] = replace(frame, attributes=None, grouped=False)


def _store(target: Sequence[str], known: dict[str, Known]) -> None:
    """``df["new"]``, ``df.loc[rows, "new"]`` or ``df[rows]`` is assigned to."""
    name, before, plain = target[0], known[target[0]], PLAIN.match(target[-2])
    plain = plain if target[-3] in ("[", ",") else None
    if plain and before.keys is not None:
        known[name] = replace(before, keys={**before.keys, plain[2]: ""})
    elif not plain and target[1] == "[" and COMPARISONS.isdisjoint(target):
        known.pop(name)  # nobody can tell which column
