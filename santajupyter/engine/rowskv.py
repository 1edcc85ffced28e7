"""Keys and values in one array, as our own code for a CPU takes them."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import promptstore
from .architecture import Architecture
from .model import KV

# It grows by this many tokens.
GROWTH = 256
# Of glibc's malloc: from this size on memory goes back to the system when it is freed. Left to itself glibc
# raises the limit, and then the prompt cache's arrays leave holes. What a step needs for a moment is smaller
# and stays: to get it from the system again costs half a millisecond a token. So much may lie unused.
M_MMAP_THRESHOLD, MMAP_THRESHOLD = -3, 2 * 2**20
M_TRIM_THRESHOLD, TRIM_THRESHOLD = -1, 8 * 2**20
# A cache line's bytes: a vector that lies across two takes twice as long to read.
LINE = 64

Array = npt.NDArray[Any]


def speeds_of(architecture: Architecture) -> Array | None:
    """See RowsKV."""
    if architecture.theta is None:
        return None
    pairs = np.arange(0, architecture.size, 2, dtype=np.float32) / np.float32(architecture.size)
    return np.float32(architecture.theta) ** -pairs / np.float32(architecture.stretch)


def turns(positions: Array, speeds: Array) -> tuple[Array, Array]:
    """Cosine and sine of rotary positions, float32 [positions, head size] each."""
    angles = positions[:, None].astype(np.float32) * speeds
    angles = np.concatenate([angles, angles], axis=1)
    return np.cos(angles), np.sin(angles)


def return_freed_memory() -> None:
    """Where malloc is glibc's."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        libc.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)


def lines(count: int) -> Array:
    """So many bytes, uint8, from a cache line's beginning on."""
    memory = np.empty(count + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + count]


class RowsKV:
    """Each layer's keys and values, [2 x layers, batch, capacity, *Architecture.row].

    ``speeds`` [head size / 2]: by how much each pair of a key's values turns from a position to the next,
    in radians; None where positions are learned.
    """

    def __init__(self, array: Array, length: int, speeds: Array | None) -> None:
        self._array, self.length, self._speeds = array, length, speeds
        self.gap = np.arange(0)  # the positions that the next step fills

    @classmethod
    def of(cls, architecture: Architecture) -> RowsKV:
        """Of no tokens, for one text."""
        array = np.empty((2 * architecture.layers, 1, 0, *architecture.row), np.float32)
        return cls(array, 0, speeds_of(architecture))

    def can_be_cut(self, more: int = 0) -> bool:
        return True

    @property
    def size(self) -> int:
        return self._array.nbytes

    def cut(self, length: int) -> None:
        self.length = length

    def beginning(self, length: int) -> RowsKV:
        return RowsKV(self._array[:, :, :length].copy(), length, self._speeds)

    def picked(self, rows: Sequence[int]) -> RowsKV:
        return RowsKV(self._array[:, list(rows), : self.length], self.length, self._speeds)

    def part(self, start: int, end: int) -> RowsKV | None:
        """See model.Movable."""
        if self._speeds is None:
            return None
        return RowsKV(self._array[:, :, start:end].copy(), end - start, self._speeds)

    def put(self, part: KV, by: int, gap: int) -> None:
        """See model.Movable. Turned once more, https://arxiv.org/abs/2104.09864, equation 15."""
        assert isinstance(part, RowsKV) and self._speeds is not None
        cosine, sine, half = np.cos(by * self._speeds), np.sin(by * self._speeds), len(self._speeds)
        self.gap = np.arange(self.length, self.length + gap)
        start, end = self.length + gap, self.length + gap + part.length
        self._grow(end)
        self._array[:, :, self.gap] = 0  # hidden, but what isn't a number would spoil the rest
        keys, turned = part._array[::2, :, : part.length], self._array[::2, :, start:end]
        first, second = keys[..., :half], keys[..., half:]
        turned[..., :half] = first * cosine - second * sine
        turned[..., half:] = second * cosine + first * sine
        self._array[1::2, :, start:end] = part._array[1::2, :, : part.length]
        self.length = end

    def reserve(self, new: int) -> tuple[Array, Array]:
        """The positions [new] of a step's tokens, and the array with room for them, to be written to.

        It is contiguous, from a cache line's beginning on, its capacity a multiple of GROWTH. A gap must be
        filled by one step.
        """
        if new < len(self.gap):
            raise ValueError(f"{new} tokens for a gap of {len(self.gap)}")
        following, array = new - len(self.gap), self._array
        is_good = array.flags.c_contiguous and array.ctypes.data % LINE == 0
        self._grow(self.length + following, array.shape[2] % GROWTH > 0 or not is_good)
        return np.r_[self.gap, self.length : self.length + following], self._array

    def written(self, new: int) -> None:
        """The tokens for which room was reserved are there."""
        self.length += new - len(self.gap)
        self.gap = np.arange(0)

    def places(self, positions: Array, room: int) -> Array:
        """The positions [room] of what a step looks at: what is here, the new tokens', and what fills up."""
        places = np.arange(room)
        places[self.gap] = room  # which comes after all
        places[self.length : self.length + len(positions)] = positions
        return places

    def rows(self) -> list[Array]:
        """[batch, length, *row] each, contiguous; of a single text, views."""
        return [np.ascontiguousarray(layer) for layer in self._array[:, :, : self.length]]

    def array(self) -> Array:
        """Of a single text, [2 x layers, length, *row]."""
        return self._array[:, 0, : self.length]

    def append(self, new: Array) -> None:
        """``new``: [2 x layers, batch, tokens, *row]."""
        self._array[:, :, self.gap] = new[:, :, : len(self.gap)]
        new, self.gap = new[:, :, len(self.gap) :], np.arange(0)
        length = self.length + new.shape[2]
        self._grow(length)
        self._array[:, :, self.length : length] = new
        self.length = length

    def _grow(self, length: int, anew: bool = False) -> None:
        """Have room for so many tokens; ``anew``: in another array in any case."""
        layers, batch, capacity, *shape = self._array.shape
        if length > capacity or anew:
            sizes = (layers, batch, -(-length // GROWTH) * GROWTH, *shape)
            more = lines(4 * math.prod(sizes)).view(np.float32).reshape(sizes)
            more[:, :, : self.length] = self._array[:, :, : self.length]
            self._array = more


def kept(copy: Path | None, of: Architecture) -> Iterable[tuple[list[int], KV]]:
    """See model.Keeps; in the quantised copy's folder, if there is one."""
    found = promptstore.restore(copy, 2 * of.layers, of.row) if copy else ()
    return ((ids, RowsKV(array[:, None], len(ids), speeds_of(of))) for ids, array in found)


def keep(copy: Path | None, prompts: Iterable[tuple[list[int], KV]]) -> None:
    """See model.Keeps."""
    if copy:
        promptstore.keep(copy, ((ids, cast(RowsKV, kv)) for ids, kv in prompts))
