"""Who may ask the model, when, and what becomes of an answer that nobody wants any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from .._version import __version__
from ..engine import wire
from ..engine.process import Call, EngineUnavailable
from ..prompt import postprocess
from ..prompt.doccomments import Slot, addition, slot_around
from ..prompt.document import Document
from ..prompt.languages import language_of
from ..protocol import (
    Completion,
    CompletionRequest,
    Documentation,
    Sampling,
    TextRequest,
    Timings,
)
from .deadline import within
from .engines import Engine, Engines
from .prompts import Prompts
from .settings import Settings
from .status import Statistics, memory, sentence

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


class CompletionService:
    """The configured model with the built-in one to stand in for it. Use from one event loop."""

    def __init__(self, settings: Settings, log: logging.Logger, root: Path | None = None) -> None:
        """``root``: the folder that the notebooks' paths begin in; None: they are no files here."""
        self._settings = settings
        self._log = log
        self._prompts = Prompts(root, settings.kernel_names)
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        self._superseded: set[asyncio.Task[Any]] = set()
        self._statistics = Statistics()
        self.engines = Engines(settings, log)

    @property
    def allowed_models(self) -> list[str]:
        """What POST load may name: as configured, or the configured model and the built-in one."""
        allowed = self._settings.allowed_models or (self._settings.model, self._settings.fallback_model)
        return list(dict.fromkeys(filter(None, allowed)))

    def status(self) -> dict[str, Any]:
        """The state of GET status; see docs/rest.md."""
        primary, stand_in, serving = self.engines.primary, self.engines.stand_in, self.engines.ready
        stands_in = stand_in is not None and stand_in is not primary and stand_in.status.state != "unloaded"
        fallback = stand_in.status if stand_in and stands_in else None
        return {
            **asdict(primary.status),
            "serving": serving.status.model if serving else None,
            "fallback": asdict(fallback) if fallback else None,
            "message": sentence(primary.status, fallback if serving is stand_in else None),
            "allowed_models": self.allowed_models,
            "busy": len(self._tasks),
            "memory": memory(serving.pid) if serving else None,
            "stats": self._statistics.to_json(),
            "version": __version__,
        }

    async def complete(self, request: CompletionRequest, on_delta: OnDelta) -> Completion:
        """Complete at the request's cursor; ``on_delta(index, text)`` for what may be shown already.

        What was streamed is a beginning of the result's text.
        Raises Superseded, QueueFull, TimedOut, EngineUnavailable, RequestFailed.
        """
        return await self._admit(request.client, self._complete(request, on_delta))

    async def complete_text(self, request: TextRequest, on_delta: OnDelta) -> Completion:
        """Complete between a prompt and a suffix, exactly as the model writes it. Raises as complete."""
        where = Document(request.prompt, request.suffix)
        return await self._admit("", self._run(where, request.sampling, None, on_delta))

    async def docstring(self, request: CompletionRequest) -> Documentation:
        """Documentation for the function around the request's cursor. Raises as complete."""
        return await self._admit(request.client, self._docstring(request))

    async def warm(self, request: CompletionRequest) -> Completion:
        """Compute the prompt cache for the request's place; no items. Raises as complete."""
        return await self._admit(request.client and f"warm {request.client}", self._warm(request))

    async def explain(self, request: CompletionRequest) -> dict[str, Any]:
        """What the model would be given for the request, see docs/rest.md. Raises as complete."""
        return await self._admit("", self._explain(request))

    async def load(self, model: str = "") -> None:
        """Load the configured model, or switch to ``model``; returns when that has begun.

        Raises NotAllowed.
        """
        if model and model not in self.allowed_models:
            raise NotAllowed(
                f"model: {model} is not one of SantaApp.allowed_models ({', '.join(self.allowed_models)})"
            )
        await self.engines.load(model)

    async def close(self) -> None:
        """End everything that runs."""
        for task in self._tasks.values():
            task.cancel()
        self._prompts.close()
        await self.engines.close()

    async def _complete(self, request: CompletionRequest, on_delta: OnDelta) -> Completion:
        document, place, names = await self._prompts.make(request)
        stop = (*place.stop, *request.sampling.stop)
        sampling = replace(request.sampling, stop=stop, search=not place.block)
        unasked = request.trigger == "automatic"
        own = request.mode == "block" and not unasked
        return await self._run(document, sampling, place, on_delta, unasked=unasked, own=own, names=names)

    async def _docstring(self, request: CompletionRequest) -> Documentation:
        cell = request.cells[request.active]
        source, language = cell.source, language_of(cell, request.language)
        try:
            slot = await self._prompts.run(slot_around, source, request.offset, language)
        except ValueError as error:
            return Documentation(message=str(error))
        made = await self._complete(_documenting(request, slot), _ignore)
        text = await self._prompts.run(addition, source, slot, made.text, language)
        message = "" if text else f"The model has no words for {slot.name}."
        return Documentation(slot.name, slot.at, text, message)

    async def _warm(self, request: CompletionRequest) -> Completion:
        document = (await self._prompts.make(request)).document
        return await self._run(document, request.sampling, None, _ignore, warm=True)

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
            with self.engines.in_use():
                return await within(self._settings.request_timeout, task)
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

        What nobody asked for ends where the model itself doubts it. ``own``: as Engines.available has it.
        """
        begun = time.perf_counter()
        while True:
            engine = await self.engines.available(own)
            if unasked:
                sampling = replace(sampling, min_probability=self._min_probability(engine))
            process = engine.process
            call = (
                process.warm(where, sampling) if warm else process.complete(where, sampling, unasked, names)
            )
            try:
                return await self._follow(call, engine, sampling.n, place, on_delta, begun)
            except EngineUnavailable as error:
                # It ended before it looked at this request: the next one will.
                if call.started or error.reason != "engine-died":
                    raise

    async def _follow(
        self,
        call: Call,
        engine: Engine,
        n: int,
        place: postprocess.Place | None,
        on_delta: OnDelta,
        begun: float,
    ) -> Completion:
        """The call's events up to its end; ``begun``: when the request was, by time.perf_counter."""
        queue_ms = 0.0
        shown = [postprocess.Stream(place) for _ in range(n)]
        async with call:
            async for event in call:
                if isinstance(event, wire.Started):
                    queue_ms = 1000 * (time.perf_counter() - begun)
                elif isinstance(event, wire.Delta):
                    new = shown[event.index].add(event.text)
                    if new:
                        await on_delta(event.index, new)
                    if all(candidate.finished for candidate in shown):
                        call.finish()
        assert isinstance(event, wire.Done)
        return self._completion(engine, event, queue_ms, place)

    async def _explain(self, request: CompletionRequest) -> dict[str, Any]:
        where, pieces = await self._prompts.explained(request)
        engine = await self.engines.available()
        async with engine.process.explain(where, request.sampling, pieces) as call:
            async for event in call:
                done = event
        assert isinstance(done, wire.Explained)
        self._statistics.completed += 1
        return {"model": engine.status.model, "window": engine.status.window, **done.prompt}

    def _completion(
        self,
        engine: Engine,
        done: wire.Done,
        queue_ms: float,
        place: postprocess.Place | None,
    ) -> Completion:
        usage, items = done.usage, done.items
        timings = Timings(queue_ms, done.prefill_ms, done.decode_ms)
        if place:
            texts = [postprocess.clean(item.text, place, item.finish_reason == "length") for item in items]
            items = tuple(item.cut(text) for item, text in zip(items, texts, strict=True))
        statistics = self._statistics
        statistics.completed += 1
        statistics.prompt_tokens += usage.prompt_tokens
        statistics.cached_tokens += usage.cached_tokens
        if items:
            statistics.latencies.append(queue_ms + timings.prefill_ms + timings.decode_ms)
        return Completion(items, engine.status.model, usage, timings)

    def _min_probability(self, engine: Engine) -> float:
        """How likely all of a completion that nobody asked for has to be."""
        chosen = self._settings.min_probability if engine is self.engines.primary else None
        return engine.status.min_probability if chosen is None else chosen


async def _ignore(index: int, text: str) -> None:
    return None


def _documenting(request: CompletionRequest, slot: Slot) -> CompletionRequest:
    """The request for the words of the function's documentation, with all around them in its place."""
    cell = request.cells[request.active]
    left = cell.source[: slot.at] + slot.opening
    changed = replace(cell, source=left + slot.following + cell.source[slot.at :])
    return replace(
        request,
        cells=(*request.cells[: request.active], changed, *request.cells[request.active + 1 :]),
        offset=len(left),
        mode="block",
        trigger="invoke",
        n=1,
        stop=(slot.stop,),
    )
