"""What a suggestion was worth, and how sure that is. Pure.

Every measure is a ratio of two sums over places or problems, so that one bootstrap serves all of them.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 2000
TINY = sys.float_info.min
TOKENS = re.compile(r"[^\W_]+|_|[^\s\w]")
WORD = re.compile(r"\s*(\w+|[^\w\s]+)")


@dataclass(frozen=True)
class Score:
    """One suggestion held against what its author wrote there."""

    exact: bool
    similarity: float
    saved: int
    typed: int
    shown: bool
    right_prefix: bool
    first_word: bool
    broken: bool


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


# Of each measure, what is added up above and below the line.
MEASURES: dict[str, Callable[[Score], tuple[float, float]]] = {
    "exact match": lambda score: (score.exact, 1),
    "edit similarity": lambda score: (score.similarity, 1),
    "keystrokes saved": lambda score: (score.saved, score.typed),
    "shown": lambda score: (score.shown, 1),
    "right prefix": lambda score: (score.right_prefix, score.shown),
    "first word": lambda score: (score.first_word, score.shown),
    "broken": lambda score: (score.broken, score.shown),
}


def score(suggested: str, hidden: str, broken: bool = False) -> Score:
    """``suggested`` goes in at the cursor where ``hidden`` stood; blanks at their ends don't count.

    Keystrokes saved (Trnka and McCoy, ACL 2008: keys without prediction less keys with it, over keys
    without): a suggestion that is a beginning of ``hidden`` saves its length less one key to accept
    it. Any other saves nothing and costs nothing, though reading it does.
    """
    suggested, hidden = suggested.rstrip(), hidden.rstrip()
    shown = bool(suggested)
    right = shown and hidden.startswith(suggested)
    return Score(
        exact=suggested == hidden,
        similarity=similarity(suggested, hidden),
        saved=len(suggested) - 1 if right else 0,
        typed=len(hidden),
        shown=shown,
        right_prefix=right,
        first_word=shown and _first_word(suggested) == _first_word(hidden),
        broken=shown and broken,
    )


def similarity(a: str, b: str) -> float:
    """1 less Levenshtein's distance over the longer length: the edit similarity of RepoCoder (EMNLP 2023)."""
    if not a and not b:
        return 1.0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return 1 - row[-1] / max(len(a), len(b))


def estimate(measure: str, scores: Sequence[Score], groups: Sequence[Hashable]) -> Estimate:
    """A measure over places; ``groups`` says which notebook each is in. Nan where nothing was counted."""
    return _estimate(_ratio, _sums(measure, scores, groups))


def difference(
    measure: str, scores: Sequence[Score], others: Sequence[Score], groups: Sequence[Hashable]
) -> Estimate:
    """``scores`` less ``others`` at the same places; each draw has the same places on both sides."""
    return _estimate(
        lambda a, b: _ratio(a) - _ratio(b), _sums(measure, scores, groups), _sums(measure, others, groups)
    )


def mean(values: Sequence[float], groups: Sequence[Hashable]) -> Estimate:
    """Their mean, of hits the share of them; ``groups`` as in :func:`estimate`."""
    return _estimate(_ratio, _grouped([(value, 1) for value in values], groups))


def pass_at_k(samples: int, right: int, k: int) -> float:
    """How likely one of k is right, drawn from the samples without putting any back.

    The unbiased estimator of Chen et al., "Evaluating Large Language Models Trained on Code" (2021).
    """
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)


def smoothed_bleu(text: str, reference: str) -> float:
    """A sentence's BLEU-4 as CodeXGLUE's code-to-text has it, 0 to 1, of lower-case words and signs.

    Of bigrams and longer ones one more is counted above and below the line (Lin and Och, COLING 2004);
    and in both lengths of the brevity penalty.
    """
    words, expected = (TOKENS.findall(each.lower()) for each in (text, reference))
    logs = 0.0
    for n in range(1, 5):
        found, there = (
            Counter(zip(*(each[i:] for i in range(n)), strict=False)) for each in (words, expected)
        )
        more = int(n > 1)
        right = sum((found & there).values()) + more
        logs += math.log(right + TINY) - math.log(max(0, len(words) - n + 1) + more + TINY)
    brevity = min(0.0, 1 - (len(expected) + 1) / (len(words) + 1))
    return math.exp(logs / 4 + brevity)


def _estimate(value: Callable[..., Array], *sums: Array) -> Estimate:
    whole = float(value(*(each.sum(0) for each in sums)))
    if np.isnan(whole):
        return Estimate(whole, whole, whole)
    draws = _draws(len(sums[0]))
    low, high = np.nanpercentile(value(*(draws @ each for each in sums)), [2.5, 97.5])
    return Estimate(whole, float(low), float(high))


def _sums(measure: str, scores: Sequence[Score], groups: Sequence[Hashable]) -> Array:
    """[group, 2]: each group's two sums."""
    return _grouped([MEASURES[measure](one) for one in scores], groups)


def _grouped(pairs: Sequence[tuple[float, float]], groups: Sequence[Hashable]) -> Array:
    """As _sums; a single group is taken apart into its places."""
    keys: Sequence[Hashable] = groups if len(set(groups)) > 1 else range(len(groups))
    rows = {key: row for row, key in enumerate(dict.fromkeys(keys))}
    sums = np.zeros((len(rows), 2))
    for key, pair in zip(keys, pairs, strict=True):
        sums[rows[key]] += pair
    return sums


def _draws(count: int) -> Array:
    """[draw, group]: how often each group is in each draw, the same at every call.

    Whole notebooks are drawn, since places in one are alike (the cluster bootstrap; Field and Welsh,
    J. R. Statist. Soc. B 69, 2007).
    """
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    return drawn.astype(np.float64)


def _ratio(sums: Array) -> Array:
    """[…, 2] -> […]; nan where nothing was there to be counted."""
    above, below = sums[..., 0], sums[..., 1]
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _first_word(text: str) -> str:
    match = WORD.match(text)
    return match[1] if match else ""
