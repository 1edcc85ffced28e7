"""SantaCoder's architecture on a CPU: GPTBigCode with multi-query attention, run by OpenVINO.

The graph takes the keys and values of the past as plain inputs and returns the new ones, so that the
prompt cache owns them: cutting is a smaller length, sharing is a copy. With one key-value head, the
query heads of all new tokens are the rows of one matrix product.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

# Importing openvino would report that, from a child process, to its makers' statistics. Nothing leaves
# this machine unasked; without the package that does it, openvino takes its own stub instead.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
# oneDNN, which OpenVINO brings, would keep 1,024 kernels of its own beside OpenVINO's.
# https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
import openvino
from openvino import opset15 as op

from . import quantised, rounding
from .checkpoint import (
    BIGCODE_ACTIVATIONS,
    SMALL_FILE,
    check_numbers,
    is_bigcode,
    tensors,
    text_config,
    weights_size,
)
from .devices import is_out_of_memory
from .model import KV, Logits, ModelUnavailable, OutOfMemory, first_line

CHUNK = 128
GELUS = {"tanh": "TANH", "none": "ERF"}
# Activations are quantised in groups of this many for the products with int8 weights; OpenVINO's
# default of 32 costs a quarter of the decode speed.
ACTIVATION_GROUP = 128
QUANTISED = ("int8", "int4")
# In four bits the product that picks a token stays in eight: a fortieth of the time, and half of the error.
HEAD = {"int8": "int8", "int4": "int8"}
# Guesses spare a third of the steps; where a step with room for them takes so many times as long as one
# without, nothing is guessed. On CPUs with VNNI it takes 1.0 times as long, on one without 2.8 times.
WORTH = 1.4
TRIES = 4
# A model with fewer weights in its layers runs on one thread: two typed no faster, and beside two busy
# processes on two cores a key took half as long again, since each product waits for the slower one.
FEW_WEIGHTS = 20_000_000
# So many rows of a weight are read and rounded at a time.
ROWS = 1024
# The arrays of keys and values grow by this many tokens.
GROWTH = 256
# OpenVINO compiles kernels for each shape that it meets, and keeps them: without limits a process grew by
# gigabytes. So there are few shapes: a step is filled up to one of these numbers of tokens, above the last
# to a multiple of it, and attention is over a multiple of BLOCK positions. What is kept has limits, too.
STEPS = (1, 2, 4, 8, 16, 32)
BLOCK = 128
SHAPES_KEPT = 64
# Of glibc's malloc: from this size on memory goes back to the system when it is freed. Left to itself glibc
# raises the limit, and then the prompt cache's arrays leave holes.
M_MMAP_THRESHOLD, MMAP_THRESHOLD = -3, 128 * 2**10

Array = npt.NDArray[Any]


def supports(folder: Path, device: str, dtype: str) -> bool:
    """Whether this file is the way to run the checkpoint on that device in that format."""
    return is_bigcode(folder) and device == "cpu" and dtype in ("auto", "float32", *QUANTISED)


def load(folder: Path, dtype: str, guesses: int = 0) -> BigCode:
    """The model in memory, for steps with up to so many guesses. Raises ModelUnavailable, OutOfMemory.

    int8 is what "auto" takes for all but small checkpoints; a quantised copy is kept in the
    user's cache folder, and next time the original isn't read.
    """
    number = dtype if dtype != "auto" else "float32" if weights_size(folder) <= SMALL_FILE else "int8"
    try:
        if number not in QUANTISED:
            return BigCode(text_config(folder), number, guesses, *_built(folder, number))
        try:
            return _load_quantised(folder, number, guesses)
        except Exception as error:  # of a damaged copy OpenVINO and numpy say many things
            path = quantised.cached(folder, number)
            if path is None or is_out_of_memory(error):
                raise
            quantised.remove(path)
            return _load_quantised(folder, number, guesses)
    except ModelUnavailable:
        raise
    except Exception as error:  # a broken checkpoint fails in many ways
        if is_out_of_memory(error):
            raise OutOfMemory("not enough memory for the model") from error
        raise ModelUnavailable(f"it can't be loaded: {first_line(error)}") from error


def _load_quantised(folder: Path, dtype: str, guesses: int) -> BigCode:
    config, source = text_config(folder), _quantised(folder, dtype)
    if not isinstance(source, Path):
        return BigCode(config, dtype, guesses, *source)
    model = BigCode(config, dtype, guesses, *_read_back(source))
    _release(source)
    return model


class BigCode:
    """A compiled graph with its tables of token and position embeddings, [vocabulary, width] each.

    In int8 and int4 the last bit of an activation decides how it is rounded for the next product, and that
    bit depends on how many rows a product has. So there a step of few tokens always has the same shape,
    filled up to ``guesses`` + 1 tokens. Then a token's logits are the same to the last bit, alone or
    behind right guesses, as long as attention is over the same multiple of BLOCK positions. Where that costs
    too much time, there is room for no guess.
    """

    def __init__(
        self,
        config: dict[str, Any],
        dtype: str,
        guesses: int,
        graph: Any,
        tokens: Array,
        positions: Array,
    ) -> None:
        self.device, self.dtype, self.chunk = "cpu", dtype, CHUNK
        self._layers = int(config["n_layer"])
        self._row = 2 * int(config["n_embd"]) // int(config["n_head"])
        self._few = 1
        self._tokens, self._positions = tokens, positions
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": str(SHAPES_KEPT),
        }
        if 12 * self._layers * int(config["n_embd"]) ** 2 < FEW_WEIGHTS:
            settings["INFERENCE_NUM_THREADS"] = "1"
        if dtype in QUANTISED:
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(ACTIVATION_GROUP)
        _return_freed_memory()
        self._request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
        logits = self.step(self.empty(), [[0]])  # OpenVINO repacks the weights at the first step
        check_numbers("the first step", logits)
        if dtype in QUANTISED and guesses:
            alone, with_room = self._seconds(1), self._seconds(1 + guesses)
            self._few = 1 + guesses if with_room <= WORTH * alone else 1

    def empty(self) -> RowsKV:
        nothing = np.empty((1, 0, self._row), np.float32)
        return RowsKV([nothing] * self._layers, 0)

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        past = cast(RowsKV, kv)
        ids = np.array(rows)
        batch, new = ids.shape
        few = self._few if batch == 1 else 1
        filled = few if new <= few else _next_step(new)
        ids = np.pad(ids, ((0, 0), (0, filled - new)))
        positions = np.arange(past.length, past.length + filled)
        room = -(-(past.length + filled) // BLOCK) * BLOCK
        mask = np.where(np.arange(room) > positions[:, None], np.float32(-np.inf), np.float32(0))[:, None]
        known = np.minimum(positions, len(self._positions) - 1)  # what fills up may be beyond the last
        embedded = self._tokens[ids].astype(np.float32) + self._positions[known].astype(np.float32)
        count = filled if new <= few else min(filled, _next_step(keep))
        first = max(0, new - count)
        pasts = past.rows(room)  # a tensor that shares an array's memory doesn't keep it alive
        tensors = [openvino.Tensor(layer, shared_memory=True) for layer in pasts]
        inputs = [embedded, mask, positions, np.arange(first, first + count), *tensors]
        out = self._request.infer(dict(enumerate(inputs)), share_inputs=True, share_outputs=True)
        past.append(out[1][:, :, :new])
        return np.array(out[0][:, new - keep - first : new - first])

    def together(self, kv: KV) -> int:
        if self.dtype == "float32":
            return CHUNK
        return min(self._few, 1 + -(kv.length + self._few) % BLOCK)

    def _seconds(self, few: int) -> float:
        """Of all cores for a step with room for so many tokens, at best: other work doesn't count."""
        self._few, found = few, []
        for _ in range(TRIES):
            begun = time.process_time()
            self.step(self.empty(), [[0]])
            found.append(time.process_time() - begun)
        return min(found)


class RowsKV:
    """In each layer [batch, capacity, 2 x head size]: a token's key, then its value."""

    def __init__(self, layers: list[Array], length: int) -> None:
        self._layers, self.length = layers, length

    def can_be_cut(self, more: int = 0) -> bool:
        return True

    @property
    def size(self) -> int:
        return sum(layer.nbytes for layer in self._layers)

    def cut(self, length: int) -> None:
        self.length = length

    def beginning(self, length: int) -> RowsKV:
        return RowsKV([layer[:, :length].copy() for layer in self._layers], length)

    def picked(self, rows: Sequence[int]) -> RowsKV:
        return RowsKV([layer[list(rows), : self.length] for layer in self._layers], self.length)

    def rows(self, room: int) -> list[Array]:
        """[batch, room, 2 x head size], contiguous; of a single text, views. Zeros where nothing ever was."""
        batch, capacity, size = self._layers[0].shape
        if room > capacity:
            more = np.zeros((batch, -(-room // GROWTH) * GROWTH - capacity, size), np.float32)
            self._layers = [np.concatenate([layer, more], axis=1) for layer in self._layers]
        return [np.ascontiguousarray(layer[:, :room]) for layer in self._layers]

    def append(self, new: Array) -> None:
        """``new``: [layers, batch, tokens, 2 x head size], for which ``rows`` has made room."""
        length = self.length + new.shape[2]
        for layer, rows in zip(self._layers, new, strict=True):
            layer[:, self.length : length] = rows
        self.length = length


def _return_freed_memory() -> None:
    """Where malloc is glibc's."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "gnu_get_libc_version"):
        libc.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)


def _next_step(count: int) -> int:
    """The number of tokens, of those that a step may have, with room for ``count``."""
    most = STEPS[-1]
    return next((size for size in STEPS if size >= count), -(-count // most) * most)


def _built(folder: Path, dtype: str) -> tuple[Any, Array, Array]:
    """The graph and the two tables, from the checkpoint."""
    weights = _Weights(folder)
    graph = _graph(text_config(folder), weights, dtype)
    tables = {name: weights.whole(name) for name in ("transformer.wte.weight", "transformer.wpe.weight")}
    for name, values in tables.items():
        check_numbers(name, values)
    return graph, *tables.values()


class _Weights:
    """The checkpoint's tensors, read when they are asked for. A head that isn't there is the embedding."""

    def __init__(self, folder: Path) -> None:
        self._found = tensors(folder)

    def whole(self, name: str) -> Array:
        return self._read(name, slice(None))

    def blocks(self, name: str) -> Iterator[Array]:
        """float32 [rows, width], ROWS at a time: all of it takes twice the memory that it has in the file."""
        rows = self._found[self._name(name)].shape[0]
        for start in range(0, rows, ROWS):
            yield self._read(name, slice(start, min(rows, start + ROWS))).astype(np.float32)

    def _name(self, name: str) -> str:
        return "transformer.wte.weight" if name == "lm_head.weight" and name not in self._found else name

    def _read(self, name: str, rows: slice) -> Array:
        name = self._name(name)
        file, _, dtype = self._found[name]
        if dtype != "BF16":
            with safe_open(file, "np", backend="pread") as opened:
                return cast(Array, opened.get_slice(name)[rows])
        with safe_open(file, "pt", backend="pread") as opened:  # numpy has no bfloat16
            return cast(Array, opened.get_slice(name)[rows].float().numpy())


@dataclass
class _Builder:
    """The layers that have weights."""

    weights: _Weights
    epsilon: float
    dtype: str

    def single(self, name: str) -> Any:
        values = self.weights.whole(name).astype(np.float32)
        check_numbers(name, values)
        return op.constant(values)

    def product(self, x: Any, name: str, dtype: str) -> Any:
        """x times the transposed weight, which stays in few bits with its scales, if asked."""
        if dtype not in QUANTISED:
            return op.matmul(x, self.single(name), False, True)
        found = []
        for block in self.weights.blocks(name):
            check_numbers(name, block)
            found.append(rounding.rounded(block, dtype))
        numbers, scales = (np.concatenate(parts) for parts in zip(*found, strict=True))
        rows, groups, group = numbers.shape
        if groups == 1:
            numbers, scales = numbers[:, 0], scales[:, 0]
        weight = op.multiply(op.convert(_constant(numbers, dtype), "f32"), op.constant(scales))
        if groups > 1:
            weight = op.reshape(weight, op.constant(np.array([rows, groups * group])), False)
        return op.matmul(x, weight, False, True)

    def linear(self, x: Any, name: str) -> Any:
        return op.add(self.product(x, name + ".weight", self.dtype), self.single(name + ".bias"))

    def norm(self, x: Any, name: str) -> Any:
        scaled = op.multiply(
            op.mvn(x, [-1], True, self.epsilon, "inside_sqrt"), self.single(name + ".weight")
        )
        return op.add(scaled, self.single(name + ".bias"))


def _constant(numbers: Array, dtype: str) -> Any:
    if dtype == "int8":
        return op.constant(numbers)
    values = openvino.Tensor(openvino.Type.i4, openvino.Shape(numbers.shape))  # which owns its memory
    values.data[:] = rounding.packed(numbers).view(np.int8)
    return op.constant(values)


def _graph(config: dict[str, Any], weights: _Weights, dtype: str) -> Any:
    """Embeddings [batch, new, width], mask [new, 1, room], the new tokens' positions [new], the indices
    [keep] of those whose logits are wanted, and for each layer the past [batch, room, 2 x head size], whose
    rows at ``positions`` are looked at as the new ones -> logits [batch, keep, vocabulary] and the new rows
    of the past, [layers, batch, new, 2 x head size]. Follows transformers' modeling_gpt_bigcode.py.
    """
    width, heads = int(config["n_embd"]), int(config["n_head"])
    size = width // heads
    build = _Builder(weights, float(config.get("layer_norm_epsilon", 1e-5)), dtype)
    gelu = GELUS[BIGCODE_ACTIVATIONS[config.get("activation_function", "gelu_pytorch_tanh")]]

    def whole(*values: int) -> Any:
        return op.constant(np.array(values, np.int64))

    x = embedded = op.parameter([-1, -1, width], np.float32)
    mask = op.parameter([-1, 1, -1], np.float32)
    wanted = op.parameter([-1], np.int64)
    positions = op.parameter([-1], np.int64)
    batch, new = (op.gather(op.shape_of(embedded), whole(axis), whole(0)) for axis in (0, 1))
    by_token = op.concat([batch, new, whole(heads, -1)], 0)
    by_row = op.concat([batch, op.multiply(new, whole(heads)), whole(-1)], 0)
    merged = op.concat([batch, new, whole(width)], 0)
    pasts, added = [], []
    for layer in range(int(config["n_layer"])):
        name = f"transformer.h.{layer}"
        past = op.parameter([-1, -1, 2 * size], np.float32)
        projected = op.variadic_split(
            build.linear(build.norm(x, name + ".ln_1"), name + ".attn.c_attn"), 2, [width, 2 * size]
        )
        query = op.reshape(projected.output(0), by_row, False)
        rows = projected.output(1)
        pasts.append(past)
        added.append(op.unsqueeze(rows, whole(0)))
        keys, values = op.variadic_split(
            op.scatter_update(past, positions, rows, whole(1)), 2, [size, size]
        ).outputs()
        scores = op.multiply(op.matmul(query, keys, False, True), op.constant(np.float32(size**-0.5)))
        shares = op.softmax(op.add(op.reshape(scores, by_token, False), mask), -1)
        attended = op.reshape(
            op.matmul(op.reshape(shares, by_row, False), values, False, False), merged, False
        )
        x = op.add(x, build.linear(attended, name + ".attn.c_proj"))
        hidden = build.linear(build.norm(x, name + ".ln_2"), name + ".mlp.c_fc")
        hidden = op.gelu(hidden, gelu)
        x = op.add(x, build.linear(hidden, name + ".mlp.c_proj"))
    last = op.gather(x, wanted, whole(1))
    logits = build.product(build.norm(last, "transformer.ln_f"), "lm_head.weight", HEAD.get(dtype, dtype))
    inputs = [embedded, mask, positions, wanted, *pasts]
    return openvino.Model([logits, op.concat(added, 0)], inputs, "gpt_bigcode")


def _quantised(folder: Path, dtype: str) -> Path | tuple[Any, Array, Array]:
    """The quantised copy's folder; where it can't be kept, what would be in it."""
    if path := quantised.cached(folder, dtype):
        return path
    graph, tokens, positions = _built(folder, dtype)

    def write(to: Path) -> None:
        openvino.save_model(graph, to / "graph.xml", compress_to_fp16=False)
        for name, table in (("tokens", tokens), ("positions", positions)):
            np.save(to / f"{name}.npy", table)

    return quantised.save(folder, dtype, write) or (graph, tokens, positions)


def _read_back(path: Path) -> tuple[Path, Array, Array]:
    """All mapped: of the tokens' table only the rows in use are ever in memory."""
    tokens, positions = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("tokens", "positions"))
    return path / "graph.xml", tokens, positions


def _release(path: Path) -> None:
    """OpenVINO has the weights repacked, but holds the file mapped too, twice the memory to all appearances.

    What is released is read from the file again if it is ever looked at.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return
    libc = ctypes.CDLL(None)
    for line in maps.read_text("utf-8", "replace").splitlines():
        if line.endswith(str(path / "graph.bin")):
            start, end = (int(address, 16) for address in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)
