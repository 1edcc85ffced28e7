"""Beam search for the likeliest text, instead of the one whose every token is the likeliest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter

import numpy as np

from .continuation import Continuation, Decoding
from .model import KV, Logits, Model
from .sampling import log_total
from .work import Work

# Of the beams so many times as many ways to go on are looked at in a step.
BRANCHES = 6

# The log-probability of all of it, the number of the beam, the token, its log-probability alone.
Branch = tuple[float, int, int, float]


def search(
    model: Model,
    kv: KV,
    logits: Logits,
    decoding: Decoding,
    beams: int,
    begun: Continuation | None = None,
    index: int = 0,
) -> Work[Continuation]:
    """The likeliest text among those that the likeliest ``beams`` beginnings lead to; sent as a whole.

    ``kv`` holds the prompt and stays as it is; ``logits`` [1, n, vocabulary], the last ones after it. Texts
    with the same end in different tokens, one newline or two, are one, as likely as all of them together.
    Ends when no beginning is likelier than the likeliest text. All go on from ``begun``, if that is given and
    in ``kv``; what is found is the candidate ``index``. Raises Cancelled.
    """
    ended = _Ended()
    live, kv = [begun or decoding.begin()], kv.picked([0])
    while True:
        decoding.control.check()
        # 1. The likeliest ways to go on; some of them end a text.
        branches = _branches(logits[:, -1], live, decoding, BRANCHES * beams)
        following: list[tuple[int, Continuation]] = []
        for logprob, beam, token, of_token in branches:
            branch = live[beam].copy()
            decoding.extend(branch, token, of_token)
            if branch.finish_reason or not decoding.left(branch):
                ended.add(branch, logprob)
            elif len(following) < beams:
                following.append((beam, branch))
        # 2. Is one of the texts the likeliest, whatever may follow the others?
        over = not following or ended.most >= following[0][1].logprob
        if over or decoding.control.finished():
            found = ended.likeliest or live[0]
            decoding.end(index, found)
            return found
        # 3. Read what the beams have added.
        live = [branch for _, branch in following]
        kv = kv.picked([beam for beam, _ in following])
        logits = model.step(kv, [branch.ids[-1:] for branch in live])
        yield


class _Ended:
    """Texts that have ended, each with the log-probability of all ways to it."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[float, Continuation]] = {}

    def add(self, continuation: Continuation, logprob: float) -> None:
        before, first = self._texts.get(continuation.text, (-math.inf, continuation))
        self._texts[continuation.text] = float(np.logaddexp(before, logprob)), first

    @property
    def most(self) -> float:
        """The log-probability of the likeliest."""
        return max((logprob for logprob, _ in self._texts.values()), default=-math.inf)

    @property
    def likeliest(self) -> Continuation | None:
        return max(self._texts.values(), key=itemgetter(0), default=(0.0, None))[1]


def _branches(
    logits: Logits, live: Sequence[Continuation], decoding: Decoding, most: int
) -> Iterator[Branch]:
    """The ``most`` likeliest ways to go on, over all beams, likeliest first.

    ``logits`` [beams, vocabulary].
    """
    ways: list[list[Branch]] = []
    for beam, continuation in enumerate(live):
        row = decoding.scores(logits[beam], continuation)
        row -= log_total(row)
        order = np.argsort(-row, kind="stable")[:most].tolist()
        before = continuation.logprob
        ways.append([(before + row[t], beam, t, float(row[t])) for t in order if row[t] > -np.inf])
    return islice(heapq.merge(*ways, key=lambda branch: -branch[0]), most)
