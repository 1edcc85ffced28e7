"""Where a model's name means a folder. Imports nothing, since the server asks too."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def model_folder(model: str) -> Path | None:
    """The folder that ``model`` names, ``~`` for a home; None where there is none to be seen."""
    # No such user or no home, a loop of links, a name too long, a folder of somebody else's.
    with suppress(OSError, RuntimeError, ValueError):
        folder = Path(model).expanduser()
        if folder.is_dir():
            return folder.resolve()
    return None
