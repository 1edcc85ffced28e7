"""Which parameters of a function a call has still to give, by a signature as kernelfacts.py tells it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class _Parameter(NamedTuple):
    name: str
    is_optional: bool
    by_position: bool
    by_keyword: bool = True


def missing(signature: str, placed: int, given: Collection[str]) -> list[str]:
    """The names that can still be given by keyword, after so many by position and the ``given`` ones."""
    return [one.name for one in _left(signature, placed, given) if one.by_keyword]


def is_enough(signature: str, placed: int, given: Collection[str]) -> bool:
    """Whether each parameter without a default is given, and no number of others can be."""
    takes_any = any(part[0] == "*" != part for part in signature.strip("()").split(", ") if part)
    return not takes_any and all(one.is_optional for one in _left(signature, placed, given))


def _left(signature: str, placed: int, given: Collection[str]) -> list[_Parameter]:
    found = _parameters(signature)
    in_order = [one for one in found if one.by_position]
    return [one for one in found if one not in in_order[:placed] and one.name not in given]


def _parameters(signature: str) -> list[_Parameter]:
    """Of ``(path, /, sep=…, *rows, key=…)``."""
    found: list[_Parameter] = []
    by_position = True
    for part in filter(None, signature.strip("()").split(", ")):
        if part == "/":
            found = [one._replace(by_keyword=False) for one in found]
        elif part[0] == "*":
            by_position = False
        else:
            name, _, default = part.partition("=")
            found.append(_Parameter(name, bool(default), by_position))
    return found
