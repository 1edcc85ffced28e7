"""What the engine needs of a model, whatever runs it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


class ModelUnavailable(Exception):
    """The model can't be had or can't be run here; the message says why, in a sentence."""


class OutOfMemory(ModelUnavailable):
    """The device's memory is too small for the model, or others fill it."""


class KV(Protocol):
    """The keys and values of ``length`` tokens in every layer, for one text or a batch of them."""

    @property
    def length(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def can_be_cut(self, more: int = 0) -> bool:
        """Whether each layer has every position, and still has with so many more tokens.

        A full sliding window or a recurrent state hasn't.
        """
        ...

    def cut(self, length: int) -> None:
        """Leave the first ``length`` tokens; needs can_be_cut unless that is all of them."""

    def beginning(self, length: int) -> KV:
        """A copy of the first ``length`` tokens; needs can_be_cut."""
        ...

    def picked(self, rows: Sequence[int]) -> KV:
        """A batch of copies of these rows of the batch."""
        ...


class Model(Protocol):
    """``chunk``: how many tokens a prefill step takes, so that it can be cancelled in between."""

    device: str
    dtype: str
    chunk: int

    def empty(self) -> KV: ...

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        """Logits [rows, keep, vocabulary] after each of the rows' last ``keep`` ids, all now in ``kv``.

        After an exception ``kv`` is of no use any more.
        """
        ...

    def together(self, kv: KV) -> int:
        """How many tokens the next step may have, for their logits to be those of as many steps.

        At least one. Equal to the last bit, or in float32 to within its rounding: so guesses that are
        checked together change nothing.
        """
        ...


@runtime_checkable
class RunsAhead(Protocol):
    """A model that picks greedy tokens itself, so that it needn't wait until each has been looked at."""

    def greedy(self, kv: KV, token: int, vocabulary: int) -> Generator[tuple[int, float], None, None]:
        """The tokens below ``vocabulary`` that follow ``token``, and their natural log-probabilities.

        ``kv`` holds all but the last that was given out. Ends where the model has no positions left.
        """
        ...


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a sentence of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
