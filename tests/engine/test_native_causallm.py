"""decoder.c: its logits against transformers' and OpenVINO's, to the last bit whatever else is in a step."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from santajupyter.engine import (
    causallm,
    native,
    native_causallm,
    openvino_causallm,
    quantised,
    rounding,
    transformers_causallm,
)
from santajupyter.engine.model import Logits, ModelUnavailable, OutOfMemory
from santajupyter.engine.native_causallm import CausalLM
from santajupyter.engine.native_weights import BITS

from ..checkpoint import make_checkpoint, make_like_llama
from ..limits import no_file_above
from .test_architecture import KINDS
from .test_openvino_causallm import IDS, SANTA_MINI, logits

pytestmark = pytest.mark.skipif(native.library() is None, reason="not for this CPU")

QUANTISED = ("int8", "int4")
# Of int4, of two layers.
IN_EIGHT = (".k_", ".v_", ".o_", ".1.")
# What lies in several of attention's blocks, the last of which isn't full.
LONG = [int(i) for i in np.random.default_rng(1).integers(0, 320, 600)]
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "head_dim": 32,
    "max_position_embeddings": 1024,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "santajupyter"


def make(folder: Path, name: str) -> Path:
    """In one of the kinds twelve heads share their keys: more than look at them together."""
    kind, changes = KINDS[name]
    heads = {"num_attention_heads": 12 if name == "gemma" else 4}
    window = {"sliding_window": 300} if "sliding_window" in changes else {}
    return make_like_llama(folder, kind, **{**changes, **SIZES, **heads, **window})


def spread(error: Logits, exact: Logits) -> float:
    return float(np.sqrt(np.mean(error**2)) / exact.std())


def test_real_weights_agree_with_transformers() -> None:
    """int8 as near as OpenVINO's of the same numbers, and nearer to those; int4 nearer than its is."""
    exact = logits(transformers_causallm.load(SANTA_MINI, "cpu", "float32"), IDS)
    engines = (native_causallm, openvino_causallm)
    ours, theirs = (logits(engine.load(SANTA_MINI, "int8"), IDS) for engine in engines)
    assert spread(ours - exact, exact) < 1.1 * spread(theirs - exact, exact)
    assert spread(ours - theirs, exact) < 0.03
    ours, theirs = (logits(engine.load(SANTA_MINI, "int4"), IDS) for engine in engines)
    assert spread(ours - exact, exact) < 0.7 * spread(theirs - exact, exact)


@pytest.mark.parametrize("name", KINDS)
def test_architectures(tmp_path: Path, name: str) -> None:
    """As OpenVINO, of the same numbers: random weights are hard to round, some for 0.2 of their spread."""
    folder = make(tmp_path / "model", name)
    theirs = openvino_causallm.load(folder, "int8")
    expected = theirs.step(theirs.empty(), [LONG], 600)[0]
    for _ in ("made", "read back"):
        ours = native_causallm.load(folder, "int8")
        assert spread(ours.step(ours.empty(), [LONG], 600)[0] - expected, expected) < 0.02


@pytest.mark.parametrize("name", KINDS)
def test_int4_is_the_weights_as_rounded(tmp_path: Path, name: str) -> None:
    """But for activations, which are rounded as in int8.

    Keys, values, attention's output and the last layer are in int8.
    """
    folder = make(tmp_path / "model", name)
    exact, int8 = (native_causallm.load(folder, dtype) for dtype in ("float32", "int8"))
    usual = spread(read(int8) - read(exact), read(exact))
    tensors = load_file(folder / "model.safetensors")
    for key, value in tensors.items():
        if ".layers." in key and value.ndim == 2:
            values, in_eight = value.astype(np.float32), any(part in key for part in IN_EIGHT)
            tensors[key] = (
                rounding.restored(rounding.rounded(values, "int8"))
                if in_eight
                else rounding.restored_fine(rounding.fine(values))
            )
    rounded = shutil.copytree(folder, tmp_path / "rounded")
    save_file(tensors, rounded / "model.safetensors", {"format": "pt"})
    ours, expected = (native_causallm.load(folder, "int4"), native_causallm.load(rounded, "float32"))
    assert spread(read(ours) - read(expected), read(expected)) < 1.5 * usual


def read(loaded: CausalLM) -> Logits:
    found: Logits = loaded.step(loaded.empty(), [LONG], 600)[0]
    return found


@pytest.mark.parametrize("name", KINDS)
def test_float32_is_transformers(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "model", name)
    theirs, ours = (
        transformers_causallm.load(folder, "cpu", "float32"),
        native_causallm.load(folder, "float32"),
    )
    expected = theirs.step(theirs.empty(), [LONG], 600)[0]
    np.testing.assert_allclose(ours.step(ours.empty(), [LONG], 600)[0], expected, atol=5e-4, rtol=5e-4)


def test_float32_of_real_weights_is_transformers() -> None:
    expected = logits(transformers_causallm.load(SANTA_MINI, "cpu", "float32"), IDS)
    np.testing.assert_allclose(logits(native_causallm.load(SANTA_MINI, "auto"), IDS), expected, atol=1e-3)


def test_what_stands_below_moves_along(tmp_path: Path) -> None:
    """See model.Movable; as OpenVINO has it."""
    folder, found = make(tmp_path / "model", "qwen2"), []
    for engine in (native_causallm, openvino_causallm):
        loaded = engine.load(folder, "float32")
        kv, other = loaded.empty(), loaded.empty()
        loaded.step(kv, [LONG[:300]])
        loaded.step(other, [LONG[:40]])
        part = kv.part(100, 300)
        assert part
        other.put(part, -40, gap=20)
        found.append(loaded.step(other, [LONG[40:65]], 25)[0])
        assert other.length == 265
    np.testing.assert_allclose(found[0], found[1], atol=5e-4, rtol=5e-4)


@pytest.mark.parametrize(
    "changes",
    [{"activation_function": "gelu"}, {"activation_function": "silu"}, {"tie_word_embeddings": True}],
)
def test_activations_and_tied_heads(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = make_checkpoint(
        tmp_path / "model", n_embd=128, n_positions=512, initializer_range=0.2, **changes
    )
    exact = logits(transformers_causallm.load(folder, "cpu", "float32"), IDS)
    np.testing.assert_allclose(logits(native_causallm.load(folder, "float32"), IDS), exact, atol=2e-4)
    assert spread(logits(native_causallm.load(folder, "int8"), IDS) - exact, exact) < 0.1


@pytest.fixture(
    scope="module", params=["starcoder2 int4", "deepseek int8", "santa-mini int4", "santa-mini float32"]
)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[native_causallm.CausalLM]:
    """On four threads, more than cores."""
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantised, "user_cache_path", lambda name: folder / "cache" / name)
        patch.setattr(native_causallm, "FEW_WEIGHTS", 0)
        patch.setattr(native_causallm, "cores", lambda: 4)
        name, dtype = request.param.split()
        made = SANTA_MINI if name == "santa-mini" else make(folder / "model", name)
        yield native_causallm.load(made, dtype)


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 299), max_size=6, unique=True), keep=st.integers(1, 5))
def test_how_a_text_is_read_changes_no_bit(model: CausalLM, cuts: list[int], keep: int) -> None:
    """In one step or in several, alone or beside another text."""
    ids, kv = LONG[:300], model.empty()
    whole = model.step(model.empty(), [ids], 300)[0]
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        some = min(keep, end - start)
        if start % 2:
            other = kv.picked([0, 0])
            pair = model.step(other, [LONG[-(end - start) :], ids[start:end]], some)
            np.testing.assert_array_equal(pair[1], whole[end - some : end])
        found = model.step(kv, [ids[start:end]], some)[0]
        np.testing.assert_array_equal(found, whole[end - some : end])


def test_every_cpu_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, with the instructions of older ones too."""
    folder, found = Path(native.__file__).parent / "native", []
    libraries = [ctypes.CDLL(str(folder / name)) for name in native.fitting()]
    for library, dtype in product(libraries, BITS):
        monkeypatch.setattr(native, "library", Mock(return_value=library))
        loaded = native_causallm.load(SANTA_MINI, dtype)
        found.append(loaded.step(loaded.empty(), [LONG[:300]], 300))
    for ours, theirs in zip(found[3:], found, strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_one_thread_and_four_are_the_same(model: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    four = model.step(model.empty(), [LONG[:300]], 300)
    monkeypatch.setattr(model._decoder, "_helpers", [])
    monkeypatch.setattr(model._decoder._pool, "threads", 1)
    np.testing.assert_array_equal(model.step(model.empty(), [LONG[:300]], 300), four)


def test_copies_cut_and_batches_are_the_whole(model: CausalLM) -> None:
    whole, kv = logits(model, IDS), model.empty()
    model.step(kv, [IDS[:40]])
    model.step(kv, [[1, 2, 3]])
    begun = kv.beginning(30)
    kv.cut(40)
    batch = begun.picked([0, 0])
    several = model.step(batch, [IDS[30:35], [5, 6, 7, 8, 9]], 5)
    np.testing.assert_array_equal(several[0], whole[30:35])
    np.testing.assert_array_equal(model.step(kv, [IDS[40:]], 21)[0], whole[40:])
    np.testing.assert_array_equal(model.step(begun, [IDS[30:]], 31)[0], whole[30:])
    assert (kv.length, begun.length, batch.length) == (61, 61, 35)


def test_beside_work_that_takes_its_cores(model: CausalLM) -> None:
    """A thread that lost its core delays the others, and stops none of them."""
    expected = model.step(model.empty(), [LONG[:50]])
    code = "while True: pass"
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        for _ in range(40):
            np.testing.assert_array_equal(model.step(model.empty(), [LONG[:50]]), expected)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_threads_end_with_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def helping() -> int:
        return sum(thread.name == native.THREAD for thread in threading.enumerate())

    monkeypatch.setattr(native_causallm, "FEW_WEIGHTS", 0)
    monkeypatch.setattr(native_causallm, "cores", lambda: 3)
    gc.collect()
    time.sleep(0.2)  # until those of other tests are gone
    before = helping()
    loaded = native_causallm.load(SANTA_MINI, "int8")
    assert helping() == before + 2
    del loaded
    gc.collect()
    for _ in range(100):
        if helping() == before:
            break
        time.sleep(0.05)
    assert helping() == before


def test_no_memory_for_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        def step(self, *_: object) -> int:
            return 0

        def help(self, *_: object) -> None:
            pass

    monkeypatch.setattr(native, "library", Without)
    with pytest.raises(OutOfMemory, match="not enough memory"):
        native_causallm.load(SANTA_MINI, "int8")


@pytest.mark.parametrize("name", ["weights.npy", "tokens.npy", "positions.npy", "made-from.json"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "other bytes"])
def test_a_damaged_copy_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    expected = logits(native_causallm.load(folder, "int4"), IDS)
    path = quantised.cached(folder, "int4", "native")
    assert path
    whole = (path / name).read_bytes()
    wrong = {"truncated": whole[: len(whole) // 2], "empty": b"", "other bytes": b"x" * len(whole)}
    if damage == "missing":
        (path / name).unlink()
    else:
        (path / name).write_bytes(wrong[damage])
    np.testing.assert_array_equal(logits(native_causallm.load(folder, "int4"), IDS), expected)
    assert quantised.cached(folder, "int4", "native")


def test_a_copy_is_read_instead_of_the_weights(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each engine has its own, and neither takes the other's for useless."""
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    expected = logits(native_causallm.load(folder, "int8"), IDS)
    openvino_causallm.load(folder, "int8")
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2
    assert not list(quantised.unneeded(folder))
    monkeypatch.setattr(native_causallm, "fill", lambda *_: pytest.fail("read the weights again"))
    np.testing.assert_array_equal(logits(native_causallm.load(folder, "int8"), IDS), expected)


def test_a_full_disk_is_no_failure(tmp_path: Path, cache: Path) -> None:
    """Pages of a sparse file that the disk has no room for end a process."""
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    with no_file_above(20_000):
        without = logits(native_causallm.load(folder, "int4"), IDS)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
    np.testing.assert_array_equal(logits(native_causallm.load(folder, "int4"), IDS), without)


def test_a_good_copy_outlives_a_load_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    native_causallm.load(folder, "int4")
    made = quantised.cached(folder, "int4", "native")
    assert made
    changed = (made / "weights.npy").stat().st_mtime_ns
    monkeypatch.setattr(native, "Decoder", Mock(side_effect=RuntimeError("something else")))
    with pytest.raises(ModelUnavailable, match="something else"):
        native_causallm.load(folder, "int4")
    assert (made / "weights.npy").stat().st_mtime_ns == changed


def test_without_threads_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = logits(native_causallm.load(SANTA_MINI, "int8"), IDS)
    monkeypatch.setattr(native_causallm, "FEW_WEIGHTS", 0)
    monkeypatch.setattr(native_causallm, "cores", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    np.testing.assert_array_equal(logits(native_causallm.load(SANTA_MINI, "int8"), IDS), expected)


def test_a_step_that_is_interrupted_stops_its_threads(
    model: CausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._decoder, "_helpers", [Mock(put=Mock(side_effect=KeyboardInterrupt))])
    with pytest.raises(KeyboardInterrupt):
        model.step(model.empty(), [[1]])
    assert not model._decoder._pool.is_open


def test_a_library_of_another_source_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(Path(native.__file__).parent / "native", tmp_path / "native")
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    assert native.library.__wrapped__()
    with (folder / "decoder.c").open("a") as file:
        file.write("\n")
    assert native.library.__wrapped__() is None


@pytest.mark.parametrize("end", [3, 16, 200, 256])
def test_keys_and_values_that_were_cut(model: CausalLM, end: int) -> None:
    """Attention looks at sixteen positions at a time; a copy has room for no more than it holds."""
    whole, kv = model.step(model.empty(), [LONG[:300]], 300)[0], model.empty()
    model.step(kv, [LONG[:280]])
    for copy in (kv.beginning(end + 1), kv.picked([0])):
        copy.cut(end)
        np.testing.assert_array_equal(model.step(copy, [[LONG[end]]])[0, 0], whole[end])


def test_what_does_not_fit_is_an_error(model: CausalLM) -> None:
    for rows, keep in (([[1, 2]], 0), ([[1, 2]], 3), ([[1], [2]], 1)):
        with pytest.raises(ValueError):
            model.step(model.empty(), rows, keep)


def test_no_room_for_the_copy_is_no_failure(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    without = logits(native_causallm.load(folder, "int4"), IDS)
    cache.unlink()
    np.testing.assert_array_equal(logits(native_causallm.load(folder, "int4"), IDS), without)


@pytest.mark.parametrize(
    ("changes", "dtype", "here"),
    [
        ({"n_embd": 128}, "int4", True),
        ({"n_embd": 128}, "auto", True),
        ({"n_embd": 128}, "bfloat16", False),
        ({"n_embd": 192, "n_head": 6}, "int4", False),
        ({"n_embd": 128, "n_head": 8}, "int4", False),
        ({"n_embd": 128, "multi_query": False}, "int4", False),
    ],
)
def test_what_runs_here(tmp_path: Path, changes: dict[str, Any], dtype: str, here: bool) -> None:
    folder = make_checkpoint(tmp_path / "model", **changes)
    assert native_causallm.supports(folder, "cpu", dtype) is here
    if here:
        assert isinstance(causallm.load(folder, "cpu", dtype, 0), native_causallm.CausalLM)


def test_without_the_library_it_is_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path / "model", n_embd=128)
    monkeypatch.setattr(native, "library", lambda: None)
    assert isinstance(causallm.load(folder, "cpu", "int4", 0), openvino_causallm.CausalLM)
