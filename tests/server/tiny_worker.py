"""The real worker with a model that costs nothing, and noise on its stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from santajupyter.engine import causallm, worker
from santajupyter.engine.model import KV, Logits

VOCABULARY = 403
# Seconds of a step, and more of each token for the model in this folder; what each step says when it fails.
STEP = float(os.environ.get("TINY_STEP", "0.002"))
SLOW, SLOWNESS = os.environ.get("TINY_SLOW", ""), 0.02
ERROR = os.environ.get("TINY_ERROR", "")


class TinyKV:
    def __init__(self, ids: list[int]) -> None:
        self.ids = ids

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        return len(self.ids)

    def can_be_cut(self, more: int = 0) -> bool:
        return True

    def cut(self, length: int) -> None:
        del self.ids[length:]

    def beginning(self, length: int) -> TinyKV:
        return TinyKV(self.ids[:length])

    def picked(self, rows: Sequence[int]) -> TinyKV:
        return TinyKV([*self.ids])


class TinyModel:
    """The next token is the last one's neighbour."""

    dtype, chunk = "float32", 16
    device = os.environ.get("TINY_DEVICE", "cpu")

    def __init__(self, slowness: float) -> None:
        self._slowness = slowness

    def empty(self) -> KV:
        return TinyKV([])

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        time.sleep(STEP + self._slowness * len(rows[0]))
        if ERROR:
            raise RuntimeError(ERROR)
        cast(TinyKV, kv).ids += rows[0]
        logits = np.zeros((len(rows), keep, VOCABULARY), np.float32)
        for row, ids in enumerate(rows):
            for at, last in enumerate(ids[-keep:]):
                logits[row, at, (last + 1) % 390] = 5
        return logits

    def together(self, kv: KV) -> int:
        return 1


def _load(folder: Path, device: str, dtype: str, guesses: int) -> TinyModel:
    return TinyModel(SLOWNESS if str(folder) == SLOW else 0.0)


if __name__ == "__main__":
    print("a library says hello")
    print({"event": "ready"})
    print('{"event": "nonsense"}\n[1, 2]\n\xff')
    sys.stdout.write("half a line")
    sys.stdout.flush()
    causallm.load = _load
    worker.BEAT_INTERVAL = 0.05
    worker.main()
