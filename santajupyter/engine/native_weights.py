"""Weights as native/decoder.c takes them.

Weights, biases and norms lie in one array of bytes, each of its parts a multiple of ALIGNED bytes, as
``parts`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import rounding
from .architecture import DOWN, HEAD, OUT, QKV, UP, Architecture
from .weights import Weights

LANES, ROWS, GROUP, PARTS, ALIGNED = 16, 32, 128, 4, 64
BITS = {"float32": 32, "int8": 8, "int4": 4}
# Of QKV the queries, and the keys and values that heads share.
QUERIES, SHARED = "queries", "shared"
# In four bits these stay in eight, and all of the last layer: a fifth of the weights, and more than half of
# the error.
IN_EIGHT = {"int4": {SHARED, OUT, HEAD}}
NORMS = ("attention_norm", "mlp_norm")

Array = npt.NDArray[Any]
Parts = Mapping[str, Array]


def supports(architecture: Architecture) -> bool:
    widths = {*architecture.widths, architecture.inner}
    return all(width % GROUP == 0 for width in widths) and architecture.size % ROWS == 0


class Linear(NamedTuple):
    """A product: ``names`` are of its weights, whose ``rows`` from the ``first`` on it has."""

    key: str
    names: list[str]
    rows: int
    width: int
    dtype: str
    first: int = 0
    is_biased: bool = False
    is_gated: bool = False

    @property
    def padded(self) -> int:
        return -(-self.rows // ROWS) * ROWS


def products(of: Architecture, dtype: str) -> Iterator[Linear]:
    names, queries, shared = of.names, of.heads * of.size, 2 * of.kv_heads * of.size
    in_eight = IN_EIGHT.get(dtype, set())
    for layer in range(of.layers):
        is_last = layer == of.layers - 1
        for role, whole, own, first, rows, width in (
            (QUERIES, QKV, names.qkv, 0, queries, of.width),
            (SHARED, QKV, names.qkv, queries, shared, of.width),
            (OUT, OUT, (names.out,), 0, of.width, queries),
            (UP, UP, names.up, 0, len(names.up) * of.inner, of.width),
            (DOWN, DOWN, (names.down,), 0, of.width, of.inner),
        ):
            yield Linear(
                key=f"{layer}.{role}",
                names=[names.layer.format(layer) + name for name in own],
                rows=rows,
                width=width,
                dtype="int8" if role in in_eight or (in_eight and is_last) else dtype,
                first=first,
                is_biased=whole in of.biased,
                is_gated=role == UP and of.is_gated,
            )
    yield Linear("head", [HEAD], of.vocabulary, of.width, "int8" if HEAD in in_eight else dtype)


def _norms(of: Architecture) -> Iterator[tuple[str, str]]:
    """Their keys and their tensors' names."""
    for layer in range(of.layers):
        for norm in NORMS:
            yield f"{layer}.{norm}", of.names.layer.format(layer) + getattr(of.names, norm)
    yield "norm", of.names.norm


def _shapes(of: Architecture, dtype: str) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    for key, _ in _norms(of):
        yield key, np.float32, (of.width,)
        if not of.is_rms:
            yield f"{key}_bias", np.float32, (of.width,)
    for linear in products(of, dtype):
        blocks, width = linear.padded // ROWS, linear.width
        if linear.dtype == "float32":
            yield f"{linear.key}.numbers", np.float32, (blocks, width, ROWS)
        elif linear.dtype == "int4":
            yield f"{linear.key}.numbers", np.uint8, (blocks, width // 8, 2, LANES, 4)
            yield f"{linear.key}.factors", np.uint8, (blocks, width // GROUP, PARTS, ROWS)
            yield f"{linear.key}.scales", np.float32, (blocks, width // GROUP, ROWS)
        else:
            yield f"{linear.key}.numbers", np.uint8, (blocks, width // 4, 2, LANES, 4)
            yield f"{linear.key}.scales", np.float32, (blocks, ROWS)
        if linear.is_biased:
            yield f"{linear.key}.biases", np.float32, (linear.padded,)


def size(of: Architecture, dtype: str) -> int:
    """Bytes of all parts."""
    return sum(_bytes(kind, shape) for _, kind, shape in _shapes(of, dtype))


def parts(of: Architecture, dtype: str, memory: Array) -> dict[str, Array]:
    """Views of ``memory``, uint8 [size]."""
    found, start = {}, 0
    for key, kind, shape in _shapes(of, dtype):
        count = int(np.prod(shape)) * np.dtype(kind).itemsize
        found[key] = memory[start : start + count].view(kind).reshape(shape)
        start += _bytes(kind, shape)
    return found


def fill(found: Parts, weights: Weights, of: Architecture, dtype: str) -> None:
    """From the checkpoint. Raises ModelUnavailable for numbers that aren't finite."""
    for key, name in _norms(of):
        found[key][:] = weights.whole(f"{name}.weight") + of.plus_one
        if not of.is_rms:
            found[f"{key}_bias"][:] = weights.whole(f"{name}.bias")
    for linear in products(of, dtype):
        order, names = _order(linear), [f"{name}.weight" for name in linear.names]
        to = found[f"{linear.key}.numbers"]
        if linear.dtype == "float32":
            values = _padded(weights.whole(*names)[order], linear.padded)
            to[:] = values.reshape(-1, ROWS, linear.width).transpose(0, 2, 1)
        else:
            _fill_rounded(found, weights, linear)
        if linear.is_biased:
            biases = weights.whole(*(f"{name}.bias" for name in linear.names))
            found[f"{linear.key}.biases"][:] = _padded(biases[order], linear.padded)


def _fill_rounded(found: Parts, weights: Weights, linear: Linear) -> None:
    order, is_fine = _order(linear), linear.dtype == "int4"
    ways = rounding.fine if is_fine else partial(rounding.rounded, dtype=linear.dtype)
    numbers, scales, *factors = weights.rounded([f"{name}.weight" for name in linear.names], ways)
    numbers, to = numbers.reshape(-1, linear.width), found[f"{linear.key}.numbers"]
    for block in range(len(to)):
        some = _padded(numbers[order[block * ROWS : (block + 1) * ROWS]], ROWS)
        to[block] = _packed(some, BITS[linear.dtype])
    for name, values in (("scales", scales), *(("factors", values) for values in factors)):
        values, to = _padded(values[order], linear.padded), found[f"{linear.key}.{name}"]
        to[:] = np.moveaxis(values.reshape(-1, ROWS, *values.shape[1:]), 1, -1).reshape(to.shape)


def _packed(numbers: Array, bits: int) -> Array:
    """[ROWS, width] as the products take them, from zero up: [width / 4, 2, LANES, 4], and in four bits

    two of a row's fours in one, the first in the lower halves.
    """
    fours = numbers if bits == 4 else (numbers.astype(np.int16) + 128).astype(np.uint8)
    fours = fours.reshape(2, LANES, -1, 4).transpose(2, 0, 1, 3)
    return fours if bits == 8 else fours[::2] | fours[1::2] << 4


def _order(linear: Linear) -> Array:
    """Of the weights' rows: of gates and what they open by turns, LANES each."""
    rows = np.arange(linear.first, linear.first + linear.rows)
    return rows.reshape(2, -1, LANES).transpose(1, 0, 2).reshape(-1) if linear.is_gated else rows


def _padded(values: Array, rows: int) -> Array:
    return np.concatenate([values, np.zeros((rows - len(values), *values.shape[1:]), values.dtype)])


def _bytes(kind: Any, shape: tuple[int, ...]) -> int:
    size = int(np.prod(shape)) * int(np.dtype(kind).itemsize)
    return -(-size // ALIGNED) * ALIGNED
