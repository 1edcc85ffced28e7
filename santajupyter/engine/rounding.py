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
# Of a group's values so many share a whole factor of that scale, and a zero.
PART = 32
# Of what a part's values span, to be tried as its 15 steps.
SHARES = np.linspace(0.76, 1, 5, dtype=np.float32)
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


class Fine(NamedTuple):
    """``numbers`` uint8 [rows, groups, parts, PART] from 0 to 15, ``scales`` float32 [rows, groups],

    ``factors`` uint8 [rows, groups, parts]: of each part a factor of its scale in the lower four bits, and
    above these the number that stands for zero.
    """

    numbers: Array
    scales: Array
    factors: Array


def fine(weight: Array) -> Fine:
    """Of finite float32 [rows, width] in four bits: parts with their own zero and a whole factor of a scale.

    So a scale with its zero costs a byte for PART values, and all but the last product is in whole numbers.
    As in llama.cpp's Q4_K, https://github.com/ggml-org/llama.cpp/pull/1684, but for what factors can be.
    """
    rows, width = weight.shape
    groups = weight.reshape(-1, GROUP // PART, PART)
    numbers, factors = np.empty(groups.shape, np.uint8), np.empty(groups.shape[:2], np.uint8)
    scales = np.empty(len(groups), np.float32)
    size = -(-AT_ONCE // GROUP)
    for start in range(0, len(groups), size):
        piece = slice(start, start + size)
        numbers[piece], scales[piece], factors[piece] = _fine(groups[piece])
    shape = (rows, width // GROUP, GROUP // PART)
    return Fine(numbers.reshape(*shape, PART), scales.reshape(shape[:2]), factors.reshape(shape))


def _fine(groups: Array) -> tuple[Array, Array, Array]:
    least = np.minimum(groups.min(axis=2, keepdims=True), 0)
    width = _no_zero((np.maximum(groups.max(axis=2, keepdims=True), 0) - least) / 15)
    widest = width.max(axis=1, keepdims=True) / 15
    error = np.full_like(width, np.inf)
    factor, zero = np.ones_like(width), np.zeros_like(width)
    for part in SHARES:
        tried = np.clip(np.rint(width * part / widest), 1, 15)
        step = tried * widest
        middle = np.clip(np.rint(-least * part / step), 0, 15)
        found = (np.clip(np.rint(groups / step) + middle, 0, 15) - middle) * step - groups
        square = np.einsum("gpi,gpi->gp", found, found)[..., None]
        better = square < error
        factor, zero = np.where(better, tried, factor), np.where(better, middle, zero)
        error = np.minimum(square, error)
    # With the factors as they are now the group's scale is the one with the least squared error.
    numbers = np.clip(np.rint(groups / (factor * widest)) + zero, 0, 15)
    whole = (numbers - zero) * factor
    over, under = (np.einsum("gpi,gpi->g", whole, values) for values in (groups, whole))
    scale = np.where(under > 0, over / np.where(under > 0, under, 1), widest[:, 0, 0])
    packed = factor.astype(np.uint8) | zero.astype(np.uint8) << 4
    return numbers.astype(np.uint8), scale.astype(np.float32), packed[..., 0]


def restored_fine(found: Fine) -> Array:
    """float32 [rows, width], as the products have it."""
    factors, zeros = found.factors[..., None] & 15, found.factors[..., None] >> 4
    whole: Array = (found.numbers.astype(np.float32) - zeros) * factors
    whole *= found.scales[..., None, None]
    return whole.reshape(len(whole), -1)


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
