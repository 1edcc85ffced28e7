"""Asks what holds the model: a Jupyter server by REST, or anything that answers the same calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import math
import os
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent

from ..decoding import BadRequest, decode
from ..printable import printable
from ..protocol import Completion, Delta, Explanation, Failure, Fix, Status
from ..server.deadline import within

T = TypeVar("T")
Body = Mapping[str, Any]
OnDelta = Callable[[int, str], None]
OnWait = Callable[[dict[str, Any]], None]

# How long a caller waits in all for a model that is being downloaded or loaded.
DEADLINE = 300.0
CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 120.0
# Of a stream from its begin to its end: what comes in drops would otherwise go on for ever.
STREAM_TIMEOUT = 3600.0
# Bytes. An answer, a stream too, is a hundred times shorter.
MAX_ANSWER = 32 * 2**20
# Seconds, whatever a server asks for: less would be a storm of requests.
SHORTEST_WAIT, LONGEST_WAIT = 0.2, 3600.0
# A wait longer than this is reported, as often as this.
REPORT_INTERVAL = 0.5
# How often a caller that waits in the foreground may draw. On Windows only a wait with a limit can be
# interrupted.
TICK = 0.05
ENDED_EARLY = "The server ended its answer early; its log may say why."


# Reasons of a 503 that waiting does not mend: who was unloaded is not to come back by itself.
FINAL = ("error", "unloaded")


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

    async def status(self) -> dict[str, Any]:
        """The fields of GET status."""
        ...

    async def load(self, model: str = "") -> dict[str, Any]:
        """Begin to load the configured model, or switch to ``model``; the new status."""
        ...

    async def unload(self) -> dict[str, Any]:
        """End the model's process; the new status."""
        ...

    async def explain(self, body: Body) -> dict[str, Any]:
        """What the model would be given for the body of POST complete."""
        ...

    async def complete(self, body: Body, on_delta: OnDelta) -> Completion:
        """Complete; ``on_delta(index, text)``: what comes meanwhile. Raises NotYet while the model loads."""
        ...

    async def fix(self, body: Body) -> Fix: ...


@dataclass(frozen=True)
class Server:
    """A Jupyter server's base URL and token. ``local``: on this host, so never through a proxy.

    Every method raises SantaError; cancelling one closes its connection, and the server frees the engine.
    Answers have the fields that this version knows: newer ones are left out, and what an older server
    doesn't send has its default.
    """

    url: str
    token: str
    local: bool = True

    async def status(self) -> dict[str, Any]:
        return asdict(await self._ask("GET", "status", Status))

    async def load(self, model: str = "") -> dict[str, Any]:
        """Begin to load the configured model, or switch to ``model``; the new status."""
        return asdict(await self._ask("POST", "load", Status, {"model": model} if model else {}))

    async def unload(self) -> dict[str, Any]:
        return asdict(await self._ask("POST", "unload", Status, {}))

    async def explain(self, body: Body) -> dict[str, Any]:
        """What the model would be given for the body of a ``complete``."""
        return asdict(await self._ask("POST", "explain", Explanation, body))

    async def fix(self, body: Body) -> Fix:
        """What mends the error of the active cell of a ``complete``'s body."""
        return await self._ask("POST", "fix", Fix, body)

    async def complete(self, body: Body, on_delta: OnDelta) -> Completion:
        """POST complete, streamed. Raises NotYet while the model loads."""
        return await self._within(STREAM_TIMEOUT, self._streamed(body, on_delta))

    async def _streamed(self, body: Body, on_delta: OnDelta) -> Completion:
        async with self._open("POST", "complete", {**body, "stream": True}) as response:
            if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                return await _last_event(response, on_delta)
            await response.aread()
            return _answer(response, Completion)

    async def _ask(self, method: str, path: str, kind: type[T], body: Body | None = None) -> T:
        return await self._within(REQUEST_TIMEOUT, self._answered(method, path, kind, body))

    async def _answered(self, method: str, path: str, kind: type[T], body: Body | None) -> T:
        async with self._open(method, path, body) as response:
            await response.aread()
            return _answer(response, kind)

    async def _within(self, seconds: float, answer: Coroutine[Any, Any, T]) -> T:
        try:
            return await within(seconds, answer)
        except asyncio.TimeoutError:
            raise SantaError(f"The server at {self.url} hasn't answered within {seconds:.0f} s.") from None

    @contextlib.asynccontextmanager
    async def _open(self, method: str, path: str, body: Body | None) -> AsyncIterator[httpx.Response]:
        try:
            async with (
                self._connections() as http,
                http.stream(
                    method, f"{self.url}santajupyter/{path}", json=body, headers=credentials(self.token)
                ) as response,
            ):
                # What is compressed has no known length, and is sent by nobody who reads our headers.
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise httpx.DecodingError("its answer is compressed, which wasn't asked for")
                response.stream = _Bounded(response.stream)
                yield response
        except UnicodeEncodeError as error:
            raise SantaError("The text has half of a surrogate pair: it can't be sent.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SantaError(
                f"The server at {self.url} doesn't answer: {str(error) or type(error).__name__}."
            ) from error

    @contextlib.asynccontextmanager
    async def _connections(self) -> AsyncIterator[httpx.AsyncClient]:
        """Those kept open on this package's own loop; on another, which may end at any time, new ones."""
        if asyncio.get_running_loop() is loop():
            yield _kept_connections(os.getpid(), self)
            return
        async with _new_connections(self) as http:
            yield http


class _Bounded(httpx.AsyncByteStream):
    """A body that ends with an error when it is longer than any answer."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for piece in self._body:
            length += len(piece)
            if length > MAX_ANSWER:
                raise httpx.ReadError(f"its answer is longer than {MAX_ANSWER // 2**20} MB")
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


async def ask(
    engine: Engine, body: Body, on_delta: OnDelta | None = None, on_wait: OnWait | None = None
) -> Completion:
    """Complete. Waits while the model loads, up to DEADLINE seconds.

    ``on_delta(index, text)`` as it comes, ``on_wait(status)`` until then; both are called on the event loop.
    Raises SantaError, also where the engine ends after some text has come: it would come again.
    """
    body = {"client": f"kernel {uuid.uuid4().hex}", **body}
    deadline = time.monotonic() + DEADLINE
    reporter = asyncio.create_task(_report(engine, on_wait)) if on_wait else None
    has_begun = False

    def forward(index: int, text: str) -> None:
        nonlocal has_begun
        if not 0 <= index < body.get("n", 1):
            return
        has_begun = True
        if reporter:
            reporter.cancel()
        if on_delta:
            on_delta(index, text)

    try:
        while True:
            try:
                made = await engine.complete(body, forward)
                if not made.items:
                    raise SantaError(ENDED_EARLY)
                return made
            except NotYet as wait:
                if has_begun or time.monotonic() + wait.retry_after > deadline:
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


def loop() -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own: a kernel's is busy while a cell runs.

    A forked process gets another one, since threads aren't forked.
    """
    return _loop_of(os.getpid())


@functools.cache
def trusted(is_https: bool, local: bool) -> ssl.SSLContext | bool:
    """What a connection is checked by, as httpx takes it; reading the certificates takes 50 ms.

    A server here may have made its own certificate: the system's and SSL_CERT_FILE's count. A plain
    connection has none; False spares reading them.
    """
    if not is_https:
        return False
    return ssl.create_default_context() if local else httpx.create_ssl_context()


@functools.cache
def _loop_of(pid: int) -> asyncio.AbstractEventLoop:
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="santajupyter", daemon=True).start()
    return made


@functools.cache
def _kept_connections(pid: int, server: Server) -> httpx.AsyncClient:
    """Those of this process's own loop: a forked process would share the sockets."""
    return _new_connections(server)


def _new_connections(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=httpx.Timeout(REQUEST_TIMEOUT, connect=CONNECT_TIMEOUT),
        trust_env=not server.local,
        verify=trusted(server.url.startswith("https:"), server.local),
        headers={"Accept-Encoding": "identity"},
    )


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


async def _last_event(response: httpx.Response, on_delta: OnDelta) -> Completion:
    """The whole answer at the end of a stream of server-sent events."""
    async for event in EventSource(response).aiter_sse():
        part = _part(event)
        if isinstance(part, Completion):
            return part
        if part:
            on_delta(part.index, part.text)
    raise SantaError(ENDED_EARLY)


def _part(event: ServerSentEvent) -> Completion | Delta | None:
    """What an event brings; None of one that this version doesn't know. Raises SantaError."""
    if event.event not in ("message", "error") or not event.data:
        return None
    try:
        if event.event == "error":
            raise SantaError(printable(decode(event.data.encode(), Failure).message))
        data = event.json()
        names = data if isinstance(data, dict) else {}
        if "items" in names:
            return decode(data, Completion)
        return decode(data, Delta) if "text" in names else None
    except ValueError as error:  # cut off in mid-event, or a proxy's words
        raise SantaError(ENDED_EARLY) from error


def _answer(response: httpx.Response, kind: type[T]) -> T:
    """The body of a good answer; the error's own sentence otherwise."""
    if response.is_success:
        with contextlib.suppress(BadRequest):
            return decode(response.content, kind)
    try:
        failure = decode(response.content, Failure)
    except BadRequest:
        failure = Failure("")
    message = printable(failure.message)
    is_passing = failure.reason not in (None, "", *FINAL) and response.status_code in (429, 503)
    if is_passing:
        raise NotYet(message, _retry_after(response))
    if failure.reason:
        raise SantaError(message)
    if response.status_code == 404:
        raise SantaError(
            "The server runs without santajupyter: check `jupyter server extension list`, then restart it."
        )
    # A hub sends who isn't logged in on to its login page.
    if response.has_redirect_location or response.status_code in (401, 403):
        raise SantaError("The server refused the token: set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN.")
    raise SantaError(f"The server answered with status {response.status_code} and no word of ours.")


def _retry_after(response: httpx.Response) -> float:
    """Seconds; 1 where the header has none, as a proxy's may hold a date."""
    with contextlib.suppress(ValueError):
        seconds = float(response.headers.get("Retry-After", 1))
        if math.isfinite(seconds):
            return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
    return 1.0


def credentials(token: str) -> dict[str, str]:
    """A server without tokens still wants to see that no browser was led into asking it (XSRF)."""
    if token:
        return {"Authorization": f"token {token}"}
    xsrf = uuid.uuid4().hex
    return {"Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}
