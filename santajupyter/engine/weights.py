"""A checkpoint's tensors as our own code for a CPU takes them: whole, as tables, or rounded to a few bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from .architecture import HEAD, Architecture
from .checkpoint import SMALL_FILE, check_numbers, tensors, weights_size

QUANTISED = ("int8", "int4")
# In four bits the product that picks a token stays in eight: a fortieth of the time, and half of the error.
HEAD_DTYPE = {"int4": "int8"}
# What float16 can hold: up to 65,504.
HALF = 65_000
# So many rows of a weight are read and rounded at a time.
ROWS = 1024

Array = npt.NDArray[Any]


def format_of(folder: Path, dtype: str) -> str:
    """Which one "auto" is: int8 but for small checkpoints."""
    return dtype if dtype != "auto" else "float32" if weights_size(folder) <= SMALL_FILE else "int8"


@dataclass(frozen=True)
class Tables:
    """What is looked up first: [vocabulary, width], and [positions, width] if they are learned."""

    tokens: Array
    positions: Array | None
    scale: float

    @classmethod
    def read(cls, folder: Path, scale: float) -> Tables:
        """What ``write`` wrote, mapped: only the rows in use are ever in memory."""
        positions = folder / "positions.npy"
        return cls(
            np.asarray(np.load(folder / "tokens.npy", mmap_mode="r")),
            np.asarray(np.load(positions, mmap_mode="r")) if positions.is_file() else None,
            scale,
        )

    def write(self, folder: Path) -> None:
        np.save(folder / "tokens.npy", self.tokens)
        if self.positions is not None:
            np.save(folder / "positions.npy", self.positions)

    def embedded(self, ids: Array, positions: Array) -> Array:
        """float32 [batch, new, width] of ids [batch, new] at positions [new]."""
        found = self.tokens[ids].astype(np.float32) * np.float32(self.scale)
        if self.positions is None:
            return found
        known = np.minimum(positions, len(self.positions) - 1)  # what fills a step up may be beyond the last
        return found + self.positions[known].astype(np.float32)


class Weights:
    """The checkpoint's tensors, read when they are asked for. A head that isn't there is the embedding."""

    def __init__(self, folder: Path, architecture: Architecture) -> None:
        self._found, self._architecture = tensors(folder), architecture
        self._tokens = f"{architecture.names.tokens}.weight"

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def tables(self) -> Tables:
        names = self._architecture.names
        positions = self._table(names.positions) if names.positions else None
        return Tables(self._table(names.tokens), positions, self._architecture.embedding_scale)

    def whole(self, *names: str) -> Array:
        """float32, one below the other."""
        return np.concatenate([self._whole(name) for name in names])

    def rounded(self, names: Sequence[str], way: Callable[[Array], tuple[Array, ...]]) -> tuple[Array, ...]:
        """Of these weights, one below the other, by one of rounding's ways."""
        found = []
        for name in names:
            for block in self._blocks(name):
                check_numbers(name, block)
                found.append(way(block))
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def _table(self, name: str) -> Array:
        """As the file has it; what was bfloat16 is float16 where that can hold it, half of float32."""
        values = self._read(f"{name}.weight", slice(None))
        check_numbers(f"{name}.weight", values)
        is_bfloat16 = self._found[f"{name}.weight"].dtype == "BF16"
        return values.astype(np.float16) if is_bfloat16 and np.abs(values).max() < HALF else values

    def _whole(self, name: str) -> Array:
        values = self._read(name, slice(None)).astype(np.float32)
        check_numbers(name, values)
        return values

    def _blocks(self, name: str) -> Iterator[Array]:
        """float32 [rows, width], ROWS at a time: all of it takes twice the memory that it has in the file."""
        rows = self._found[self._name(name)].shape[0]
        for start in range(0, rows, ROWS):
            yield self._read(name, slice(start, min(rows, start + ROWS))).astype(np.float32)

    def _name(self, name: str) -> str:
        is_head = name == f"{HEAD}.weight"
        return self._tokens if is_head and (self._architecture.is_tied or name not in self._found) else name

    def _read(self, name: str, rows: slice) -> Array:
        name = self._name(name)
        file, _, dtype = self._found[name]
        if dtype != "BF16":
            with safe_open(file, "np", backend="pread") as opened:
                return cast(Array, opened.get_slice(name)[rows])
        with safe_open(file, "pt", backend="pread") as opened:  # numpy has no bfloat16
            return cast(Array, opened.get_slice(name)[rows].float().numpy())
