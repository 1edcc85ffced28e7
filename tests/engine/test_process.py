"""The worker process: started, asked, killed, hung, started again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from santajupyter.engine import process as process_module
from santajupyter.engine import wire
from santajupyter.engine import worker as worker_module
from santajupyter.engine.process import Call, EngineProcess, EngineUnavailable, RequestFailed
from santajupyter.prompt.document import Document
from santajupyter.protocol import Sampling

from ..checkpoint import make_like_llama

LONG = Sampling(max_new_tokens=120)
HERE = Document("import numpy as np\n", "")
OVER = EngineUnavailable("over", "unloaded", 0)
Start = Callable[..., Awaitable["Started"]]


class Started(EngineProcess):
    """Remembers what it said of its state, and how it ended."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.said: list[wire.Loading | wire.Ready | wire.Broken] = []
        self.ended: list[str] = []
        load = {"device": "cpu", "cache_bytes": 2**20, "prompt_lookup": 4, **changes}
        super().__init__(
            wire.Load("tiny", str(folder), **load),
            lambda _, event: self.said.append(event),
            lambda _, how: self.ended.append(how),
            logging.getLogger("test"),
        )

    @property
    def is_ready(self) -> bool:
        return any(isinstance(event, wire.Ready) for event in self.said)


@pytest.fixture
def start(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Start]:
    begun: list[Started] = []

    async def begin(folder: Path, **changes: Any) -> Started:
        process = Started(folder, **changes)
        begun.append(process)
        await until(lambda: process.is_ready or bool(process.ended))
        return process

    yield begin
    for process in begun:
        jp_asyncio_loop.run_until_complete(process.stop(OVER))


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def done_of(call: Call) -> wire.Done:
    async with call:
        *_, last = [event async for event in call]
    assert isinstance(last, wire.Done)
    return last


async def text_of(process: EngineProcess, document: Document = HERE) -> str:
    return (await done_of(process.complete(document, Sampling(max_new_tokens=5)))).items[0].text


async def test_state_says_what_runs(start: Start, tiny: Path) -> None:
    assert (await start(tiny)).said[-1] == wire.Ready("santacoder", "cpu", "float32", 256)


@pytest.mark.parametrize("gives_way", [False, True])
async def test_a_running_cell_goes_first(start: Start, tiny: Path, gives_way: bool) -> None:
    engine = await start(tiny, gives_way=gives_way)
    own, its = psutil.Process().nice(), psutil.Process(engine.pid).nice()
    if sys.platform == "win32":
        assert its == (psutil.BELOW_NORMAL_PRIORITY_CLASS if gives_way else own)
        return
    assert its == (worker_module.NICENESS if gives_way else own)
    group = Path(f"/proc/{engine.pid}/autogroup")
    with contextlib.suppress(OSError):  # not Linux, or one without
        assert group.read_text().endswith(f"nice {its}\n")


async def test_deltas_add_up_to_the_text(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    async with engine.complete(HERE, LONG) as call:
        events = [event async for event in call]
    deltas = [event.text for event in events if isinstance(event, wire.Delta)]
    assert len(deltas) > 10
    assert isinstance(events[-1], wire.Done)
    assert "".join(deltas) == events[-1].items[0].text


async def test_a_request_that_is_left_frees_the_engine(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    async with engine.complete(HERE, LONG) as call:
        async for event in call:
            if isinstance(event, wire.Delta):
                break
    await until(lambda: not engine.busy, 5)
    assert await text_of(engine)


async def test_a_killed_process_says_so_to_whom_it_was_working_for(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    with pytest.raises(EngineUnavailable, match="being restarted"):
        async with engine.complete(HERE, LONG) as call:
            os.kill(engine.pid, signal.SIGTERM)
            async for _ in call:
                pass
    await until(lambda: bool(engine.ended))
    assert not engine.busy
    with pytest.raises(EngineUnavailable):  # at once, whenever it is asked
        await text_of(engine)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
async def test_a_hung_process_holds_nobody_up(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipe full, writing to it from the server's loop would have stopped the server.

    What is asked meanwhile and not wanted any more is kept nowhere: 100 requests of 3 MB were 350 MB.
    """
    monkeypatch.setattr(process_module, "STOP_TIMEOUT", 0.5)
    engine = await start(tiny)
    os.kill(engine.pid, signal.SIGSTOP)
    for _ in range(20):
        async with engine.complete(Document("x" * 100_000, ""), LONG):
            pass
    assert len(engine._unsent) == 0
    assert len(engine._calls) <= 1  # what is in the pipe already
    await engine.stop(OVER)
    assert engine.ended


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
async def test_a_process_that_does_not_answer_is_ended(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "SILENT_LIMIT", 3)
    engine = await start(tiny)
    os.kill(engine.pid, signal.SIGSTOP)
    with pytest.raises(EngineUnavailable, match="didn't answer any more"):
        await text_of(engine)
    await until(lambda: bool(engine.ended))


async def test_a_process_whose_step_never_ends_is_ended(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STEP_LIMIT", 2)
    monkeypatch.setattr(process_module, "WORKER", "tests.server.tiny_worker")
    monkeypatch.setenv("TINY_STEP", "1000")
    with pytest.raises(EngineUnavailable, match="didn't answer any more"):
        await text_of(await start(tiny))


async def test_stop_gives_all_memory_back(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    await engine.stop(OVER)
    with pytest.raises(OSError):  # ProcessLookupError, on Windows another
        os.kill(engine.pid, 0)


async def test_what_cannot_be_loaded_is_said(start: Start, tmp_path: Path) -> None:
    engine = await start(tmp_path)
    assert engine.said[-1] == wire.Broken(f"the folder {tmp_path} has no config.json")


async def test_a_name_that_cannot_be_sent_is_said(start: Start, tmp_path: Path) -> None:
    """The process waited for something to load, and the state was "loading" for minutes."""
    engine = await start(tmp_path / "\udcff")
    assert isinstance(engine.said[-1], wire.Broken)
    assert engine.ended


async def test_lines_that_are_none_of_its_own_are_passed_over(
    start: Start, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A printing ``sitecustomize`` ended the thread that reads, and the model loaded for ever."""
    (tmp_path / "sitecustomize.py").write_text(
        """import sys; print("hello"); print({"event": 1}, [1]); print('{"event": "done"}', end="")"""
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    engine = await start(tiny)
    assert engine.is_ready
    assert await text_of(engine)


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups")
async def test_it_is_in_no_process_group_of_ours(start: Start, tiny: Path) -> None:
    """Ctrl-C at the server, and the interrupt of a kernel, ended the model."""
    engine = await start(tiny)
    assert os.getpgid(engine.pid) != os.getpgid(0)
    os.kill(engine.pid, signal.SIGINT)
    assert await text_of(engine)


async def test_a_request_cancelled_before_its_turn_costs_nothing(start: Start, tiny: Path) -> None:
    engine = await start(tiny)
    async with engine.complete(HERE, LONG) as first:
        calls = [engine.complete(Document("x = 1\n" * 200, ""), LONG) for _ in range(5)]
        for call in calls:
            await call.__aexit__()
        *_, last = [event async for event in first]
    await until(lambda: not engine.busy)
    assert isinstance(last, wire.Done)
    assert not any(call.started for call in calls)


async def test_a_process_whose_requests_all_fail_ends(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stays wrong until then."""
    monkeypatch.setattr(process_module, "WORKER", "tests.server.tiny_worker")
    monkeypatch.setenv("TINY_ERROR", "no luck today")
    engine = await start(tiny)
    for _ in range(3):
        assert not engine.ended
        with pytest.raises(RequestFailed, match="no luck today"):
            await text_of(engine)
    await until(lambda: bool(engine.ended))


async def test_a_process_that_lost_its_device_ends_at_once(
    start: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an illegal memory access every later request failed, and the process lived on."""
    monkeypatch.setattr(process_module, "WORKER", "tests.server.tiny_worker")
    monkeypatch.setenv("TINY_ERROR", "CUDA error: an illegal memory access was encountered")
    engine = await start(tiny)
    with pytest.raises(RequestFailed, match="illegal memory access"):
        await text_of(engine)
    await until(lambda: bool(engine.ended))


async def test_a_model_of_no_known_family_is_ready_too(start: Start, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    text = (folder / "tokenizer.json").read_text("utf-8").replace("fim-", "mif-")
    (folder / "tokenizer.json").write_text(text, "utf-8")
    engine = await start(folder)
    assert isinstance(engine.said[-1], wire.Ready) and engine.said[-1].family == ""
    assert await text_of(engine)


async def test_the_worker_imports_nothing_from_the_servers_folder(
    start: Start, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook's neighbour named torch.py was imported instead of torch."""
    (tmp_path / "torch.py").write_text("raise SystemExit('wrong torch')")
    monkeypatch.chdir(tmp_path)
    assert (await start(tiny)).is_ready


def worker() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "santajupyter.engine.worker"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("last", [b"", b'{"op": "load", "folder', b"nonsense\n", b"\xff" * 100_000])
def test_it_ends_when_its_stdin_does(last: bytes) -> None:
    """Killed outright, the server must leave no process with a model behind, in mid-line neither."""
    with worker() as process:
        out, _ = process.communicate(last, timeout=60)
        assert (out, process.returncode) == (b"", 0)


def test_a_failed_worker_leaves_cleanly(tmp_path: Path) -> None:
    """Python's own exit died in "Fatal Python error: _enter_buffered_busy" while a thread read stdin."""
    with worker() as process:
        assert process.stdin and process.stdout
        wire.send(process.stdin.fileno(), wire.Load("tiny", str(tmp_path)))
        events = [e for e in wire.events(process.stdout.fileno()) if not isinstance(e, wire.Beat)]
        assert [type(event) for event in events] == [wire.Loading, wire.Broken]
        assert process.wait(60) == 0


def test_what_is_said_of_a_checkpoint_is_printable(tmp_path: Path) -> None:
    """A library's traceback had a file's escapes in it."""
    says = "import sys; from santajupyter.engine import pipes; pipes.Out(); print('a\\x1b[2J\\n'); "
    code = says + "print('b\\x9b', file=sys.stderr); 1 / len(sys.argv[1:], '\\x1b')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stdout == b""
    assert b"\x1b" not in done.stderr and done.stderr.decode().startswith("a\ufffd[2J\n\nb\ufffd\n")


def test_what_is_cancelled_gives_back_what_it_used_at_once(tiny: Path) -> None:
    """The garbage collector did it, in the midst of the next request, which failed then."""
    out = SimpleNamespace(send=lambda event: None)
    engine = worker_module._Engine(wire.Load("tiny", str(tiny), device="cpu", cache_bytes=2**20), out)  # type: ignore[arg-type]
    gc.disable()
    try:
        engine.take(wire.Complete(1, HERE, Sampling(max_new_tokens=50)))
        while not (entries := engine._completer.prompts._entries):
            engine.step()
        assert [entry.in_use for entry in entries] == [True]
        engine.take(wire.Cancel(1))
        engine.step()
        assert not engine.busy
        assert not any(entry.in_use for entry in engine._completer.prompts._entries)
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of POSIX")
def test_a_worker_without_stderr(tmp_path: Path) -> None:
    """What is printed must not get in between the messages."""
    code = "import os; from santajupyter.engine import pipes; pipes.Out(); os.write(2, b'noise')"
    shell = ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code]
    assert subprocess.check_output(shell) == b""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_a_stopped_worker_ends_with_its_parent(tiny: Path) -> None:
    """It can't see its stdin end."""
    code = (
        "import subprocess, sys; "
        "worker = subprocess.Popen([sys.executable, '-m', 'santajupyter.engine.worker'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE);"
        f'worker.stdin.write(b\'{{"op":"load","model":"m","folder":"{tiny}"}}\\n\');'
        "worker.stdin.flush(); worker.stdout.read(1); worker.send_signal(19);"
        "print(worker.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait(60)
        assert psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 60)[1] == []


def test_importing_the_package_imports_no_torch() -> None:
    modules = "santajupyter, santajupyter.server.extension, santajupyter.kernel.magics"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


async def test_while_somebody_types_what_is_below_is_not_read_again(start: Start, tmp_path: Path) -> None:
    """Where it comes last in the prompt. What he asks for himself is answered exactly."""
    folder = make_like_llama(tmp_path / "llama", "llama")
    below = "\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n" * 2
    engine, unread = await start(folder, prompt_order="psm"), []
    for typed, automatic in (("x = 1", False), ("x = 1 +", True), ("x = 1 + y", True), ("x = 1 + y", False)):
        done = await done_of(engine.complete(Document(typed, below), Sampling(max_new_tokens=1), automatic))
        unread.append(done.usage.prompt_tokens - done.usage.cached_tokens)
    read = await done_of(engine.warm(Document("x = 1 + y * 2", below), Sampling()))
    assert read.usage.prompt_tokens - read.usage.cached_tokens < 12, "so few have changed"
    first, *typed_on, asked = unread
    assert max(typed_on) < 12 < asked < first
    fresh = await start(folder, prompt_order="psm")
    assert await text_of(engine, Document("x = num", below)) == await text_of(
        fresh, Document("x = num", below)
    )


@pytest.mark.parametrize("long_one_asked_for", [True, False])
async def test_nobody_waits_for_a_long_generations_end(
    start: Start, tiny: Path, long_one_asked_for: bool
) -> None:
    """Ghost text was as late as the magic's generation before it was long."""
    engine, over = await start(tiny), []

    async def ask(new: int, automatic: bool) -> None:
        await done_of(engine.complete(HERE, Sampling(max_new_tokens=new), automatic))
        over.append(new)

    await asyncio.gather(ask(120, not long_one_asked_for), ask(5, long_one_asked_for))
    assert over == [5, 120]


async def test_reading_ahead_gives_way(start: Start, tiny: Path) -> None:
    """After a step of reading ahead what was asked for had no turn, and the worker ended."""
    engine, over = await start(tiny), []

    async def follow(name: str, call: Call) -> None:
        await done_of(call)
        over.append(name)

    warms = [engine.warm(Document(f"x = {i}\n" * 60, ""), LONG) for i in range(6)]
    calls = [*(follow("warm", call) for call in warms), follow("completion", engine.complete(HERE, LONG))]
    await asyncio.gather(*calls)
    assert over.index("completion") < 4
    assert over.count("warm") == 6


async def test_what_is_fetched_ahead_gives_way(start: Start, tiny: Path) -> None:
    engine, over = await start(tiny), []

    async def follow(name: str, call: Call) -> None:
        await done_of(call)
        over.append(name)

    ahead = engine.complete(HERE, LONG, True, prefetch=True)
    await asyncio.gather(
        follow("ahead", ahead),
        follow("automatic", engine.complete(HERE, LONG, True)),
        follow("invoked", engine.complete(HERE, LONG)),
    )
    assert over[-1] == "ahead"
