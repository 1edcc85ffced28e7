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
from collections.abc import Callable, Sequence
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

from . import quantised
from .checkpoint import (
    BIGCODE_ACTIVATIONS,
    SMALL_FILE,
    check_numbers,
    is_bigcode,
    tensors,
    text_config,
    weights_size,
)
from .model import KV, Logits, ModelUnavailable, first_line

CHUNK = 128
GELUS = {"tanh": "TANH", "none": "ERF"}
# Activations are quantised in groups of this many for the products with int8 weights; OpenVINO's
# default of 32 costs a quarter of the decode speed.
ACTIVATION_GROUP = 128
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
    return is_bigcode(folder) and device == "cpu" and dtype in ("auto", "float32", "int8")


def load(folder: Path, dtype: str, guesses: int = 0) -> BigCode:
    """The model in memory, for steps with up to so many guesses. Raises ModelUnavailable.

    int8 is what "auto" takes for all but small checkpoints; the quantised copy is kept in the
    user's cache folder, and next time the original isn't read.
    """
    number = dtype if dtype != "auto" else "float32" if weights_size(folder) <= SMALL_FILE else "int8"
    try:
        config = text_config(folder)
        if number != "int8":
            return BigCode(config, number, guesses, *_built(folder, number))
        try:
            return _load_quantised(config, guesses, _quantised(folder))
        except Exception:  # of a damaged copy OpenVINO and numpy say many things
            if not (path := quantised.cached(folder)):
                raise
            quantised.remove(path)
            return _load_quantised(config, guesses, _quantised(folder))
    except ModelUnavailable:
        raise
    except Exception as error:  # a broken checkpoint fails in many ways
        raise ModelUnavailable(f"it can't be loaded: {first_line(error)}") from error


def _load_quantised(config: dict[str, Any], guesses: int, source: Path | tuple[Any, Array, Array]) -> BigCode:
    if not isinstance(source, Path):
        return BigCode(config, "int8", guesses, *source)
    model = BigCode(config, "int8", guesses, *_read_back(source))
    _release(source)
    return model


class BigCode:
    """A compiled graph with its tables of token and position embeddings, [vocabulary, width] each.

    In int8 the last bit of an activation decides how it is rounded for the next product, and that bit
    depends on how many rows a product has. So there a step of few tokens always has the same shape,
    filled up to ``guesses`` + 1 tokens. Then a token's logits are the same to the last bit, alone or
    behind right guesses, as long as attention is over the same multiple of BLOCK positions.
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
        self._few = 1 + guesses if dtype == "int8" else 1
        self._tokens, self._positions = tokens, positions
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": str(SHAPES_KEPT),
        }
        if dtype == "int8":
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(ACTIVATION_GROUP)
        _return_freed_memory()
        self._request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
        logits = self.step(self.empty(), [[0]])  # OpenVINO repacks the weights at the first step
        check_numbers("the first step", logits)

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
    tensor = _reader(folder)
    graph = _graph(text_config(folder), tensor, dtype)
    tables = {name: tensor(name) for name in ("transformer.wte.weight", "transformer.wpe.weight")}
    for name, values in tables.items():
        check_numbers(name, values)
    return graph, *tables.values()


def _reader(folder: Path) -> Callable[[str], Array]:
    """A function from a tensor's name to its values, read one at a time."""
    files = {name: info.file for name, info in tensors(folder).items()}

    def read(name: str) -> Array:
        if name == "lm_head.weight" and name not in files:
            name = "transformer.wte.weight"
        with safe_open(files[name], "np", backend="pread") as file:
            is_known = file.get_slice(name).get_dtype() != "BF16"  # numpy has no bfloat16
            values = file.get_tensor(name) if is_known else None
        if values is None:
            with safe_open(files[name], "pt", backend="pread") as file:
                values = file.get_tensor(name).float().numpy()
        return cast(Array, values)

    return read


@dataclass
class _Builder:
    """The layers that have weights."""

    tensor: Callable[[str], Array]
    epsilon: float
    int8: bool

    def single(self, name: str) -> Any:
        values = self.tensor(name).astype(np.float32)
        check_numbers(name, values)
        return op.constant(values)

    def product(self, x: Any, name: str) -> Any:
        """x times the transposed weight, which stays int8 with a scale for each output, if asked."""
        if not self.int8:
            return op.matmul(x, self.single(name), False, True)
        weight = self.tensor(name).astype(np.float32)
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127
        check_numbers(name, scale)  # NaN and infinity are what a row's largest is then
        scale[scale == 0] = 1
        quantised = op.constant(np.rint(weight / scale).astype(np.int8))
        return op.matmul(x, op.multiply(op.convert(quantised, "f32"), op.constant(scale)), False, True)

    def linear(self, x: Any, name: str) -> Any:
        return op.add(self.product(x, name + ".weight"), self.single(name + ".bias"))

    def norm(self, x: Any, name: str) -> Any:
        scaled = op.multiply(
            op.mvn(x, [-1], True, self.epsilon, "inside_sqrt"), self.single(name + ".weight")
        )
        return op.add(scaled, self.single(name + ".bias"))


def _graph(config: dict[str, Any], tensor: Callable[[str], Array], dtype: str) -> Any:
    """Embeddings [batch, new, width], mask [new, 1, room], the new tokens' positions [new], the indices
    [keep] of those whose logits are wanted, and for each layer the past [batch, room, 2 x head size], whose
    rows at ``positions`` are looked at as the new ones -> logits [batch, keep, vocabulary] and the new rows
    of the past, [layers, batch, new, 2 x head size]. Follows transformers' modeling_gpt_bigcode.py.
    """
    width, heads = int(config["n_embd"]), int(config["n_head"])
    size = width // heads
    build = _Builder(tensor, float(config.get("layer_norm_epsilon", 1e-5)), dtype == "int8")
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
        weights = op.softmax(op.add(op.reshape(scores, by_token, False), mask), -1)
        attended = op.reshape(
            op.matmul(op.reshape(weights, by_row, False), values, False, False), merged, False
        )
        x = op.add(x, build.linear(attended, name + ".attn.c_proj"))
        hidden = build.linear(build.norm(x, name + ".ln_2"), name + ".mlp.c_fc")
        hidden = op.gelu(hidden, gelu)
        x = op.add(x, build.linear(hidden, name + ".mlp.c_proj"))
    last = op.gather(x, wanted, whole(1))
    logits = build.product(build.norm(last, "transformer.ln_f"), "lm_head.weight")
    inputs = [embedded, mask, positions, wanted, *pasts]
    return openvino.Model([logits, op.concat(added, 0)], inputs, "gpt_bigcode")


def _quantised(folder: Path) -> Path | tuple[Any, Array, Array]:
    """The quantised copy's folder; where it can't be kept, what would be in it."""
    if path := quantised.cached(folder):
        return path
    graph, tokens, positions = _built(folder, "int8")

    def write(to: Path) -> None:
        openvino.save_model(graph, to / "graph.xml", compress_to_fp16=False)
        for name, table in (("tokens", tokens), ("positions", positions)):
            np.save(to / f"{name}.npy", table)

    return quantised.save(folder, write) or (graph, tokens, positions)


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
