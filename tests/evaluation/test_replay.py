"""Requests with a piece taken away, the tables, and real runs: the built-in model, a kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from santajupyter.evaluation import kernel
from santajupyter.evaluation.places import Notebook, Place, body, choose, read_folder
from santajupyter.evaluation.replay import CONFIGURATIONS, Configuration, Result, replay, usable
from santajupyter.evaluation.report import tables
from santajupyter.prompt import postprocess
from santajupyter.protocol import completion_request
from santajupyter.server.settings import BUILT_IN, Settings

from ..notebooks import book, write, write_two


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_two(tmp_path / "notebooks")


def test_configurations_take_away_what_their_names_say() -> None:
    notebook = book("a = 1", "print(a)", "b = 2")
    request = completion_request(body(notebook, Place("a.ipynb", 1, 6, "mid-line", "a")))
    changed = {each.name: each.change(request) for each in CONFIGURATIONS}
    assert changed["full"] == changed["no-rules"] == request
    assert [cell.source for cell in changed["cell-only"].cells] == ["print()"]
    assert [cell.source for cell in changed["no-suffix"].cells] == ["a = 1", "print()"]
    assert {cell.execution_count for cell in changed["no-order"].cells} == {None}
    assert all(each.cells[each.active].source == "print()" and each.offset == 6 for each in changed.values())


def test_configurations_that_change_nothing_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    request = completion_request(body(book("print(a)"), Place("a.ipynb", 0, 6, "mid-line", "a")))
    unknown = Configuration("unknown", settings={"no_such_trait": False})
    names = [each.name for each in usable([*CONFIGURATIONS, unknown], [request])]
    assert {"full", "no-rules"} <= set(names)
    assert not {"no-suffix", "no-order", "unknown"} & set(names)
    said = capsys.readouterr().err
    assert "unknown: left out, SantaApp has no no_such_trait" in said
    assert "no-suffix: left out" in said


async def test_the_built_in_model_is_replayed(folder: Path) -> None:
    books = read_folder(folder)
    requests = {
        place: completion_request({**body(books[place.notebook], place), "trigger": "invoke"})
        for place in choose(books, 6, 1)
    }
    settings = Settings(BUILT_IN, fallback_model="")
    wanted = [each for each in CONFIGURATIONS if each.name in ("full", "cell-only", "no-rules")]
    rules = postprocess.RULES
    found = [result async for result in replay(settings, wanted, requests)]
    assert postprocess.RULES is rules
    assert [(r.place, r.configuration) for r in found] == [(p, c.name) for p in requests for c in wanted]
    by_name = {name: [r for r in found if r.configuration == name] for name in ("full", "cell-only")}
    assert all(
        whole.prompt_tokens >= alone.prompt_tokens for whole, alone in zip(*by_name.values(), strict=True)
    )
    assert any(result.text for result in found)
    assert "\n" not in "".join(result.text for result in found)


def test_tables_hold_each_configuration_and_the_differences() -> None:
    here = [Place("a.ipynb", 0, i, "line-end", "head(10)") for i in range(4)]
    right = [Result(place, "full", "head(10)", 10.0 + i) for i, place in enumerate(here)]
    wrong = [replace(result, configuration="cell-only", text="") for result in right]
    text = tables([*right, *wrong])
    assert "| full | 4 | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] | 87.5 [87.5, 87.5] |" in text
    assert "| cell-only | 4 | 4 | +100.0 [+100.0, +100.0] |" in text
    assert "| cell-only | line-end | 4 | 0.0 [0.0, 0.0] |" in text


def test_the_command_writes_results_that_can_be_read_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    command = [
        sys.executable,
        "-m",
        "santajupyter.evaluation",
        "replay",
        "--folder",
        str(folder),
        "--places",
        "3",
    ]
    run = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("| configuration | places |")
    results = [Result.from_json(json.loads(line)) for line in out.read_text("utf-8").splitlines()]
    assert [result.place for result in results] == choose(read_folder(folder), 3, 0)


@pytest.fixture
def one(tmp_path: Path) -> Callable[..., Notebook]:
    """A notebook in a folder."""

    def make(*sources: str) -> Notebook:
        write(tmp_path / "deep", "one.ipynb", list(sources))
        return read_folder(tmp_path)["deep/one.ipynb"]

    return make


def at(notebook: Notebook, *cells: int) -> dict[Place, dict[str, Any]]:
    """A body of POST complete for the end of each cell."""
    ends = [Place(notebook.name, cell, len(notebook.cells[cell]["source"]), "line-end", "") for cell in cells]
    return {place: body(notebook, place) for place in ends}


async def test_a_kernel_tells_what_it_knows_at_each_cell(
    one: Callable[..., Notebook], capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = one(
        "import os\na = 1\nunused = 2",
        "here = os.path.basename(os.getcwd())\nprint(here * 99)",
        "a",
        "1 / 0",
        "a",
    )
    bodies = at(notebook, 1, 2, 3, 5)
    found = await kernel.facts(notebook, bodies)
    known = {
        place.cell: [(v["name"], v["type"]) for v in fields["variables"]] for place, fields in found.items()
    }
    before = {("a", "int"), ("os", "module"), ("unused", "int")}
    assert {cell: set(names) for cell, names in known.items()} == {
        1: set(),
        2: before,
        3: {*before, ("here", "str")},
    }
    assert "cell 4: ZeroDivisionError: division by zero; no facts" in capsys.readouterr().err


async def test_a_kernel_runs_where_the_notebook_is(one: Callable[..., Notebook]) -> None:
    notebook = one("import os\nif os.path.basename(os.getcwd()) == 'deep': deep = 1", "deep")
    (fields,) = (await kernel.facts(notebook, at(notebook, 2))).values()
    assert {variable["name"] for variable in fields["variables"]} == {"deep", "os"}
    assert "real" in fields["classes"]["builtins.int"]


def test_it_is_asked_as_the_frontend_asks() -> None:
    told = (Path(__file__).parents[2] / "src" / "document" / "kernelfacts.ts").read_text("utf-8")
    numbers = dict(re.findall(r"^const (ABOVE|BELOW|MAX_USED_NAMES) = (\d+);", told, re.MULTILINE))
    assert {name: str(getattr(kernel, name)) for name in ("ABOVE", "BELOW", "MAX_USED_NAMES")} == numbers


async def test_a_cell_that_hangs_is_given_up(
    one: Callable[..., Notebook], capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = one("a = 1", "import time\ntime.sleep(a * 1e6)", "a")
    found = await kernel.facts(notebook, at(notebook, 2, 3), cell_timeout=5)
    assert [place.cell for place in found] == [2]
    assert "one.ipynb, cell 2:" in capsys.readouterr().err
