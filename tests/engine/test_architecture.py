"""Decoders like Llama's by our own code: what they compute, against transformers; which are left to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from santajupyter.engine import causallm, openvino_causallm, quantised, transformers_causallm
from santajupyter.engine.checkpoint import architecture_of, check
from santajupyter.engine.model import Model

from ..checkpoint import make_like_llama
from .helpers import LOADERS
from .test_openvino_causallm import IDS, logits

OURS = ("openvino", "torch")

# As DeepSeek-Coder, CodeLlama, Qwen2.5-Coder, StarCoder2, CodeGemma and Granite have them, but for sizes.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "deepseek": (
        "llama",
        {
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0},
        },
    ),
    "llama": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "qwen2": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "starcoder2": ("starcoder2", {"sliding_window": 20}),
    "gemma": ("gemma", {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True}),
    "granite": (
        "granite",
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.1,
            "logits_scaling": 8.0,
        },
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache" / name)


def make(folder: Path, name: str) -> Path:
    kind, changes = KINDS[name]
    return make_like_llama(folder, kind, **changes)


@pytest.mark.parametrize("name", KINDS)
def test_float32_is_transformers(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "model", name)
    check(folder)
    theirs = logits(transformers_causallm.load(folder, "cpu", "float32"), IDS)
    for ours in OURS:
        np.testing.assert_allclose(logits(LOADERS[ours](folder), IDS), theirs, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", KINDS)
def test_few_bits_are_near(tmp_path: Path, name: str) -> None:
    """Random weights of 64 columns are hard to round: one scale in a row, in four bits also."""
    folder = make(tmp_path / "model", name)
    exact = logits(openvino_causallm.load(folder, "float32"), IDS)
    for dtype, part in (("int8", 0.15), ("int4", 1.0)):
        for _ in ("made", "read back"):
            error = logits(openvino_causallm.load(folder, dtype), IDS) - exact
            assert np.sqrt(np.mean(error**2)) < part * exact.std()


@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
@pytest.mark.parametrize("length", [1, 58, 122, 126, 200])
def test_a_token_alone_has_the_logits_it_has_among_others(tmp_path: Path, dtype: str, length: int) -> None:
    model = openvino_causallm.load(make(tmp_path / "model", "qwen2"), dtype, guesses=4)
    kv = model.empty()
    model.step(kv, [[(7 * i) % 320 for i in range(length)]])
    several = IDS[: min(5, model.together(kv))]
    together = model.step(kv, [several], len(several))[0]
    kv.cut(length)
    alone = np.concatenate([model.step(kv, [[token]])[0] for token in several])
    np.testing.assert_allclose(alone, together, atol=1e-3 if dtype == "float32" else 0)


@pytest.mark.parametrize("ours", OURS)
def test_copies_cut_and_batches_are_the_whole(tmp_path: Path, ours: str) -> None:
    model = LOADERS[ours](make(tmp_path / "model", "starcoder2"))
    whole = logits(model, IDS)
    kv = model.empty()
    model.step(kv, [IDS[:40]])
    model.step(kv, [[1, 2, 3]])
    begun = kv.beginning(30)
    kv.cut(40)
    batch = begun.picked([0, 0])
    several = model.step(batch, [IDS[30:35], [5, 6, 7, 8, 9]], 5)
    np.testing.assert_allclose(several[0], whole[30:35], atol=1e-3)
    np.testing.assert_allclose(model.step(kv, [IDS[40:]], 21)[0], whole[40:], atol=1e-3)
    np.testing.assert_allclose(model.step(begun, [IDS[30:]], 31)[0], whole[30:], atol=1e-3)
    assert (kv.length, begun.length, batch.length) == (61, 61, 35)


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen2", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6}}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
        ("llama", {"hidden_act": "relu"}),
        ("qwen3", {}),
    ],
)
def test_others_are_left_to_transformers(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    folder = make_like_llama(tmp_path / "model", kind, **changes)
    assert architecture_of(folder) is None
    model: Model = causallm.load(folder, "cpu", "auto", 0)
    assert isinstance(model, transformers_causallm.CausalLM)


def test_a_tensor_that_it_does_not_know_is_another_architecture(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", "llama")
    assert architecture_of(folder)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "model.layers.0.self_attn.q_norm.weight": np.ones(16, np.float32)}, path)
    assert architecture_of(folder) is None
    save_file({**tensors, "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)}, path)
    assert architecture_of(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(quantization_config={"quant_method": "awq"}),
        lambda config: config.update(num_hidden_layers=3),
        lambda config: config.update(num_attention_heads=3),
        lambda config: config.update(num_attention_heads=0),
        lambda config: config.update(hidden_size="wide"),
        lambda config: config.pop("hidden_size"),
        lambda config: config.update(intermediate_size=95),
    ],
)
def test_what_does_not_fit_the_weights_is_none(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    assert architecture_of(changed(make(tmp_path / "model", "llama"), change)) is None


def test_old_names_of_the_configuration(tmp_path: Path) -> None:
    """Checkpoints made before transformers 5 have rope_theta and rope_scaling."""
    folder = make(tmp_path / "model", "deepseek")
    new = logits(openvino_causallm.load(folder, "float32"), IDS)

    def as_before(config: dict[str, Any]) -> None:
        del config["rope_parameters"]
        config.update(rope_theta=100000.0, rope_scaling={"type": "linear", "factor": 4.0})

    old = logits(openvino_causallm.load(changed(folder, as_before), "float32"), IDS)
    np.testing.assert_array_equal(old, new)
