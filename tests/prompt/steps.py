"""Counts what work costs in steps, which a busy machine doesn't change: regular expressions and code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import FrameType
from typing import Any

# Python's own reading of patterns; its place has changed.
PLACES = ("re._constants", "re._parser") if sys.version_info >= (3, 11) else ("sre_constants", "sre_parse")
sre, parser = map(import_module, PLACES)

# A finite bound is a constant factor: a small one shows the same growth in shorter texts.
BOUND = 12
CATEGORIES: dict[object, Callable[[str], bool]] = {
    sre.CATEGORY_SPACE: str.isspace,
    sre.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    sre.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    sre.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
    sre.CATEGORY_DIGIT: str.isdigit,
    sre.CATEGORY_NOT_DIGIT: lambda c: not c.isdigit(),
}
ONE = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
After = Callable[[int], "int | None"]


class Matcher:
    """Finds a pattern in a text as Python's engine does, by backtracking, and counts its steps."""

    def __init__(self, pattern: re.Pattern[str], text: str, bound: int = BOUND) -> None:
        self._bound = bound
        self._nodes = _parsed(pattern)
        self._flags, self._text = pattern.flags, text
        self._groups: dict[int, tuple[int, int]] = {}
        self.steps = 0

    def match(self) -> int | None:
        return self._run(self._nodes, 0, 0, lambda end: end)

    def find_all(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = 0
        while at <= len(self._text):
            # After an empty match comes one that isn't, at the same place.
            least = at + bool(found and found[-1] == (at, at))
            end = self._run(self._nodes, 0, at, lambda end, least=least: end if end >= least else None)  # type: ignore[misc]
            if end is not None:
                found.append((at, end))
            at = at + 1 if end is None else end
        return found

    def _run(self, nodes: list[Any], number: int, at: int, after: After) -> int | None:
        self.steps += 1
        if number == len(nodes):
            return after(at)
        op, value = nodes[number]

        def go_on(position: int) -> int | None:
            return self._run(nodes, number + 1, position, after)

        if op in ONE:
            return go_on(at + 1) if self._is(op, value, at) else None
        if op is sre.AT:
            return go_on(at) if self._is_at(value, at) else None
        if op is sre.SUBPATTERN:
            return self._group(value[0], [*value[3]], at, go_on)
        if op is sre.BRANCH:
            tried = (self._run([*branch], 0, at, go_on) for branch in value[1])
            return next((end for end in tried if end is not None), None)
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, body = value
            high = high if high is sre.MAXREPEAT else min(high, max(low, self._bound))
            return self._repeat([*body], min(low, self._bound), high, op is sre.MAX_REPEAT, at, go_on)
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            direction, body = value
            start = at - body.getwidth()[0] if direction < 0 else at
            holds = start >= 0 and self._run([*body], 0, start, lambda position: position) is not None
            return go_on(at) if holds == (op is sre.ASSERT) else None
        assert op is sre.GROUPREF
        start, end = self._groups.get(value, (0, 0))
        same = self._text.startswith(self._text[start:end], at)
        return go_on(at + end - start) if same else None

    def _group(self, name: int | None, body: list[Any], at: int, after: After) -> int | None:
        before = self._groups.get(name or 0)

        def close(end: int) -> int | None:
            self._groups[name or 0] = (at, end)
            return after(end)

        found = self._run(body, 0, at, close)
        if found is None and before:
            self._groups[name or 0] = before
        return found

    def _repeat(
        self, body: list[Any], low: int, high: int, greedy: bool, at: int, after: After
    ) -> int | None:
        if len(body) == 1 and body[0][0] in ONE:
            ends = self._ends(body[0], at, min(high, len(self._text) - at))
            tried = (after(end) for end in (reversed([*ends]) if greedy else ends) if end >= at + low)
            return next((end for end in tried if end is not None), None)

        def more(position: int) -> int | None:
            if position == at and low <= 0:
                return None  # an empty round makes no progress
            return self._repeat(body, max(0, low - 1), high - 1, greedy, position, after)

        def again() -> int | None:
            return self._run(body, 0, at, more) if high > 0 else None

        if low > 0:
            return again()
        first, second = (again, lambda: after(at)) if greedy else (lambda: after(at), again)
        found = first()
        return second() if found is None else found  # type: ignore[no-untyped-call]

    def _ends(self, node: Any, at: int, high: int) -> Iterator[int]:
        """Where a repetition of one character may end; a lazy one looks no further than it must."""
        yield at
        for end in range(at, at + high):
            if not self._is(node[0], node[1], end):
                return
            self.steps += 1
            yield end + 1

    def _is(self, op: Any, value: Any, at: int) -> bool:
        if at >= len(self._text):
            return False
        character = self._text[at]
        if op is sre.ANY:
            return bool(self._flags & re.DOTALL) or character != "\n"
        if op is not sre.IN:
            return bool((ord(character) == value) == (op is sre.LITERAL))
        negated = value[0][0] is sre.NEGATE
        return bool(negated) != any(self._is_in(kind, what, character) for kind, what in value)

    @staticmethod
    def _is_in(kind: Any, what: Any, character: str) -> bool:
        if kind is sre.LITERAL:
            return bool(ord(character) == what)
        if kind is sre.RANGE:
            return bool(what[0] <= ord(character) <= what[1])
        return kind is sre.CATEGORY and bool(CATEGORIES[what](character))

    def _is_at(self, place: Any, at: int) -> bool:
        text = self._text
        if place is sre.AT_BEGINNING:
            return at == 0 or (bool(self._flags & re.MULTILINE) and text[at - 1] == "\n")
        if place is sre.AT_BEGINNING_STRING:
            return at == 0
        if place is sre.AT_END:
            return (
                at == len(text)
                or text[at:] == "\n"
                or (bool(self._flags & re.MULTILINE) and text[at] == "\n")
            )
        if place is sre.AT_END_STRING:
            return at == len(text)
        assert place is sre.AT_BOUNDARY
        is_word = CATEGORIES[sre.CATEGORY_WORD]
        return (at > 0 and is_word(text[at - 1])) != (at < len(text) and is_word(text[at]))


@cache
def _parsed(pattern: re.Pattern[str]) -> list[Any]:
    return [*parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)]


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of Python the work runs through."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
