"""Results -> Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from .metrics import MEASURES, Estimate, Score, difference, estimate, score
from .places import KINDS, MEMBER
from .replay import Result

COMPARED = ("exact match", "edit similarity", "keystrokes saved", "right prefix")


def tables(results: Iterable[Result]) -> str:
    """Each configuration at all its places; the first one less each other; each by kind of place."""
    by_name: dict[str, list[Result]] = {}
    for result in results:
        by_name.setdefault(result.configuration, []).append(result)
    measured = _table(
        ["configuration", "places", *MEASURES, "ms p50", "ms p95"],
        [
            [name, str(len(found)), *_values(found, MEASURES), *_times(found)]
            for name, found in by_name.items()
        ],
    )
    kinds = _table(
        ["configuration", "kind", "places", *COMPARED],
        [
            [name, kind, str(len(some)), *_values(some, COMPARED)]
            for name, found in by_name.items()
            for kind in (*KINDS, MEMBER)
            if (some := [result for result in found if result.place.kind == kind])
        ],
    )
    first, *others = by_name
    compared = _table(
        [f"{first} less", "places", "other text", *COMPARED],
        [[name, *_differences(by_name[first], by_name[name])] for name in others],
    )
    return "\n\n".join([measured, *([compared] if others else []), kinds])


def _values(results: Sequence[Result], measures: Iterable[str]) -> list[str]:
    scores = [*map(_score, results)]
    groups = [result.place.notebook for result in results]
    return [_percent(estimate(measure, scores, groups)) for measure in measures]


def _score(result: Result) -> Score:
    return score(result.text, result.place.hidden, result.broken)


def _differences(results: Sequence[Result], others: Sequence[Result]) -> list[str]:
    """At the places that both have."""
    there = {other.place: other for other in others}
    pairs = [(result, there[result.place]) for result in results if result.place in there]
    mine, theirs = ([_score(pair[side]) for pair in pairs] for side in (0, 1))
    groups = [result.place.notebook for result, _ in pairs]
    changed = sum(result.text.rstrip() != other.text.rstrip() for result, other in pairs)
    points = [_percent(difference(measure, mine, theirs, groups), "+.1f") for measure in COMPARED]
    return [str(len(pairs)), str(changed), *points]


def _times(results: Sequence[Result]) -> list[str]:
    ordered = sorted(result.milliseconds for result in results)
    return [
        f"{statistics.median(ordered):.0f}",
        f"{ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]:.0f}",
    ]


def _percent(found: Estimate, form: str = ".1f") -> str:
    if found.value != found.value:
        return "-"
    value, low, high = (format(100 * part, form) for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
