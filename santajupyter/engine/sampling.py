"""Logits -> the next token: greedy, or drawn with temperature and top_p as transformers does it."""

from __future__ import annotations

import math

import numpy as np

# Not at the first use, which would be the first request's: numpy imports it no sooner.
from numpy.random import default_rng

from ..protocol import Sampling
from .model import Row


def log_total(logits: Row) -> float:
    """The natural logarithm of the sum of the exponentials, to within 1e-6.

    In float32, which takes a sixth of the time. Raises FloatingPointError where one is no number.
    """
    top = logits.max()
    if math.isnan(top):
        raise FloatingPointError("what the model says are no numbers")
    return float(top + np.log(np.exp((logits - top).astype(np.float32)).sum(dtype=np.float64)))


class Picker:
    """Picks tokens as ``sampling`` says; the same seed picks the same ones."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = max(sampling.temperature, 1e-4) if sampling.temperature else 0.0
        self._top_p = sampling.top_p
        self._random = default_rng(sampling.seed)

    def pick(self, logits: Row) -> tuple[int, float]:
        """A token, and its natural log-probability by ``logits`` [vocabulary] at temperature 1."""
        if not self._temperature:
            token = int(logits.argmax())
        else:
            scaled = (logits - logits.max()) / self._temperature
            token = self._draw(np.exp(scaled) / np.exp(scaled).sum())
        return token, float(logits[token] - log_total(logits))

    def _draw(self, probabilities: Row) -> int:
        """From the smallest set of likeliest tokens whose probabilities add up to top_p."""
        order = np.argsort(-probabilities, kind="stable")
        cumulative = probabilities[order].cumsum()
        kept = int(np.searchsorted(cumulative, min(self._top_p, 1.0) * cumulative[-1])) + 1
        place = np.searchsorted(
            cumulative[:kept], self._random.random() * cumulative[:kept][-1], side="right"
        )
        return int(order[min(int(place), kept - 1)])
