"""Cells -> one program text, split at the cursor.

Code stands as it is, markdown and foreign-language cells become comments of the
notebook's language, raw cells are left out. santa-mini is trained on
:func:`render`'s output, so a change here is a change of its training data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .protocol import Cell

SEPARATOR = "\n\n"
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
# Cell magics whose body is still code of the notebook's own language.
TRANSPARENT_MAGICS = frozenset(["%%time", "%%timeit", "%%capture", "%%prun", "%%memit"])


@dataclass(frozen=True)
class Document:
    """The program text left (``prefix``) and right (``suffix``) of the cursor."""

    prefix: str
    suffix: str
    language: str = "python"


def document(
    cells: Sequence[Cell], active: int, offset: int, language: str = "python", facts: Sequence[str] = ()
) -> Document:
    """The notebook as its language's program, cut ``offset`` code points into ``cells[active]``.

    Each of the ``facts`` is a comment line right above the active cell.
    """
    above = render(cells[:active], language)
    told = "".join(f"{comment_mark(language)} {fact}\n" for fact in facts)
    below = render(cells[active + 1 :], language)
    source = cells[active].source
    left, right = source[:offset], source[offset:]
    if cells[active].type == "markdown":
        language = "markdown"
    return Document(
        prefix=above + SEPARATOR + told + left if above else told + left,
        suffix=right + SEPARATOR + below if below else right,
        language=language,
    )


def render(cells: Iterable[Cell], language: str = "python") -> str:
    """The cells in order, a blank line between two; empty and raw cells leave no trace."""
    parts = (render_cell(cell, language) for cell in cells)
    return SEPARATOR.join(part for part in parts if part)


def render_cell(cell: Cell, language: str = "python") -> str:
    """One cell as program text without surrounding blank lines; "" for one that says nothing."""
    source = cell.source.strip("\n")
    if not source.strip() or cell.type == "raw":
        return ""
    if cell.type == "markdown" or _is_foreign(source):
        return _as_comment(source, language)
    return source


def comment_mark(language: str) -> str:
    return "//" if language.lower() in SLASH_LANGUAGES else "#"


def _is_foreign(source: str) -> bool:
    return source.startswith("%%") and source.split(maxsplit=1)[0] not in TRANSPARENT_MAGICS


def _as_comment(source: str, language: str) -> str:
    mark = comment_mark(language)
    return "\n".join(f"{mark} {line.rstrip()}" for line in source.split("\n") if line.strip())
