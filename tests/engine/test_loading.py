"""From a name to a model: folders, a hub on this machine, and everything that can be missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from transformers import AutoModelForCausalLM

from santajupyter.engine.checkpoint import end_ids
from santajupyter.engine.locate import locate
from santajupyter.engine.model import ModelUnavailable
from santajupyter.engine.transformers_causallm import load

from ..checkpoint import make_checkpoint
from ..hub import hub_with


def nothing(done: int, total: int) -> None:
    pass


def test_weights_are_those_of_transformers(tiny: Path) -> None:
    ours, theirs = (
        load(tiny, "cpu", "bfloat16").module,
        AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16),
    )
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    assert not ours.training


def test_sharded_and_tied_weights(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, tie_word_embeddings=True)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    (tmp_path / "sharded" / "tokenizer.json").write_text((tmp_path / "tokenizer.json").read_text())
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    ours = load(locate(str(tmp_path / "sharded"), "", nothing), "cpu", "float32").module
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_small_models_stay_float32_on_a_cpu(tiny: Path) -> None:
    assert load(tiny, "cpu", "auto").dtype == "float32"


def test_end_ids(tiny: Path, tmp_path: Path) -> None:
    config = (tiny / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert end_ids(tmp_path) == [json.loads(config)["eos_token_id"], 7, 8]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelUnavailable, match=f"has no {name}"):
        locate(str(tmp_path), "", nothing)


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors can't be loaded"):
        load(tmp_path, "cpu", "auto")


def test_code_from_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config.update(
        model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelUnavailable):
        load(tmp_path, "cpu", "auto")


@pytest.mark.parametrize(
    "model", ["/no/such/folder", "nonsense", "a/b/c", "~nobody here/x", "/" + "a" * 5000, "a\0b"]
)
def test_neither_folder_nor_hub_id(model: str) -> None:
    with pytest.raises(ModelUnavailable, match="neither a folder nor a hub id"):
        locate(model, "", nothing)


def test_unknown_device_is_a_sentence(tiny: Path) -> None:
    with pytest.raises(ModelUnavailable):
        load(tiny, "gpu", "auto")


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with hub_with(tiny) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        yield endpoint


def use(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if endpoint:
        values = {"ENDPOINT": endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(tmp_path / "cache")}
        values["HUGGINGFACE_CO_URL_TEMPLATE"] = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in values.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)


@pytest.mark.parametrize("name", ["../outside", "{tmp}/outside", "a/b", "..", "x\x1b]0;y", "a" * 300])
@pytest.mark.parametrize("where", ["ETag", "X-Linked-ETag", "commit"])
def test_a_hub_writes_to_its_cache_alone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, where: str
) -> None:
    name = name.format(tmp=tmp_path)
    named = {"commit": name} if where == "commit" else {"headers": {where: f'"{name}"'}}
    with hub_with(tiny, **named) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        with pytest.raises(ModelUnavailable) as caught:
            locate("me/tiny", "", nothing)
    assert "which is no name for one" in str(caught.value) and str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] in ([], ["cache"])
    assert not [path for path in tmp_path.rglob("*") if path.stat().st_size > 400 and path.is_file()]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "there is no such model"),
        ({"X-Error-Code": "GatedRepo"}, "accept its terms at {endpoint}/me/other, and set HF_TOKEN"),
        ({"X-Error-Code": "", "X-Error-Message": "Gone \x1b]0;title\x07\x9b2J away"}, "Gone"),
    ],
)
def test_what_a_hub_says(
    headers: dict[str, str], reason: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence, and none of it reaches a terminal as it is."""
    with hub_with(tiny, headers=headers) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        with pytest.raises(ModelUnavailable) as caught:
            locate("me/other", "", nothing)
    assert reason.format(endpoint=endpoint) in str(caught.value) and str(caught.value).isprintable()


@pytest.fixture(scope="module")
def silent_hubs() -> Iterator[ExitStack]:
    """Those that the hub's library still tries in the background when a test is over.

    Where one is gone the library closes the connections of all.
    """
    with ExitStack() as hubs:
        yield hubs


@pytest.mark.parametrize("silent", ["/api/models", "/tree/", "model.safetensors", "config.json"])
def test_a_hub_that_never_answers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str, silent_hubs: ExitStack
) -> None:
    """An error soon, and the next try is as good as the first."""
    monkeypatch.setattr("santajupyter.engine.hub.SILENCE", 0.2)
    monkeypatch.setattr("santajupyter.engine.hub.POLL", 0.01)
    monkeypatch.setattr("santajupyter.engine.hub.LIMIT", 3)
    use(silent_hubs.enter_context(hub_with(tiny, silent=silent)), tmp_path, monkeypatch)
    with pytest.raises(ModelUnavailable, match="can't be downloaded"):
        locate("me/tiny", "", nothing)
    with hub_with(tiny) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        assert locate("me/tiny", "", nothing)


def test_download_counts_bytes_and_the_next_use_needs_no_hub(
    hub: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    folder = locate("me/tiny", "", lambda done, total: seen.append((done, total)))
    wanted = ("config.json", "generation_config.json", "tokenizer.json", "model.safetensors")
    size = sum((tiny / name).stat().st_size for name in wanted)
    assert seen[0] == (0, size)
    assert seen[-1] == (size, size)
    assert load(folder, "cpu", "auto")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert locate("me/tiny", "", nothing) == folder


def test_a_model_that_the_hub_does_not_have(hub: str) -> None:
    with pytest.raises(ModelUnavailable, match="can't be downloaded"):
        locate("me/other", "", nothing)


def test_no_hub_at_all(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable, match="can't be downloaded"):
        locate("me/tiny", "", nothing)
