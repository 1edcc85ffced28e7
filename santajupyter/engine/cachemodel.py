"""A cache language model: what followed the same tokens before in a notebook is likely to follow again.

As in "A cache-based natural language model for speech recognition" (Kuhn and De Mori, 1990), the
probabilities of a small model are interpolated with those that the text around the cursor gives, far
beyond the model's window: of the tokens that followed the last one, the last two, and so on. Each
order has its share by Witten and Bell's rule (method C of "The zero-frequency problem", 1991), the
more the oftener it was seen and the fewer its followers; the rest is the order's below, the model's last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from ..prompt.document import Document
from ..prompt.tokenizer import CodeTokenizer
from .model import Row

Text = npt.NDArray[np.int32]

# So many characters above and below the cursor are looked at.
REACH = 40_000
# Stands between two pieces of text that don't follow one another.
BORDER = -1
# By how many sightings a follower of the last one, two, … tokens loses to the order below; found
# for santa-mini on the notebooks of training's `valid` split. The orders above 8 are worth 1.3 points of
# exact lines there; more than 20, or smaller numbers, are worth nothing.
DOUBTS = (24, 16, 16, 16, 8, *(4,) * 15)


def cache_text(document: Document, tokenizer: CodeTokenizer, healed: Sequence[int] = ()) -> Text:
    """Token ids [n]: of what is below the cursor, BORDER, and of what is above it, REACH characters each.

    They end where the model's new tokens begin: before the ids ``healed`` that are generated again.
    """
    ends = [0, *accumulate(segment.length for segment in document.segments)]
    first = next(i for i, end in enumerate(ends) if end >= ends[-1] - REACH)
    texts = [document.prefix[start:end] for start, end in pairwise(ends[first:])]
    rest = document.prefix[ends[-1] :][-REACH:]
    if not rest and texts:
        rest = texts.pop()
    last = np.array(tokenizer.encode(rest), np.int32)
    if healed and last[-len(healed) :].tolist() == list(healed):
        last = last[: -len(healed)]
    below = tokenizer.below(document.suffix[:REACH])
    return np.concatenate([below, np.array([BORDER], np.int32), *map(tokenizer.segment, texts), last])


def interpolated(logits: Row, text: Text, made: Sequence[int] = ()) -> Row:
    """Logits [vocabulary] of what follows ``text`` and ``made``, with what followed their end before.

    ``text`` are token ids with BORDER between pieces, the one with the cursor last. ``made``, the
    model's own tokens, are no precedent, or each repetition would invite the next one. What was -inf
    and never followed stays so. Costs one look at each token of the text.
    """
    orders = [*_followers(np.concatenate([text, np.array(made, np.int32)]), len(text))]
    if not orders:
        return logits
    kinds = np.unique(orders[0])  # all others are among them
    models_share, added = 1.0, np.zeros(len(kinds))
    for doubt, tokens in zip(DOUBTS, orders, strict=False):
        counts = np.bincount(np.searchsorted(kinds, tokens), minlength=len(kinds))
        lost = doubt * np.count_nonzero(counts)
        models_share *= lost / (len(tokens) + lost)
        added = (counts + lost * added) / (len(tokens) + lost)
    top = logits.max()
    weight = np.exp(logits - top).sum() / models_share
    result = logits.copy()
    result[kinds] = top + np.log(np.exp(logits[kinds] - top) + added * weight)
    return result


def _followers(text: Text, known: int) -> Iterator[Text]:
    """Which of the first ``known`` tokens followed the last one, then those that followed the last two, …"""
    places = np.arange(1, known)
    for length in range(1, len(DOUBTS) + 1):
        places = places[places >= length]
        if length > len(text) or text[-length] == BORDER:
            return
        places = places[text[places - length] == text[-length]]
        tokens = text[places]
        tokens = tokens[tokens != BORDER]
        if not len(tokens):
            return
        yield tokens
