"""Models from the hub into its own cache; a download that was stopped goes on where it was."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its HTTP library's
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    disable_progress_bars,
)
from huggingface_hub.utils.sha import sha_fileobj
from tqdm import tqdm

from .model import ModelUnavailable, first_line

CONFIG_FILES = ["config.json", "generation_config.json", "tokenizer.json"]
SAFETENSORS = ["*.safetensors", "*.safetensors.index.json"]
# Only where there are no safetensors; transformers unpickles them with weights_only=True.
PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
SHA256 = re.compile("[0-9a-f]{64}")
# The last is a connection that breaks again and again.
HUB_ERRORS = (OSError, ValueError, HTTPError)
# Seconds.
POLL = 1.0

Progress = Callable[[int, int], None]


def cached(model: str, revision: str) -> Path | None:
    """The folder of an earlier download, perhaps without some files: no request leaves the machine."""
    try:
        return Path(snapshot_download(model, revision=revision or None, local_files_only=True))
    except (OSError, ValueError):
        return None


def download(model: str, revision: str, on_progress: Progress) -> Path:
    """The folder with what a model needs; ``on_progress(done, total)``: bytes. Raises ModelUnavailable."""
    disable_progress_bars()

    def plan(patterns: list[str]) -> list[Any]:
        return snapshot_download(model, revision=revision or None, allow_patterns=patterns, dry_run=True)

    patterns = CONFIG_FILES + SAFETENSORS
    try:
        files = plan(patterns)
        if not any(file.filename.endswith(".safetensors") for file in files):
            patterns = CONFIG_FILES + PICKLES
            files = plan(patterns)
        total = sum(file.file_size or 0 for file in files if file.will_download)
        _fetch_weights(model, [file for file in files if file.will_download], total, on_progress)
        # What is in the cache by now is only named in the folder.
        folder = snapshot_download(model, revision=revision or None, allow_patterns=patterns)
        on_progress(total, total)
        return Path(folder)
    except HUB_ERRORS as error:
        reason = first_line(error.__cause__ or error)
        raise ModelUnavailable(f"it can't be downloaded from the hub: {reason}") from error


def _fetch_weights(model: str, files: list[Any], total: int, on_progress: Progress) -> None:
    """The hub's library throws away the part of a file that it has when it is stopped; these are too large.

    Where its cache has them: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model") / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    _check_disk(total - sum(part.stat().st_size for part in blobs.glob("*.part")))

    def after(before: int) -> Callable[[int], None]:
        return lambda n: on_progress(before + n, total)

    done = 0
    on_progress(done, total)
    for file in files:
        size = file.file_size or 0
        if file.filename.endswith((".safetensors", ".bin")):
            url = hf_hub_url(model, file.filename, revision=file.commit_hash)
            etag = get_hf_file_metadata(url).etag
            if etag and size:
                _fetch(url, blobs / etag, size, after(done))
        done += size


def _fetch(url: str, blob: Path, size: int, on_bytes: Callable[[int], None]) -> None:
    """One file, from where an earlier try has stopped."""
    part = blob.with_suffix(".part")

    class Bar(tqdm):  # type: ignore[type-arg]
        """Draws nothing."""

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            on_bytes(min(int(self.n), size))

        def display(self, *args: Any, **kwargs: Any) -> None:
            pass

    with _alone(part, on_bytes):
        if blob.exists():
            return
        if part.exists() and part.stat().st_size > size:  # two wrote to it, where locks don't hold
            part.unlink()
        with part.open("ab") as out:
            if out.tell() < size:  # what was stopped at the very end is whole
                http_get(
                    url,
                    out,
                    resume_size=out.tell(),
                    headers=build_hf_headers(),
                    expected_size=size,
                    tqdm_class=Bar,
                )
        with part.open("rb") as whole:
            # A large file is named by its checksum.
            if SHA256.fullmatch(blob.name) and sha_fileobj(whole).hex() != blob.name:
                part.unlink()
                raise OSError(f"what came of {url} was damaged; it is deleted: try again")
        part.replace(blob)


@contextmanager
def _alone(part: Path, on_bytes: Callable[[int], None]) -> Iterator[None]:
    """Whoever comes second waits, and sees how the first one's download goes on."""
    lock = FileLock(part.with_suffix(".lock"))
    while True:
        with suppress(Timeout):
            lock.acquire(timeout=POLL)
            break
        with suppress(FileNotFoundError):
            on_bytes(part.stat().st_size)
    try:
        yield
    finally:
        lock.release()


def _check_disk(needed: int) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelUnavailable(
            f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free (HF_HOME moves it)"
        )
