"""What language a cell is in, and how that language begins a comment."""

from __future__ import annotations

import re

from ..protocol import Cell

SLASH_LANGUAGES = frozenset(
    [
        "c",
        "c++",
        "cpp",
        "csharp",
        "dart",
        "go",
        "groovy",
        "java",
        "javascript",
        "js",
        "kotlin",
        "php",
        "rust",
        "scala",
        "swift",
        "ts",
        "typescript",
    ]
)
OTHER_MARKS = {"haskell": "--", "latex": "%", "lua": "--", "matlab": "%", "octave": "%", "sql": "--"}
# Cell magics whose body is still code of the notebook's own language.
TRANSPARENT_MAGICS = frozenset(["capture", "debug", "memit", "prun", "python", "python3", "time", "timeit"])
# %% begins a section there.
NO_MAGICS = frozenset(["matlab", "octave"])
_MAGIC = re.compile(r"\s*%%(\w+)")
# Characters in which a cell's magic is looked for.
_BEGINNING = 1000


def language_of(cell: Cell, language: str) -> str:
    """The language that a cell of a notebook in ``language`` is written in: a cell magic names its own."""
    if cell.type == "markdown":
        return "markdown"
    may_have_one = "%%" in cell.source[:_BEGINNING] and language.lower() not in NO_MAGICS
    magic = _MAGIC.match(cell.source[:_BEGINNING]) if may_have_one else None
    return magic[1].lower() if magic and magic[1] not in TRANSPARENT_MAGICS else language


def comment_mark(language: str) -> str:
    """What begins a comment that ends with its line."""
    name = language.lower()
    return "//" if name in SLASH_LANGUAGES else OTHER_MARKS.get(name, "#")
