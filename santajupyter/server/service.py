"""Admission: who may ask the model, when, for how long; and the state of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from .._version import __version__
from ..protocol import Completion, CompletionRequest, Documentation, Fix, TextRequest
from . import catalogue, metrics
from .completing import Completing, OnDelta, OnMeanwhile
from .deadline import within
from .engines import Engines
from .prompts import Prompts
from .settings import Settings
from .status import Statistics, memory, sentence
from .users import Door, current_user

T = TypeVar("T")

SUPERSEDED = "A newer request of this client took its place."


@dataclass(frozen=True)
class _Ahead:
    """What is at work for a client that doesn't wait for it."""

    client: object


@dataclass(eq=False)
class _Work:
    """An admitted request of the ``user``'s; its client's requests are numbered by ``sequence``, or 0."""

    task: asyncio.Task[Any]
    user: str
    sequence: int
    is_superseded: bool = False


class Superseded(Exception):
    """A newer request of the same client took this one's place."""


class QueueFull(Exception):
    """Too many requests are waiting already."""


class TooManyOfOne(QueueFull):
    """Of these requests too many are the same user's."""


class TimedOut(Exception):
    """The request's time limit passed; the engine was freed."""


class NotAllowed(Exception):
    """The configuration doesn't let a request choose this model, or do this at all."""


class CompletionService:
    """The configured model with the built-in one to stand in for it. Use from one event loop."""

    def __init__(
        self, settings: Settings, log: logging.Logger, root: Path | None = None, rules: bool = True
    ) -> None:
        """``root``: the folder that the notebooks' paths begin in; None: they are no files here.

        ``rules``: whether what the model writes is cleaned before it is shown.
        """
        self._settings = settings
        values = settings.remote is None or settings.remote_values
        self._prompts = Prompts(
            root, settings.kernel_names, settings.check, values, rules, settings.alike_lines
        )
        self._works: dict[object, _Work] = {}
        self._statistics = Statistics()
        self._door = Door(settings.max_user_queue)
        self.engines = Engines(settings, log)
        self._work = Completing(settings, self.engines, self._prompts, self._statistics)
        self.note = self._statistics.note
        metrics.watch(
            lambda: len(self._works), lambda: self.engines.primary.status.state == "ready", self._memory
        )

    @property
    def shared(self) -> bool:
        """Whether several users ask: then nobody may do what is others' loss, or look into their prompts."""
        return self._settings.shared

    @contextmanager
    def on_behalf(self, user: str) -> Iterator[None]:
        """While a request of the user's is here; "": the only one. Raises TooManyOfOne."""
        with self._door.inside(user) as may_enter:
            if not may_enter:
                raise TooManyOfOne(
                    f"{self._settings.max_user_queue} requests of yours are at work or waiting already "
                    "(SantaApp.max_user_queue); try again in a moment."
                )
            current_user.set(user)
            yield

    @property
    def allowed_models(self) -> list[str]:
        """What POST load may name."""
        s = self._settings
        if s.shared:
            return [s.model]
        return catalogue.allowed(s.allowed_models, s.model, s.fallback_model)

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
            "blocks": catalogue.writes_blocks(self.engines.writer.status.model),
            "allowed_models": self.allowed_models,
            "models": [asdict(catalogue.offer(model)) for model in self.allowed_models],
            "busy": len(self._works),
            "memory": memory(serving.pid) if serving else None,
            "stats": self._statistics.to_json(),
            "errors": [asdict(problem) for problem in self._statistics.problems],
            "emit_events": self._settings.emit_events,
            "version": __version__,
        }

    async def beside(self, function: Callable[..., T], *args: object) -> T:
        """Call a pure function that takes its time, beside the event loop. Raises what it raises.

        One after another: each thread more that computes makes the event loop wait longer.
        """
        return await self._prompts.run(function, *args)

    async def complete(
        self, request: CompletionRequest, on_delta: OnDelta | None, on_meanwhile: OnMeanwhile | None = None
    ) -> Completion:
        """Complete at the request's cursor; ``on_delta(index, text)`` for what may be shown already.

        None: nobody looks on. What was streamed is a beginning of the result's text. ``on_meanwhile``: told
        before that what another model suggests, where the prompt takes long to read. A ``prefetch`` costs
        others nothing: it is refused unless it is the only work, and what its client asks next ends it.
        Raises Superseded, QueueFull, TimedOut, EngineUnavailable, RequestFailed.
        """
        ahead = _Ahead(_client(request.client))
        if not request.prefetch:
            self._supersede(ahead)
        elif self._works.keys() - {ahead} or not self.engines.settled:
            raise QueueFull("There is other work to do.")
        key = ahead if request.prefetch else _client(request.client)
        return await self._admit(key, self._work.complete(request, on_delta, on_meanwhile), request.sequence)

    async def complete_text(self, request: TextRequest, on_delta: OnDelta | None) -> Completion:
        """Complete between a prompt and a suffix, exactly as the model writes it. Raises as complete."""
        return await self._admit(None, self._work.complete_text(request, on_delta))

    async def docstring(self, request: CompletionRequest) -> Documentation:
        """Documentation for the function around the request's cursor. Raises as complete."""
        client = _client(request.client)
        return await self._admit(client, self._work.docstring(request), request.sequence)

    async def fix(self, request: CompletionRequest) -> Fix:
        """What mends the error of the request's cell. Raises as complete."""
        return await self._admit(_client(request.client), self._work.fix(request), request.sequence)

    async def warm(self, request: CompletionRequest) -> Completion:
        """Compute the prompt cache for the request's place; no items. Raises as complete."""
        client = request.client and f"warm {request.client}"
        return await self._admit(_client(client), self._work.warm(request))

    async def explain(self, request: CompletionRequest) -> dict[str, Any]:
        """What the model would be given for the request, see docs/rest.md. Raises as complete."""
        return await self._admit(None, self._work.explain(request))

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
        for work in self._works.values():
            work.task.cancel()
        self._prompts.close()
        await self.engines.close()

    def _memory(self) -> int:
        serving = self.engines.ready
        return (memory(serving.pid) if serving else None) or 0

    def _supersede(self, key: object) -> None:
        if work := self._works.get(key):
            work.is_superseded = True
            work.task.cancel()

    async def _admit(self, client: object, coroutine: Coroutine[Any, Any, T], sequence: int = 0) -> T:
        """Run it as the client's only work, in a queue of limited length, for a limited time."""
        try:
            self._check_admission(client, sequence)
        except (Superseded, QueueFull):
            coroutine.close()
            raise
        self._supersede(client)
        task: asyncio.Task[T] = asyncio.create_task(coroutine)
        work = _Work(task, current_user.get(), sequence)
        key = client or task
        self._works[key] = work
        self._statistics.requests += 1
        try:
            with self.engines.in_use():
                return await within(self._settings.request_timeout, task)
        except asyncio.CancelledError:
            self._statistics.cancelled += 1
            if work.is_superseded:
                raise Superseded(SUPERSEDED) from None
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
            if self._works.get(key) is work:
                del self._works[key]

    def _check_admission(self, client: object, sequence: int) -> None:
        """Raises Superseded, for what was overtaken on its way here, and QueueFull."""
        now = self._works.get(client)
        if now and now.sequence > sequence > 0:
            raise Superseded(SUPERSEDED)
        others = [key for key in self._works if key != client and not isinstance(key, _Ahead)]
        user = current_user.get()
        # However many others have asked, everybody's first one is taken.
        is_theirs_first = user and all(work.user != user for work in self._works.values())
        if len(others) >= self._settings.max_queue and not is_theirs_first:
            raise QueueFull("Too many requests are waiting for the model; try again in a moment.")


def _client(name: str) -> object:
    """A client of the current user's: what others call theirs is none of his. None for a nameless one."""
    return (current_user.get(), name) if name else None
