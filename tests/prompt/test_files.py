"""Data files beside a notebook: told to the model, and what a path in the code is held to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.facts import files_line
from santajupyter.prompt.files import MAX_FILES, data_files
from santajupyter.protocol import Cell


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in (
        "work/book.ipynb",
        "work/ages.csv",
        "work/tools.py",
        "work/.secret.csv",
        "work/data/rows.csv",
        "work/data/deep/far.csv",
        "work/data/deep/er/than.csv",
        "work/.hidden/a.csv",
        "above.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "outside.csv").touch()
    (root / "work/linked.csv").symlink_to(tmp_path / "outside.csv")
    (root / "work/away").symlink_to(tmp_path)
    return root


def read(root: Path, code: str, path: str = "work/book.ipynb", before: Sequence[str] = ()) -> list[str]:
    return data_files(root, path, excerpt([*map(Cell, before), Cell(code)], len(before), len(code)))


@pytest.mark.parametrize("code", ["open(", "x = pd.read_csv('", "np.load(a)\n"])
def test_files_beside_the_notebook_and_two_levels_down(root: Path, code: str) -> None:
    assert read(root, code) == ["ages.csv", "data/deep/far.csv", "data/rows.csv"]


@pytest.mark.parametrize("code", ["", "reopen(", "opened", "load_dataset('x')"])
def test_code_that_reads_no_file_has_none(root: Path, code: str) -> None:
    assert read(root, code) == []


@pytest.mark.parametrize(
    "move", ["%cd data", "cd data", "cd", "x = 1\n%pushd data", "import os\nos.chdir('data')", "chdir(x)"]
)
def test_where_the_kernel_went_elsewhere_nothing_is_known(root: Path, move: str) -> None:
    assert read(root, "open(", before=[move]) == read(root, f"{move}\nopen(") == []


@pytest.mark.parametrize("code", ["cd = 3", "cd (1)", "cd.x", "df.cd", "abcd 1", "!cd data", "# %cd data"])
def test_what_only_looks_like_that(root: Path, code: str) -> None:
    assert read(root, "open(", before=[code])


def test_the_folder_that_was_begun_with(root: Path) -> None:
    assert "data/deep/far.csv" in read(root, "open('data/deep/f")
    assert "../above.csv" in read(root, 'open("../')
    assert "./ages.csv" in read(root, 'open("./a')


@pytest.mark.parametrize("begun", ["../../", "/etc/", "away/", ".hidden/", "nowhere/", "ages.csv/", "\0/"])
def test_nothing_outside_the_root_or_hidden(root: Path, begun: str) -> None:
    found = read(root, f"open('{begun}")
    assert not [path for path in found if path.startswith(begun)]


def test_a_folder_of_very_many(root: Path) -> None:
    for number in range(2 * MAX_FILES):
        (root / "work" / f"{number}.csv").touch()
    assert len(read(root, "open(")) == MAX_FILES
    assert len(files_line(read(root, "open("))[0]) <= 210


@pytest.mark.parametrize("path", ["gone/book.ipynb", "../outside.ipynb", "\0.ipynb", "work/.hidden/b.ipynb"])
def test_a_notebook_that_is_nowhere_has_none(root: Path, path: str) -> None:
    assert read(root, "open(", path) == []


def test_the_line() -> None:
    assert files_line(["ages.csv", "data/rows.csv"]) == ("files (ages.csv, data/rows.csv)",)
    assert files_line([]) == ()


async def test_the_model_reads_of_them_and_keeps_to_them(
    jp_root_dir: Path, jp_fetch: Any, body: Callable[..., dict[str, Any]]
) -> None:
    """The tiny model's words are random, but for a path to go on with."""
    (jp_root_dir / "ages.csv").touch()
    code = 'open("a'
    fields = {"path": "a.ipynb", "max_new_tokens": 20, "trigger": "invoke", "mode": "line"}
    told = await jp_fetch("santajupyter", "explain", method="POST", body=json.dumps(body(code, **fields)))
    assert "# files (ages.csv)" in "".join(piece["text"] for piece in json.loads(told.body)["pieces"])
    answer = await jp_fetch("santajupyter", "complete", method="POST", body=json.dumps(body(code, **fields)))
    text = json.loads(answer.body)["items"][0]["text"]
    assert text.startswith("ges.csv")
