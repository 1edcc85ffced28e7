"""Prompts' keys and values on disk, for the next process with the same model.

They lie in the quantised copy's folder: so they are for these weights in this format and this OpenVINO alone,
private to the user as it is, and gone when it goes. Of a prompt NAME.npy has the keys and values, and
NAME.ids.npy, written after it, the ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

FOLDER = "prompts"
# So many are kept, of so many tokens at least: what is read sooner needn't be.
MOST, LEAST = 4, 256
IDS, PART = ".ids.npy", ".part"

Array = npt.NDArray[np.float32]


class Values(Protocol):
    """A prompt's keys and values."""

    def array(self) -> Array:
        """[2 x layers, tokens, *Architecture.row]"""
        ...


def restore(copy: Path, layers: int, row: tuple[int, ...]) -> Iterator[tuple[list[int], Array]]:
    """The ids and the keys and values of those kept beside a copy, the oldest first.

    ``layers`` and ``row``: an array's shape, but for the tokens. What is looked at of it is read from the
    file then, and what is written to it stays in memory.
    """
    for path in _newest(copy)[::-1]:
        with suppress(OSError, ValueError, EOFError):  # damaged, or another process has removed it
            ids = np.load(path)
            array = np.load(_values(path), mmap_mode="c")
            if array.shape == (layers, *ids.shape, *row) and array.dtype == np.float32:
                yield ids.tolist(), array


def keep(copy: Path, prompts: Iterable[tuple[list[int], Values]]) -> None:
    """Keep these, the newest first, and as many of the older ones as there is room for."""
    folder = copy / FOLDER
    with suppress(OSError):  # a full disk
        folder.mkdir(mode=0o700, exist_ok=True)
        long = ((ids, values) for ids, values in prompts if len(ids) >= LEAST)
        for ids, values in [*islice(long, MOST)][::-1]:
            path = folder / (hashlib.sha256(np.array(ids, np.int32).tobytes()).hexdigest()[:16] + IDS)
            if path.exists():
                path.touch()
            else:
                _write(_values(path), values.array())
                _write(path, np.array(ids, np.int32))
    needed = {path.name for ids in _newest(copy) for path in (ids, _values(ids))}
    for path in folder.glob("*"):
        if path.name not in needed:
            with suppress(OSError):  # some systems don't remove what is in use
                path.unlink()


def _newest(copy: Path) -> list[Path]:
    found = (copy / FOLDER).glob(f"*{IDS}")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST]


def _values(ids: Path) -> Path:
    return ids.with_name(ids.name.removesuffix(IDS) + ".npy")


def _write(path: Path, array: npt.NDArray[np.generic]) -> None:
    part = path.with_name(path.name + PART)
    with part.open("wb") as file:
        np.save(file, array)
    part.replace(path)
