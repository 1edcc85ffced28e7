"""What a suggestion is worth, and intervals that hold what theory says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.evaluation.metrics import MEASURES, difference, estimate, score, similarity

WORDS = st.text("abc", max_size=12)


@pytest.mark.parametrize(
    ("suggested", "exact", "saved", "right", "word"),
    [
        ("head(10)", True, 7, True, True),
        ("head(10)  ", True, 7, True, True),
        ("head(", False, 4, True, True),
        ("h", False, 0, True, False),
        ("head(5)", False, 0, False, True),
        ("tail(10)", False, 0, False, False),
        ("head(10).T", False, 0, False, True),
        ("", False, 0, False, False),
    ],
)
def test_what_a_suggestion_is_worth(suggested: str, exact: bool, saved: int, right: bool, word: bool) -> None:
    found = score(suggested, "head(10)")
    assert (found.exact, found.saved, found.right_prefix, found.first_word) == (exact, saved, right, word)
    assert found.typed == 8
    assert found.shown == bool(suggested)


@given(WORDS, WORDS, WORDS)
def test_similarity_is_one_less_a_distance(a: str, b: str, c: str) -> None:
    def distance(x: str, y: str) -> float:
        return (1 - similarity(x, y)) * max(len(x), len(y))

    assert similarity(a, b) == similarity(b, a)
    assert (similarity(a, b) == 1) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-9
    assert abs(len(a) - len(b)) - 1e-9 <= distance(a, b) <= max(len(a), len(b))


def test_similarity_of_a_known_pair() -> None:
    assert similarity("kitten", "sitting") == pytest.approx(1 - 3 / 7)


@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 4)), min_size=1, max_size=12))
def test_intervals_hold_their_value_and_nothing_differs_from_itself(rows: list[tuple[str, str, int]]) -> None:
    scores = [score(a, b) for a, b, _ in rows]
    groups = [group for *_, group in rows]
    for measure in MEASURES:
        found = estimate(measure, scores, groups)
        if not math.isnan(found.value):
            assert 0 <= found.low <= found.high <= 1
            same = difference(measure, scores, scores, groups)
            assert (same.value, same.low, same.high) == (0, 0, 0)


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    scores = [score("x" if i % 4 else "", "x") for i in range(400)]
    found = estimate("exact match", scores, range(400))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found.value == 0.75
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    clustered = estimate(
        "exact match", [score("x" if i % 2 else "", "x") for i in range(20)], [i % 2 for i in range(20)]
    )
    assert (clustered.low, clustered.high) == (0, 1)


def test_a_paired_difference_is_surer_than_its_parts() -> None:
    ours = [score("x" if i % 2 else "", "x") for i in range(100)]
    theirs = [score("x" if i % 2 and i > 9 else "", "x") for i in range(100)]
    found = difference("exact match", ours, theirs, range(100))
    assert found.value == pytest.approx(0.05)
    assert 0 <= found.low < found.high < 0.12
    alone = estimate("exact match", ours, range(100))
    assert found.high - found.low < (alone.high - alone.low) / 2
