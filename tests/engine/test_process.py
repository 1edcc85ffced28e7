"""The worker process: started, asked, killed, hung, started again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from santajupyter.engine import Call, EngineProcess, EngineUnavailable
from santajupyter.engine import process as process_module
from santajupyter.prompt.document import Document
from santajupyter.protocol import Sampling

LONG = Sampling(max_new_tokens=120)
HERE = Document("import numpy as np\n", "")
Start = Callable[[Path], Awaitable[EngineProcess]]


@pytest.fixture
def start(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Start]:
    engines: list[EngineProcess] = []

    async def begin(folder: Path) -> EngineProcess:
        options = {"model": "tiny", "folder": str(folder), "revision": "", "family": "", "device": "cpu"}
        fixed = {"dtype": "auto", "prompt_order": "auto", "cache_bytes": 2**20, "prompt_lookup": 4}
        fixed["own_words"] = None
        engine = EngineProcess({**options, **fixed}, lambda: None, logging.getLogger("test"))
        engines.append(engine)
        engine.start()
        await until(lambda: engine.status.state in ("ready", "error"))
        return engine

    yield begin
    for engine in engines:
        jp_asyncio_loop.run_until_complete(engine.stop())


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def text_of(engine: EngineProcess, document: Document = HERE) -> str:
    async with engine.complete(document, Sampling(max_new_tokens=5)) as call:
        events = [event async for event in call]
    return str(events[-1]["items"][0]["text"])


async def test_state_says_what_runs(start: Start, tiny: Path) -> None:
    status = (await start(tiny)).status
    assert (status.state, status.family, status.device, status.dtype, status.window) == (
        "ready",
        "santacoder",
        "cpu",
        "float32",
        256,
    )


async def test_deltas_add_up_to_the_text(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    events = []
    async with engine.complete(HERE, LONG) as call:
        async for event in call:
            events.append(event)
    deltas = [event["text"] for event in events if event["event"] == "delta"]
    assert len(deltas) > 10
    assert "".join(deltas) == events[-1]["items"][0]["text"]


async def test_a_request_that_is_left_frees_the_engine(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    async with engine.complete(HERE, LONG) as call:
        async for event in call:
            if event["event"] == "delta":
                break
    await until(lambda: not engine.busy, 5)
    assert await text_of(engine)


async def test_a_killed_worker_is_reported_and_replaced(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    expected, pid = await text_of(engine), engine.pid
    assert pid
    with pytest.raises(EngineUnavailable, match="being restarted"):
        async with engine.complete(HERE, LONG) as call:
            os.kill(pid, signal.SIGTERM)
            async for _ in call:
                pass
    await until(lambda: engine.pid not in (None, pid) and engine.status.state == "ready")
    assert await text_of(engine) == expected


async def test_restarts_back_off_and_end(start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "FIRST_DELAY", 0.01)
    engine = await start(tiny)
    pids = set()
    while engine.status.state != "error":
        if engine.pid and engine.pid not in pids:
            pids.add(engine.pid)
            os.kill(engine.pid, signal.SIGTERM)
        await asyncio.sleep(0.005)
    assert len(pids) == process_module.MAX_RESTARTS + 1
    assert "6 times in a row" in str(engine.status.error)
    engine.start()
    await until(lambda: engine.status.state == "ready")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
async def test_a_hung_worker_holds_nobody_up(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipe full, writing to it from the server's loop would have stopped the server."""
    monkeypatch.setattr(process_module, "STOP_TIMEOUT", 0.5)
    engine = await start(tiny)
    assert engine.pid
    os.kill(engine.pid, signal.SIGSTOP)
    begun = time.monotonic()
    for _ in range(20):
        engine.complete(Document("x" * 100_000, ""), LONG)
    assert time.monotonic() - begun < 1
    await engine.stop()
    assert engine.pid is None


async def test_stop_gives_all_memory_back(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    pid = engine.pid
    await engine.stop()
    assert engine.status.state == "unloaded"
    with pytest.raises(OSError):  # ProcessLookupError, on Windows another
        os.kill(pid or 0, 0)


async def test_what_cannot_be_loaded_is_said(start: Start, tmp_path: Path) -> None:
    status = (await start(tmp_path)).status
    assert (status.state, status.error) == ("error", f"the folder {tmp_path} has no config.json")


async def test_the_worker_imports_nothing_from_the_servers_folder(
    start: Start, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's neighbour named torch.py was imported instead of torch."""
    (tmp_path / "torch.py").write_text("raise SystemExit('wrong torch')")
    monkeypatch.chdir(tmp_path)
    assert (await start(tiny)).status.state == "ready"


def test_the_worker_ends_with_its_parent(tiny: Path) -> None:
    """Killed outright, the server must leave no process with a model behind."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "santajupyter.engine.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert worker.stdin
    worker.stdin.close()
    assert worker.wait(30) == 0


def test_a_failed_worker_leaves_cleanly(tmp_path: Path) -> None:
    """Python's own exit died in "Fatal Python error: _enter_buffered_busy" while a thread read stdin."""
    load = {"op": "load", "folder": str(tmp_path), "revision": ""}
    with subprocess.Popen(
        [sys.executable, "-m", "santajupyter.engine.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(json.dumps(load).encode() + b"\n")
        worker.stdin.flush()
        states = [json.loads(line)["state"] for line in worker.stdout]
        assert (states, worker.wait(30)) == (["loading", "error"], 0)


def test_importing_the_package_imports_no_torch() -> None:
    modules = "santajupyter, santajupyter.server.extension, santajupyter.kernel.magics"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize("long_one_asked_for", [True, False])
async def test_nobody_waits_for_a_long_generations_end(
    start: Start, tiny: Path, long_one_asked_for: bool
) -> None:
    """Ghost text was as late as the magic's generation before it was long."""
    engine, over = await start(tiny), []

    async def ask(new: int, unasked: bool) -> None:
        async with engine.complete(HERE, Sampling(max_new_tokens=new), unasked) as call:
            async for _ in call:
                pass
        over.append(new)

    await asyncio.gather(ask(120, not long_one_asked_for), ask(5, long_one_asked_for))
    assert over == [5, 120]


async def test_reading_ahead_gives_way(start: Start, tiny: Path) -> None:
    """After a step of reading ahead what was asked for had no turn, and the worker ended."""
    engine, over = await start(tiny), []

    async def follow(name: str, call: Call) -> None:
        async with call:
            async for _ in call:
                pass
        over.append(name)

    warms = [engine.warm(Document(f"x = {i}\n" * 60, ""), LONG) for i in range(6)]
    calls = [*(follow("warm", call) for call in warms), follow("completion", engine.complete(HERE, LONG))]
    await asyncio.gather(*calls)
    assert over.index("completion") < 4
    assert over.count("warm") == 6
