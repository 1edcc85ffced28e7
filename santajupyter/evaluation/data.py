"""Data sets in the formats in which they were published, and a few items of our own where there are none."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("data")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")

Row = dict[str, Any]


def rows(data: str, own: str, needed: Sequence[str]) -> list[Row]:
    """The items of a file, of the files in a folder, or of a data set on the hub, by its id.

    ``own``: a file of ours, taken where ``data`` is empty. ``needed``: what an item must have; others are
    left out. Raises SystemExit for what holds none.
    """
    files = _files(data) if data else [OWN / own]
    try:
        found = [row for file in files for row in _read(file)]
    except (OSError, EOFError, ValueError) as error:
        raise SystemExit(f"--data: {data}: {error}") from None
    good = [row for row in found if isinstance(row, dict) and all(name in row for name in needed)]
    if not good:
        raise SystemExit(f"--data: {data} has no item with {', '.join(needed)}")
    return good


def _files(data: str) -> list[Path]:
    path = Path(data)
    if not path.exists() and HUB_ID.fullmatch(data):
        path = _downloaded(data)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.name.endswith(SUFFIXES))
        # Of several sets and splits in a folder the test's.
        return [each for each in files if "test" in each.name] or files
    return [path]


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        patterns = [f"*{suffix}" for suffix in SUFFIXES]
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SystemExit(f"--data: {name} is neither a file nor on the hub: {reason}") from None


def _read(file: Path) -> list[Row]:
    if file.suffix == ".parquet":
        import pandas as pd  # type: ignore[import-untyped]

        found: list[Row] = json.loads(pd.read_parquet(file).to_json(orient="records"))
        return found
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    if file.name.endswith(".json") and text.lstrip().startswith("["):
        listed: list[Row] = json.loads(text)
        return listed
    return [json.loads(line) for line in text.splitlines() if line.strip()]
