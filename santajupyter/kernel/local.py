"""The engine as a child of this process, for a kernel or a command without a server."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, TypeVar

from ..decoding import BadRequest, decode
from ..printable import printable
from ..protocol import Completion, Fix, Status, completion_request
from . import client
from .client import FINAL, NotYet, SantaError

T = TypeVar("T")

# Set by start(); discovery.find() returns it first.
current: LocalEngine | None = None


class LocalEngine:
    """Answers as client.Server does, by a service on this package's own event loop."""

    url = "this process"

    def __init__(self, model: str = "") -> None:
        # Imported here: who asks a server needs neither.
        from ..server.extension import SantaApp
        from ..server.service import CompletionService
        from ..server.settings import Settings

        settings = Settings(model=model or SantaApp.model.default_value)
        self.pid = os.getpid()
        self._service = CompletionService(settings, logging.getLogger("santajupyter"))

    async def status(self) -> dict[str, Any]:
        return asdict(decode(await _there(self._status()), Status))

    async def load(self, model: str = "") -> dict[str, Any]:
        await _there(self._service.load(model))
        return await self.status()

    async def unload(self) -> dict[str, Any]:
        await _there(self._service.engines.unload())
        return await self.status()

    async def explain(self, body: client.Body) -> dict[str, Any]:
        return await _there(self._explain(body))

    async def fix(self, body: client.Body) -> Fix:
        return await _there(self._fix(body))

    async def complete(self, body: client.Body, on_delta: client.OnDelta) -> Completion:
        return await _there(self._complete(body, on_delta))

    async def close(self) -> None:
        await _there(self._service.close())

    async def _status(self) -> dict[str, Any]:
        return self._service.status()

    async def _explain(self, body: client.Body) -> dict[str, Any]:
        return await self._service.explain(completion_request(body))

    async def _fix(self, body: client.Body) -> Fix:
        return await self._service.fix(completion_request(body))

    async def _complete(self, body: client.Body, on_delta: client.OnDelta) -> Completion:
        async def forward(index: int, text: str) -> None:
            on_delta(index, text)

        return await self._service.complete(completion_request(body), forward)


def held() -> LocalEngine | None:
    """The engine of this process, if there is one; a forked process has none of its own."""
    return current if current and current.pid == os.getpid() else None


def start(model: str = "") -> LocalEngine:
    """The engine of this process; one with another model than before ends that one."""
    global current
    stop()
    current = LocalEngine(model)
    return current


def stop() -> None:
    """End the engine of this process, if there is one."""
    global current
    if engine := held():
        client.run(engine.close())
    current = None


async def _there(work: Coroutine[Any, Any, T]) -> T:
    """The work's result, done on the package's own loop. Raises SantaError."""
    from ..engine.process import EngineUnavailable, RequestFailed
    from ..server.service import NotAllowed, QueueFull, Superseded, TimedOut

    try:
        return await asyncio.wrap_future(client.submit(work))
    except EngineUnavailable as error:
        if error.reason in FINAL:
            raise SantaError(printable(str(error))) from error
        raise NotYet(printable(str(error)), error.retry_after) from error
    except (BadRequest, NotAllowed, QueueFull, RequestFailed, Superseded, TimedOut) as error:
        raise SantaError(printable(str(error))) from error
