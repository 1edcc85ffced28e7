"""Asks what holds the model: a Jupyter server by REST, or anything that answers the same calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx

T = TypeVar("T")
Body = Mapping[str, Any]
OnDelta = Callable[[int, str], None]
OnWait = Callable[[dict[str, Any]], None]

# How long a caller waits in all for a model that is being downloaded or loaded.
DEADLINE = 300.0
CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 120.0
# A wait longer than this is reported, as often as this.
REPORT_INTERVAL = 0.5
# How often a caller that waits in the foreground may draw. On Windows only a wait with a limit can be
# interrupted.
TICK = 0.05


class SantaError(Exception):
    """What went wrong and what to do about it, in a plain sentence."""


class NotYet(SantaError):
    """The model is on its way; ``retry_after`` seconds may help."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Engine(Protocol):
    """What can be asked: a :class:`Server`, or ``local.LocalEngine``. Every method raises SantaError.

    ``url``: what to call it in a sentence.
    """

    @property
    def url(self) -> str: ...

    async def status(self) -> dict[str, Any]: ...

    async def load(self, model: str = "") -> dict[str, Any]: ...

    async def unload(self) -> dict[str, Any]: ...

    async def explain(self, body: Body) -> dict[str, Any]: ...

    async def complete(self, body: Body, on_delta: OnDelta) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Server:
    """A Jupyter server's base URL and token. ``local``: on this host, so never through a proxy.

    Every method raises SantaError; cancelling one closes its connection, and the server frees the engine.
    """

    url: str
    token: str
    local: bool = True

    async def status(self) -> dict[str, Any]:
        return await self._json("GET", "status")

    async def load(self, model: str = "") -> dict[str, Any]:
        """Begin to load the configured model, or switch to ``model``; the new status."""
        return await self._json("POST", "load", {"model": model} if model else {})

    async def unload(self) -> dict[str, Any]:
        return await self._json("POST", "unload", {})

    async def explain(self, body: Body) -> dict[str, Any]:
        """What the model would be given for the body of a ``complete``."""
        return await self._json("POST", "explain", body)

    async def complete(self, body: Body, on_delta: OnDelta) -> dict[str, Any]:
        """POST complete, streamed. Raises NotYet while the model loads."""
        async with self._open("POST", "complete", {**body, "stream": True}) as response:
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return await _last_event(response, on_delta)
            await response.aread()
            return _answer(response)

    async def _json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with self._open(method, path, body) as response:
            await response.aread()
            return _answer(response)

    @contextlib.asynccontextmanager
    async def _open(self, method: str, path: str, body: Any = None) -> AsyncIterator[httpx.Response]:
        try:
            async with (
                httpx.AsyncClient(
                    headers=credentials(self.token),
                    timeout=httpx.Timeout(REQUEST_TIMEOUT, connect=CONNECT_TIMEOUT),
                    trust_env=not self.local,
                    verify=self._trusted(),
                ) as http,
                http.stream(method, f"{self.url}santajupyter/{path}", json=body) as response,
            ):
                yield response
        except UnicodeEncodeError as error:
            raise SantaError("The text has half of a surrogate pair: it can't be sent.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SantaError(
                f"The server at {self.url} doesn't answer: {str(error) or type(error).__name__}."
            ) from error

    def _trusted(self) -> ssl.SSLContext | bool:
        """A server here may have made its own certificate: the system's and SSL_CERT_FILE's count."""
        return ssl.create_default_context() if self.local and self.url.startswith("https:") else True


async def ask(
    engine: Engine, body: Body, on_delta: OnDelta | None = None, on_wait: OnWait | None = None
) -> dict[str, Any]:
    """Complete; the answer as docs/rest.md has it. Waits while the model loads, up to DEADLINE seconds.

    ``on_delta(index, text)`` as it comes, ``on_wait(status)`` until then; both are called on the event loop.
    Raises SantaError.
    """
    body = {"client": f"kernel {uuid.uuid4().hex}", **body}
    deadline = time.monotonic() + DEADLINE
    reporter = asyncio.create_task(_report(engine, on_wait)) if on_wait else None

    def tell(index: int, text: str) -> None:
        if reporter:
            reporter.cancel()
        if on_delta:
            on_delta(index, text)

    try:
        while True:
            try:
                return await engine.complete(body, tell)
            except NotYet as wait:
                if time.monotonic() + wait.retry_after > deadline:
                    raise
                await asyncio.sleep(wait.retry_after)
    finally:
        if reporter:
            reporter.cancel()


async def loaded(engine: Engine, model: str = "", on_wait: OnWait | None = None) -> dict[str, Any]:
    """Load, and return the status when that is over, well or not. Raises SantaError."""
    status = await engine.load(model)
    while status["state"] in ("loading", "downloading"):
        if on_wait:
            on_wait(status)
        await asyncio.sleep(REPORT_INTERVAL)
        status = await engine.status()
    return status


def at_cursor(left: str, right: str = "", context: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """The body of a completion between two texts, below ``context``: the sources of earlier cells."""
    cells = [{"type": "code", "source": source} for source in [*context, left + right]]
    return {
        "cells": cells,
        "active": len(cells) - 1,
        "offset": len(left),
        "trigger": "invoke",
        **{name: value for name, value in fields.items() if value is not None},
    }


def run(work: Coroutine[Any, Any, T], draw: Callable[[], None] | None = None) -> T:
    """Do the work on this package's own event loop and wait for it; ``draw`` is called meanwhile.

    A KeyboardInterrupt cancels the work.
    """
    future = submit(work)
    try:
        while not future.done():
            concurrent.futures.wait([future], TICK)
            if draw:
                draw()
        return future.result()
    except BaseException:
        future.cancel()
        raise


def submit(work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Begin the work on this package's own event loop; cancelling the future cancels it."""
    return asyncio.run_coroutine_threadsafe(work, loop())


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own: a kernel's is busy while a cell runs."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="santajupyter", daemon=True).start()
    return made


async def _report(engine: Engine, on_wait: OnWait) -> None:
    """Tell of a model on its way, or one that reads, until cancelled."""
    while True:
        await asyncio.sleep(REPORT_INTERVAL)
        with contextlib.suppress(SantaError):  # the completion says it
            status = await engine.status()
            serving = status["serving"]
            # A block waits for the configured model while the one that stands in could answer.
            if serving and status["state"] in ("ready", "error"):
                status |= {"message": f"{serving} is at work.", "progress": None}
            on_wait(status)


async def _last_event(response: httpx.Response, on_delta: OnDelta) -> dict[str, Any]:
    """The whole answer at the end of a stream of server-sent events."""
    event = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        if not line.startswith("data: "):
            continue
        try:
            data: dict[str, Any] = json.loads(line.removeprefix("data: "))
        except ValueError:
            break
        if event == "error":
            raise SantaError(str(data["message"]))
        if "items" in data:
            return data
        on_delta(data["index"], data["text"])
    raise SantaError("The server ended its answer early; its log may say why.")


def _answer(response: httpx.Response) -> dict[str, Any]:
    """The body of a good answer; the error's own sentence otherwise."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    own = isinstance(answer, dict) and "reason" in answer and bool(answer["reason"])
    if own and answer["reason"] != "error" and response.status_code in (429, 503):
        raise NotYet(str(answer["message"]), float(response.headers.get("Retry-After", 1)))
    if own:
        raise SantaError(str(answer["message"]))
    if response.status_code == 404:
        raise SantaError(
            "The server runs without santajupyter: check `jupyter server extension list`, then restart it."
        )
    # A hub sends who isn't logged in on to its login page.
    if response.has_redirect_location or response.status_code in (401, 403):
        raise SantaError("The server refused the token: set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN.")
    if response.is_error or not isinstance(answer, dict):
        raise SantaError(f"The server answered with status {response.status_code} and no word of ours.")
    return answer


def credentials(token: str) -> dict[str, str]:
    """A server without tokens still wants to see that no browser was led into asking it (XSRF)."""
    if token:
        return {"Authorization": f"token {token}"}
    xsrf = uuid.uuid4().hex
    return {"Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}
