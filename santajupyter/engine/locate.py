"""From a model's name to a folder on disk, and what the folder's small files say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its HTTP library's
from safetensors import safe_open
from tqdm import tqdm

from .model import ModelUnavailable, first_line

CONFIG_FILES = ["config.json", "generation_config.json", "tokenizer.json"]
SAFETENSORS = ["*.safetensors", "*.safetensors.index.json"]
# Only where there are no safetensors; transformers unpickles them with weights_only=True.
PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
# Up to here float32 is fast enough on a CPU, and exact.
SMALL_FILE = 64_000_000
# GPTBigCode's activation functions that our own code has: torch's name for how the GELU is approximated.
BIGCODE_ACTIVATIONS = {"gelu_pytorch_tanh": "tanh", "gelu_new": "tanh", "gelu": "none"}

# The last is a connection that breaks again and again.
HUB_ERRORS = (OSError, ValueError, HTTPError)

Progress = Callable[[int, int], None]


def locate(model: str, revision: str, on_progress: Progress) -> Path:
    """The model's folder: as given, from the hub's cache, or downloaded with ``on_progress(done, total)``.

    ``done`` and ``total`` are bytes. Raises ModelUnavailable.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        missing = _missing(folder)
        if missing:
            raise ModelUnavailable(f"the folder {model} has no {missing}")
        return folder
    if folder.is_absolute() or model.count("/") != 1:
        raise ModelUnavailable(f"{model} is neither a folder nor a hub id of the form owner/name")
    return cached(model, revision) or _downloaded(model, revision, on_progress)


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
    try:
        folder = Path(snapshot_download(model, revision=revision or None, local_files_only=True))
    except (OSError, ValueError):
        return None
    return None if _missing(folder) else folder


def _downloaded(model: str, revision: str, on_progress: Progress) -> Path:
    class Bar(tqdm):  # type: ignore[type-arg]
        """Counts the bytes of the whole snapshot; draws nothing."""

        def display(self, *args: Any, **kwargs: Any) -> None:
            if self.unit == "B" and self.n:
                on_progress(min(int(self.n), total), total)

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            self.display()

    def plan(patterns: list[str]) -> list[Any]:
        return snapshot_download(model, revision=revision or None, allow_patterns=patterns, dry_run=True)

    patterns = CONFIG_FILES + SAFETENSORS
    try:
        files = plan(patterns)
        if not any(file.filename.endswith(".safetensors") for file in files):
            patterns = CONFIG_FILES + PICKLES
            files = plan(patterns)
        total = sum(file.file_size or 0 for file in files if file.will_download)
        _check_disk(total)
        on_progress(0, total)
        folder = Path(
            snapshot_download(
                model,
                revision=revision or None,
                allow_patterns=patterns,
                tqdm_class=Bar,  # type: ignore[arg-type]  # any tqdm will do
            )
        )
    except HUB_ERRORS as error:
        reason = first_line(error.__cause__ or error)
        raise ModelUnavailable(f"it can't be downloaded from the hub: {reason}") from error
    missing = _missing(folder)
    if missing:
        raise ModelUnavailable(f"its hub repository has no {missing}")
    return folder


def _check_disk(needed: int) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailable(
            f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free (HF_HOME moves it)"
        )
