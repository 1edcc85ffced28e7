"""What a cell magic says of a cell's language."""

from __future__ import annotations

import pytest

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.languages import comment_mark, language_of
from santajupyter.protocol import Cell


@pytest.mark.parametrize(
    ("head", "language"),
    [
        *((f"%%{name}", "python") for name in ("time", "px", "cython", "local", "santa generate -m 20")),
        *((f"%%{name} rows", "sql") for name in ("sql", "bigquery")),
        ("%%bash", "bash"),
        ("%%!", "bash"),
        ("%%R -o frame", "r"),
        ("%%script --bg ruby", "ruby"),
        ("%%script", "bash"),
        ("%%writefile -a tools.py", "python"),
        ("%%file data/page.html", "html"),
        ("%%writefile", "python"),
        ("%%unheard", "unheard"),
        ("#!csharp", "csharp"),
        ("#!/bin/sh", "python"),
        ("# %%time", "python"),
    ],
)
def test_a_cells_language(head: str, language: str) -> None:
    assert language_of(Cell(f"{head}\nx = 1"), "python") == language


@pytest.mark.parametrize("head", ["%%px", "%%santa generate", "%%writefile tools.py"])
def test_the_notebooks_own_code_stays_code(head: str) -> None:
    cells = [Cell("import numpy as np"), Cell(f"{head}\nx = ")]
    assert "\nimport numpy as np" in f"\n{document(excerpt(cells, 1, len(cells[1].source))).prefix}"


@pytest.mark.parametrize(
    ("language", "mark"), [("C#", "//"), ("sqlite3", "--"), ("clojure", ";"), ("fortran", "!"), ("R", "#")]
)
def test_comment_marks(language: str, mark: str) -> None:
    assert comment_mark(language) == mark
