"""Weights in few bits: a row's values are small whole numbers times the scale of their group.

int8 has one group in a row, its scale such that the largest value just fits. In four bits that costs too
much: groups are small, and of a few scales each gets the one with the least squared error, for which no data
is needed. The value farthest from zero may be -8 times the scale, which is negative then where it isn't.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Values that share a scale in four bits; rows that don't divide into these have larger groups.
GROUP = 128
# Scales that are tried, as parts of the one with which all values fit.
TRIED = np.linspace(0.68, 1.04, 10, dtype=np.float32)

# Values that are looked at at a time: what fits into a core's cache takes a fifth of the time.
AT_ONCE = 2**17

Array = npt.NDArray[Any]


class Rounded(NamedTuple):
    """``numbers`` int8 [rows, groups, group], ``scales`` float32 [rows, groups, 1]."""

    numbers: Array
    scales: Array


def rounded(weight: Array, dtype: str) -> Rounded:
    """Of finite float32 [rows, width] in "int8" or "int4"."""
    rows, width = weight.shape
    group = GROUP if dtype == "int4" and width % GROUP == 0 else width
    groups = weight.reshape(-1, group)
    numbers, scales = np.empty(groups.shape, np.int8), np.empty((len(groups), 1), np.float32)
    scale, least, most = (_scale_int4, -8, 7) if dtype == "int4" else (_scale_int8, -127, 127)
    size = -(-AT_ONCE // group)
    for start in range(0, len(groups), size):
        piece = slice(start, start + size)
        scales[piece] = scale(groups[piece])
        numbers[piece] = _numbers(groups[piece], scales[piece], least, most)
    return Rounded(numbers.reshape(rows, -1, group), scales.reshape(rows, -1, 1))


def restored(found: Rounded) -> Array:
    """float32 [rows, width], as the products have it."""
    return (found.numbers * found.scales).reshape(len(found.numbers), -1)


def packed(numbers: Array) -> Array:
    """Two numbers of four bits in a byte, the first in the lower half."""
    flat = np.pad(numbers.reshape(-1), (0, numbers.size % 2)).view(np.uint8)
    return (flat[::2] & 15) | (flat[1::2] << 4)


def _scale_int8(groups: Array) -> Array:
    return _no_zero(np.abs(groups).max(axis=1, keepdims=True) / 127)


def _scale_int4(groups: Array) -> Array:
    farthest = np.abs(groups).argmax(axis=1, keepdims=True)
    widest = _no_zero(np.take_along_axis(groups, farthest, axis=1) / np.float32(-8))
    scale, least = widest, np.full_like(widest, np.inf)
    for part in TRIED:
        tried = widest * part
        error = _numbers(groups, tried, -8, 7)
        error *= tried
        error -= groups
        square = np.einsum("gi,gi->g", error, error)[:, None]
        scale, least = np.where(square < least, tried, scale), np.minimum(square, least)
    return scale


def _numbers(groups: Array, scales: Array, least: int, most: int) -> Array:
    numbers = groups / scales
    np.rint(numbers, out=numbers)
    return np.clip(numbers, least, most, out=numbers)


def _no_zero(scales: Array) -> Array:
    return np.where(scales == 0, np.float32(1), scales)
