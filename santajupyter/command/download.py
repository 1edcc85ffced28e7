"""``santajupyter download``: the newest of a model into the hub's cache, with a bar; what is there stays."""

from __future__ import annotations

from huggingface_hub import HfApi
from tqdm import tqdm

from ..engine import hub
from ..engine.folders import model_folder
from ..engine.model import ModelUnavailable, first_line
from ..kernel.client import SantaError


def download(model: str, revision: str) -> str:
    """Download what the cache lacks of the newest ``revision``, and compare checksums; a sentence on it.

    Raises SantaError.
    """
    if model_folder(model):
        raise SantaError(f"{model} is a folder: there is nothing to download.")
    with tqdm(unit="B", unit_scale=True, desc=model, leave=False, delay=0.5) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            if model.count("/") != 1:
                raise ModelUnavailable(f"{model} is neither a folder nor a hub id of the form owner/name")
            folder = hub.download(model, revision, report)
        except ModelUnavailable as error:
            raise SantaError(f"{model} can't be had: {error}.") from error
    try:
        found = HfApi().verify_repo_checksums(model, revision=revision or None)
    except hub.HUB_ERRORS as error:
        return f"{model} is in {folder}; its checksums weren't compared: {first_line(error)}"
    if found.mismatches:
        damaged = [mismatch["path"] for mismatch in found.mismatches]
        for path in damaged:
            (folder / path).resolve().unlink(missing_ok=True)
            (folder / path).unlink(missing_ok=True)
        raise SantaError(f"{', '.join(damaged)} was damaged and is deleted: run this again.")
    return f"{model} is in {folder}; the checksums of its {found.checked_count} files are right."
