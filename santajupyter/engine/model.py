"""What the engine needs of a model, whatever runs it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
# One text's logits [vocabulary], as they are counted with.
Row = npt.NDArray[np.float64]
# SantaCoder's own window, in tokens; a longer prompt costs more time than it is worth to a keystroke.
MAX_WINDOW = 2048


class ModelUnavailable(Exception):
    """The model can't be had or can't be run here; the message says why, in a sentence."""


class OutOfMemory(ModelUnavailable):
    """The device's memory is too small for the model, or others fill it."""


class KV(Protocol):
    """The keys and values of ``length`` tokens in every layer, for one text or a batch of them.

    Two of them never share memory that one could write to: what one does, the other doesn't see.
    """

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
        ...

    def beginning(self, length: int) -> KV:
        """A copy of the first ``length`` tokens; needs can_be_cut."""
        ...

    def picked(self, rows: Sequence[int]) -> KV:
        """A batch of copies of these rows of the batch, in full; [0] is a copy of a single text."""
        ...


@runtime_checkable
class Movable(Protocol):
    """Keys and values of one text that can stand elsewhere in it: by rotary positions a key only turns."""

    def part(self, start: int, end: int) -> KV | None:
        """A copy of those of the tokens from ``start`` to ``end``; None where positions are learned."""
        ...

    def put(self, part: KV, by: int, gap: int) -> None:
        """Those of such a part behind a gap, ``by`` positions further on (or back) than they were read.

        The next step's first ids, so many, fill the gap; the rest of its ids follow the part.
        """
        ...


@runtime_checkable
class Keeps(Protocol):
    """A model that keeps prompts on disk, for the next process with it."""

    def kept(self) -> Iterable[tuple[list[int], KV]]:
        """Their ids, and these ids' keys and values; the oldest first."""
        ...

    def keep(self, prompts: Iterable[tuple[list[int], KV]]) -> None:
        """Keep some of these, the newest first."""
        ...


class Model(Protocol):
    """``chunk``: how many tokens a prefill step takes, so that it can be cancelled in between.

    ``device`` and ``dtype`` as they are shown to the user.
    """

    device: str
    dtype: str
    chunk: int

    def empty(self) -> KV:
        """Keys and values of no tokens, for one text."""
        ...

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        """Read ``rows`` [texts, new]: token ids that follow what ``kv`` holds of each text; it gets theirs.

        Returns logits [texts, keep, vocabulary] after each of the last ``keep`` ids, natural logarithms up to
        a constant; a model may have more rows of them than its tokenizer has tokens. The new ids' positions
        are ``kv.length`` and following; the caller sees to it that they end within the model's window.
        Whatever it raises, ``kv`` is of no use any more then.
        """
        ...

    def together(self, kv: KV) -> int:
        """How many tokens the next step may have, for their logits to be those of as many steps.

        At least one. Equal to the last bit, or in float32 to within its rounding: so draft tokens that are
        read in one step change nothing.
        """
        ...


@runtime_checkable
class RunsAhead(Protocol):
    """A model that picks greedy tokens itself, so that it needn't wait until each has been looked at."""

    def greedy(self, kv: KV, token: int, vocabulary: int) -> Generator[tuple[int, float], None, None]:
        """The tokens below ``vocabulary`` that follow ``token``, and their natural log-probabilities.

        ``kv`` holds all but the last that was given out: at each yield it is good for other use. Ends where
        the model has no positions left, or no room.
        """
        ...


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a sentence of ours; OpenVINO says first where in its code."""
    lines = [line for line in str(error).strip().splitlines() if not line.startswith("Exception from ")]
    return (lines or [type(error).__name__])[0][:300]
