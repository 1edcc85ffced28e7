"""From a model's name to a folder on disk with all that a model needs."""

from __future__ import annotations

from pathlib import Path

from . import hub
from .checkpoint import check, safetensors_files, weights_size
from .folders import model_folder
from .model import ModelUnavailable


def locate(model: str, revision: str, on_progress: hub.Progress) -> Path:
    """The model's folder: as given, from the hub's cache, or downloaded with ``on_progress(done, total)``.

    ``done`` and ``total`` are bytes. Raises ModelUnavailable, also for files that can't be a model's.
    """
    try:
        folder = _found(model, revision, on_progress)
        check(folder)
    except (
        OSError
    ) as error:  # no right to read it, a loop of links, a disk that fails, or it changes just now
        raise ModelUnavailable(
            f"{error.filename or model} can't be read: {error.strerror or error}"
        ) from error
    return folder


def cached(model: str, revision: str) -> Path | None:
    """A copy with all files from an earlier download: no request leaves the machine."""
    folder = hub.cached(model, revision)
    return None if folder is None or _missing(folder) else folder


def _found(model: str, revision: str, on_progress: hub.Progress) -> Path:
    if folder := model_folder(model):
        if missing := _missing(folder):
            raise ModelUnavailable(f"the folder {model} has no {missing}")
        return folder
    if model.startswith("~") or Path(model).is_absolute() or model.count("/") != 1:
        raise ModelUnavailable(f"{model} is neither a folder nor a hub id of the form owner/name")
    if copy := cached(model, revision):
        return copy
    folder = hub.download(model, revision, on_progress)
    if missing := _missing(folder):
        raise ModelUnavailable(f"its hub repository has no {missing}")
    return folder


def _missing(folder: Path) -> str:
    """The first file that a model's folder must have and this one hasn't, or ""."""
    needed = [folder / "config.json", folder / "tokenizer.json", *safetensors_files(folder)]
    absent = [file.name for file in needed if not file.is_file()]
    return absent[0] if absent else "" if weights_size(folder) else "model.safetensors"
