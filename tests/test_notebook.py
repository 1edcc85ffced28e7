from __future__ import annotations

from santajupyter.notebook import Document, document, render
from santajupyter.protocol import Cell


def test_cells_around_the_cursor_become_prefix_and_suffix() -> None:
    cells = [
        Cell("# Load\nthe data", "markdown"),
        Cell("import os\n"),
        Cell("x = os.\ny = 1"),
        Cell("print(x)"),
    ]
    assert document(cells, 2, 7) == Document(
        "# # Load\n# the data\n\nimport os\n\nx = os.", "\ny = 1\n\nprint(x)", "python"
    )


def test_offset_counts_code_points() -> None:
    """JavaScript counts UTF-16 units: an emoji before the cursor moved it for every peer."""
    assert document([Cell("s = '🦌'; s.")], 0, 11) == Document("s = '🦌'; s.", "")


def test_comments_follow_the_language() -> None:
    assert render([Cell("Title", "markdown")], "javascript") == "// Title"
    assert render([Cell("Title", "markdown")], "Java") == "// Title"


def test_foreign_cells_never_pass_as_code() -> None:
    assert render([Cell("%%bash\nrm -r build\n"), Cell("%%time\nx = 1")]) == (
        "# %%bash\n# rm -r build\n\n%%time\nx = 1"
    )


def test_raw_and_blank_cells_leave_no_trace() -> None:
    assert render([Cell("raw", "raw"), Cell(" \n"), Cell("x = 1"), Cell("", "markdown")]) == "x = 1"


def test_active_markdown_is_text_not_comment() -> None:
    assert document([Cell("x = 1"), Cell("We see", "markdown")], 1, 6) == Document(
        "x = 1\n\nWe see", "", "markdown"
    )
