"""Who may ask the model, when, and what becomes of an answer that nobody wants any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..engine import EngineProcess, EngineUnavailable
from ..engine.candidates import last_word
from ..prompt import modules, postprocess
from ..prompt.doccomments import addition, slot_around
from ..prompt.document import Document, document, language_of
from ..prompt.explain import locate_pieces
from ..prompt.facts import facts, files_line
from ..prompt.files import data_files
from ..protocol import (
    Completion,
    CompletionRequest,
    Documentation,
    Item,
    Sampling,
    TextRequest,
    Timings,
    Usage,
)
from .status import Statistics, memory, sentence

BUILT_IN = "santa-mini"
MODELS = Path(__file__).parents[1] / "models"
# A request waits this long for a model that is on its way before it is told to come back.
LOAD_WAIT = 30.0
ON_ITS_WAY = ("downloading", "loading")
# A model that couldn't be loaded is tried again on the next use after this.
RETRY_LOAD = 600.0
# A file system that is slower than this isn't waited for.
READ_WAIT = 0.25

T = TypeVar("T")
OnDelta = Callable[[int, str], Awaitable[None]]


class Superseded(Exception):
    """A newer request of the same client took this one's place."""


class QueueFull(Exception):
    """Too many requests are waiting already."""


class TimedOut(Exception):
    """The request's time limit passed; the engine was freed."""


class NotAllowed(Exception):
    """The configuration doesn't let a request choose this model."""


@dataclass(frozen=True)
class Settings:
    """SantaApp's traits, under the same names."""

    model: str
    revision: str = ""
    family: str = ""
    device: str = "auto"
    dtype: str = "auto"
    prompt_order: str = "auto"
    min_probability: float | None = None
    cache_bytes: int = 256 * 2**20
    prompt_lookup: int = 4
    own_words: bool | None = None
    kernel_names: bool = True
    allowed_models: tuple[str, ...] = ()
    fallback_model: str = BUILT_IN
    idle_unload: float = 0.0
    max_queue: int = 16
    request_timeout: float = 60.0


class CompletionService:
    """The configured model with the built-in one to stand in for it. Use from one event loop."""

    def __init__(self, settings: Settings, log: logging.Logger, root: Path | None = None) -> None:
        """``root``: the folder that the notebooks' paths begin in; None: they are no files here."""
        self._settings = settings
        self._log = log
        self._root = root
        self._reader = ThreadPoolExecutor(1, "santajupyter-modules")
        self._changed = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        self._superseded: set[asyncio.Task[Any]] = set()
        self._statistics = Statistics()
        self._idle: asyncio.TimerHandle | None = None
        self._broken = False
        self._retry_at = 0.0
        self._primary = self._engine(settings.model)
        self._fallback = self._engine(settings.fallback_model) if settings.fallback_model else None
        if self._fallback and _model_path(settings.fallback_model) == _model_path(settings.model):
            self._fallback = None

    @property
    def allowed_models(self) -> list[str]:
        """What POST load may name: as configured, or the configured model and the built-in one."""
        allowed = self._settings.allowed_models or (self._settings.model, self._settings.fallback_model)
        return list(dict.fromkeys(filter(None, allowed)))

    def status(self) -> dict[str, Any]:
        """The state of GET status; see docs/rest.md."""
        fallback = self._fallback.status if self._fallback else None
        serving = self._ready_engine()
        return {
            **asdict(self._primary.status),
            "serving": serving.status.model if serving else None,
            "fallback": asdict(fallback) if fallback and fallback.state != "unloaded" else None,
            "message": sentence(self._primary.status, fallback if serving is self._fallback else None),
            "allowed_models": self.allowed_models,
            "busy": len(self._tasks),
            "memory": memory(serving.pid) if serving else None,
            "stats": self._statistics.to_json(),
            "version": __version__,
        }

    async def complete(self, request: CompletionRequest, on_delta: OnDelta) -> Completion:
        """Complete at the request's cursor; ``on_delta(index, text)`` for what may be shown already.

        The result's texts are final: a rule may have taken back the end of what was streamed.
        Raises Superseded, QueueFull, TimedOut, EngineUnavailable, RequestFailed.
        """
        where, files = await self._context(request)
        place = postprocess.place(where, request.mode, request.trigger)
        stops = request.sampling.stop if place.block else ("\n", *request.sampling.stop)
        sampling = replace(request.sampling, stop=stops)
        unasked = request.trigger == "automatic"
        own = request.mode == "block" and not unasked
        names = self._names(request, files)
        work = self._run(where, sampling, place, on_delta, unasked=unasked, own=own, names=names)
        return await self._admit(request.client, work)

    async def complete_text(self, request: TextRequest, on_delta: OnDelta) -> Completion:
        """Complete between a prompt and a suffix, exactly as the model writes it. Raises as complete."""
        where = Document(request.prompt, request.suffix)
        return await self._admit("", self._run(where, request.sampling, None, on_delta))

    async def docstring(self, request: CompletionRequest) -> Documentation:
        """Documentation for the function around the request's cursor. Raises as complete."""
        cell = request.cells[request.active]
        source, language = cell.source, language_of(cell, request.language)
        try:
            slot = slot_around(source, request.offset, language)
        except ValueError as error:
            return Documentation(message=str(error))
        left = source[: slot.at] + slot.opening
        asked = replace(cell, source=left + slot.following + source[slot.at :])
        cells = (*request.cells[: request.active], asked, *request.cells[request.active + 1 :])
        sampling = replace(request.sampling, n=1, stop=(slot.stop,))
        made = await self.complete(
            replace(
                request, cells=cells, offset=len(left), mode="block", trigger="invoke", sampling=sampling
            ),
            _ignore,
        )
        text = addition(source, slot, made.text, language)
        message = "" if text else f"The model has no words for {slot.name}."
        return Documentation(slot.name, slot.at, text, message)

    async def warm(self, request: CompletionRequest) -> Completion:
        """Compute the prompt cache for the request's place; no items. Raises as complete."""
        where, _ = await self._context(request)
        client = request.client and f"warm {request.client}"
        return await self._admit(client, self._run(where, request.sampling, None, _ignore, warm=True))

    async def explain(self, request: CompletionRequest) -> dict[str, Any]:
        """What the model would be given for the request, see docs/rest.md. Raises as complete."""
        return await self._admit("", self._explain(request))

    def _names(self, request: CompletionRequest, files: Sequence[str]) -> dict[str, Any] | None:
        if not self._settings.kernel_names or request.language != "python":
            return None
        place = request.cells, request.active, request.offset
        return last_word(request.variables, request.classes, *place, files)

    def preload(self) -> None:
        """Start loading; returns at once."""
        self._start()

    async def load(self, model: str = "") -> None:
        """Load the configured model, or switch to ``model``; returns when that has begun.

        Raises NotAllowed.
        """
        if model and model not in self.allowed_models:
            raise NotAllowed(
                f"model: {model} is not one of SantaApp.allowed_models ({', '.join(self.allowed_models)})"
            )
        if model and model != self._primary.status.model:
            await self._primary.stop()
            self._primary = self._engine(model)
        self._retry_at = 0.0
        self._start()

    async def unload(self) -> None:
        """End the models' processes; the next use starts them again."""
        await self._primary.stop()
        if self._fallback:
            await self._fallback.stop()

    async def close(self) -> None:
        """End everything that runs."""
        if self._idle:
            self._idle.cancel()
        for task in [*self._tasks.values(), *self._background]:
            task.cancel()
        self._reader.shutdown(wait=False, cancel_futures=True)
        await self.unload()

    def serves(self, model: str) -> bool:
        """Whether ``model`` names what answers here now or is configured to."""
        return model in {self._primary.status.model, *(e.status.model for e in self._engines())}

    async def _context(self, request: CompletionRequest) -> tuple[Document, list[str]]:
        """What the model sees, and the data files that its code may name."""
        signatures, files = await self._project(request)
        place = request.cells, request.active, request.offset
        known = (*files_line(files), *facts(request.variables, *place))
        return document(*place, request.language, known, signatures), files

    async def _project(self, request: CompletionRequest) -> tuple[list[str], list[str]]:
        """What the files define that the notebook imports, and the data files beside it if the active cell

        reads one; read in limited time, nothing where notebooks are no files.
        """
        if self._root is None or not request.path or request.language != "python":
            return [], []
        reading = asyncio.get_running_loop().run_in_executor(self._reader, _read, self._root, request)
        try:
            return await asyncio.wait_for(reading, READ_WAIT)
        except asyncio.TimeoutError:
            return [], []

    async def _admit(self, client: str, work: Coroutine[Any, Any, T]) -> T:
        """Run the work as the client's only one, in a queue of limited length, for a limited time."""
        previous = self._tasks.get(client) if client else None
        if len(self._tasks) - (previous is not None) >= self._settings.max_queue:
            work.close()
            raise QueueFull("Too many requests are waiting for the model; try again in a moment.")
        if previous:
            self._superseded.add(previous)
            previous.cancel()
        task: asyncio.Task[T] = asyncio.create_task(work)
        key: object = client or task
        self._tasks[key] = task
        self._statistics.requests += 1
        try:
            return await asyncio.wait_for(task, self._settings.request_timeout)
        except asyncio.CancelledError:
            self._statistics.cancelled += 1
            if task in self._superseded:
                raise Superseded("A newer request of this client took its place.") from None
            raise
        except asyncio.TimeoutError:
            self._statistics.failed += 1
            raise TimedOut(
                f"The model took longer than {self._settings.request_timeout:g} s (SantaApp.request_timeout)."
            ) from None
        except Exception:
            self._statistics.failed += 1
            raise
        finally:
            self._superseded.discard(task)
            if self._tasks.get(key) is task:
                del self._tasks[key]
            self._watch_idleness()

    async def _run(
        self,
        where: Document,
        sampling: Sampling,
        place: postprocess.Place | None,
        on_delta: OnDelta,
        warm: bool = False,
        unasked: bool = False,
        own: bool = False,
        names: Mapping[str, Any] | None = None,
    ) -> Completion:
        """One request in the engine that answers now. ``place`` None: no rules.

        What nobody asked for ends where the model itself doubts it. ``own``: as _available_engine has it.
        """
        begun = time.perf_counter()
        engine = await self._available_engine(own)
        if unasked:
            sampling = replace(sampling, min_probability=self._min_probability(engine))
        queue_ms = 0.0
        shown = [postprocess.Stream(place) for _ in range(sampling.n)]
        try:
            call = engine.warm(where, sampling) if warm else engine.complete(where, sampling, unasked, names)
            async with call:
                async for event in call:
                    if event["event"] == "started":
                        queue_ms = 1000 * (time.perf_counter() - begun)
                    elif event["event"] == "delta":
                        new = shown[event["index"]].add(event["text"])
                        if new:
                            await on_delta(event["index"], new)
                        if all(candidate.finished for candidate in shown):
                            call.finish()
        except EngineUnavailable:
            if call.started:
                raise
            # It died before it looked at this request: the next one will.
            return await self._run(where, sampling, place, on_delta, warm, unasked, own, names)
        return self._completion(engine, event, queue_ms, place)

    async def _explain(self, request: CompletionRequest) -> dict[str, Any]:
        where, _ = await self._context(request)
        pieces = locate_pieces(where, request.cells, request.active, request.offset)
        engine = await self._available_engine()
        async with engine.explain(where, request.sampling, pieces) as call:
            async for event in call:
                done = event
        self._statistics.completed += 1
        return {"model": engine.status.model, "window": engine.status.window, **done["prompt"]}

    def _completion(
        self,
        engine: EngineProcess,
        done: dict[str, Any],
        queue_ms: float,
        place: postprocess.Place | None,
    ) -> Completion:
        usage = Usage(**done["usage"])
        timings = Timings(queue_ms, done["prefill_ms"], done["decode_ms"])
        items = [Item(**item) for item in done["items"]]
        if place:
            texts = [postprocess.clean(item.text, place, item.finish_reason == "length") for item in items]
            items = [item.cut(text) for item, text in zip(items, texts, strict=True)]
        statistics = self._statistics
        statistics.completed += 1
        statistics.prompt_tokens += usage.prompt_tokens
        statistics.cached_tokens += usage.cached_tokens
        if items:
            statistics.latencies.append(queue_ms + timings.prefill_ms + timings.decode_ms)
        return Completion(tuple(items), engine.status.model, usage, timings)

    def _min_probability(self, engine: EngineProcess) -> float:
        """How likely all of a completion that nobody asked for has to be."""
        chosen = self._settings.min_probability if engine is self._primary else None
        return engine.status.min_probability if chosen is None else chosen

    def _engine(self, model: str) -> EngineProcess:
        s = self._settings
        own = model == s.model
        stands_in = model == s.fallback_model and not own
        options = {
            "model": model,
            "folder": _model_path(model),
            "revision": s.revision if own else "",
            "family": s.family if own else "",
            "device": "cpu" if stands_in else s.device,
            "dtype": "auto" if stands_in else s.dtype,
            "prompt_order": s.prompt_order,
            "cache_bytes": s.cache_bytes,
            "prompt_lookup": s.prompt_lookup,
            "own_words": s.own_words,
        }
        return EngineProcess(options, self._on_change, self._log)

    def _engines(self) -> list[EngineProcess]:
        return [self._primary, *([self._fallback] if self._fallback else [])]

    def _ready_engine(self) -> EngineProcess | None:
        return next((engine for engine in self._engines() if engine.status.state == "ready"), None)

    def _start(self) -> None:
        """Start what should run: the configured model, and until it is ready the one that stands in."""
        if self._primary.status.state != "error" or time.monotonic() >= self._retry_at:
            self._primary.start()
        if self._fallback and self._primary.status.state != "ready":
            self._fallback.start()

    async def _available_engine(self, own: bool = False) -> EngineProcess:
        """``own``: while the configured model is on its way none stands in for it.

        The built-in one is good for the rest of a line; who asked for a block would rather wait.
        """
        self._start()
        try:
            await asyncio.wait_for(self._settled(own), LOAD_WAIT)
        except asyncio.TimeoutError:
            self._log.debug("santajupyter: still loading after %s s", LOAD_WAIT)
        engine = self._ready_engine()
        state = self._primary.status.state
        if engine is None or (own and state in ON_ITS_WAY):
            broken = state == "error"
            raise EngineUnavailable(
                sentence(self._primary.status, None), "error" if broken else "loading", 60 if broken else 2
            )
        return engine

    async def _settled(self, own: bool) -> None:
        """Return when a model is ready or all have failed; with ``own`` also when waiting would take long."""
        while True:
            first, *others = (engine.status.state for engine in self._engines())
            if first == "ready" or (own and first == "downloading"):
                return
            over = all(state == "error" for state in (first, *others))
            if over or ("ready" in others and (first == "error" or not own)):
                return
            await self._changed.wait()

    def _on_change(self) -> None:
        status = self._primary.status
        if status.state == "error" and not self._broken:
            self._retry_at = time.monotonic() + RETRY_LOAD
            self._log.warning("santajupyter: %s", sentence(status, None))
        self._broken = status.state == "error"
        if status.state == "ready":
            self._watch_idleness()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if status.state == "ready" and self._fallback and self._fallback.status.state != "unloaded":
            self._in_background(self._retire(self._fallback))

    async def _retire(self, engine: EngineProcess) -> None:
        """Stop the stand-in as soon as it has answered what it was asked."""
        while engine.busy:
            await asyncio.sleep(0.05)
        if self._primary.status.state == "ready" and engine.status.state != "unloaded":
            await engine.stop()

    def _watch_idleness(self) -> None:
        if self._idle:
            self._idle.cancel()
        if self._settings.idle_unload > 0:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._settings.idle_unload, self._unload_if_idle)

    def _unload_if_idle(self) -> None:
        if not self._tasks:
            self._log.info("santajupyter: unloading the model after %s s", self._settings.idle_unload)
            self._in_background(self.unload())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _ignore(index: int, text: str) -> None:
    return None


def _read(root: Path, request: CompletionRequest) -> tuple[list[str], list[str]]:
    active, offset = request.cells[request.active], request.offset
    left, right = active.source[:offset], active.source[offset:]
    # The line that is being typed imports nothing yet.
    rest = left.rpartition("\n")[0], right.partition("\n")[2]
    others = (cell.source for cell in request.cells if cell.type == "code" and cell is not active)
    signatures = modules.signatures(root, request.path, [*others, *rest])
    return signatures, data_files(root, request.path, active.source, left)


def _model_path(model: str) -> str:
    """A folder's absolute path, the built-in model's place, or the hub id as it is."""
    if model == BUILT_IN:
        return str(MODELS / BUILT_IN)
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model
