"""REST: see docs/rest.md. Every verb is authenticated, authorized and XSRF-checked."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable
from dataclasses import asdict
from itertools import accumulate
from typing import Any, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import iostream, web

from ..engine.process import EngineUnavailable, RequestFailed
from ..protocol import (
    BadRequest,
    Completion,
    Documentation,
    Item,
    completion_request,
    model_name,
    text_request,
)
from .service import CompletionService, NotAllowed, QueueFull, Superseded, TimedOut

T = TypeVar("T")

RETRY_SOON = 1


class BodyTooLarge(Exception):
    """The body is longer than SantaApp.max_request_bytes."""


class UnknownModel(Exception):
    """v1/completions names a model that isn't the one held here."""


def routes(base_url: str, service: CompletionService, max_request_bytes: int) -> list[Any]:
    """(path, handler, arguments) for the server's web application."""
    handlers: dict[str, type[SantaHandler]] = {
        "status": StatusHandler,
        "complete": CompleteHandler,
        "docstring": DocstringHandler,
        "warm": WarmHandler,
        "explain": ExplainHandler,
        "load": LoadHandler,
        "unload": UnloadHandler,
        "v1/completions": TextCompletionHandler,
        "v1/models": ModelsHandler,
    }
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
        self._max_request_bytes = max_request_bytes
        self._work: asyncio.Future[Any] | None = None
        self._streaming = False

    async def reply(self, work: Awaitable[T]) -> T | None:
        """The work's result; None when an error, or nobody any more, was answered instead."""
        self._work = asyncio.ensure_future(work)
        try:
            result: T = await self._work
            return result
        except asyncio.CancelledError:
            if not self._work.cancelled():
                raise
            self.log.debug("santajupyter: the client went away")
        except Exception as error:
            status, reason, retry_after = _answer_to(error)
            if status == 500:
                self.log.error("santajupyter: %s", error, exc_info=reason == "internal")
            await self._fail(status, reason, _message(error, status), retry_after)
        return None

    def on_connection_close(self) -> None:
        if self._work:
            self._work.cancel()

    def body(self) -> object:
        """The parsed body. Raises BodyTooLarge, BadRequest."""
        if len(self.request.body) > self._max_request_bytes:
            raise BodyTooLarge(
                f"The request has {len(self.request.body)} bytes; "
                f"SantaApp.max_request_bytes allows {self._max_request_bytes}."
            )
        try:
            return json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body: not valid JSON ({type(error).__name__})") from error

    async def send_event(self, data: object, event: str = "") -> None:
        """One server-sent event, flushed. Cancels the caller when the client is gone."""
        if not self._streaming:
            self._streaming = True
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("X-Accel-Buffering", "no")
        self.write(f"event: {event}\n" if event else "")
        self.write(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")
        try:
            await self.flush()
        except iostream.StreamClosedError as error:
            raise asyncio.CancelledError from error

    def error_body(self, message: str, reason: str) -> dict[str, Any]:
        return {"message": message, "reason": reason}

    async def _fail(self, status: int, reason: str, message: str, retry_after: float) -> None:
        if self._streaming:
            await self.send_event(self.error_body(message, reason), event="error")
            return
        if retry_after:
            self.set_header("Retry-After", str(max(1, round(retry_after))))
        self.set_status(status)
        self.finish(json.dumps(self.error_body(message, reason)))


class StatusHandler(SantaHandler):
    # Polled while a page is open: an idle server must still be seen as idle.
    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(json.dumps(self.service.status()))


class CompleteHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        completion = await self.reply(self._complete())
        if completion and not self._streaming:
            self.finish(json.dumps(completion.to_json()))

    async def _complete(self) -> Completion:
        request = completion_request(self.body())

        async def on_delta(index: int, text: str) -> None:
            if request.stream:
                await self.send_event({"index": index, "text": text})

        completion = await self.service.complete(request, on_delta)
        if request.stream:
            await self.send_event(completion.to_json())
        return completion


class DocstringHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        documentation = await self.reply(self._docstring())
        if documentation:
            self.finish(json.dumps(asdict(documentation)))

    async def _docstring(self) -> Documentation:
        return await self.service.docstring(completion_request(self.body()))


class WarmHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        completion = await self.reply(self._warm())
        if completion:
            self.finish(json.dumps(completion.to_json()))

    async def _warm(self) -> Completion:
        return await self.service.warm(completion_request(self.body()))


class ExplainHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        prompt = await self.reply(self._explain())
        if prompt:
            self.finish(json.dumps(prompt))

    async def _explain(self) -> dict[str, Any]:
        return await self.service.explain(completion_request(self.body()))


class LoadHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        status = await self.reply(self._load())
        if status:
            self.finish(json.dumps(status))

    async def _load(self) -> dict[str, Any]:
        await self.service.load(model_name(self.body()))
        return self.service.status()


class UnloadHandler(SantaHandler):
    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self.service.engines.unload())
        self.finish(json.dumps(self.service.status()))


class OpenAIHandler(SantaHandler):
    def error_body(self, message: str, reason: str) -> dict[str, Any]:
        return {**super().error_body(message, reason), "error": {"message": message, "type": reason}}


class ModelsHandler(OpenAIHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        data = [
            {"id": model, "object": "model", "owned_by": "santajupyter"}
            for model in self.service.allowed_models
        ]
        self.finish(json.dumps({"object": "list", "data": data}))


class TextCompletionHandler(OpenAIHandler):
    """OpenAI's text completion, with its ``suffix``: any client can use the model held here."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
        }
        answer = await self.reply(self._complete())
        if answer and not self._streaming:
            self.finish(json.dumps(answer))

    async def _complete(self) -> dict[str, Any]:
        request = text_request(self.body())
        if request.model and not self.service.engines.serves(request.model):
            raise UnknownModel(
                f"model: {request.model} is not held here; see v1/models, and POST load to switch"
            )

        async def on_delta(index: int, text: str) -> None:
            if request.stream:
                choice = {"index": index, "text": text, "finish_reason": None, "logprobs": None}
                await self.send_event({**self._head, "model": request.model, "choices": [choice]})

        completion = await self.service.complete_text(request, on_delta)
        answer = {**self._head, **_openai(completion)}
        if request.stream:
            # The texts went out as deltas; what is left to say is why they ended.
            ends = [{**choice, "text": ""} for choice in answer["choices"]]
            await self.send_event({**answer, "choices": ends})
            await self.send_event("[DONE]")
        return answer


def _openai(completion: Completion) -> dict[str, Any]:
    """The parts of OpenAI's answer that depend on the completion."""
    usage = completion.usage
    return {
        "model": completion.model,
        "choices": [
            {"index": i, "text": item.text, "finish_reason": item.finish_reason, "logprobs": _chosen(item)}
            for i, item in enumerate(completion.items)
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        },
    }


def _chosen(item: Item) -> dict[str, Any] | None:
    """OpenAI's logprobs; offsets are into the item's text."""
    if item.logprobs is None:
        return None
    pieces = [piece for piece, _ in item.logprobs]
    return {
        "tokens": pieces,
        "token_logprobs": [logprob for _, logprob in item.logprobs],
        "top_logprobs": None,
        "text_offset": [*accumulate(map(len, pieces), initial=0)][:-1],
    }


def _answer_to(error: Exception) -> tuple[int, str, float]:
    """The one table from errors to (HTTP status, reason, Retry-After in seconds or 0)."""
    if isinstance(error, EngineUnavailable):
        return 503, error.reason, error.retry_after
    table: dict[type[Exception], tuple[int, str, float]] = {
        BadRequest: (400, "bad-request", 0),
        NotAllowed: (403, "not-allowed", 0),
        UnknownModel: (404, "unknown-model", 0),
        Superseded: (409, "superseded", 0),
        BodyTooLarge: (413, "too-large", 0),
        QueueFull: (429, "queue-full", RETRY_SOON),
        TimedOut: (503, "timeout", RETRY_SOON),
        RequestFailed: (500, "engine", 0),
    }
    return table.get(type(error), (500, "internal", 0))


def _message(error: Exception, status: int) -> str:
    return str(error) if status != 500 else "The completion failed; the server's log has the reason."
