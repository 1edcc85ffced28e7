"""Prompts are made off the server's loop, and a file system that hangs costs a client nothing twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from santajupyter.prompt import modules
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.protocol import Cell, CompletionRequest
from santajupyter.server import prompts
from santajupyter.server.prompts import MAX_READS, Prompts


def request(
    client: str = "a", path: str = "work/a.ipynb", source: str = "import data\nx"
) -> CompletionRequest:
    return CompletionRequest((Cell(source),), 0, len(source), path=path, client=client)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that are being read below ``hung/``, for ever."""
    back, reading = threading.Event(), list[str]()

    def signatures(root: Path, path: str, sources: list[str]) -> list[str]:
        if path.startswith("hung/"):
            reading.append(path)
            back.wait()
        return ["a.py: def f()"]

    monkeypatch.setattr(modules, "signatures", signatures)
    monkeypatch.setattr(prompts, "READ_WAIT", 0.3)
    yield reading
    back.set()


async def test_a_file_system_that_hangs_is_waited_for_once(
    hanging: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Prompts(tmp_path, True)
    keys = [asyncio.create_task(made.make(request(path="hung/a.ipynb"))) for _ in range(3)]
    await asyncio.gather(*keys)
    assert hanging == ["hung/a.ipynb"]
    # Neither the client nor the folder waits again, nor does anything pile up.
    for _ in range(50):
        for client, path in (("a", "hung/a.ipynb"), ("b", "hung/b.ipynb"), ("a", "other/c.ipynb")):
            assert (await made._project(request(client, path), excerpt([Cell("")], 0, 0))) == ((), ())
    assert hanging == ["hung/a.ipynb"]
    assert len([t for t in threading.enumerate() if t.name == "santajupyter-files"]) == 1
    # Others are served as ever.
    monkeypatch.setattr(prompts, "READ_WAIT", 60)
    text = (await made.make(request("b", "work/b.ipynb"))).document.prefix
    assert text.startswith("# a.py: def f()")
    made.close()


async def test_a_key_struck_while_it_hangs_begins_no_other_reading(
    hanging: list[str], tmp_path: Path
) -> None:
    """Requests that end before the wait is over find the reading that the first began."""
    made = Prompts(tmp_path, True)
    for _ in range(5):
        task = asyncio.create_task(made.make(request(path="hung/a.ipynb")))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(hanging) <= 1
    made.close()


@pytest.mark.parametrize(
    ("changes", "rests"),
    [
        ({}, ("f(3)",)),
        ({"trigger": "invoke"}, ("f(3)",)),
        # More than a line is wanted, or something else.
        ({"mode": "block"}, None),
        ({"n": 3, "temperature": 0.8}, None),
    ],
)
async def test_the_lines_around_tell_the_rest_of_a_line(
    changes: dict[str, Any], rests: tuple[str, ...] | None
) -> None:
    made = Prompts(None, True)
    asked = request(source="f = abs\ny1 = f(1)\ny2 = f(2)\ny3 = ")
    found = (await made.make(replace(asked, **changes))).choice
    assert (found and found.rests) == rests
    made.close()


@pytest.mark.parametrize(
    ("source", "changes", "is_told"),
    [
        ("f = abs\ny = [\n    f(1),\n    f(2),\n    f(3),\n    f", {}, True),
        # Who asks wants the list's end.
        ("f = abs\ny = [\n    f(1),\n    f(2),\n    f(3),\n    f", {"trigger": "invoke"}, False),
        # No code.
        ('"""\ny1 = f(1)\ny2 = f(2)\ny3 = ', {}, False),
        # Nobody has a name like that.
        ("y_a = abs(a)\ny_b = abs(b)\ny_c = ", {}, False),
    ],
)
async def test_but_not_what_is_broken_nor_more_than_one(
    source: str, changes: dict[str, Any], is_told: bool
) -> None:
    made = Prompts(None, True)
    asked = replace(request(source=source), **changes)
    assert ((await made.make(asked)).choice is not None) == is_told
    made.close()


async def test_threads_that_hang_are_few(hanging: list[str], tmp_path: Path) -> None:
    made = Prompts(tmp_path, True)
    asked = [made.make(request(f"client {n}", f"hung/{n}/a.ipynb")) for n in range(3 * MAX_READS)]
    await asyncio.gather(*asked)
    assert len(hanging) == MAX_READS
    made.close()


async def test_one_that_answers_again_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()
    monkeypatch.setattr(prompts, "READ_WAIT", 0.05)
    monkeypatch.setattr(modules, "signatures", lambda *_: (back.wait(), ["a.py: def f()"])[1])
    made = Prompts(tmp_path, True)
    assert (await made.make(request())).document.prefix == "import data\nx"
    back.set()
    while made._readings:
        await asyncio.sleep(0.01)
    monkeypatch.setattr(prompts, "READ_WAIT", 60)
    assert (await made.make(request())).document.prefix.startswith("# a.py: def f()")
    made.close()


async def test_the_loop_goes_on_while_prompts_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, back = threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        begun.set()
        back.wait()
        return document(*args)

    monkeypatch.setattr(prompts, "_document", lambda r, w, p: slow(w, r.language))
    made = Prompts(None, True)
    task = asyncio.create_task(made.make(request()))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    assert not task.done()
    back.set()
    assert (await task).document.prefix == "import data\nx"
    made.close()


async def test_of_a_client_only_the_newest_prompt_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, back = [], threading.Event()

    def slow(*args: Any) -> Any:
        counted.append(args)
        back.wait()
        return document(args[1], "python")

    monkeypatch.setattr(prompts, "_document", slow)
    made = Prompts(None, True)
    before: asyncio.Task[Any] | None = None
    for _ in range(20):  # as the service does with a client's requests
        if before:
            before.cancel()
        before = asyncio.create_task(made.make(request()))
        await asyncio.sleep(0.01)
        while not counted:
            await asyncio.sleep(0.01)
    back.set()
    assert before and (await before).document.prefix == "import data\nx"
    assert len(counted) == 2  # the first, which had begun, and the last
    made.close()


def test_the_process_ends_while_a_file_system_hangs(tmp_path: Path) -> None:
    script = f"""
import asyncio, threading
from pathlib import Path
from santajupyter.prompt import modules
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.protocol import Cell, CompletionRequest
from santajupyter.server.prompts import Prompts
modules.signatures = lambda *_: threading.Event().wait()
async def main():
    made = Prompts(Path({str(tmp_path)!r}), True)
    print((await made.make(CompletionRequest((Cell("x"),), 0, 1, path="a.ipynb"))).document.prefix)
    made.close()
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
