"""Decoders on a CPU, SantaCoder's and those like Llama's, by native/decoder.c."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psutil

from . import native, native_weights, quantised
from .architecture import Architecture
from .checkpoint import architecture_of, check_numbers, loading, own_architecture
from .devices import is_out_of_memory
from .model import KV, Logits
from .native_weights import fill, parts, size
from .rowskv import RowsKV, keep, kept, lines, return_freed_memory, speeds_of, turns
from .weights import QUANTISED, Tables, Weights, format_of

CHUNK = 128
# Four guesses spare a third of the steps; each may make a step longer by so much, or there are fewer.
WORTH = 0.1
TRIES = 4
# With more threads a step takes no less time: it waits for the memory.
MOST_THREADS = 16
# A model with fewer weights in its layers runs on one thread: of threads each product waits for the slowest.
FEW_WEIGHTS = 20_000_000
WEIGHTS = "weights.npy"

Array = npt.NDArray[Any]


def supports(folder: Path, device: str, dtype: str) -> bool:
    """Whether this file is the way to run the checkpoint on that device in that format."""
    if device != "cpu" or dtype not in ("auto", *native_weights.BITS) or native.library() is None:
        return False
    architecture = architecture_of(folder)
    return architecture is not None and native_weights.supports(architecture)


def load(folder: Path, dtype: str, guesses: int = 0) -> CausalLM:
    """The model, for steps with up to so many guesses. Raises ModelUnavailable, OutOfMemory.

    A quantised copy is kept in the user's cache folder, and mapped: several processes with the same one share
    its memory.
    """
    with loading():
        number, of = format_of(folder, dtype), own_architecture(folder)
        if number in QUANTISED and (copy := _copy(folder, of, number)):
            return CausalLM(of, number, guesses, *_opened(copy, of), copy)
        weights, memory = Weights(folder, of), lines(size(of, number))
        fill(parts(of, number, memory), weights, of, number)
        return CausalLM(of, number, guesses, memory, weights.tables())


def _copy(folder: Path, of: Architecture, dtype: str) -> Path | None:
    """A good quantised copy's folder; None where none can be kept."""

    def write(to: Path) -> None:
        weights, path = Weights(folder, of), to / WEIGHTS
        memory = np.lib.format.open_memmap(path, "w+", np.uint8, (size(of, dtype),))
        with path.open("r+b") as file:  # a full disk is an error now, and the process's end later
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        fill(parts(of, dtype, memory), weights, of, dtype)
        memory.flush()
        weights.tables().write(to)

    if copy := quantised.cached(folder, dtype, "native"):
        try:
            memory, _ = _opened(copy, of)
            if memory.shape == (size(of, dtype),):
                return copy
        except Exception as error:  # of a damaged one numpy says many things
            if is_out_of_memory(error):
                raise
        quantised.remove(copy)
    return quantised.save(folder, dtype, "native", write)


def _opened(copy: Path, of: Architecture) -> tuple[Array, Tables]:
    return np.asarray(np.load(copy / WEIGHTS, mmap_mode="r")), Tables.read(copy, of.embedding_scale)


class CausalLM:
    """A token's logits are the same to the last bit alone, among guesses, in a batch and in a prompt's chunk.

    ``copy``: the quantised one's folder. Where a step with guesses costs too much time, there are fewer.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: str,
        guesses: int,
        memory: Array,
        tables: Tables,
        copy: Path | None = None,
    ) -> None:
        self.device, self.dtype, self.chunk = "cpu", dtype, CHUNK
        self._copy = copy
        self._architecture, self._tables = architecture, tables
        self._speeds = speeds_of(architecture)
        return_freed_memory()
        threads = 1 if architecture.weights < FEW_WEIGHTS else cores()
        self._decoder = native.Decoder(architecture, dtype, memory, threads)
        check_numbers("the first step", self.step(self.empty(), [[0]]))
        self._few = self._worthwhile(guesses)

    def empty(self) -> RowsKV:
        return RowsKV.of(self._architecture)

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        past, ids = cast(RowsKV, kv), np.array(rows)
        new = ids.shape[1]
        positions, array = past.reserve(new)
        turned = None if self._speeds is None else turns(positions, self._speeds)
        x = self._tables.embedded(ids, positions)
        logits = self._decoder.step(x, positions, array, keep, turned)
        past.written(new)
        return logits[:, :, : self._architecture.vocabulary]

    def together(self, kv: KV) -> int:
        return self._few

    def kept(self) -> Iterable[tuple[list[int], KV]]:
        """See model.Keeps."""
        return kept(self._copy, self._architecture)

    def keep(self, prompts: Iterable[tuple[list[int], KV]]) -> None:
        """See model.Keeps."""
        keep(self._copy, prompts)

    def _worthwhile(self, guesses: int) -> int:
        """How many tokens a step may have, by their time here."""
        alone = self._seconds(1)
        few = range(1 + guesses, 1, -1)
        return next((n for n in few if self._seconds(n) <= (1 + WORTH * (n - 1)) * alone), 1)

    def _seconds(self, count: int) -> float:
        """Of all cores for a step of so many tokens, at best: other work doesn't count."""
        found = []
        for _ in range(TRIES):
            begun = time.process_time()
            self.step(self.empty(), [[0] * count], count)
            found.append(time.process_time() - begun)
        return min(found)


def cores() -> int:
    """How many threads can work at once, of a container's share too."""
    found = [MOST_THREADS, psutil.cpu_count(logical=False) or 1, len(os.sched_getaffinity(0))]
    with suppress(OSError, ValueError):  # no limit is "max"
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split())
        found.append(max(1, quota // period))
    return min(found)
