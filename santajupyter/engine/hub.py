"""Models from the hub into its own cache; a download that was stopped goes on where it was."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import re
import shutil
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    FileMetadataError,
    GatedRepoError,
    HTTPError,  # its HTTP library's
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    disable_progress_bars,
    hf_raise_for_status,
)

from ..printable import printable
from .model import ModelUnavailable, first_line

CONFIG_FILES = ["config.json", "generation_config.json", "tokenizer.json"]
SAFETENSORS = ["*.safetensors", "*.safetensors.index.json"]
# Only where there are no safetensors; transformers unpickles them with weights_only=True.
PICKLES = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
SHA256 = re.compile("[0-9a-f]{64}")
# What the hub calls files, commits and contents becomes names in the cache.
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
NAMED_BY_HEADERS = ("ETag", "X-Linked-ETag", "X-Repo-Commit")
NAMED_BY_JSON = ("sha", "oid", "sha256", "blobId", "xetHash")
# The last is a connection that breaks again and again.
HUB_ERRORS = (OSError, ValueError, HTTPError)
# What the library makes of answers that it didn't expect.
ODD_ANSWERS = (json.JSONDecodeError, RecursionError, AssertionError, AttributeError, KeyError, TypeError)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Seconds. A hub that takes a connection and says nothing for so long is as good as none.
SILENCE = 15.0
POLL = 1.0
# All but the weights is there by then, or given up.
LIMIT = 60.0
THREAD = "a question to the hub"
# A file is given up when so many tries in a row brought less than ENOUGH bytes.
TRIES = 5
ENOUGH = 2**20

Progress = Callable[[int, int], None]

# The last one, which the library answers by trying again.
_refusals: deque[str] = deque(maxlen=1)


class _NoHub(OSError):
    """What answers isn't a hub."""


def cached(model: str, revision: str) -> Path | None:
    """The folder of an earlier download, perhaps without some files: no request leaves the machine."""
    try:
        return Path(snapshot_download(model, revision=revision or None, local_files_only=True))
    except (OSError, ValueError):
        return None


def download(model: str, revision: str, on_progress: Progress) -> Path:
    """The folder with what a model needs; ``on_progress(done, total)``: bytes. Raises ModelUnavailable.

    What is in the cache and the newest of the revision isn't fetched again.
    """
    disable_progress_bars()
    _guard()

    def plan(patterns: list[str]) -> list[Any]:
        return _within_limit(lambda: _snapshot(model, revision, patterns, dry_run=True))  # type: ignore[no-any-return]

    patterns = CONFIG_FILES + SAFETENSORS
    try:
        files = plan(patterns)
        if not any(file.filename.endswith(".safetensors") for file in files):
            patterns = CONFIG_FILES + PICKLES
            files = plan(patterns)
        total = sum(file.file_size or 0 for file in files if file.will_download)
        _fetch_weights(model, [file for file in files if file.will_download], total, on_progress)
        # What is in the cache by now is only named in the folder.
        folder = _within_limit(lambda: _snapshot(model, revision, patterns))
        on_progress(total, total)
        return Path(folder)
    except HUB_ERRORS as error:
        reason = _reason(error, model)
        raise ModelUnavailable(f"it can't be downloaded from the hub: {reason}") from error


def tokenizer_folder(model: str, revision: str) -> Path:
    """A folder with the model's tokenizer.json, without its weights. Raises ModelUnavailable."""
    folder = cached(model, revision)
    if folder and (folder / "tokenizer.json").is_file():
        return folder
    disable_progress_bars()
    _guard()
    try:
        return Path(_within_limit(lambda: _snapshot(model, revision, ["tokenizer.json"])))
    except HUB_ERRORS as error:
        reason = _reason(error, model)
        raise ModelUnavailable(f"its tokenizer can't be had from the hub: {reason}") from error


def _reason(error: BaseException, model: str) -> str:
    """What is the matter and, where that is known, what to do about it."""
    advice = next(filter(None, (_advice(cause, model) for cause in _causes(error))), "")
    told = error.__cause__ or error
    said = getattr(told, "server_message", None)
    if isinstance(told, RepositoryNotFoundError):
        said = "there is no such model, or none that may be seen without a token (HF_TOKEN)"
    return printable(advice or f"{first_line(told)} {said or ''}".rstrip())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _advice(error: BaseException, model: str) -> str:
    if isinstance(error, GatedRepoError):
        return f"accept its terms at {constants.ENDPOINT}/{model}, and set HF_TOKEN to a token of yours"
    if isinstance(error, (socket.gaierror, ConnectionRefusedError)):
        return f"{constants.ENDPOINT} can't be reached"  # the page's notice has 140 characters in all
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the hub's certificate isn't trusted ({error.verify_message}); where a proxy looks into TLS, "
            "set SSL_CERT_FILE to a file of the certificates to trust, the proxy's among them"
        )
    if isinstance(error, FileMetadataError):
        return (
            f"{constants.ENDPOINT} leaves out headers that a hub sends (ETag, X-Repo-Commit), or a proxy "
            "does; download the model elsewhere and give its folder as SantaApp.model, or set HF_ENDPOINT"
        )
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f"there is no room for it in {constants.HF_HUB_CACHE}: {error.strerror} (HF_HOME moves it); what "
            "has come of it is kept"
        )
    return str(error) if isinstance(error, _NoHub) else ""


def _snapshot(model: str, revision: str, patterns: list[str], dry_run: bool = False) -> Any:
    return snapshot_download(
        model, revision=revision or None, allow_patterns=patterns, dry_run=dry_run, etag_timeout=SILENCE
    )


def _within_limit(ask: Callable[[], Any]) -> Any:
    """What is asked of the hub's library, which tries again and again while a hub is silent."""
    answer: Future[Any] = Future()
    _refusals.clear()

    def work() -> None:
        try:
            answer.set_result(ask())
        except ODD_ANSWERS as error:
            answer.set_exception(
                _NoHub(
                    f"{constants.ENDPOINT} doesn't answer as a hub does: is it a proxy's page that comes? "
                    f"HF_ENDPOINT names the hub ({type(error).__name__})"
                )
            )
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True, name=THREAD).start()
    try:
        return answer.result(LIMIT)
    except FutureTimeout:
        said = f"has only said {_refusals[-1]}" if _refusals else "hasn't answered"
        raise OSError(f"the hub {said} within {LIMIT:.0f} s") from None


def _fetch_weights(model: str, files: list[Any], total: int, on_progress: Progress) -> None:
    """The hub's library throws away the part of a file that it has when it is stopped; these are too large.

    Where its cache has them: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    blobs = Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}" / "blobs"
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
            etag = _within_limit(functools.partial(get_hf_file_metadata, url, timeout=SILENCE)).etag
            if etag and size:
                _fetch(url, blobs / _checked(etag), size, after(done))
        done += size


def _fetch(url: str, blob: Path, size: int, on_bytes: Callable[[int], None]) -> None:
    """One file, from where an earlier try has stopped."""
    part = blob.with_name(blob.name + ".part")
    with _alone(part, on_bytes):
        if blob.exists():
            return
        if part.exists() and part.stat().st_size > size:  # two wrote to it, where locks don't hold
            part.unlink()
        with part.open("ab") as out:
            _receive(url, out, size, on_bytes)
        # A large file is named by its checksum.
        if SHA256.fullmatch(blob.name) and _sha256(part) != blob.name:
            part.unlink()
            raise OSError(f"what came of {url} was damaged; it is deleted: try again")
        part.replace(blob)


def _receive(url: str, out: BinaryIO, size: int, on_bytes: Callable[[int], None]) -> None:
    """What is missing of the ``size`` bytes. Where the connection breaks, on from there."""
    tries = 0
    while (begin := out.tell()) < size:
        try:
            headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
            if begin:
                headers["Range"] = f"bytes={begin}-"
            with get_session().stream("GET", url, headers=headers, timeout=SILENCE) as response:
                hf_raise_for_status(response)
                if response.status_code != 206:  # all of it comes again
                    out.seek(0)
                    out.truncate()
                for piece in response.iter_bytes():
                    out.write(piece[: size - out.tell()])
                    on_bytes(out.tell())
            broken: Exception = OSError(f"the hub ends {url} after {out.tell()} of {size} bytes")
        except HTTPError as error:
            if getattr(error, "response", None) is not None:  # it answered, and won't give the file
                raise
            broken = error
        tries = 1 if out.tell() - begin >= ENOUGH else tries + 1
        if out.tell() < size:
            if tries >= TRIES:
                raise broken
            time.sleep(POLL)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            found.update(piece)
    return found.hexdigest()


def _guard() -> None:
    """The hub's library waits for an answer for ever, and writes to any path that a hub names."""
    session = get_session()
    session.timeout = SILENCE
    hooks = session.event_hooks
    if _check_names not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], _check_names]}


def _check_names(response: Any) -> None:
    if response.status_code >= 400:
        _refusals.append(f"{response.status_code} {response.reason_phrase}")
    if response.request.method == "HEAD":
        for header in NAMED_BY_HEADERS:
            if value := response.headers.get(header, ""):
                _checked(value.removeprefix("W/").strip('"'))
    elif "/api/models/" in response.url.path:
        response.read()
        with suppress(ValueError, RecursionError):  # which the library tells
            _check_values(response.json())


def _check_values(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _check_values(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in NAMED_BY_JSON and isinstance(item, str):
                _checked(item)
            _check_values(item)


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise OSError(f"the hub calls a file {name[:100]!r}, which is no name for one")
    return name


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
