"""Folders that are no model are refused before anything is loaded, with the file's name and the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from santajupyter.engine import checkpoint, cuda_causallm, openvino_causallm, quantised, transformers_causallm
from santajupyter.engine.checkpoint import check
from santajupyter.engine.locate import locate
from santajupyter.engine.model import ModelUnavailable

from ..checkpoint import make_checkpoint, make_tokenizer
from .test_openvino_causallm import SANTA_MINI

LOADS: dict[str, Callable[[Path], Any]] = {
    "openvino": lambda folder: openvino_causallm.load(folder, "float32"),
    "openvino int8": lambda folder: openvino_causallm.load(folder, "int8"),
    "openvino int4": lambda folder: openvino_causallm.load(folder, "int4"),
    "cuda": lambda folder: cuda_causallm.load(folder, "cpu", "float32"),
    "transformers": lambda folder: transformers_causallm.load(folder, "cpu", "float32"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "model")


def change(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def change_tensors(folder: Path, work: Callable[[dict[str, Any]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    work(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def refused(folder: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        locate(str(folder), "", lambda done, total: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors.index.json"]
)
@pytest.mark.parametrize("text", ["", "not JSON", "[]", "7", "null", '{"a": ', "[" * 100_000, "\x00\xff"])
def test_small_files_that_are_none(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("latin-1"))
    assert refused(folder).startswith(name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", None),
        ("n_layer", "2"),
        ("n_layer", 0),
        ("n_layer", 10**9),
        ("n_layer", 2.5),
        ("n_head", [4]),
        ("n_head", 0),
        ("n_head", 5),
        ("n_embd", -32),
        ("n_embd", 10**30),
        ("n_positions", "256"),
        ("vocab_size", {}),
        ("n_positions", 1),  # what is new never reached the window's end, and never ended
        ("max_position_embeddings", 2),
        ("layer_norm_epsilon", "small"),
        ("layer_norm_epsilon", math.nan),
        ("layer_norm_epsilon", math.inf),  # every token was as likely
        ("activation_function", 3),
        ("multi_query", "yes"),
        ("eos_token_id", "end"),
        ("eos_token_id", [1, None]),
        ("beams", "3"),
        ("beams", 0),
        ("beams", 10**6),
        ("min_probability", "0.25"),
        ("min_probability", 7),
        ("cache_model", "yes"),
        ("text_config", [1]),
    ],
)
def test_values_of_wrong_types(folder: Path, key: str, value: Any) -> None:
    change(folder, **{key: value})
    assert refused(folder).startswith("config.json is wrong: ")


@pytest.mark.parametrize(
    "weight_map", [[], {"a": 1}, {"a": "x/\n\x1b[2J"}, {"a": "../model.safetensors"}, {"a": "/etc/passwd"}]
)
def test_an_index_that_names_no_files(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert refused(folder).startswith("model.safetensors.index.json is wrong: ")


@pytest.mark.parametrize(
    ("name", "limit"), [("config.json", "LARGEST_CONFIG"), ("tokenizer.json", "LARGEST_TOKENIZER")]
)
def test_a_small_file_that_is_none(
    folder: Path, name: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """240 MB of {}, {} in config.json filled 5 GB."""
    monkeypatch.setattr(checkpoint, limit, 100)
    assert refused(folder).startswith(f"{name} is longer than")


def test_a_file_that_cannot_be_looked_at(folder: Path) -> None:
    """Six processes in a row ended with a traceback."""
    (folder / "model-2.safetensors").symlink_to("model-2.safetensors")
    assert refused(folder).startswith(f"{folder / 'model-2.safetensors'} can't be read: ")


@pytest.mark.parametrize("content", ["{}", '{"model": {}}', '{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_tokenizer_that_is_none(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    assert refused(folder).startswith("tokenizer.json is no tokenizer: ")


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    make_tokenizer([f"<{number}>" for number in range(300)], 700).save(str(folder / "tokenizer.json"))
    said = refused(folder)
    assert said.startswith("tokenizer.json has the id ") and "a vocab_size of" in said


@pytest.mark.parametrize("end", [0, 4, 1000, -1, -1000])
def test_weights_that_end_early(folder: Path, end: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:end])
    assert "model.safetensors" in refused(folder)


@pytest.mark.parametrize("count", [1, 10, 99])
def test_weights_that_lack_tensors(folder: Path, count: int) -> None:
    def drop(tensors: dict[str, Any]) -> None:
        for name in sorted(tensors)[-count:]:
            del tensors[name]

    change_tensors(folder, drop)
    assert "the weights lack " in refused(folder)


@pytest.mark.parametrize("changes", [{"n_embd": 64}, {"n_layer": 3}, {"n_positions": 512}, {"n_head": 8}])
def test_weights_of_another_size(folder: Path, changes: dict[str, int]) -> None:
    change(folder, **changes)
    assert "config.json" in refused(folder) or "the weights lack" in refused(folder)


def test_weights_of_another_type(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"transformer.ln_f.bias": np.zeros(32, np.int32)}))
    assert "transformer.ln_f.bias is of the type I32" in refused(folder)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["transformer.h.1.mlp.c_fc.weight", "transformer.wte.weight", "transformer.h.0.ln_1.bias"]
)
def test_numbers_that_are_none(folder: Path, load: str, value: float, name: str) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors[name].flat[7] = value

    change_tensors(folder, spoil)
    with pytest.raises(ModelUnavailable, match=f"the weights are damaged: {name}"):
        LOADS[load](folder)


def test_another_architecture_over_small_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """model_type llama made 10.5 GB of random numbers of 10.7 MB."""
    for file in SANTA_MINI.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    change(tmp_path, model_type="llama")
    check(tmp_path)
    monkeypatch.setattr(transformers_causallm, "_read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ModelUnavailable, match=r"config.json describes [\d,.]+ million parameters"):
        transformers_causallm.load(tmp_path, "cpu", "auto")


def test_another_architecture_without_some_tensors(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    assert transformers_causallm.load(locate(str(tmp_path), "", lambda done, total: None), "cpu", "auto")
    change_tensors(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelUnavailable, match="the weights lack model"):
        transformers_causallm.load(tmp_path, "cpu", "auto")


def test_what_is_right_is_let_in(tiny: Path) -> None:
    for good in (tiny, SANTA_MINI):
        check(good)
