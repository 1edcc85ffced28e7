"""Which models run: the only place that starts, stops, switches and restarts their processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..engine import wire
from ..engine.folders import model_folder
from ..engine.process import EngineProcess, EngineUnavailable
from ..printable import printable
from ..protocol import ModelStatus
from . import metrics
from .catalogue import writes_blocks
from .deadline import within
from .settings import BUILT_IN, Settings
from .status import sentence

MODELS = Path(__file__).parents[1] / "models"
# A request waits this long for a model that is on its way before it is told to come back.
LOAD_WAIT = 30.0
ON_ITS_WAY = ("downloading", "loading")
# A model that couldn't be loaded is tried again on the next use after this.
RETRY_LOAD = 600.0
# After a death the process is started again by itself, after 0.5, 1, 2, 4, 8 seconds; then no more.
FIRST_DELAY = 0.5
MAX_RESTARTS = 5
# How often it is looked whether the stand-in has answered all that it was asked.
RETIRE_INTERVAL = 0.05


class Engine:
    """A model, with at most one process at a time.

    ::

                 start()                           it says so
        unloaded -------> loading <-> downloading -----------> ready
           ^                |  ^                                 |
           | stop(),        |  | after 0.5, 1, 2, 4, 8 s         |
           | from any state |  +------- it died or hung ---------+
           |                v  it can't be loaded, or died 6 times in a row
           +-------------- error --> loading  at start(), after RETRY_LOAD or when told to

    ``start`` and ``stop`` are for whoever holds the lock of :class:`Engines`.
    """

    def __init__(self, load: wire.Load, on_change: Callable[[], None], log: logging.Logger) -> None:
        self._load, self._on_change, self._log = load, on_change, log
        self._process: EngineProcess | None = None
        self._deaths = 0
        self._restart: asyncio.TimerHandle | None = None
        self._retry_at = 0.0
        self._broken: wire.Broken | None = None
        self.status = ModelStatus(load.model, load.revision)

    @property
    def pid(self) -> int | None:
        """The process's id, None where there is no process."""
        return self._process.pid if self._process else None

    @property
    def busy(self) -> bool:
        """Whether the process has a request that isn't answered yet."""
        return bool(self._process and self._process.busy)

    @property
    def process(self) -> EngineProcess:
        """What to ask. Raises EngineUnavailable where there is none."""
        if self._process is None:
            raise EngineUnavailable(f"{self.status.model} isn't running now. Try again.", "engine-died", 1)
        return self._process

    def start(self, now: bool = False) -> None:
        """Start the process unless it runs, or is to be restarted soon; loading goes on in it.

        A model that can't be loaded isn't tried again before RETRY_LOAD, except ``now``.
        """
        later = self._restart is not None or (
            self.status.state == "error" and time.monotonic() < self._retry_at
        )
        if self._process is None and (now or not later):
            self._cancel_restart()
            self._begin()

    async def stop(self, refusal: EngineUnavailable) -> None:
        """End the process, and what it was asked by ``refusal``; all its memory is free when this returns."""
        self._cancel_restart()
        process, self._process = self._process, None
        self._deaths, self._broken = 0, None
        self._set(ModelStatus(self._load.model, self._load.revision))
        if process is not None:
            await process.stop(refusal)

    def _begin(self) -> None:
        self._restart = None
        self._set(replace(self.status, state="loading", error=None, progress=None))
        try:
            self._process = EngineProcess(self._load, self._on_state, self._on_exit, self._log)
        except OSError as error:
            self._has_died(f"can't be started: {error}")

    def _on_state(self, process: EngineProcess, event: wire.Loading | wire.Ready | wire.Broken) -> None:
        if process is not self._process:
            return
        if isinstance(event, wire.Broken):
            self._broken = event  # its end is near, and with it the state
        elif isinstance(event, wire.Ready):
            told = {name: getattr(event, name) for name in event.__struct_fields__}
            self._set(replace(self.status, state="ready", progress=None, **told))
        else:
            state = "downloading" if event.progress else "loading"
            self._set(replace(self.status, state=state, progress=event.progress))

    def _on_exit(self, process: EngineProcess, how: str) -> None:
        if process is not self._process:
            return
        self._process = None
        self._deaths = 0 if process.answered else self._deaths
        if self._broken:
            self._give_up(self._broken.error, self._broken.retry_after)
        else:
            self._has_died(how)

    def _has_died(self, how: str) -> None:
        what = f"The model's process {how}"
        self._log.warning("santajupyter: %s", what)
        if self._deaths >= MAX_RESTARTS:
            self._give_up(what + f" {MAX_RESTARTS + 1} times in a row")
            return
        delay = FIRST_DELAY * 2**self._deaths
        self._deaths += 1
        self._restart = asyncio.get_running_loop().call_later(delay, self._begin)
        metrics.RESTARTS.inc()
        self._set(replace(self.status, state="loading", progress=None, error=None))

    def _give_up(self, error: str, retry_after: float = 0.0) -> None:
        self._deaths, self._broken = 0, None
        self._retry_at = time.monotonic() + (retry_after or RETRY_LOAD)
        self._set(replace(self.status, state="error", progress=None, error=error))
        self._log.warning("santajupyter: %s", printable(sentence(self.status, None)))

    def _cancel_restart(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None

    def _set(self, status: ModelStatus) -> None:
        self.status = status
        self._on_change()


class Engines:
    """The configured model, or the one that was switched to, and the built-in one that stands in for it.

    Use from one event loop. All that starts or ends a process happens under one lock, so a process is
    never begun while another of the same model, or one whose memory it needs, is still on its way out; and
    it goes on when whoever asked for it has left.
    """

    def __init__(self, settings: Settings, log: logging.Logger) -> None:
        self._settings, self._log = settings, log
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._retiring: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._users = 0
        self.unloads = 0
        self._refusal: EngineUnavailable | None = None  # of the last of them
        self._closed = False
        self._by_path: dict[str, Engine] = {}
        self.primary = self._engine(settings.model)
        self.stand_in = self._engine(settings.fallback_model) if settings.fallback_model else None

    @property
    def ready(self) -> Engine | None:
        """The one that would answer now."""
        return next((engine for engine in self._candidates() if engine.status.state == "ready"), None)

    @property
    def meanwhile(self) -> Engine | None:
        """The one that can answer at once while the configured model reads a long prompt."""
        *_, last = self._candidates()
        is_other = last is not self.primary and self.primary.status.state == last.status.state == "ready"
        return last if is_other else None

    @property
    def settled(self) -> bool:
        """Whether a model answers, and none is on its way."""
        return self.ready is not None and self.primary.status.state not in ON_ITS_WAY

    def serves(self, model: str) -> bool:
        """Whether ``model`` names what answers here now or is configured to."""
        return any(engine.status.model == model for engine in self._candidates())

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While a request is at work or waits for a model, none is idle."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._watch_idleness()

    async def available(self, primary_only: bool = False, since: int | None = None) -> Engine:
        """The engine that answers now; starts what should run, and waits for it up to LOAD_WAIT seconds.

        ``primary_only``: while the configured model is on its way none stands in for it, since who asked for
        a block would rather wait; and the built-in one never does. ``since``: what `unloads` was when the
        request came, which must not bring back what was unloaded after that. Raises EngineUnavailable.
        """
        since, deadline = self.unloads if since is None else since, time.monotonic() + LOAD_WAIT
        if self.unloads == since:
            await self.start()
        while self.unloads == since and self._is_to_come(primary_only) and time.monotonic() < deadline:
            with contextlib.suppress(asyncio.TimeoutError):
                await within(deadline - time.monotonic(), self._changed.wait())
        if self._refusal and self.unloads != since:
            raise self._refusal
        engine, status = self.ready, self.primary.status
        if engine is None or (primary_only and not self._is_good_for_blocks(engine)):
            broken = status.state == "error"
            raise EngineUnavailable(
                sentence(status, None), "error" if broken else "loading", 60 if broken else 2
            )
        return engine

    async def start(self) -> None:
        """Start what should run: the configured model, and until it is ready the one that stands in."""
        async with self._lock:
            if not self._closed:
                self._start()

    async def load(self, model: str = "") -> None:
        """Start the model, even if it failed lately, or switch to ``model``; returns when that has begun."""
        await self._to_the_end(self._load(model))

    async def unload(self) -> None:
        """End all processes, and what waits for them; all their memory is free when this returns.

        The next use starts them again.
        """
        await self._to_the_end(self._stop_all("The model was unloaded meanwhile."))

    async def close(self) -> None:
        """End all processes for good."""
        self._closed = True
        if self._idle:
            self._idle.cancel()
        await self._to_the_end(self._stop_all("The server is being stopped."))
        if self._retiring:
            self._retiring.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _load(self, model: str) -> None:
        async with self._lock:
            if self._closed:
                return
            before, self.primary = self.primary, self._engine(model) if model else self.primary
            if before not in (self.primary, self.stand_in):
                await before.stop(EngineUnavailable("Another model was loaded meanwhile.", "engine-died", 1))
            self.primary.start(now=True)
            self._start()

    async def _stop_all(self, why: str) -> None:
        async with self._lock:
            self.unloads += 1
            self._refusal = EngineUnavailable(why, "unloaded", 1)
            self._on_change()
            await asyncio.gather(*(engine.stop(self._refusal) for engine in self._by_path.values()))

    def _start(self) -> None:
        self.primary.start()
        if self.stand_in and self.primary.status.state != "ready":
            self.stand_in.start()

    @property
    def writer(self) -> Engine:
        """What blocks are asked of: the configured model, as long as it isn't broken."""
        is_broken = self.primary.status.state == "error"
        return (self.ready if is_broken else None) or self.primary

    def _is_good_for_blocks(self, engine: Engine) -> bool:
        if engine is self.primary:
            return True
        return self.primary.status.state not in ON_ITS_WAY and writes_blocks(engine.status.model)

    def _is_to_come(self, primary_only: bool) -> bool:
        """Whether a model may be ready soon; with ``primary_only`` the configured one: not by a download."""
        first, *others = (engine.status.state for engine in self._candidates())
        if first == "ready" or (primary_only and first == "downloading"):
            return False
        if "ready" in others and (first == "error" or not primary_only):
            return False
        return any(state != "error" for state in (first, *others))

    def _candidates(self) -> list[Engine]:
        stands_in = self.stand_in is not None and self.stand_in is not self.primary
        return [self.primary, *([self.stand_in] if self.stand_in and stands_in else [])]

    def _engine(self, model: str) -> Engine:
        """The model's one engine, by whatever name."""
        s, path = self._settings, model_path(model)
        own = path == model_path(s.model)
        stands_in = model == s.fallback_model and not own
        if path not in self._by_path:
            load = wire.Load(
                model=model,
                folder=path,
                revision=s.revision if own else "",
                family=s.family if own else "",
                device="cpu" if stands_in else s.device,
                dtype="auto" if stands_in else s.dtype,
                prompt_order=s.prompt_order,
                cache_bytes=s.cache_bytes,
                prompt_lookup=s.prompt_lookup,
                cache_model=s.cache_model,
                keep_prompts=s.keep_prompts and not s.shared,
                gives_way=not s.shared,
                remote=s.remote if own else None,
            )
            self._by_path[path] = Engine(load, self._on_change, self._log)
        return self._by_path[path]

    def _on_change(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self.primary.status.state != "ready":
            return
        self._watch_idleness()
        *_, last = self._candidates()
        # A GPU, or another server, has read what there is before anybody has to wait.
        is_spare = last is not self.primary and self.primary.status.device != "cpu"
        if is_spare and last.pid and (self._retiring is None or self._retiring.done()):
            self._retiring = asyncio.get_running_loop().create_task(self._retire(last))

    async def _retire(self, stand_in: Engine) -> None:
        """Stop the stand-in as soon as it has answered what it was asked."""
        while stand_in.busy:
            await asyncio.sleep(RETIRE_INTERVAL)
        async with self._lock:
            if self.primary is not stand_in and self.primary.status.state == "ready":
                await stand_in.stop(EngineUnavailable("The other model is ready.", "engine-died", 1))

    def _watch_idleness(self) -> None:
        if self._idle:
            self._idle.cancel()
        if self._settings.idle_unload > 0 and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._settings.idle_unload, self._unload_if_idle)

    def _unload_if_idle(self) -> None:
        if not self._users:
            self._log.info("santajupyter: unloading the model after %s s", self._settings.idle_unload)
            self._in_background(self._stop_all("The model was unloaded meanwhile."))

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        """The work goes on when whoever waits for it leaves."""
        await asyncio.shield(self._in_background(work))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def model_path(model: str) -> str:
    """A folder's absolute path, the built-in model's place, or the hub id as it is."""
    if model == BUILT_IN:
        return str(MODELS / BUILT_IN)
    folder = model_folder(model)
    return str(folder) if folder else model
