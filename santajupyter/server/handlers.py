"""REST: see docs/rest.md. Every verb is authenticated, authorized and XSRF-checked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import accumulate
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import iostream, web

from ..decoding import PIECE, BadRequest
from ..engine.process import EngineUnavailable, RequestFailed
from ..printable import printable
from ..protocol import (
    CachedTokens,
    Delta,
    Item,
    Meanwhile,
    Model,
    ModelList,
    OpenAIError,
    TextChoice,
    TextCompletion,
    TextLogprobs,
    TextUsage,
    Usage,
    completion_request,
    load_request,
    text_request,
)
from ..traces import trace
from . import metrics, spans
from .service import CompletionService, NotAllowed, QueueFull, Superseded, TimedOut, TooManyOfOne

T = TypeVar("T")

RETRY_SOON = 1
# Reasons of answers that are no errors though nothing could be done.
EXPECTED = frozenset(["busy", "loading", "unloaded"])


class UnknownModel(Exception):
    """v1/completions names a model that isn't the one held here."""


def routes(base_url: str, service: CompletionService, max_request_bytes: int) -> list[Any]:
    """(path, handler, arguments) for the server's web application."""
    handlers: dict[str, type[SantaHandler]] = {
        "status": StatusHandler,
        "complete": CompleteHandler,
        "docstring": DocstringHandler,
        "fix": FixHandler,
        "warm": WarmHandler,
        "explain": ExplainHandler,
        "load": LoadHandler,
        "unload": UnloadHandler,
        "v1/completions": TextCompletionHandler,
        "v1/models": ModelsHandler,
    }
    if service.shared:
        handlers |= dict.fromkeys(("explain", "load", "unload"), RefusedHandler)
    arguments = {"service": service, "max_request_bytes": max_request_bytes}
    return [
        (url_path_join(base_url, "santajupyter", path), handler, arguments)
        for path, handler in handlers.items()
    ]


class SantaHandler(APIHandler):
    """JSON in; JSON, server-sent events or one ``{message, reason}`` out."""

    auth_resource = "santajupyter"

    def initialize(self, service: CompletionService, max_request_bytes: int) -> None:
        self.service = service
        self.max_request_bytes = max_request_bytes
        self._is_streaming = False

    async def fail(self, error: Exception) -> None:
        """Answer with the error's status, or by an event where an answer has begun."""
        status, reason, retry_after = _answer_to(error)
        if status == 500:
            self.log.error("santajupyter: %s", error if reason == "engine" else trace(error))
        message = _message(error, status)
        self.count(reason)
        if status >= 500 and reason not in EXPECTED:
            self.service.note(self.operation, reason, message)
        if isinstance(error, RequestFailed) and error.said:
            message = printable(f"{error}: {error.said}")
        body = self.error_body(message, reason)
        if self._is_streaming:
            await self.send_event(body, event="error")
            return
        if retry_after:
            self.set_header("Retry-After", str(max(1, round(retry_after))))
        self.set_status(status)
        self.finish(json.dumps(body))

    @property
    def operation(self) -> str:
        """What was asked for, as the route has it."""
        return self.request.path.rpartition("/santajupyter/")[2]

    def count(self, outcome: str) -> None:
        """A request has ended."""
        metrics.REQUESTS.labels(self.operation, outcome).inc()
        spans.tell(outcome=outcome)

    def error_body(self, message: str, reason: str) -> dict[str, Any]:
        return {"message": message, "reason": reason}

    async def send_event(self, data: object, event: str = "") -> None:
        """One server-sent event, flushed. Cancels the caller when the client is gone.

        By hand, because the known writers belong to other web servers: JSON has no line break, and so an
        event is its name and one line (https://html.spec.whatwg.org/multipage/server-sent-events.html).
        """
        if not self._is_streaming:
            self._is_streaming = True
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-cache")
            self.set_header("X-Accel-Buffering", "no")
        self.write(f"event: {event}\n" if event else "")
        self.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")
        try:
            await self.flush()
        except iostream.StreamClosedError as error:
            raise asyncio.CancelledError from error


class StatusHandler(SantaHandler):
    # Polled while a page is open: an idle server must still be seen as idle.
    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(self.service.status()))


@web.stream_request_body
class PostHandler(SantaHandler):
    """Takes a body of limited length, and answers with what ``work`` returns; with None it has answered."""

    # Whether nobody needs what a client has asked for that hangs up.
    ends_with_client = True

    def initialize(self, service: CompletionService, max_request_bytes: int) -> None:
        super().initialize(service, max_request_bytes)
        self._chunks: list[bytes] = []
        self._length = 0
        self._is_refused = False
        self._has_left = False
        self._work: asyncio.Task[dict[str, Any] | None] | None = None

    async def work(self) -> dict[str, Any] | None:
        raise NotImplementedError

    @web.authenticated
    @authorized
    async def post(self) -> None:
        if self._is_refused or self._has_left:
            return
        with spans.span(self.operation):
            await self._answer()

    async def _answer(self) -> None:
        self._work = asyncio.create_task(self._work_for_user())
        begun = time.perf_counter()
        try:
            answer = await self._work
            if answer is not None:
                self.finish(json.dumps(answer))
            self.count("ok")
            metrics.REQUEST_SECONDS.labels(self.operation).observe(time.perf_counter() - begun)
        except asyncio.CancelledError:
            await self._on_cancelled()
        except Exception as error:
            with contextlib.suppress(asyncio.CancelledError):  # the client left
                await self.fail(error)

    async def _work_for_user(self) -> dict[str, Any] | None:
        try:
            with self.service.on_behalf(self.current_user.username if self.service.shared else ""):
                return await self.work()
        except TooManyOfOne:
            # Who asks again at once would keep the server from others by being refused.
            await asyncio.sleep(RETRY_SOON)
            raise

    async def checked(self, check: Callable[[bytes], T]) -> T:
        """The body as ``check`` reads it: beside the event loop where it is long. Raises BadRequest."""
        body = b"".join(self._chunks) or b"{}"
        self._chunks.clear()
        return await self.service.beside(check, body) if len(body) > PIECE else check(body)

    async def prepare(self) -> None:  # type: ignore[override]  # ours is called by tornado alone
        await super().prepare()
        length = self.request.headers.get("Content-Length", "")
        is_too_long = length.isdecimal() and int(length) > self.max_request_bytes
        if is_too_long and self.request.method == "POST":
            await self._refuse()  # type: ignore[misc]  # the decorators lose that it is a coroutine

    async def data_received(self, chunk: bytes) -> None:
        if self._is_refused or self.request.method != "POST":
            return
        self._length += len(chunk)
        self._chunks.append(chunk)
        if self._length > self.max_request_bytes:
            await self._refuse()  # type: ignore[misc]
        # Tornado reads all that has come before it lets others have their turn; and while a thread decodes
        # another body, each read waits for Python's lock.
        await asyncio.sleep(0)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._has_left = True
        if self._work and self.ends_with_client:
            self._work.cancel()

    @web.authenticated
    @authorized("write")
    async def _refuse(self) -> None:
        """Answer 413 at once. What still comes is thrown away: most clients read no answer before that."""
        self._is_refused = True
        self._chunks.clear()
        self.count("too-large")
        limit = f"SantaApp.max_request_bytes allows {self.max_request_bytes}"
        body = json.dumps(self.error_body(f"The request is too long: {limit}.", "too-large"))
        self.set_status(413)
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
        with contextlib.suppress(iostream.StreamClosedError):
            await self.flush()

    async def _on_cancelled(self) -> None:
        """Cancelled by the client's leaving, or by the server's end."""
        if self._has_left:
            self.log.debug("santajupyter: the client went away")
            self.count("cancelled")
            return
        with contextlib.suppress(asyncio.CancelledError):
            await self.fail(EngineUnavailable("The server is shutting down.", "engine-died", RETRY_SOON))


class CompleteHandler(PostHandler):
    async def work(self) -> dict[str, Any] | None:
        request = await self.checked(completion_request)
        self._track_activity = not request.prefetch

        async def on_delta(index: int, text: str) -> None:
            await self.send_event(asdict(Delta(index, text)))

        async def on_meanwhile(meanwhile: Meanwhile) -> None:
            await self.send_event(asdict(meanwhile), event="meanwhile")

        if not request.stream:
            return (await self.service.complete(request, None)).to_json()
        made = await self.service.complete(request, on_delta, on_meanwhile if request.meanwhile else None)
        await self.send_event(made.to_json())
        return None


class DocstringHandler(PostHandler):
    async def work(self) -> dict[str, Any]:
        return asdict(await self.service.docstring(await self.checked(completion_request)))


class FixHandler(PostHandler):
    async def work(self) -> dict[str, Any]:
        return asdict(await self.service.fix(await self.checked(completion_request)))


class WarmHandler(PostHandler):
    # Nobody has asked for it: an idle server must still be seen as idle.
    _track_activity = False

    async def work(self) -> dict[str, Any]:
        return (await self.service.warm(await self.checked(completion_request))).to_json()


class ExplainHandler(PostHandler):
    async def work(self) -> dict[str, Any]:
        return await self.service.explain(await self.checked(completion_request))


class LoadHandler(PostHandler):
    ends_with_client = False

    async def work(self) -> dict[str, Any]:
        await self.service.load((await self.checked(load_request)).model)
        return self.service.status()


class UnloadHandler(PostHandler):
    ends_with_client = False

    async def work(self) -> dict[str, Any]:
        await self.service.engines.unload()
        return self.service.status()


class RefusedHandler(PostHandler):
    """What nobody may do on a server that several users share."""

    async def work(self) -> dict[str, Any]:
        raise NotAllowed("Several users share this server: none of them may do this.")


class ModelsHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(asdict(ModelList([Model(name) for name in self.service.allowed_models]))))


class TextCompletionHandler(PostHandler):
    """OpenAI's text completion, with its ``suffix``: any client can use the model held here."""

    def error_body(self, message: str, reason: str) -> dict[str, Any]:
        return {**super().error_body(message, reason), "error": asdict(OpenAIError(message, reason))}

    async def work(self) -> dict[str, Any] | None:
        request = await self.checked(text_request)
        if request.model and not self.service.engines.serves(request.model):
            raise UnknownModel(
                f"model: {request.model} is not held here; see v1/models, and POST load to switch"
            )
        head = f"cmpl-{uuid.uuid4().hex}", int(time.time())

        async def on_delta(index: int, text: str) -> None:
            part = TextCompletion(*head, request.model, [TextChoice(index, text)])
            await self.send_event(asdict(part))

        made = await self.service.complete_text(request, on_delta if request.stream else None)
        choices = [
            TextChoice(index, item.text, item.finish_reason, _logprobs(item))
            for index, item in enumerate(made.items)
        ]
        answer = TextCompletion(*head, made.model, choices, _usage(made.usage))
        if not request.stream:
            return asdict(answer)
        # The texts went out as deltas; what is left to say is why they ended.
        ends = [replace(choice, text="") for choice in choices]
        await self.send_event(asdict(replace(answer, choices=ends)))
        await self.send_event("[DONE]")
        return None


def _usage(usage: Usage) -> TextUsage:
    total = usage.prompt_tokens + usage.completion_tokens
    return TextUsage(usage.prompt_tokens, usage.completion_tokens, total, CachedTokens(usage.cached_tokens))


def _logprobs(item: Item) -> TextLogprobs | None:
    if item.logprobs is None:
        return None
    pieces = [piece for piece, _ in item.logprobs]
    offsets = [*accumulate(map(len, pieces), initial=0)][:-1]
    return TextLogprobs(pieces, [logprob for _, logprob in item.logprobs], offsets)


def _answer_to(error: Exception) -> tuple[int, str, float]:
    """The one table from errors to (HTTP status, reason, Retry-After in seconds or 0)."""
    if isinstance(error, EngineUnavailable):
        return 503, error.reason, error.retry_after
    table: dict[type[Exception], tuple[int, str, float]] = {
        BadRequest: (400, "bad-request", 0),
        NotAllowed: (403, "not-allowed", 0),
        UnknownModel: (404, "unknown-model", 0),
        Superseded: (409, "superseded", 0),
        QueueFull: (429, "queue-full", RETRY_SOON),
        TooManyOfOne: (429, "queue-full", RETRY_SOON),
        TimedOut: (503, "timeout", RETRY_SOON),
        RequestFailed: (500, "engine", 0),
    }
    return table.get(type(error), (500, "internal", 0))


def _message(error: Exception, status: int) -> str:
    return (
        printable(str(error)) if status != 500 else "The completion failed; the server's log has the reason."
    )
