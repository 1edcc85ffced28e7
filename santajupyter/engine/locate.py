"""From a model's name to a folder on disk, and what the folder's small files say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from . import hub
from .model import ModelUnavailable

# Up to here float32 is fast enough on a CPU, and exact.
SMALL_FILE = 64_000_000
# GPTBigCode's activation functions that our own code has: torch's name for how the GELU is approximated.
BIGCODE_ACTIVATIONS = {"gelu_pytorch_tanh": "tanh", "gelu_new": "tanh", "gelu": "none"}


def locate(model: str, revision: str, on_progress: hub.Progress) -> Path:
    """The model's folder: as given, from the hub's cache, or downloaded with ``on_progress(done, total)``.

    ``done`` and ``total`` are bytes. Raises ModelUnavailable.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        if missing := _missing(folder):
            raise ModelUnavailable(f"the folder {model} has no {missing}")
        return folder
    if folder.is_absolute() or model.count("/") != 1:
        raise ModelUnavailable(f"{model} is neither a folder nor a hub id of the form owner/name")
    if copy := cached(model, revision):
        return copy
    folder = hub.download(model, revision, on_progress)
    if missing := _missing(folder):
        raise ModelUnavailable(f"its hub repository has no {missing}")
    return folder


def text_config(folder: Path) -> dict[str, Any]:
    """config.json; of a model of several parts, its language model's."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return {**config, **config.get("text_config", {})}


def end_ids(folder: Path) -> list[int]:
    """The ids that the model's own configuration calls the end of a text."""
    generation = folder / "generation_config.json"
    settings = json.loads(generation.read_text("utf-8")) if generation.is_file() else {}
    found = [text_config(folder).get("eos_token_id"), settings.get("eos_token_id")]
    return [i for eos in found if eos is not None for i in (eos if isinstance(eos, list) else [eos])]


def safetensors_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(names)]
    return [file] if (file := folder / "model.safetensors").is_file() else []


def tensor_files(folder: Path) -> dict[str, Path]:
    """Each tensor's name and the safetensors file that it is in."""
    names = {}
    for path in safetensors_files(folder):
        with safe_open(path, "np") as file:
            names.update(dict.fromkeys(file.keys(), path))
    return names


def is_bigcode(folder: Path) -> bool:
    """Whether the checkpoint has SantaCoder's architecture, as our own code runs it."""
    config = text_config(folder)
    return (
        config.get("model_type") == "gpt_bigcode"
        and config.get("multi_query", True)
        and config.get("scale_attn_weights", True)
        and config.get("activation_function", "gelu_pytorch_tanh") in BIGCODE_ACTIVATIONS
        and bool(safetensors_files(folder))
    )


def weights_size(folder: Path) -> int:
    files = list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    return sum(file.stat().st_size for file in files)


def _missing(folder: Path) -> str:
    """The first file that a model's folder must have and this one hasn't, or ""."""
    needed = [folder / "config.json", folder / "tokenizer.json", *safetensors_files(folder)]
    absent = [file.name for file in needed if not file.is_file()]
    return absent[0] if absent else "" if weights_size(folder) else "model.safetensors"


def cached(model: str, revision: str) -> Path | None:
    """A complete copy from an earlier download: no request leaves the machine."""
    folder = hub.cached(model, revision)
    return None if folder is None or _missing(folder) else folder
