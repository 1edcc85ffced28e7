"""native/decoder.c from Python: its library, its structures, and its steps."""

from __future__ import annotations

import ctypes
import hashlib
import threading
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from .architecture import DOWN, OUT, UP, Activation, Architecture
from .native_weights import BITS, QUERIES, SHARED, parts, products

ACTIVATIONS: tuple[Activation, ...] = ("gelu", "gelu_tanh", "silu")
# What each needs of a CPU, as Linux names it; the fastest first.
LIBRARIES = {
    "decoder-avx512.so": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma"},
    "decoder-avx2.so": {"avx2", "fma"},
}
THREAD = "santajupyter decoder"

Array = npt.NDArray[Any]


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


class Decoder:
    """The library's decoder, on ``threads`` threads, that of the caller among them."""

    def __init__(self, of: Architecture, dtype: str, memory: Array, threads: int) -> None:
        self._memory, self._parts = memory, parts(of, dtype, memory)
        self._products = {linear.key: linear for linear in products(of, dtype)}
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
