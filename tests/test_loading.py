"""From a name to a model: folders, a hub on this machine, and everything that can be missing."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import AutoModelForCausalLM

from santajupyter.engine.loading import ModelUnavailable, end_ids, load, locate

from .checkpoint import make_checkpoint

COMMIT = "0123456789" * 4


def nothing(done: int, total: int) -> None:
    pass


def test_weights_are_those_of_transformers(tiny: Path) -> None:
    ours, theirs = (
        load(tiny, "cpu", "bfloat16"),
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
    ours = load(locate(str(tmp_path / "sharded"), "", nothing), "cpu", "float32")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(ours(ids).logits, theirs(ids).logits)


def test_small_models_stay_float32_on_a_cpu(tiny: Path) -> None:
    assert load(tiny, "cpu", "auto").dtype == torch.float32


def test_end_ids(tiny: Path, tmp_path: Path) -> None:
    model = load(tiny, "cpu", "auto")
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert end_ids(tmp_path, model) == [model.config.eos_token_id, 7, 8]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelUnavailable, match=f"has no {name}"):
        locate(str(tmp_path), "", nothing)


def test_a_broken_file_is_a_sentence(tmp_path: Path) -> None:
    make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelUnavailable, match="transformers can't load it"):
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


@pytest.mark.parametrize("model", ["/no/such/folder", "nonsense", "a/b/c"])
def test_neither_folder_nor_hub_id(model: str) -> None:
    with pytest.raises(ModelUnavailable, match="neither a folder nor a hub id"):
        locate(model, "", nothing)


def test_unknown_device_is_a_sentence(tiny: Path) -> None:
    with pytest.raises(ModelUnavailable):
        load(tiny, "gpu", "auto")


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's API that a download uses."""

    folder: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        files = [file for file in sorted(self.folder.iterdir()) if file.is_file()]
        if path.startswith("/api/models/me/tiny/tree/"):
            self.answer(
                [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": digest(f)} for f in files]
            )
        elif path.startswith("/api/models/me/tiny"):
            self.answer({"id": "me/tiny", "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]})
        elif path.startswith("/me/tiny/resolve/") and (self.folder / path.rsplit("/", 1)[1]).is_file():
            file = self.folder / path.rsplit("/", 1)[1]
            self.answer(file.read_bytes(), {"ETag": f'"{digest(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def answer(self, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on this machine that has me/tiny."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TinyHub", (Hub,), {"folder": tiny}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield endpoint
    server.shutdown()
    server.server_close()


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
