from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import CODE, DOUBTFUL, FACT, NARRATIVE, USED, Document, render
from santajupyter.prompt.document import document as document_of
from santajupyter.prompt.fim import FAMILIES
from santajupyter.protocol import Cell, Output

ERROR = Output("error", name="KeyError", value="'colour'", line='    df["colour"].mean()')


def document(
    cells: list[Cell], active: int, offset: int, language: str = "python", **more: list[str]
) -> Document:
    return document_of(excerpt(cells, active, offset, language), language, **more)


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


def test_an_active_cell_of_another_language_makes_the_notebooks_own_foreign() -> None:
    cells = [Cell("import os\n\nx = 1"), Cell("%%bash\nls"), Cell("%%bash\ncd "), Cell("y = 2")]
    assert document(cells, 2, 10) == Document(
        "# import os\n# x = 1\n\n%%bash\nls\n\n%%bash\ncd ", "\n\n# y = 2", "bash"
    )
    assert document([Cell("a", "markdown"), Cell("%%js\nx")], 1, 6).prefix == "// a\n\n%%js\nx"


@pytest.mark.parametrize("source", ["%%html\n<b>x</b>", "\n  %%html\n<b>x</b>", "%%writefile a.txt\nx = 1"])
def test_a_cell_magic_is_one_wherever_ipython_sees_one(source: str) -> None:
    assert all(line.startswith("# ") for line in render([Cell(source)]).split("\n"))


def test_magics_and_shell_lines_stay_among_code() -> None:
    source = "%matplotlib inline\n!pip install x\nfiles = !ls\n?files\n%%timeit"
    assert render([Cell(source)]) == source


def test_two_percent_signs_begin_a_section_in_matlab() -> None:
    assert render([Cell("%%Load\nx = 1")], "matlab") == "%%Load\nx = 1"


def test_long_markdown_keeps_its_headings_and_first_sentences() -> None:
    story = (
        "# Title\n" + "First sentence. " + "word " * 200 + "\n" + "\n".join(f"line {i}" for i in range(20))
    )
    told = render([Cell(story + "\n## Second\nIts line\nmore", "markdown"), Cell("x")])
    assert told == "\n".join(
        [
            "# # Title",
            "# First sentence.",
            *(f"# line {i}" for i in range(4)),
            "# ## Second",
            "# Its line",
            "",
            "x",
        ]
    )


def test_the_task_right_above_is_told_in_full() -> None:
    task = "\n".join(f"{i}. do this" for i in range(20))
    prefix = document([Cell(task, "markdown"), Cell("x")], 1, 1).prefix
    assert "# 19. do this" in prefix
    assert "# 19. do this" not in document([Cell(task, "markdown"), Cell("y"), Cell("x")], 2, 1).prefix


class TestOrder:
    def test_a_name_defined_by_a_cell_below_that_ran(self) -> None:
        cells = [
            Cell("import os", execution_count=1),
            Cell("## Use", "markdown"),
            Cell("a = total\nb = 1\nc = 2\nd = 3\n"),
            Cell("x = 1"),
            Cell("total = 5", execution_count=2),
        ]
        found = document(cells, 2, len(cells[2].source))
        assert found.prefix == "import os\n\ntotal = 5\n\n# ## Use\n\n" + cells[2].source
        assert found.suffix == "\n\nx = 1"

    def test_a_cell_below_stays_if_it_did_not_run_or_failed_or_something_above_has_the_name(self) -> None:
        active = Cell("a = total\nb = 1\nc = 2\nd = 3\n")
        for above, below in (
            (Cell("x"), Cell("total = 5")),
            (Cell("x"), Cell("total = 5", execution_count=2, outputs=(ERROR,))),
            (Cell("total = 4"), Cell("total = 5", execution_count=2)),
        ):
            assert document([above, active, below], 1, 3).suffix.endswith("total = 5")

    def test_what_ran_last_is_read_last(self) -> None:
        """The cells were run out of order: the kernel's x is 1."""
        active = Cell("a = x\nb = 1\nc = 2\nd = 3\n")
        cells = [Cell("x = 1", execution_count=3), Cell("x = 2", execution_count=2), Cell("y"), active]
        prefix = document(cells, 3, len(active.source)).prefix
        assert prefix == "x = 2\n\ny\n\nx = 1\n\n" + active.source

    def test_names_that_the_cell_binds_itself_move_nothing(self) -> None:
        active = Cell("for x in y:\n    print(x)\ndef f(n=1):\n    return n\n")
        below = Cell("x = n = 5", execution_count=1)
        assert document([active, below], 0, 60).suffix.endswith("x = n = 5")

    def test_of_cells_with_one_source_the_nearest_stays(self) -> None:
        cells = [Cell(source) for source in ("x = 1", "y", "x = 1\n", "z", "w", "v", "w")]
        assert document(cells, 3, 1) == Document("y\n\nx = 1\n\nz", "\n\nw\n\nv")


class TestNotes:
    def test_facts_and_the_last_error_stand_right_above_the_cell(self) -> None:
        cells = [Cell("df = load()"), Cell('df["colour"].mean()', outputs=(ERROR,))]
        assert document(cells, 1, 2, facts=["df: DataFrame\n(2 rows)"]).prefix == (
            "df = load()\n\n# df: DataFrame (2 rows)\n# This cell failed: KeyError: 'colour'\n"
            '# in the line: df["colour"].mean()\n\ndf'
        )

    def test_shown_text_follows_its_cell(self) -> None:
        shown = Output("text", text="a\n\nb\x0bc\nd\n")
        cells = [Cell("print(x)", outputs=(shown,)), Cell("y", outputs=(shown,)), Cell("z", outputs=(shown,))]
        assert document(cells, 1, 1) == Document("print(x)\n# a\n# b\n# c\n\ny", "\n\nz")

    def test_modules_stand_before_the_first_cell(self) -> None:
        found = document([Cell("x"), Cell("y")], 1, 1, "js", modules=["a.js: function f()", "b"])
        assert found.prefix == "// a.js: function f()\n// b\n\nx\n\ny"

    def test_markdown_has_no_facts(self) -> None:
        assert document([Cell("We see", "markdown")], 0, 6, facts=["x: int"]).prefix == "We see"


def test_priorities() -> None:
    cells = [
        Cell("from data import load", execution_count=1),
        Cell("def draw(x):\n    pass", execution_count=2),
        Cell("other = 1", execution_count=3),
        Cell("unrun = 1"),
        Cell("# A", "markdown"),
        Cell("bad = 2", execution_count=4, outputs=(ERROR,)),
        Cell("print(3)", execution_count=5),
        Cell("a = load()\nb = draw(a)\nc = 1\nd = 2\ne"),
    ]
    found = document(cells, 7, 38, facts=["a: int"], modules=["data.py: def load()", "data.py: def save()"])
    priorities = [segment.priority for segment in found.segments]
    assert priorities == [USED, DOUBTFUL, USED, USED, CODE, DOUBTFUL, NARRATIVE, DOUBTFUL, CODE, FACT]


def test_what_nobody_reads_takes_no_room_in_a_comment() -> None:
    image = f"![ships](data:image/png;base64,{'iVBORw0/KGgo+' * 9999}=) are counted."
    key = Cell("key", outputs=(Output("text", text="ab12" * 40 + " is it"),))
    assert render([Cell(image, "markdown")]) == "# ![ships]() are counted."
    assert "ab12" not in document([key, Cell("x")], 1, 1).prefix
    written = "数据" * 60
    assert render([Cell(written, "markdown")]) == f"# {written}"


def test_a_long_cells_segments_begin_with_statements_of_the_top_level() -> None:
    source = "\n\n".join(f"def f{i}(x):\n    y = {i}\n\n    return y" for i in range(100))
    found = document([Cell(source), Cell(source)], 1, len(source))
    starts, start = [], 0
    for segment in found.segments:
        starts.append(found.prefix[start : start + 6])
        start += segment.length
    assert len(starts) > 10
    assert all(re.match(r"def f\d", text) for text in starts)
    assert max(segment.length for segment in found.segments) < 1000


TEXTS = st.text(st.sampled_from("ab =():#.\n\n\r\t'%!🦌ßж名<|fim-prefix>\x00\u2028"), max_size=60)
OUTPUTS = st.lists(
    st.builds(Output, st.sampled_from(["error", "text"]), TEXTS, TEXTS, TEXTS, TEXTS), max_size=2
)
CELLS = st.builds(
    Cell,
    TEXTS,
    st.sampled_from(["code", "code", "markdown", "raw"]),
    execution_count=st.none() | st.integers(0, 9),
    outputs=OUTPUTS.map(tuple),
)


@given(st.lists(CELLS, min_size=1, max_size=6), st.data(), st.sampled_from(["python", "java", "r"]))
def test_any_notebook_is_a_document_that_holds_the_active_cell(
    cells: list[Cell], data: st.DataObject, language: str
) -> None:
    active = data.draw(st.integers(0, len(cells) - 1))
    source = cells[active].source
    offset = data.draw(st.integers(0, len(source)))
    lines = data.draw(st.lists(TEXTS, max_size=3))
    found = document(cells, active, offset, language, facts=lines, modules=lines)
    assert found.prefix.endswith(source[:offset])
    assert found.suffix.startswith(source[offset:])
    assert sum(segment.length for segment in found.segments) <= len(found.prefix)


@given(st.lists(CELLS, min_size=1, max_size=6), st.data())
def test_what_is_not_code_is_all_comment(cells: list[Cell], data: st.DataObject) -> None:
    others = [Cell(cell.source, "markdown") if cell.type == "code" else cell for cell in cells]
    facts = data.draw(st.lists(TEXTS, max_size=3))
    prefix = document([*others, Cell("x")], len(others), 0, facts=facts, modules=facts).prefix
    assert all(line.startswith("# ") or not line for line in prefix.split("\n"))


@pytest.mark.parametrize(
    "source",
    [
        "имя = 'ж'\nprint(имя)",
        "数据 = 读取('文件')",
        " ".join(token for family in FAMILIES.values() for token in (*family.sentinels, *family.ends)),
        "(" * 100_000,
        "import (" * 20_000,
        "\n" * 100_000,
        "x" * 200_000,
        "for x " * 30_000,
        "for" + " " * 100_000,
        "lambda " * 30_000,
        "a, " * 50_000,
    ],
)
def test_hostile_cells(source: str) -> None:
    active = source + "\nx" * 8
    found = document(
        [Cell(source), Cell(source + "1", "markdown"), Cell(active), Cell("\n" + source)], 2, len(active)
    )
    assert found.prefix.endswith(active[-100_000:])
