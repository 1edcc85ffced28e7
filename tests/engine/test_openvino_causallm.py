"""SantaCoder's architecture by OpenVINO: its logits against transformers', in float32, int8 and int4."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from santajupyter.engine import openvino_causallm, quantised, rounding, transformers_causallm
from santajupyter.engine.devices import is_device_lost
from santajupyter.engine.model import Logits, Model, ModelUnavailable
from santajupyter.engine.work import Control
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

from ..checkpoint import make_checkpoint
from .helpers import completer

QUANTISED = ("int8", "int4")
SANTA_MINI = Path(openvino_causallm.__file__).parents[1] / "models" / "santa-mini"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "santajupyter"


def logits(model: Model, ids: list[int]) -> Logits:
    """After every id, [ids, vocabulary], asked for in chunks of several sizes."""
    kv, found, start = model.empty(), [], 0
    for size in (1, 7, 2, 50, 1):
        found.append(model.step(kv, [ids[start : start + size]], len(ids[start : start + size]))[0])
        start += size
    return np.concatenate(found)


IDS = [int(i) for i in np.random.default_rng(0).integers(0, 320, 61)]


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"activation_function": "gelu"}, {"activation_function": "silu"}],
)
def test_float32_is_transformers(tmp_path: Path, changes: dict[str, object]) -> None:
    folder = make_checkpoint(tmp_path / "model", **changes)
    ours, theirs = (
        openvino_causallm.load(folder, "float32"),
        transformers_causallm.load(folder, "cpu", "float32"),
    )
    np.testing.assert_allclose(logits(ours, IDS), logits(theirs, IDS), atol=2e-4, rtol=2e-4)


def test_real_weights_agree_with_transformers() -> None:
    """The bounds of docs/design.md: float32 to the third decimal, int8 and int4 by parts of their spread."""
    theirs = logits(transformers_causallm.load(SANTA_MINI, "cpu", "float32"), IDS)
    np.testing.assert_allclose(logits(openvino_causallm.load(SANTA_MINI, "auto"), IDS), theirs, atol=1e-3)
    for dtype, part in (("int8", 0.05), ("int4", 0.4)):
        error = logits(openvino_causallm.load(SANTA_MINI, dtype), IDS) - theirs
        assert np.sqrt(np.mean(error**2)) < part * theirs.std()


def test_int4_is_the_weights_as_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph's products are those of the numbers and scales, with one group in a row and with several.

    Activations aren't rounded here: only CPUs with VNNI do that, and random weights make much of it.
    """
    monkeypatch.setattr(openvino_causallm, "ACTIVATION_GROUP", 0)
    for width in (32, 256):
        folder = make_checkpoint(tmp_path / f"{width}", n_embd=width, n_inner=2 * width)
        tensors = load_file(folder / "model.safetensors")
        linear = re.compile(r".*\.(c_attn|c_proj|c_fc|lm_head)\.weight")
        for name in filter(linear.match, tensors):
            dtype = "int8" if "lm_head" in name else "int4"
            found = rounding.rounded(tensors[name].astype(np.float32), dtype)
            tensors[name] = rounding.restored(found)
        expected = shutil.copytree(folder, tmp_path / f"{width} rounded")
        save_file(tensors, expected / "model.safetensors", {"format": "pt"})
        theirs = logits(openvino_causallm.load(expected, "float32"), IDS)
        error = logits(openvino_causallm.load(folder, "int4"), IDS) - theirs
        assert np.sqrt(np.mean(error**2)) < 0.02 * theirs.std()


@pytest.fixture
def any_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses also where they cost time."""
    monkeypatch.setattr(openvino_causallm, "WORTH", math.inf)


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("length", [1, 40, 58, 61, 122, 123, 126, 200])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
def test_a_token_alone_has_the_logits_it_has_among_others(dtype: str, length: int) -> None:
    """Rounding went by the shape of a step: with guesses in int8, 11 of 24 greedy outputs were other ones."""
    model = openvino_causallm.load(SANTA_MINI, dtype, guesses=4)
    kv = model.empty()
    model.step(kv, [[(7 * i) % 320 for i in range(length)]])
    several = IDS[: min(8, model.together(kv))]
    assert len(several) == (8 if dtype == "float32" else min(5, 1 + -(length + 5) % 128))
    together = model.step(kv, [several], len(several))[0]
    atol = 1e-3 if dtype == "float32" else 0
    for count in range(1, len(several)):
        kv.cut(length)
        few = model.step(kv, [several[:count]], count)[0]
        np.testing.assert_allclose(few, together[:count], atol=atol)
    kv.cut(length)
    alone = np.concatenate([model.step(kv, [[token]])[0] for token in several])
    np.testing.assert_allclose(alone, together, atol=atol)


def test_no_room_for_guesses_where_it_costs_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU with AVX2 alone a step of SantaCoder's with room for four took 2.8 times as long."""
    monkeypatch.setattr(openvino_causallm, "WORTH", -1.0)
    model = openvino_causallm.load(SANTA_MINI, "int8", guesses=4)
    assert model.together(model.empty()) == 1
    assert model.step(model.empty(), [[1]]).shape[:2] == (1, 1)


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
def test_a_token_after_a_key_is_a_step_of_the_same_size(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one takes 5 ms of SantaCoder's 50 more: in int8 each key and the token after paid it."""
    model = openvino_causallm.load(SANTA_MINI, dtype, guesses=4)
    infer, sizes = model._infer, list[int]()

    def looked_at(inputs: Sequence[Any]) -> Any:
        sizes.append(inputs[0].shape[1])
        return infer(inputs)

    monkeypatch.setattr(model, "_infer", looked_at)
    kv = model.empty()
    model.step(kv, [[*range(40)]])
    model.step(kv, [[1, 2]], 2)
    model.step(kv, [[3]])
    assert sizes[1] == sizes[2]
    batch = kv.picked([0, 0])
    model.step(batch, [[4], [5]])
    assert sizes[3] <= sizes[2]


def test_a_step_that_was_not_made_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory OpenVINO may leave what the step before it made."""
    model = openvino_causallm.load(tiny, "float32", 4)
    before = model.step(model.empty(), [[*range(100)]], 5)
    of = model._architecture
    made = model._infer
    stale = [
        np.zeros((1, 2, before.shape[-1]), np.float32),
        np.zeros((2 * of.layers, 2, *of.row), np.float32),
    ]
    monkeypatch.setattr(model, "_infer", lambda inputs: stale)
    with pytest.raises(RuntimeError) as told:
        model.step(model.empty(), [[*range(100)]], 5)
    assert is_device_lost(told.value)
    monkeypatch.setattr(model, "_infer", lambda inputs: [np.nan * array for array in made(inputs)])
    with pytest.raises(FloatingPointError):
        completer(model, CodeTokenizer.from_folder(tiny)).complete(
            Prompt((1, 2, 3), 4), Sampling(), Control(), lambda *_: None
        )


def test_few_shapes_and_little_memory() -> None:
    """OpenVINO kept kernels for each shape: 20,000 requests took a worker from 160 to 3,600 MB.

    A process of its own, so that nothing else grows in it; the last half needs no more than the first.
    """
    code = f"""
import random, psutil, pathlib
from santajupyter.engine import openvino_causallm
model = openvino_causallm.load(pathlib.Path({str(SANTA_MINI)!r}), "auto")
shapes, infer = set(), model._infer
def looked_at(inputs):
    shapes.add(str([inputs[index].shape for index in range(3)]))
    return infer(inputs)
model._infer = looked_at
rng, start = random.Random(0), psutil.Process().memory_info().rss
for _ in range(120):
    kv, length = model.empty(), rng.randint(1, 440)
    for begin in range(0, length, 128):
        model.step(kv, [[1] * min(128, length - begin)])
    model.step(kv, [[1] * rng.randint(1, 9)], 1)
    model.step(kv, [[1] * 3], rng.randint(1, 3))
print(len(shapes), (psutil.Process().memory_info().rss - start) // 1000000)
"""
    shapes, grown = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert int(shapes) <= 9 * 4 * 3  # tokens, positions, wanted
    assert int(grown) < 100


@pytest.mark.usefixtures("any_cpu")
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_guesses_change_no_bit_of_real_weights(dtype: str) -> None:
    """santa-mini's own greedy text, and the probabilities of its tokens, with the guesses and without."""
    tokenizer = CodeTokenizer.from_folder(SANTA_MINI)
    model = openvino_causallm.load(SANTA_MINI, dtype, guesses=4)
    sources = (
        "import numpy as np\nx = np.",
        "for i in range(10):\n    print(i)\nfor j",
        "def mean(values):\n    ",
    )
    for source in sources:
        prompt = Prompt(tuple(tokenizer.encode(source * 5)), 60)
        steps, found = {0: 0, 4: 0}, []
        for lookup in steps:
            work = completer(model, tokenizer, prompt_lookup=lookup).completing(
                prompt, Sampling(), Control(), lambda index, text: None
            )
            while True:
                try:
                    next(work)
                    steps[lookup] += 1
                except StopIteration as done:
                    found.append(done.value.items)
                    break
        assert found[0] == found[1]
        assert steps[4] < steps[0]


def test_openvino_reports_nothing() -> None:
    """Its import sent an event to a statistics server, by a child process that outlived the worker."""
    code = (
        "import os, sys, santajupyter.engine.openvino_causallm, openvino; "
        "print([m for m in sys.modules if m.startswith('openvino_telemetry.')], "
        "openvino.tools.ovc.telemetry_utils.tm.__name__)"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert found == "[] openvino.tools.ovc.telemetry_stub\n"


def test_a_batch_is_its_texts(tiny: Path) -> None:
    model = openvino_causallm.load(tiny, "float32")
    kv = model.empty()
    model.step(kv, [IDS[:20]])
    batch = model.step(kv.picked([0, 0]), [[1], [2]])
    for row, token in zip(batch, (1, 2), strict=True):
        alone = kv.beginning(20)
        np.testing.assert_allclose(row, model.step(alone, [[token]])[0], atol=1e-4)


def test_the_quantised_copy_is_read_instead_of_the_weights(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "model")
    expected = {dtype: logits(openvino_causallm.load(folder, dtype), IDS) for dtype in QUANTISED}
    assert {quantised.cached(folder, dtype, "openvino") for dtype in QUANTISED} <= {*cache.iterdir()}
    assert not list(quantised.unneeded(folder))
    with monkeypatch.context() as patch:
        patch.setattr(openvino_causallm, "build", lambda *_: pytest.fail("read the weights again"))
        for dtype in QUANTISED:
            np.testing.assert_array_equal(logits(openvino_causallm.load(folder, dtype), IDS), expected[dtype])


def test_changed_weights_are_quantised_again(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    before = logits(openvino_causallm.load(folder, "int8"), IDS)
    shutil.copy(make_checkpoint(tmp_path / "other", n_inner=64) / "model.safetensors", folder)
    shutil.copy(tmp_path / "other" / "config.json", folder)
    assert not np.allclose(logits(openvino_causallm.load(folder, "int8"), IDS), before)


@pytest.mark.parametrize("name", ["graph.bin", "graph.xml", "tokens.npy", "positions.npy", "made-from.json"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "other bytes"])
def test_a_damaged_copy_is_made_again(tmp_path: Path, cache: Path, name: str, damage: str) -> None:
    folder, dtype = make_checkpoint(tmp_path / "model"), "int8" if damage == "empty" else "int4"
    expected = logits(openvino_causallm.load(folder, dtype), IDS)
    path = quantised.cached(folder, dtype, "openvino")
    assert path
    whole = (path / name).read_bytes()
    if damage == "missing":
        (path / name).unlink()
    elif name != "graph.bin" or damage != "other bytes":  # of which only a checksum could tell
        wrong = {"truncated": whole[: len(whole) // 2], "empty": b"", "other bytes": b"x" * len(whole)}
        (path / name).write_bytes(wrong[damage])
    np.testing.assert_array_equal(logits(openvino_causallm.load(folder, dtype), IDS), expected)
    again = quantised.cached(folder, dtype, "openvino")
    assert again and (again / name).read_bytes()[:1] == whole[:1]


def test_a_killed_writer_leaves_nothing_for_ever(tmp_path: Path, cache: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    code = f"""
import os, pathlib
from santajupyter.engine import openvino_causallm, quantised
quantised.user_cache_path = lambda name: pathlib.Path({str(cache)!r})
openvino_causallm.np.save = lambda *_: os._exit(9)
openvino_causallm.load(pathlib.Path({str(folder)!r}), "int4")
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    [part] = cache.glob("*.part")
    assert list(quantised.unneeded()) == [part]
    openvino_causallm.load(make_checkpoint(tmp_path / "other", n_inner=64), "int8")
    assert not list(cache.glob("*.part"))


def test_copies_that_nobody_needs_go(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of weights that changed, or are gone; one of the same weights elsewhere is that of both."""
    folder = make_checkpoint(tmp_path / "model")
    for dtype in QUANTISED:
        openvino_causallm.load(folder, dtype)
    first = [quantised.cached(folder, dtype, "openvino") for dtype in QUANTISED]
    assert not list(quantised.unneeded())
    folder = folder.rename(tmp_path / "moved")
    assert [quantised.cached(folder, dtype, "openvino") for dtype in QUANTISED] == first
    os.utime(folder / "model.safetensors", (1, 1))
    assert not any(quantised.cached(folder, dtype, "openvino") for dtype in QUANTISED)
    openvino_causallm.load(folder, "int4")
    copies = [path for path in cache.glob("int*") if path.is_dir()]
    assert copies == [quantised.cached(folder, "int4", "openvino")]
    os.utime(folder / "model.safetensors", (2, 2))
    assert list(quantised.unneeded()) == copies
    os.utime(folder / "model.safetensors", (1, 1))
    assert not list(quantised.unneeded())
    monkeypatch.setattr(quantised, "FORMAT", 99)
    assert list(quantised.unneeded()) == copies


def test_one_process_writes_while_others_wait(tmp_path: Path, cache: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    written = []

    def write(to: Path) -> None:
        written.append(to)
        (to / "graph.xml").write_text("x")
        assert not list(quantised.unneeded())

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: quantised.save(folder, "int4", "openvino", write), range(4)))) == 1
    assert len(written) == 1


@pytest.mark.skipif(os.name == "nt", reason="there is no umask")
def test_copies_are_the_users_alone(tmp_path: Path, cache: Path) -> None:
    before = os.umask(0)
    try:
        openvino_causallm.load(make_checkpoint(tmp_path / "model"), "int8")
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o077 == cache.parent.stat().st_mode & 0o077 == 0


def test_no_room_for_the_copy_is_no_failure(tmp_path: Path, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    folder = make_checkpoint(tmp_path / "model")
    assert openvino_causallm.load(folder, "int4").dtype == "int4"


@pytest.mark.parametrize(
    ("changes", "device", "dtype", "here"),
    [
        ({}, "cpu", "auto", True),
        ({}, "cpu", "int4", True),
        ({}, "cpu", "bfloat16", False),
        ({}, "cuda", "auto", False),
        ({"multi_query": False}, "cpu", "auto", False),
        ({"activation_function": "relu"}, "cpu", "auto", False),
    ],
)
def test_what_runs_here(
    tmp_path: Path, changes: dict[str, object], device: str, dtype: str, here: bool
) -> None:
    assert openvino_causallm.supports(make_checkpoint(tmp_path / "model", **changes), device, dtype) is here


@pytest.mark.parametrize("dtype", QUANTISED)
def test_a_few_bits_of_another_architecture_are_a_sentence(tmp_path: Path, dtype: str) -> None:
    folder = make_checkpoint(tmp_path / "model", multi_query=False)
    with pytest.raises(ModelUnavailable, match=f"dtype {dtype}"):
        transformers_causallm.load(folder, "cpu", dtype)


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelUnavailable, match="can't be loaded"):
        openvino_causallm.load(folder, "float32")
