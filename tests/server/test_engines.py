"""The models' lives: started, asked, left, stopped, killed, hung, switched, in any order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from santajupyter.engine import process as process_module
from santajupyter.engine.process import EngineProcess, EngineUnavailable, RequestFailed
from santajupyter.protocol import Cell, CompletionRequest, Meanwhile
from santajupyter.server import engines as engines_module
from santajupyter.server.prompts import Prompts
from santajupyter.server.service import CompletionService, QueueFull, Superseded, TimedOut
from santajupyter.server.settings import Settings

# What a request may end with.
ENDS = (EngineUnavailable, QueueFull, RequestFailed, Superseded, TimedOut)
REQUEST_LIMIT = 10.0
# Above it on a busy machine.
PATIENCE = 60.0


class Processes:
    """All that were ever begun, by model."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, EngineProcess]] = []
        self.refused = 0

    def alive(self) -> list[tuple[str, int]]:
        return [(model, process.pid) for model, process in self.begun if is_alive(process.pid)]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Each with the tiny worker; the limits are short."""
    made = Processes()

    class Noted(EngineProcess):
        def __init__(self, load: Any, *args: Any) -> None:
            if made.refused:
                made.refused -= 1
                raise OSError("Resource temporarily unavailable")
            super().__init__(load, *args)
            made.begun.append((load.folder, self))

    monkeypatch.setattr(engines_module, "EngineProcess", Noted)
    for module, name, value in (
        (process_module, "WORKER", "tests.server.tiny_worker"),
        (process_module, "WATCH_INTERVAL", 0.1),
        (process_module, "SILENT_LIMIT", 30),
        (process_module, "STOP_TIMEOUT", 0.5),
        (engines_module, "FIRST_DELAY", 0.01),
        (engines_module, "RETRY_LOAD", 0.0),
        (engines_module, "LOAD_WAIT", 8.0),
    ):
        monkeypatch.setattr(module, name, value)
    yield made
    for _, pid in made.alive():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def two(tiny: Path, tmp_path: Path) -> tuple[str, str]:
    shutil.copytree(tiny, tmp_path / "other")
    return str(tiny), str(tmp_path / "other")


def a_request(
    client: str = "",
    tokens: int = 20,
    trigger: Literal["invoke", "automatic"] = "invoke",
    text: str = "import numpy as np\n" * 3,
) -> CompletionRequest:
    cell = Cell(text)
    return CompletionRequest(
        (cell,), 0, len(cell.source), trigger=trigger, client=client, max_new_tokens=tokens
    )


async def nothing(index: int, text: str) -> None:
    return None


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def service_of(model: str, fallback: str = "", **changes: Any) -> CompletionService:
    changed = {"request_timeout": REQUEST_LIMIT, "allowed_models": (model, fallback), **changes}
    return CompletionService(
        Settings(model=model, fallback_model=fallback, **changed), logging.getLogger("test")
    )


@contextlib.asynccontextmanager
async def serving(model: str, fallback: str = "", **changes: Any) -> Any:
    service = service_of(model, fallback, **changes)
    await service.engines.start()
    await until(lambda: service.engines.primary.status.state in ("ready", "error"))
    yield service
    await service.close()


class Lives(RuleBasedStateMachine):
    """At most one process a model; the state shown is the process's; every request ends within its limit;

    after the end no process.
    """

    models: tuple[str, str, str]
    processes: Processes

    def __init__(self) -> None:
        super().__init__()
        self.processes.begun.clear()
        self.loop = asyncio.new_event_loop()
        self.service = self.run(self._made())
        self.works: list[tuple[float, asyncio.Task[Any]]] = []

    async def _made(self) -> CompletionService:
        first, second, third = self.models
        return service_of(first, second, allowed_models=(first, second, third), max_queue=4)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        async def begun() -> None:
            self.works.append((time.monotonic(), asyncio.create_task(work)))

        self.run(begun())

    @rule(client=st.sampled_from(["", "a", "b"]), tokens=st.sampled_from([1, 40]), invoked=st.booleans())
    def complete(self, client: str, tokens: int, invoked: bool) -> None:
        request = a_request(client, tokens, "invoke" if invoked else "automatic")
        self.begin(self.service.complete(request, nothing))

    @rule()
    def warm(self) -> None:
        self.begin(self.service.warm(a_request("a")))

    @rule(which=st.integers(0, 5))
    def leave(self, which: int) -> None:
        """Whoever waits hangs up: of a completion, or in the middle of a load or an unload."""
        if self.works:
            self.works[which % len(self.works)][1].cancel()
            self.run(asyncio.sleep(0))

    @rule(which=st.integers(-1, 2))
    def load(self, which: int) -> None:
        self.begin(self.service.load(self.models[which] if which >= 0 else ""))

    @rule()
    def unload(self) -> None:
        self.begin(self.service.engines.unload())

    @rule(how=st.sampled_from([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM]), which=st.integers(0, 3))
    def hurt(self, how: signal.Signals, which: int) -> None:
        if alive := self.processes.alive():
            os.kill(alive[which % len(alive)][1], how)

    @rule()
    def refuse_the_next_process(self) -> None:
        self.processes.refused = 1

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.3]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @invariant()
    def at_most_one_process_a_model(self) -> None:
        models = [model for model, _ in self.processes.alive()]
        assert len(models) == len(set(models)), models

    @invariant()
    def the_state_is_the_processes(self) -> None:
        for engine in list(self.service.engines._by_path.values()):
            self.run(until(lambda engine=engine: self._is_true(engine)))  # type: ignore[misc]

    @staticmethod
    def _is_true(engine: engines_module.Engine) -> bool:
        """What happened to a process is known a moment later."""
        runs = engine.pid is not None and is_alive(engine.pid)
        if engine.status.state in ("ready", "downloading"):
            return runs
        return (engine.pid is None and engine._restart is not None) or runs == (
            engine.status.state == "loading"
        )

    @invariant()
    def every_request_ends_within_its_limit(self) -> None:
        for begun, work in self.works:
            late = time.monotonic() > begun + REQUEST_LIMIT + PATIENCE
            assert work.done() or not late

    def teardown(self) -> None:
        self.run(self._ends())
        self.loop.close()
        assert not self.processes.alive()

    async def _ends(self) -> None:
        works = [work for _, work in self.works]
        if works:
            _, left = await asyncio.wait(works, timeout=REQUEST_LIMIT + PATIENCE)
            assert not left
        for work in works:
            with contextlib.suppress(asyncio.CancelledError, *ENDS):
                work.result()
        await self.service.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
@pytest.mark.timeout(600)
def test_lives(processes: Processes, two: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    Lives.models = (*two, str(tmp_path / "broken"))
    Lives.processes = processes
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=8,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


async def test_a_killed_process_is_replaced(processes: Processes, tiny: Path) -> None:
    async with serving(str(tiny)) as service:
        expected, pid = (await service.complete(a_request(), nothing)).text, service.engines.primary.pid
        os.kill(pid, signal.SIGTERM)
        await until(lambda: service.engines.primary.pid not in (None, pid))
        assert (await service.complete(a_request(), nothing)).text == expected


async def test_restarts_end(processes: Processes, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines_module, "RETRY_LOAD", 600.0)
    async with serving(str(tiny)) as service:
        engine, hurt = service.engines.primary, set()
        while engine.status.state != "error":
            if engine.pid and engine.pid not in hurt:
                hurt.add(engine.pid)
                os.kill(engine.pid, signal.SIGTERM)
            await asyncio.sleep(0.005)
        assert len(hurt) == engines_module.MAX_RESTARTS + 1
        assert "6 times in a row" in str(engine.status.error)
        with pytest.raises(EngineUnavailable, match="6 times in a row"):
            await service.complete(a_request(), nothing)
        await service.load()
        await until(lambda: engine.status.state == "ready")


async def test_a_process_that_cannot_be_started_is_tried_again(processes: Processes, tiny: Path) -> None:
    processes.refused = 2
    async with serving(str(tiny)) as service:
        assert (await service.complete(a_request(), nothing)).items


@pytest.mark.parametrize("works", [("load", "load"), ("load", "complete"), ("complete", "load", "load")])
async def test_what_comes_at_once_leaves_one_process(
    processes: Processes, two: tuple[str, str], works: tuple[str, ...]
) -> None:
    """Two loads, or a load and a completion, left a process that nobody owned."""
    first, second = two
    async with serving(first, allowed_models=two) as service:
        begin = {
            "load": lambda: service.load(second),
            "complete": lambda: service.complete(a_request(), nothing),
        }
        await asyncio.gather(*(begin[work]() for work in works))
        assert [model for model, _ in processes.alive()] == [second]
        assert (await service.complete(a_request(), nothing)).model == second
    assert processes.alive() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
async def test_a_slow_death_says_nothing_of_the_next_process(processes: Processes, tiny: Path) -> None:
    """The state was "unloaded" while the new process was ready, and every request waited in vain."""
    async with serving(str(tiny)) as service:
        os.kill(service.engines.primary.pid, signal.SIGSTOP)
        unload = asyncio.create_task(service.engines.unload())
        await asyncio.sleep(0)
        assert (await service.complete(a_request(), nothing)).items
        await unload
        assert service.status()["state"] == "ready"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
async def test_an_unload_goes_on_when_nobody_waits_for_it(processes: Processes, tiny: Path) -> None:
    """The state stayed "ready" without a process, and what was asked before never ended."""
    async with serving(str(tiny)) as service:
        os.kill(service.engines.primary.pid, signal.SIGSTOP)
        asked = asyncio.create_task(service.complete(a_request(), nothing))
        await until(lambda: service.engines.primary.busy)
        unload = asyncio.create_task(service.engines.unload())
        await asyncio.sleep(0)
        unload.cancel()
        with pytest.raises(EngineUnavailable, match="unloaded"):
            await asked
        await until(lambda: not processes.alive())
        assert service.status()["state"] == "unloaded"


@pytest.mark.parametrize("making", [0.0, 0.2])
async def test_what_waits_for_a_model_does_not_bring_it_back(
    processes: Processes, two: tuple[str, str], making: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does that whose prompt is being made, for so many seconds."""
    make = Prompts.make

    async def slowly(self: Prompts, request: CompletionRequest) -> Any:
        await asyncio.sleep(making)
        return await make(self, request)

    monkeypatch.setattr(Prompts, "make", slowly)
    async with serving(two[0]) as service:
        await service.engines.unload()
        waiting = [asyncio.create_task(service.complete(a_request(), nothing)) for _ in range(3)]
        await asyncio.sleep(0.01)
        await service.engines.unload()
        for request in waiting:
            with pytest.raises(EngineUnavailable, match="unloaded"):
                await request
        assert (service.status()["state"], processes.alive()) == ("unloaded", [])


@pytest.mark.parametrize("turns", range(6))
async def test_whoever_hangs_up_frees_the_engine_whenever(
    processes: Processes, tiny: Path, turns: int
) -> None:
    """Up to Python 3.11 a cancellation was lost when it came just as a wait was over."""
    async with serving(str(tiny)) as service:
        asked = [asyncio.create_task(service.complete(a_request("", 200), nothing)) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for request in asked:
            request.cancel()
        await asyncio.wait(asked)
        assert all(request.cancelled() for request in asked)
        await until(lambda: not service.engines.primary.busy)
        stats = service.status()["stats"]
        assert stats["completed"] == 0


async def test_the_stand_in_ends_when_one_on_a_gpu_is_ready(
    processes: Processes, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_DEVICE", "cuda")
    async with serving(*two) as service:
        await until(lambda: [model for model, _ in processes.alive()] == [two[0]])
        assert service.status()["fallback"] is None


@pytest.fixture
def slow(two: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The first one reads slowly."""
    monkeypatch.setenv("TINY_SLOW", two[0])
    return two


LONG = "x = [1, 2, 3]\nfor y in x:\n    print(" * 6


@contextlib.asynccontextmanager
async def reading_slowly(slow: tuple[str, str]) -> Any:
    """A service that knows how slow it reads, and its other model."""
    async with serving(*slow, check=False) as service:
        await service.complete(a_request(tokens=4), nothing)
        await until(lambda: service.engines.meanwhile is not None)
        yield service, service.engines.meanwhile


async def told_of(service: CompletionService, request: CompletionRequest) -> list[str]:
    """What is told, one after the other: what is suggested meanwhile, what is streamed, and the end."""
    told = []

    async def on_delta(index: int, text: str) -> None:
        told.append(f"delta {text}")

    async def on_meanwhile(made: Meanwhile) -> None:
        told.append(f"meanwhile {made.text}")

    made = await service.complete(request, on_delta, on_meanwhile)
    return [*told, f"{made.model} {made.text}"]


async def test_the_other_model_answers_while_one_reads(processes: Processes, slow: tuple[str, str]) -> None:
    async with reading_slowly(slow) as (service, _):
        request = a_request(tokens=6, text=LONG)
        meanwhile, *streamed, end = await told_of(service, request)
        text = end.removeprefix(f"{slow[0]} ")
        assert text and meanwhile == f"meanwhile {text}"  # they are the same model
        assert text.startswith("".join(part.removeprefix("delta ") for part in streamed))
        # What was read needs no reading.
        assert await told_of(service, request) == [*streamed, end]


@pytest.mark.parametrize("changes", [{"mode": "block"}, {"prefetch": True}, {"n": 2, "temperature": 1.0}])
async def test_no_other_model_answers(
    processes: Processes, slow: tuple[str, str], changes: dict[str, Any]
) -> None:
    """Where somebody would rather wait, nobody waits, or several are asked for."""
    async with reading_slowly(slow) as (service, _):
        told = await told_of(service, replace(a_request(tokens=6, text=LONG), **changes))
        assert told[-1].startswith(slow[0])
        assert not [text for text in told if text.startswith("meanwhile")]


@pytest.mark.parametrize("leaves", [False, True])
async def test_the_other_model_dies_meanwhile(
    processes: Processes, slow: tuple[str, str], leaves: bool
) -> None:
    """Nobody misses it, and nothing is left to do for who left."""
    async with reading_slowly(slow) as (service, other):
        os.kill(other.pid, signal.SIGSTOP)
        asked = asyncio.create_task(told_of(service, a_request(tokens=6, text=LONG)))
        await until(lambda: other.busy)
        if leaves:
            asked.cancel()
            await asyncio.wait([asked])
        os.kill(other.pid, signal.SIGKILL)
        if not leaves:
            assert (await asked)[-1].startswith(slow[0])
        await until(lambda: not (other.busy or service.engines.primary.busy))


async def test_a_model_nobody_uses_is_unloaded(processes: Processes, tiny: Path) -> None:
    async with serving(str(tiny), idle_unload=0.2) as service:
        assert (await service.complete(a_request(), nothing)).items
        await until(lambda: not processes.alive())
        assert service.status()["state"] == "unloaded"
        assert (await service.complete(a_request(), nothing)).items


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stopped", [False, True])
def test_no_process_outlives_whoever_began_it(tiny: Path, how: signal.Signals, stopped: bool) -> None:
    """However that ends, and even if the worker can't see it."""
    if stopped and sys.platform != "linux":
        pytest.skip("only Linux can")
    code = """if True:
        import asyncio, logging, sys
        from santajupyter.server.service import CompletionService
        from santajupyter.server.settings import Settings
        async def main():
            service = CompletionService(Settings(sys.argv[1], fallback_model=""), logging.getLogger())
            await service.engines.available()
            print(service.engines.primary.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """
    command = [sys.executable, "-c", code, str(tiny)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        parent.send_signal(how)
        parent.wait(60)
        deadline = time.monotonic() + 60
        while is_alive(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
