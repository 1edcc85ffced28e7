"""The data files beside a notebook, as its code would name them, for as long as it works in its folder.

Only names are read; none outside the server's root, none hidden.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .cursor import Excerpt
from .modules import is_inside, may_be_read, notebook_folder
from .names import READER

MAX_ENTRIES = 1000
MAX_FILES = 200
# Of folders so many levels down are looked into, and so many on each.
LEVELS = 2
MAX_FOLDERS = 100
# Code is no data.
LEFT_OUT = (".ipynb", ".py", ".pyc")
_READS = re.compile(rf"\b{READER}\(")
# A kernel that went elsewhere reads by other paths; IPython takes ``cd data`` for ``%cd data``.
_MOVES = re.compile(r"\bf?chdir\(|^[ \t]*%?(?:cd|pushd|popd)(?:[ \t]+[^\s=(]|[ \t]*$)", re.MULTILINE)
_BEGUN = re.compile(r"""["']([^"'\n]*/)[^"'/\n]*\Z""")


def data_files(root: Path, path: str, where: Excerpt) -> list[str]:
    """Paths from the folder of the notebook at ``path``, which is relative to ``root``, with ``/``.

    Those of the files in that folder and LEVELS further down, and of those in the folder that the string left
    of the cursor has begun with. None where the cursor's cell reads no file, and where the notebook
    changes the kernel's folder. No error is raised.
    """
    cursor = where.cursor
    if not (_READS.search(cursor.left) or _READS.search(cursor.right)):
        return []
    if any(_MOVES.search(cell.source) for cell in where.cells if cell.type == "code"):
        return []
    begun = _BEGUN.search(cursor.line_left)
    try:
        root = root.resolve()
        there = _files(root, notebook_folder(root, path), begun[1] if begun else "")
        return sorted({*islice(there, MAX_FILES)})
    except (OSError, ValueError, RuntimeError):  # a null byte in the path, a loop of links
        return []


def _files(root: Path, folder: Path, begun: str) -> Iterator[str]:
    """Those nearest to the notebook first; may have some twice."""
    names = [*dict.fromkeys(["", begun])]
    for _ in range(1 + LEVELS):
        below = []
        for name in islice(names, MAX_FOLDERS):
            for entry in _entries(root, folder / name):
                if entry.is_dir():
                    below.append(f"{name}{entry.name}/")
                elif not entry.name.endswith(LEFT_OUT):
                    yield name + entry.name
        names = below


def _entries(root: Path, folder: Path) -> Iterator[os.DirEntry[str]]:
    """The first of those that may be read, in the file system's order."""
    if not (is_inside(root, folder) and may_be_read(root, folder.resolve())):
        return
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MAX_ENTRIES):
                linked = entry.is_symlink() and not may_be_read(root, Path(entry.path).resolve())
                if not entry.name.startswith((".", "__")) and not linked:
                    yield entry
    except OSError:
        return
