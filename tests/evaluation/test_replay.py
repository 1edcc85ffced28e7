"""Requests with a piece taken away, the tables, and real runs: the built-in model, a kernel."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from santajupyter.evaluation import kernel
from santajupyter.evaluation.engines import Configuration, text_around
from santajupyter.evaluation.harness import Sample
from santajupyter.evaluation.main import main
from santajupyter.evaluation.places import MAX_NEW_TOKENS, Notebook, Place, body, choose, read_folder
from santajupyter.evaluation.tasks.replay import CONFIGURATIONS, INFILL, tables, usable
from santajupyter.protocol import Cell, completion_request

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


def test_tables_hold_each_configuration_and_the_differences() -> None:
    here = [Place("a.ipynb", 0, i, "line-end", "head(10)") for i in range(4)]
    right = [Sample("", "full", 0, "head(10)", 10.0 + i, place=place) for i, place in enumerate(here)]
    wrong = [replace(sample, configuration="cell-only", completion="") for sample in right]
    text = tables([*right, *wrong])
    assert "| full | 4 | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] | 87.5 [87.5, 87.5] |" in text
    assert "| cell-only | 4 | 4 | +100.0 [+100.0, +100.0] |" in text
    assert "| cell-only | line-end | 4 | 0.0 [0.0, 0.0] |" in text


def test_the_built_in_model_is_replayed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], infill: str
) -> None:
    """By all kinds of engines: the server, one without rules, and llama.cpp."""
    out = tmp_path / "out"
    names = ["full", "cell-only", "no-rules"]
    asked = ["replay", "--folder", str(folder), "--places", "3", "--seed", "1", "--out", str(out)]
    main([*asked, "--configurations", *names, "--infill-url", infill])
    assert "| configuration | places |" in capsys.readouterr().out
    lines = (out / "samples.jsonl").read_text("utf-8").splitlines()
    found = [Sample.from_json(json.loads(line)) for line in lines]
    places = choose(read_folder(folder), 3, 1)
    by_name = {name: [s for s in found if s.configuration == name] for name in [*names, INFILL]}
    assert all([sample.place for sample in samples] == places for samples in by_name.values())
    for whole, alone in zip(by_name["full"], by_name["cell-only"], strict=True):
        assert whole.prompt_tokens >= alone.prompt_tokens
    # Rules only take away.
    for shown, raw in zip(by_name["full"], by_name["no-rules"], strict=True):
        assert shown.completion == "" or raw.completion.startswith(shown.completion)
    assert any(sample.completion for sample in found)
    assert "\n" not in "".join(sample.completion for sample in found)
    assert [sample.completion for sample in by_name[INFILL]] == ["text"] * 3
    report = (out / "report.md").read_text("utf-8")
    assert f"| {INFILL} | 3 |" in report and "| model | santa-mini |" in report


@pytest.fixture
def infill() -> Iterator[str]:
    """The address of a llama.cpp that always writes the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["stop"] == ["\n"] and asked["n_predict"] == MAX_NEW_TOKENS
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"content": "text\nmore", "tokens_evaluated": 9}).encode())

        def log_message(self, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_llama_cpp_gets_the_whole_notebook_as_text() -> None:
    notebook = book("a = 1", "print(a)", "b = 2")
    request = completion_request(body(notebook, Place("a.ipynb", 1, 6, "mid-line", "a")))
    cells = (Cell("# Title", "markdown"), *request.cells)
    left, right = text_around(replace(request, cells=cells, active=2))
    assert f"{left}a{right}" == "# # Title\n\na = 1\n\nprint(a)\n\nb = 2"


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
