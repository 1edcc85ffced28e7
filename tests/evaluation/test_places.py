"""What is hidden can be put back, and the rest is a notebook that somebody works on."""

from __future__ import annotations

import random
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.evaluation import places
from santajupyter.evaluation.places import CUT, KINDS, Place, body, choose, read_folder
from santajupyter.protocol import completion_request

from ..notebooks import book, write_two

LINES = st.lists(st.text("ab (=)[]{}'\"#%,.\té☃", max_size=30), min_size=1, max_size=6).map("\n".join)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_two(tmp_path / "notebooks")


@given(st.lists(LINES, min_size=1, max_size=4), st.integers(0, 99), st.booleans())
def test_with_what_is_hidden_put_back_the_notebook_is_the_author_s(
    sources: list[str], seed: int, as_written: bool
) -> None:
    notebook = book(*sources)
    for place in choose({"a.ipynb": notebook}, 12, seed, per_notebook=12, kinds=(*KINDS, CUT)):
        request = completion_request(body(notebook, place, as_written))
        source = request.cells[request.active].source
        whole = source[: request.offset] + place.hidden + source[request.offset :]
        original = sources[place.cell]
        assert original.startswith(whole) if as_written else whole == original
        assert "\n" not in place.hidden
        line, right = whole[: request.offset].rpartition("\n")[2], source[request.offset :].partition("\n")[0]
        if place.kind == "new-line":
            assert not line.strip()
            assert place.offset > 0
        else:
            assert len(line.strip()) >= (1 if place.kind == CUT else 3)
        assert bool(right.strip()) == (place.kind in ("mid-line", CUT))


def test_the_state_is_that_of_a_notebook_run_up_to_the_place() -> None:
    notebook = book("a = 1", "b = 2", "c = 3\nprint(c)", "d = 4")
    fields = body(notebook, Place("a.ipynb", 2, 6, "new-line", "print(c)"))
    assert [cell["execution_count"] for cell in fields["cells"]] == [1, 2, None, None]
    assert [cell["source"] for cell in fields["cells"]] == ["a = 1", "b = 2", "c = 3\n", "d = 4"]
    fields = body(notebook, Place("a.ipynb", 2, 2, "line-end", "= 3"), as_written=True)
    assert [cell["source"] for cell in fields["cells"]] == ["a = 1", "b = 2", "c ", ""]


@pytest.mark.parametrize(
    ("line", "hidden"),
    [("print(a|bc)", "bc"), ("f(g(x|y), z)", "y"), ("f(g(x), z|z) + 1", "z"), ("f(')', x|yz)", "yz")],
)
def test_in_a_bracket_the_rest_of_its_inside_is_hidden(line: str, hidden: str) -> None:
    start = line.index("|")
    line = line.replace("|", "")
    assert line[start : places._middle(line, start, random.Random(0))] == hidden


def test_out_of_order_a_cell_that_ran_stands_at_the_end() -> None:
    notebook = book("a = 1", "", "b = 2", "print(a)")
    fields = body(notebook, Place("a.ipynb", 3, 6, "mid-line", "a"), out_of_order=True)
    active, last = fields["cells"][fields["active"]], fields["cells"][-1]
    assert active["source"] == "print()"
    assert (last["source"], last["execution_count"]) in [("a = 1", 1), ("b = 2", 2)]
    assert len(fields["cells"]) == 4


def test_outputs_are_texts_and_errors(tmp_path: Path) -> None:
    outputs = [
        nbformat.v4.new_output("stream", text="said\n"),
        nbformat.v4.new_output("execute_result", {"text/plain": "1", "text/html": "<b>1</b>"}),
        nbformat.v4.new_output("display_data", {"image/png": "AAAA"}),
        nbformat.v4.new_output("error", ename="NameError", evalue="name 'x' is not defined", traceback=[]),
    ]
    cells = [nbformat.v4.new_code_cell("x", outputs=outputs), nbformat.v4.new_code_cell("y = 1\nprint(y)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    notebook = read_folder(tmp_path)["a.ipynb"]
    above, active = body(notebook, Place("a.ipynb", 1, 6, "new-line", "print(y)"))["cells"]
    assert active["outputs"] == []
    assert above["outputs"] == [
        {"type": "text", "text": "said\n"},
        {"type": "text", "text": "1"},
        {"type": "error", "name": "NameError", "value": "name 'x' is not defined"},
    ]


def test_a_seed_chooses_one_way_and_kinds_are_about_even(folder: Path) -> None:
    books = read_folder(folder)
    assert list(books) == ["deep/one.ipynb", "two.ipynb"]
    assert choose(books, 8, 3) == choose(books, 8, 3)
    assert choose(books, 8, 3) != choose(books, 8, 4)
    many = [place.kind for seed in range(20) for place in choose(books, 6, seed)]
    assert all(many.count(kind) > len(many) / 5 for kind in places.KINDS)


def test_notebooks_of_other_languages_and_broken_ones_are_left_out(folder: Path) -> None:
    (folder / "broken.ipynb").write_text("{}")
    r_book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x <- 1")], metadata={"language_info": {"name": "R"}}
    )
    nbformat.write(r_book, folder / "r.ipynb")
    assert list(read_folder(folder)) == ["deep/one.ipynb", "two.ipynb"]
