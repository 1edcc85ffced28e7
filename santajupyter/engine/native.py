"""native/decoder.c from Python: its structures, its library, and weights as it takes them.

Weights, biases and norms lie in one array of bytes, each of its parts a multiple of ALIGNED bytes, as
``parts`` lists them.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import rounding
from .architecture import DOWN, HEAD, OUT, QKV, UP, Activation, Architecture
from .weights import Weights

LANES, ROWS, GROUP, PARTS, ALIGNED = 16, 32, 128, 4, 64
ACTIVATIONS: tuple[Activation, ...] = ("gelu", "gelu_tanh", "silu")
BITS = {"float32": 32, "int8": 8, "int4": 4}
# Of QKV the queries, and the keys and values that heads share.
QUERIES, SHARED = "queries", "shared"
# In four bits these stay in eight: few weights, or a tenth of all, and more than half of the error.
IN_EIGHT = {"int4": {SHARED, OUT, HEAD}}
# What each needs of a CPU, as Linux names it; the fastest first.
LIBRARIES = {
    "decoder-avx512.so": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma"},
    "decoder-avx2.so": {"avx2", "fma"},
}
THREAD = "santajupyter decoder"
NORMS = ("attention_norm", "mlp_norm")

Array = npt.NDArray[Any]
Parts = Mapping[str, Array]


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class _Product(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_void_p, "numbers factors scales biases"),
        *_fields(ctypes.c_int32, "rows width bits"),
    )


class _Layer(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_void_p, "attention_norm attention_norm_bias"),
        *_fields(_Product, f"{QUERIES} {SHARED} {OUT}"),
        *_fields(ctypes.c_void_p, "mlp_norm mlp_norm_bias"),
        *_fields(_Product, f"{UP} {DOWN}"),
    )


class _Decoder(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.POINTER(_Layer), "layer"),
        *_fields(ctypes.c_void_p, "norm norm_bias"),
        *_fields(_Product, "head"),
        *_fields(ctypes.c_int32, "layers width inner heads kv_heads size window is_rms is_gated activation"),
        *_fields(ctypes.c_float, "epsilon attention_scale residual_scale logits_scale"),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_void_p, "x positions text wanted cosine sine kv logits"),
        *_fields(ctypes.c_int64, "capacity"),
        *_fields(ctypes.c_int32, "count texts kept"),
    )


class _Pool(ctypes.Structure):
    _fields_ = (
        *_fields(ctypes.c_uint64, "state"),
        *_fields(ctypes.c_int32, "left is_open threads"),
        *_fields(ctypes.c_void_p, "work task"),
    )


@cache
def library() -> ctypes.CDLL | None:
    """The fastest that this CPU can run; None where there is none."""
    folder = Path(__file__).parent / "native"
    for path in (folder / name for name in fitting()):
        with suppress(OSError, ValueError):  # it isn't there, or is of no version; or the system has no glibc
            found = ctypes.CDLL(str(path))
            digest = hashlib.sha256((folder / "decoder.c").read_bytes()).hexdigest()
            if (ctypes.c_char * len(digest)).in_dll(found, "source").value == digest.encode():
                return found
    return None


def fitting() -> list[str]:
    """The libraries that this CPU can run, if they are there; the fastest first."""
    found = _instructions()
    return [name for name, needed in LIBRARIES.items() if needed <= found]


def _instructions() -> set[str]:
    """As Linux names them; elsewhere none."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("ascii", "replace").splitlines() if path.is_file() else []
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def supports(architecture: Architecture) -> bool:
    widths = {*architecture.widths, architecture.inner}
    return all(width % GROUP == 0 for width in widths) and architecture.size % ROWS == 0


class _Linear(NamedTuple):
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


def _products(of: Architecture, dtype: str) -> Iterator[_Linear]:
    names, queries, shared = of.names, of.heads * of.size, 2 * of.kv_heads * of.size
    in_eight = IN_EIGHT.get(dtype, set())
    for layer in range(of.layers):
        for role, whole, own, first, rows, width in (
            (QUERIES, QKV, names.qkv, 0, queries, of.width),
            (SHARED, QKV, names.qkv, queries, shared, of.width),
            (OUT, OUT, (names.out,), 0, of.width, queries),
            (UP, UP, names.up, 0, len(names.up) * of.inner, of.width),
            (DOWN, DOWN, (names.down,), 0, of.width, of.inner),
        ):
            yield _Linear(
                key=f"{layer}.{role}",
                names=[names.layer.format(layer) + name for name in own],
                rows=rows,
                width=width,
                dtype="int8" if role in in_eight else dtype,
                first=first,
                is_biased=whole in of.biased,
                is_gated=role == UP and of.is_gated,
            )
    yield _Linear("head", [HEAD], of.vocabulary, of.width, "int8" if HEAD in in_eight else dtype)


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
    for linear in _products(of, dtype):
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
    for linear in _products(of, dtype):
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


def _fill_rounded(found: Parts, weights: Weights, linear: _Linear) -> None:
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


def _order(linear: _Linear) -> Array:
    """Of the weights' rows: of gates and what they open by turns, LANES each."""
    rows = np.arange(linear.first, linear.first + linear.rows)
    return rows.reshape(2, -1, LANES).transpose(1, 0, 2).reshape(-1) if linear.is_gated else rows


def _padded(values: Array, rows: int) -> Array:
    return np.concatenate([values, np.zeros((rows - len(values), *values.shape[1:]), values.dtype)])


def _bytes(kind: Any, shape: tuple[int, ...]) -> int:
    size = int(np.prod(shape)) * int(np.dtype(kind).itemsize)
    return -(-size // ALIGNED) * ALIGNED


class Decoder:
    """The library's decoder, on ``threads`` threads, that of the caller among them."""

    def __init__(self, of: Architecture, dtype: str, memory: Array, threads: int) -> None:
        self._memory, self._parts = memory, parts(of, dtype, memory)
        self._products = {linear.key: linear for linear in _products(of, dtype)}
        self._layers = (_Layer * of.layers)(*(self._layer(str(layer)) for layer in range(of.layers)))
        self._decoder = _Decoder(
            self._layers,
            self._address("norm"),
            self._address("norm_bias"),
            self._product("head"),
            *(of.layers, of.width, of.inner, of.heads, of.kv_heads, of.size, of.window or 0),
            *(of.is_rms, of.is_gated, ACTIVATIONS.index(of.activation)),
            *(of.epsilon, of.attention_scale, of.residual_scale, of.logits_scale),
        )
        self._rows, self._rows_of_kv = self._products["head"].padded, 2 * of.layers
        self._pool, self._helpers = _Pool(), list[SimpleQueue[bool]]()
        with suppress(RuntimeError):  # the system lets it have no more
            for index in range(1, threads):
                queue = SimpleQueue[bool]()
                args = (self._pool, queue, index)
                threading.Thread(target=_help, args=args, daemon=True, name=THREAD).start()
                weakref.finalize(self, queue.put, False)
                self._helpers.append(queue)
        self._pool.threads = 1 + len(self._helpers)

    def step(
        self, x: Array, positions: Array, kv: Array, keep: int, turns: tuple[Array, Array] | None
    ) -> Array:
        """Logits, float32 [texts, keep, rows], after each one's last tokens; the last rows may mean nothing.

        ``x`` float32 [texts, new, width] is written to. The new tokens are at these positions [new] of each
        text; ``kv`` gets their keys and values, see RowsKV.reserve. ``turns``: see rowskv. Raises ValueError
        where these don't fit together, and MemoryError.
        """
        lib = library()
        assert lib is not None
        texts, new, _ = x.shape
        if not 1 <= keep <= new == len(positions):
            raise ValueError(f"{keep} logits of {new} tokens at {len(positions)} positions")
        if kv.shape[:2] != (self._rows_of_kv, texts) or positions.max() >= kv.shape[2]:
            raise ValueError(f"keys and values {kv.shape} for {texts} texts up to {positions.max()}")
        text = np.repeat(np.arange(texts, dtype=np.int32), new)
        places = np.tile(positions.astype(np.int32), texts)
        wanted = (np.arange(texts)[:, None] * new + np.arange(new - keep, new)).astype(np.int32).reshape(-1)
        turned = [np.tile(turn, (texts, 1)) for turn in turns or ()]
        logits = np.empty((texts, keep, self._rows), np.float32)
        arrays = (x, places, text, wanted, *(turned or (None, None)), kv, logits)
        assert all(array is None or array.flags.c_contiguous for array in arrays)
        told = _Step(*(array if array is None else array.ctypes.data for array in arrays))
        told.capacity, told.count, told.texts, told.kept = kv.shape[2], texts * new, texts, len(wanted)
        try:
            self._pool.is_open = 1
            for queue in self._helpers:
                queue.put(True)
            if not lib.step(ctypes.byref(self._decoder), ctypes.byref(told), ctypes.byref(self._pool)):
                raise MemoryError("not enough memory for a step")
        finally:
            self._pool.is_open = 0
        return logits

    def _layer(self, key: str) -> _Layer:
        return _Layer(
            self._address(f"{key}.attention_norm"),
            self._address(f"{key}.attention_norm_bias"),
            self._product(f"{key}.{QUERIES}"),
            self._product(f"{key}.{SHARED}"),
            self._product(f"{key}.{OUT}"),
            self._address(f"{key}.mlp_norm"),
            self._address(f"{key}.mlp_norm_bias"),
            self._product(f"{key}.{UP}"),
            self._product(f"{key}.{DOWN}"),
        )

    def _product(self, key: str) -> _Product:
        linear, names = self._products[key], ("numbers", "factors", "scales", "biases")
        addresses = [self._address(f"{key}.{name}") for name in names]
        return _Product(*addresses, linear.padded, linear.width, BITS[linear.dtype])

    def _address(self, key: str) -> int | None:
        return int(self._parts[key].ctypes.data) if key in self._parts else None


def _help(pool: _Pool, queue: SimpleQueue[bool], index: int) -> None:
    """Share in each step's work, until the decoder is gone."""
    lib = library()
    assert lib is not None
    while queue.get():
        lib.help(ctypes.byref(pool), index)
