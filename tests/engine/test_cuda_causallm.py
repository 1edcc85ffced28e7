"""Decoders by torch: everything but the captured graph runs on the CPU here too."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from santajupyter.engine import causallm, cuda_causallm, devices, openvino_causallm, transformers_causallm
from santajupyter.engine.model import KV, ModelUnavailable, OutOfMemory, RunsAhead

from ..checkpoint import make_checkpoint, make_like_llama
from .test_architecture import KINDS, make
from .test_openvino_causallm import IDS, SANTA_MINI, logits

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=on_a_gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"activation_function": "gelu"}, {"activation_function": "silu"}],
)
def test_float32_is_transformers(tmp_path: Path, changes: dict[str, object], device: str) -> None:
    folder = make_checkpoint(tmp_path / "model", **changes)
    ours, theirs = (
        cuda_causallm.load(folder, device, "float32"),
        transformers_causallm.load(folder, "cpu", "float32"),
    )
    np.testing.assert_allclose(logits(ours, IDS), logits(theirs, IDS), atol=2e-4, rtol=2e-4)


def test_real_weights_agree_with_transformers() -> None:
    theirs = logits(transformers_causallm.load(SANTA_MINI, "cpu", "float32"), IDS)
    np.testing.assert_allclose(
        logits(cuda_causallm.load(SANTA_MINI, "cpu", "float32"), IDS), theirs, atol=1e-3
    )


@on_a_gpu
def test_float16_on_a_gpu() -> None:
    """The bound of docs/design.md."""
    theirs = logits(transformers_causallm.load(SANTA_MINI, "cpu", "float32"), IDS)
    error = logits(cuda_causallm.load(SANTA_MINI, "cuda", "auto"), IDS) - theirs
    assert np.sqrt(np.mean(error**2)) < 0.01 * theirs.std()


def by_steps(model: cuda_causallm.CausalLM, kv: KV, token: int, count: int) -> list[int]:
    found = []
    for _ in range(count):
        token = int(model.step(kv, [[token]])[0, 0, :300].argmax())
        found.append(token)
    return found


@pytest.mark.parametrize("device", DEVICES)
def test_running_ahead_picks_what_steps_pick(tiny: Path, device: str) -> None:
    model = cuda_causallm.load(tiny, device, "float32")
    assert isinstance(model, RunsAhead)
    kv, other = model.empty(), model.empty()
    for one in (kv, other):
        model.step(one, [IDS[:20]])
    picks = list(islice(model.greedy(kv, 5, 300), 30))
    assert [token for token, _ in picks] == by_steps(model, other, 5, 30)
    assert kv.length == other.length == 50
    alone = model.step(kv, [[picks[-1][0]]])[0, 0]
    np.testing.assert_allclose(alone, model.step(other, [[picks[-1][0]]])[0, 0], atol=1e-3)
    assert all(logprob <= 0 for _, logprob in picks)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", KINDS)
def test_other_decoders_run_ahead_too(tmp_path: Path, name: str, device: str) -> None:
    model = cuda_causallm.load(make(tmp_path / "model", name), device, "float32")
    kv, other = model.empty(), model.empty()
    for one in (kv, other):
        model.step(one, [IDS[:20]])
    picks = [token for token, _ in islice(model.greedy(kv, 5, 300), 30)]
    assert picks == by_steps(model, other, 5, 30)


def test_the_buffers_are_for_no_more_than_a_prompt(tmp_path: Path) -> None:
    """Qwen2.5-Coder has 32,768 positions, and each token would look at all of them."""
    model = cuda_causallm.load(
        make_like_llama(tmp_path / "model", "qwen2", max_position_embeddings=32768), "cpu", "float32"
    )
    assert model.room == 2048
    assert model._single.past.shape[-2] == 2048
    kv = model.empty()
    model.step(kv, [[i % 300 for i in range(2050)]])
    assert [*model.greedy(kv, 1, 300)] == []


@pytest.mark.parametrize("device", DEVICES)
def test_texts_that_take_turns_are_each_as_alone(tiny: Path, device: str) -> None:
    model = cuda_causallm.load(tiny, device, "float32")
    beginnings = (IDS[:20], IDS[20:50])
    alone, kvs = [], []
    for ids in beginnings:
        kv = model.empty()
        model.step(kv, [ids])
        alone.append(list(islice(model.greedy(kv, 7, 300), 15)))
        kv.cut(len(ids))
        kvs.append(kv)
    runs = [model.greedy(kv, 7, 300) for kv in kvs]
    turns: list[list[tuple[int, float]]] = [[], []]
    for turn in (0, 1, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1):
        turns[turn].append(next(runs[turn]))
    for found, right in zip(turns, alone, strict=True):
        assert [token for token, _ in found] == [token for token, _ in right[: len(found)]]


@pytest.mark.parametrize("device", DEVICES)
def test_running_ahead_ends_where_the_positions_do(tiny: Path, device: str) -> None:
    """256 positions: a step begun beyond them would be an error that ends a GPU's process."""
    model = cuda_causallm.load(tiny, device, "float32")
    kv = model.empty()
    model.step(kv, [[i % 300 for i in range(250)]])
    assert len(list(model.greedy(kv, 1, 300))) == 6
    assert kv.length == 256


@on_a_gpu
def test_the_step_is_captured(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = cuda_causallm.load(tiny, "cuda", "auto")
    assert model._single._step.__qualname__ == "CUDAGraph.replay"
    assert "no CUDA graph" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "device", "dtype", "here"),
    [
        ({}, "cuda:1", "auto", True),
        ({}, "mps", "bfloat16", True),
        ({}, "cuda", "int8", False),
        ({}, "cpu", "auto", False),
        ({"scale_attn_weights": False}, "cuda", "auto", False),
    ],
)
def test_what_runs_here(
    tmp_path: Path, changes: dict[str, object], device: str, dtype: str, here: bool
) -> None:
    assert cuda_causallm.supports(make_checkpoint(tmp_path / "model", **changes), device, dtype) is here


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelUnavailable, match="can't be loaded"):
        cuda_causallm.load(folder, "cpu", "float32")


def test_a_gpu_that_is_full_leaves_the_cpu(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user chose the GPU or a format, the sentence is theirs to act on."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(causallm, "resolve", lambda device: "cuda:0" if device == "auto" else device)
    monkeypatch.setattr(cuda_causallm, "tensors", full)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    assert isinstance(causallm.load(tiny, "auto", "auto", 0), openvino_causallm.CausalLM)
    for device, dtype in (("cuda:0", "auto"), ("auto", "float16")):
        with pytest.raises(OutOfMemory, match="not enough memory on cuda:0"):
            causallm.load(tiny, device, dtype, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_without_a_number_is_the_first(tiny: Path) -> None:
    """Some of torch's functions take no "cuda", and so it couldn't be chosen on any machine."""
    with pytest.raises(ModelUnavailable) as caught:
        cuda_causallm.load(tiny, "cuda", "auto")
    assert "index" not in str(caught.value)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several GPUs the one with the most free memory; without a driver torch isn't imported.

    One that others have filled can't even be asked.
    """
    assert devices.resolve("cuda:1") == "cuda:1"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: False)
    assert devices.resolve("auto") == "cpu"
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    free: list[int | None] = [1, 9, 4]

    def asked(index: int) -> tuple[int, int]:
        if (found := free[index]) is None:
            raise RuntimeError("CUDA error: out of memory\nmore that nobody reads")
        return found, 16

    monkeypatch.setattr(torch.cuda, "mem_get_info", asked)
    assert devices.resolve("auto") == "cuda:1"
    free[1] = None
    assert devices.resolve("auto") == "cuda:2"
    free[:] = [None, None, None]
    assert devices.resolve("auto") == "cpu"
