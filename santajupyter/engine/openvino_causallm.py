"""Decoders on a CPU, SantaCoder's and those like Llama's: openvino_graph.py's graph, run by OpenVINO."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

# Importing openvino would report that, from a child process, to its makers' statistics. Nothing leaves
# this machine unasked; without the package that does it, openvino takes its own stub instead.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
# oneDNN, which OpenVINO brings, would keep 1,024 kernels of its own beside OpenVINO's.
# https://uxlfoundation.github.io/oneDNN/dev_guide_primitive_cache.html
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
import openvino

from . import quantised
from .architecture import Architecture
from .checkpoint import architecture_of, check_numbers, loading, own_architecture
from .devices import is_out_of_memory
from .model import KV, Logits
from .openvino_graph import build
from .rowskv import RowsKV, keep, kept, return_freed_memory, speeds_of, turns
from .weights import QUANTISED, Tables, format_of

CHUNK = 128
# Activations are quantised in groups of this many for the products with int8 weights; OpenVINO's
# default of 32 costs a quarter of the decode speed.
ACTIVATION_GROUP, LEAST_GROUP = 128, 32
# Four guesses spare a third of the steps; each may make a step longer by so much, or there are fewer. On CPUs
# with VNNI a step with room for four takes 1.0 to 1.3 times as long, on one without 2.8 times.
WORTH = 0.1
TRIES = 4
# A key's step: the token before the cursor's word, and that one's own, which is made again.
HEALED = 2
# A model with fewer weights in its layers runs on one thread: two typed no faster, and beside two busy
# processes on two cores a key took half as long again, since each product waits for the slower one.
FEW_WEIGHTS = 20_000_000
# OpenVINO compiles kernels for each shape that it meets, and keeps them: without limits a process grew by
# gigabytes. So there are few shapes: a step is filled up to one of these numbers of tokens, above the last
# to a multiple of it, and attention is over a multiple of BLOCK positions. What is kept has limits, too.
STEPS = (1, 2, 4, 6, 8, 16, 32)  # 6: a key where the suffix stands last
BLOCK = 128
SHAPES_KEPT = 64
# Where OpenVINO had no memory to make a step's kernels it may say nothing, and leave what the last one made.
HALF_MADE = "Exception from src/: the step was not made, out of memory"

Array = npt.NDArray[Any]


def supports(folder: Path, device: str, dtype: str) -> bool:
    """Whether this file is the way to run the checkpoint on that device in that format."""
    is_here = device == "cpu" and dtype in ("auto", "float32", *QUANTISED)
    return is_here and architecture_of(folder) is not None


def load(folder: Path, dtype: str, guesses: int = 0) -> CausalLM:
    """The model in memory, for steps with up to so many guesses. Raises ModelUnavailable, OutOfMemory.

    A quantised copy is kept in the user's cache folder, and next time the original isn't read.
    """
    with loading():
        number, architecture = format_of(folder, dtype), own_architecture(folder)
        if number not in QUANTISED:
            return CausalLM(architecture, number, guesses, *build(folder, architecture, number))
        try:
            return _load_quantised(folder, architecture, number, guesses)
        except Exception as error:  # of a damaged copy OpenVINO and numpy say many things
            path = quantised.cached(folder, number, "openvino")
            if path is None or is_out_of_memory(error):
                raise
            quantised.remove(path)
            return _load_quantised(folder, architecture, number, guesses)


def _load_quantised(folder: Path, architecture: Architecture, dtype: str, guesses: int) -> CausalLM:
    source = _quantised(folder, architecture, dtype)
    if not isinstance(source, Path):
        return CausalLM(architecture, dtype, guesses, *source)
    model = CausalLM(
        architecture, dtype, guesses, source / "graph.xml", Tables.read(source, architecture.embedding_scale)
    )
    _release(source)
    model.copy = source
    return model


class CausalLM:
    """A compiled graph with its tables.

    In int8 and int4 the last bit of an activation decides how it is rounded for the next product. So there
    guesses, ``guesses`` at most, need logits that are the same to the last bit alone or behind right guesses,
    as long as attention is over the same multiple of BLOCK positions. Where that bit depends on how many
    rows a product has, which is tried at loading, a single token's step is filled up to as many. Where a step
    with guesses costs too much time, there are none.

    Each step of another size than the one before takes OpenVINO some time, 5 ms of SantaCoder's 35 in int4:
    so there are two sizes of small steps, and in float32, where a row more costs next to nothing, one.
    """

    def __init__(
        self, architecture: Architecture, dtype: str, guesses: int, graph: Any, tables: Tables
    ) -> None:
        self.device, self.dtype, self.chunk = "cpu", dtype, CHUNK
        self.copy: Path | None = None  # the quantised one's folder
        self._architecture, self._tables = architecture, tables
        self._speeds = speeds_of(architecture)
        # The tokens that small steps may have; the largest has room for all guesses. And of several texts.
        self._sizes: tuple[int, ...] = (1,)
        self._sizes_of_many: tuple[int, ...] = (1,)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": str(SHAPES_KEPT),
        }
        if architecture.weights < FEW_WEIGHTS:
            settings["INFERENCE_NUM_THREADS"] = "1"
        if dtype in QUANTISED:
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(_activation_group(architecture))
        return_freed_memory()
        self._request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
        logits = self.step(self.empty(), [[0]])  # OpenVINO repacks the weights at the first step
        check_numbers("the first step", logits)
        self._choose(guesses)

    def empty(self) -> RowsKV:
        return RowsKV.of(self._architecture)

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        past, of = cast(RowsKV, kv), self._architecture
        ids = np.array(rows)
        batch, new = ids.shape
        sizes = self._sizes if batch == 1 else self._sizes_of_many
        few = sizes[-1]
        filled = next((size for size in sizes if size >= new), 0) or _next_step(new)
        ids = np.concatenate([ids, np.zeros((batch, filled - new), ids.dtype)], axis=1)
        positions = np.r_[past.gap, past.length : past.length + filled - len(past.gap)]
        room = -(-(past.length + max(filled, few)) // BLOCK) * BLOCK
        count = filled if new <= few else min(filled, _next_step(keep))
        first = max(0, new - count)
        inputs = [
            self._tables.embedded(ids, positions),
            self._mask(positions, past.places(positions, room)),
            np.arange(first, first + count),
            np.zeros((batch, room - past.length - filled, *of.row), np.float32),
            *self._turns(positions),
            *past.rows(),
        ]
        logits, added = self._infer(inputs)
        if (logits.shape[1], added.shape[-len(of.row) - 1]) != (count, filled):
            raise RuntimeError(HALF_MADE)
        past.append(added.reshape(-1, batch, *added.shape[1:])[:, :, :new])
        return np.array(logits[:, new - keep - first : new - first])

    def _infer(self, inputs: Sequence[Array]) -> tuple[Array, Array]:
        """The graph's outputs, views that hold until the next call. By openvino's way to take arrays each

        input costs ten times as much.
        """
        for index, array in enumerate(inputs):  # a tensor that shares its memory doesn't keep it alive
            self._request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        self._request.infer()
        return self._request.get_output_tensor(0).data, self._request.get_output_tensor(1).data

    def kept(self) -> Iterable[tuple[list[int], KV]]:
        """See model.Keeps."""
        return kept(self.copy, self._architecture)

    def keep(self, prompts: Iterable[tuple[list[int], KV]]) -> None:
        """See model.Keeps."""
        keep(self.copy, prompts)

    def _mask(self, positions: Array, places: Array) -> Array:
        """[new, room]: nothing that comes later, nor further back than the architecture looks."""
        window = self._architecture.window or len(places)
        is_hidden = (places > positions[:, None]) | (places <= positions[:, None] - window)
        return np.where(is_hidden, np.float32(-np.inf), np.float32(0))

    def _turns(self, positions: Array) -> list[Array]:
        """See the graph; none where positions are learned."""
        if self._speeds is None:
            return []
        return [turn[None, :, None] for turn in turns(positions, self._speeds)]

    def together(self, kv: KV) -> int:
        if self.dtype == "float32":
            return CHUNK
        few = self._sizes[-1]
        return min(few, 1 + -(kv.length + few) % BLOCK)

    def _choose(self, guesses: int) -> None:
        """How many tokens small steps have, by their time here, and by their bits."""
        few = max(HEALED, 1 + guesses)
        if self.dtype not in QUANTISED:
            self._sizes = (few,)
            return
        alone = self._seconds(1)
        most = {size: (1 + WORTH * (size - 1)) * alone for size in (few, HEALED)}
        few = next((size for size in most if self._seconds(size) <= most[size]), 1)
        is_exact = self._is_exact(few)
        self._sizes = tuple(sorted({min(HEALED, few), few})) if is_exact else (few,)
        self._sizes_of_many = (1,) if is_exact else (few,)

    def _seconds(self, count: int) -> float:
        """Of all cores for a step of one token filled up to so many, at best: other work doesn't count."""
        self._sizes, found = (count,), []
        for _ in range(TRIES):
            begun = time.process_time()
            self.step(self.empty(), [[0]])
            found.append(time.process_time() - begun)
        return min(found)

    def _is_exact(self, few: int) -> bool:
        """Whether a token has the same logits however many a step has, in the first block and in the next."""
        kv, ids = self.empty(), [index % len(self._tables.tokens) for index in range(BLOCK + few)]
        for start, end in ((0, 1), (1, len(ids))):
            self.step(kv, [ids[start:end]])
            found = []
            for size in (few, HEALED, 1):
                self._sizes = (size,)
                found.append(self.step(kv, [ids[:size]], size)[0])
                kv.cut(end)
            if not all(np.array_equal(found[0][: len(rows)], rows[: len(found[0])]) for rows in found):
                return False
        return True


def _activation_group(architecture: Architecture) -> int:
    """As near to ACTIVATION_GROUP as divides what is multiplied: OpenVINO 2025.4 can't do others."""
    group = ACTIVATION_GROUP
    while group > LEAST_GROUP and any(width % group for width in architecture.widths):
        group //= 2
    return group


def _next_step(count: int) -> int:
    """The number of tokens, of those that a step may have, with room for ``count``."""
    most = STEPS[-1]
    return next((size for size in STEPS if size >= count), -(-count // most) * most)


def _quantised(folder: Path, architecture: Architecture, dtype: str) -> Path | tuple[Any, Tables]:
    """The quantised copy's folder; where it can't be kept, what would be in it."""
    if path := quantised.cached(folder, dtype, "openvino"):
        return path
    graph, tables = build(folder, architecture, dtype)

    def write(to: Path) -> None:
        openvino.save_model(graph, to / "graph.xml", compress_to_fp16=False)
        tables.write(to)

    return quantised.save(folder, dtype, "openvino", write) or (graph, tables)


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
