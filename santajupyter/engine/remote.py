"""The model's process where another server has the model: wire.py on one side, HTTP on the other.

The prompt is made here, with the model's own tokenizer, and sent as the server can take it. What is spoken is
OpenAI's text completion, https://platform.openai.com/docs/api-reference/completions, as vLLM, llama.cpp's
server, ``santajupyter serve`` and others have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
from httpx_sse import SSEError, aconnect_sse

from ..prompt.document import Document
from ..prompt.explain import explain
from ..prompt.fim import ALL_TOKENS, FAMILIES, Prompt, end_ids, fit, recognize, sides
from ..prompt.tokenizer import CodeTokenizer
from ..protocol import Sampling, Usage
from . import wire
from .folders import model_folder
from .hub import tokenizer_folder
from .model import MAX_WINDOW, ModelUnavailable
from .pipes import Inbox, Out, line
from .remotenames import CONSTRAINTS, DRAWN, Constraint, RemoteName, among, best, most_tokens
from .remotetext import Elsewhere, Text, least, pieces

# Seconds: to connect, and for the next word of an answer; a server that is away is looked for again after.
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
RETRY_AFTER = 10.0
# Of a refusal's body so many bytes are read.
MAX_REFUSAL = 20_000
# The server is there, but not its model, or has too much to do: once more after so many seconds.
BUSY = frozenset([429, 502, 503, 504])
BUSY_WAIT = 1.0
# What comes of reading an answer that is none.
SAYS_SOMETHING_ELSE = "answers with something else than a completion"
ODD = (AttributeError, IndexError, TypeError, ValueError)
# How a prompt can be sent, best first. As token ids, nothing that a user wrote can become a sentinel.
FORMS = ("ids", "suffix", "text")


class _Away(Exception):
    """Nobody is there, or not for us; the message says why, in a sentence."""


class _Refused(Exception):
    """This one request isn't done; the message says why, and ``said`` what the server told of it.

    ``retry_after``: seconds, where it has too much to do. ``is_unknown``: it doesn't know what it was asked.
    """

    def __init__(
        self, message: str, said: str = "", retry_after: float = 0.0, is_unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.said, self.retry_after, self.is_unknown = said, retry_after, is_unknown


@dataclass(eq=False)
class _Job:
    """A request at work; ``finished``: what is there is the answer."""

    task: asyncio.Task[None]
    finished: bool = False


class RemoteEngine:
    """Speaks for the server at ``remote``. ``steps``: how many words of it have come.

    Raises ModelUnavailable where there is no tokenizer.
    """

    def __init__(self, load: wire.Load, remote: wire.Remote, out: Out) -> None:
        self._model, self._order, self._out = load.model, load.prompt_order, out
        self.steps = 0
        self._jobs: dict[int, _Job] = {}
        self._host = urlsplit(remote.url).netloc
        if not self._host:
            raise ModelUnavailable(
                f"SantaApp.remote_url is {remote.url!r} and not an address such as http://localhost:8000/v1"
            )
        self._url = remote.url.rstrip("/").removesuffix("/v1") + "/v1/"
        self._headers = {"Authorization": f"Bearer {remote.key}"} if remote.key else {}
        self._tokenizer = _tokenizer(remote.tokenizer or load.folder, load.revision)
        name = load.family or recognize(self._tokenizer)
        self._family_name, self._family = name, FAMILIES[name] if name else None
        self._ends = sorted(end_ids(self._tokenizer, self._family, ()))
        self._form, self._window = "text", MAX_WINDOW
        self._constraints, self._drawn = [*CONSTRAINTS], [*DRAWN]

    @property
    def busy(self) -> bool:
        """Whether there is a request that isn't answered yet."""
        return bool(self._jobs)

    async def serve(self, inbox: Inbox) -> NoReturn:
        """Until the process ends."""
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=TIMEOUT) as client:
            self._client = client
            try:
                await self._connect()
            except _Away as error:
                self._leave(str(error))
            except _Refused as error:
                self._leave(f"{error}: {error.said}" if error.said else str(error))
            except ODD:
                self._leave(f"{self._host} {SAYS_SOMETHING_ELSE}")
            self._out.send(wire.Ready(self._family_name, self._host, "", self._window))
            while True:
                for message in await asyncio.to_thread(inbox.all, True):
                    self._take(message)

    async def _connect(self) -> None:
        """1. Does it have the model? 2. How may prompts be sent? 3. Is the tokenizer the model's?"""
        models = await self._ask("GET", "models")
        found = [each for each in models.get("data") or () if each.get("id") == self._model]
        if not found:
            served = ", ".join(str(each.get("id")) for each in models.get("data") or ()) or "none"
            raise _Away(f"{self._host} doesn't serve {self._model} but {served}: set SantaApp.remote_model")
        window = found[0].get("max_model_len") or (found[0].get("meta") or {}).get("n_ctx")
        self._window = min(MAX_WINDOW, window or MAX_WINDOW)
        for form in FORMS:
            self._form = form
            with contextlib.suppress(_Refused):
                await self._ask(
                    "POST", "completions", self._body(Document("a = ", "\nb"), Sampling(max_new_tokens=1))
                )
                break
        else:
            raise _Away(f"{self._host} makes no text completions")
        await self._check_tokenizer()

    async def _check_tokenizer(self) -> None:
        if self._form != "ids":
            return
        text = "def area(width, height):\n    return width * height  # in m²\n"
        body = {"model": self._model, "prompt": text, "max_tokens": 1}
        told = ((await self._ask("POST", "completions", body)).get("usage") or {}).get("prompt_tokens")
        expected = len(self._tokenizer.encode(text))
        if told is not None and told - expected not in (0, 1):  # it may begin every text with a token
            raise _Away(
                f"SantaApp.remote_tokenizer isn't the one of {self._model}: it makes {expected} tokens of a "
                f"text and the server {told}"
            )

    def _take(self, message: wire.ToWorker) -> None:
        if isinstance(message, wire.Cancel | wire.Finish):
            if job := self._jobs.get(message.id):
                job.finished = job.finished or isinstance(message, wire.Finish)
                job.task.cancel()
        elif not isinstance(message, wire.Load):
            task = asyncio.get_running_loop().create_task(self._do(message))
            self._jobs[message.id] = _Job(task)
            task.add_done_callback(lambda task: self._end(message.id, task))

    def _end(self, number: int, task: asyncio.Task[None]) -> None:
        del self._jobs[number]
        if task.cancelled():
            self._out.send(wire.Cancelled(number))

    async def _do(self, request: wire.Request) -> None:
        try:
            if isinstance(request, wire.Explain):
                self._out.send(self._explained(request))
            else:
                self._out.send(await self._completed(request))
        except _Away as error:
            self._leave(str(error))
        except _Refused as error:
            self._out.send(wire.Failed(request.id, line(str(error)), line(error.said), error.retry_after))
        except ODD:
            self._out.send(wire.Failed(request.id, f"{self._host} {SAYS_SOMETHING_ELSE}"))

    def _explained(self, request: wire.Explain) -> wire.Explained:
        document, new = request.document, request.sampling.max_new_tokens
        prompt = self._fitted(document, new, False)
        told = explain(document, prompt, self._tokenizer, self._family, request.pieces, 0)
        return wire.Explained(request.id, told)

    async def _completed(self, request: wire.Complete | wire.Warm) -> wire.Done:
        if isinstance(request, wire.Warm):
            sampling = replace(request.sampling, max_new_tokens=1, n=1)
            return await self._generated(request.id, self._body(request.document, sampling), False, [])
        sampling, names = request.sampling, await self._names(request)
        if not names:
            return await self._free(request)
        alone = replace(sampling, n=1, temperature=0.0 if sampling.n > 1 else sampling.temperature)
        done = wire.Done(request.id, (), Usage())
        for index, name in enumerate(names[: sampling.n]):
            text = Text.of(name, least(sampling))
            self._out.send(wire.Delta(request.id, index, text.take({})))
            if request.choice and request.choice.alone:
                more = wire.Done(request.id, (text.item(sampling.logprobs),), done.usage)
            else:
                document = replace(request.document, prefix=request.document.prefix + name.text)
                body = self._body(document, alone)
                more = await self._generated(request.id, body, sampling.logprobs, [text], index)
            more.items = (*done.items, *more.items)
            done = more
        return done

    async def _names(self, request: wire.Complete) -> list[RemoteName]:
        """The best ones to begin with; none where all can come, or the server can't be made to choose."""
        choice = request.choice
        names = among(choice, request.sampling.stop) if choice else {}
        while choice and names and self._constraints:
            constraint = self._constraints[0]
            number, new = self._drawn[0], request.sampling.max_new_tokens
            temperature = 1.0 if number > 1 else 0.0  # one alone is the likeliest
            sampling = Sampling(number, new, temperature, seed=0, logprobs=True)
            body = self._body(request.document, sampling) | {"max_tokens": min(new, most_tokens(names))}
            body |= constraint.among([*names])
            try:
                drawn = _drawn(await self._ask("POST", "completions", body))
            except _Refused as error:
                if error.retry_after:
                    raise
                if not error.is_unknown:
                    break
                drawn = []
                if len(self._drawn) > 1:
                    self._drawn.pop(0)
                    continue
            if found := best(drawn, names, choice, request.document.suffix):
                return found
            self._drop(constraint)
        return []

    async def _free(self, request: wire.Complete) -> wire.Done:
        """Whatever the model writes, of whose last tokens before the cursor longer ones may be made.

        See prompt/fim.py; where the server can be made to write them again.
        """
        document, sampling = request.document, request.sampling
        heals = bool(self._constraints) and sampling.heal
        prompt = self._fitted(document, sampling.max_new_tokens, heals) if self._form == "ids" else None
        healed = self._tokenizer.decode(prompt.healed) if prompt else ""
        while prompt and healed and self._constraints:
            constraint = self._constraints[0]
            texts = [Text(least(sampling), healed=healed) for _ in range(sampling.n)]
            body = {**self._body(document, sampling, prompt), **constraint.beginning(healed)}
            body["max_tokens"] += len(prompt.healed)
            try:
                return await self._generated(request.id, body, sampling.logprobs, texts)
            except Elsewhere:
                self._drop(constraint)
                if any(text.sent for text in texts):
                    raise _Refused(f"{self._host} {SAYS_SOMETHING_ELSE}") from None
            except _Refused as error:
                if not error.is_unknown:
                    raise
                self._drop(constraint)
        texts = [Text(least(sampling)) for _ in range(sampling.n)]
        body = self._body(document, sampling, None if healed else prompt)
        return await self._generated(request.id, body, sampling.logprobs, texts)

    def _drop(self, constraint: Constraint) -> None:
        if constraint in self._constraints:  # another request may have found out
            self._constraints.remove(constraint)
            self._drawn = [*DRAWN]

    async def _generated(
        self, number: int, body: dict[str, Any], detailed: bool, texts: Sequence[Text], index: int = 0
    ) -> wire.Done:
        """The rest of the texts, the first of which is the candidate ``index``. Raises Elsewhere."""
        begun, first, usage = time.perf_counter(), 0.0, Usage()
        try:
            async for event in self._events(number, body):
                first = first or time.perf_counter()
                self.steps += 1
                usage = _usage(event) or usage
                for choice in event.get("choices") or () if texts else ():
                    at = choice.get("index") or 0
                    if new := texts[at].take(choice):
                        self._out.send(wire.Delta(number, index + at, new))
            if not all(text.finish_reason for text in texts):
                raise _Refused(self._broke())
        except asyncio.CancelledError:
            if not self._jobs[number].finished:
                raise
        end = time.perf_counter()
        first = first or end
        items = tuple(text.item(detailed) for text in texts)
        return wire.Done(number, items, usage, 1000 * (first - begun), 1000 * (end - first))

    def _body(self, document: Document, sampling: Sampling, prompt: Prompt | None = None) -> dict[str, Any]:
        body = {
            "model": self._model,
            "max_tokens": sampling.max_new_tokens,
            "n": sampling.n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": False,
            **self._prompt(document, sampling.max_new_tokens, prompt),
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.stop:
            body["stop"] = [*sampling.stop]
        if sampling.logprobs or sampling.min_probability > 0:
            body["logprobs"] = 1  # at 0 llama.cpp's server tells none
        return body

    def _fitted(self, document: Document, new: int, heal: bool) -> Prompt:
        return fit(document, self._tokenizer, self._family, self._window, new, self._order, heal)

    def _prompt(self, document: Document, new: int, prompt: Prompt | None) -> dict[str, Any]:
        tokenizer, family = self._tokenizer, self._family
        if self._form == "ids":
            prompt = prompt or self._fitted(document, new, False)
            return {"prompt": [*prompt.ids], "stop_token_ids": self._ends}
        prefix, suffix, _ = sides(document, tokenizer, family, self._window, new)
        left, right = _plain(tokenizer.decode(prefix)), _plain(tokenizer.decode(suffix or []))
        if self._form == "suffix":
            return {"prompt": left, "suffix": right}
        if suffix is None or family is None:
            return {"prompt": left}
        if self._order == "psm" or (self._order == "auto" and not family.spm):
            return {"prompt": family.prefix + left + family.suffix + right + family.middle}
        return {"prompt": family.prefix + family.suffix + right + family.middle + left}

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer as JSON. Raises _Away and _Refused."""
        try:
            async with self._client.stream(method, path, json=body) as response:
                await _check(response, self._host)
                answer = json.loads(await response.aread())
        except httpx.HTTPError as error:
            raise _Away(f"{self._host} can't be reached: {_said(error)}") from error
        except ValueError as error:
            raise _Refused(f"{self._host} answers {path} with something else than JSON") from error
        return answer if isinstance(answer, dict) else {}

    async def _events(self, number: int, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The answer's pieces. Asked once more where nothing has come yet. Raises _Away and _Refused."""
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        for is_last in (False, True):
            has_begun = False
            try:
                async with aconnect_sse(self._client, "POST", "completions", json=body) as source:
                    if source.response.status_code in BUSY and not is_last:
                        await asyncio.sleep(BUSY_WAIT)
                        continue
                    await _check(source.response, self._host)
                    has_begun = True
                    self._out.send(wire.Started(number))
                    async for event in source.aiter_sse():
                        if event.data == "[DONE]":
                            return
                        yield json.loads(event.data)
                    return
            except (SSEError, ValueError) as error:
                raise _Refused(f"{self._host} {SAYS_SOMETHING_ELSE}") from error
            except httpx.ReadTimeout as error:
                raise _Refused(f"{self._host} didn't answer for {TIMEOUT.read:.0f} s") from error
            except httpx.TransportError as error:
                if has_begun:
                    raise _Refused(self._broke()) from error
                if is_last:
                    raise _Away(f"{self._host} can't be reached: {_said(error)}") from error

    def _broke(self) -> str:
        return f"the connection to {self._host} broke"

    def _leave(self, why: str) -> NoReturn:
        """The process ends; another one looks again."""
        self._out.send(wire.Broken(line(why), RETRY_AFTER))
        os._exit(0)


async def _check(response: httpx.Response, host: str) -> None:
    """Raises _Away where no request would be answered, _Refused where this one isn't."""
    if response.status_code == 200:
        return
    told = b""
    async for piece in response.aiter_bytes():
        told += piece
        if len(told) > MAX_REFUSAL:
            break
    if response.status_code in (401, 403):
        raise _Away(f"{host} refuses the key ({_message(told)}): set SantaApp.remote_api_key")
    if response.status_code in BUSY:
        raise _Refused(f"{host} has too much to do ({response.status_code})", _message(told), BUSY_WAIT)
    is_unknown = response.status_code == 400
    raise _Refused(f"{host} answers {response.status_code}", _message(told), is_unknown=is_unknown)


def _message(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return "no reason is given"
    error = told.get("error", told) if isinstance(told, dict) else told
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _plain(text: str) -> str:
    """Without what a server may take for a sentinel."""
    for token in ALL_TOKENS:
        text = text.replace(token, "")
    return text


def _drawn(answer: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The texts of an answer that came at once, with their log-probabilities."""
    choices = answer.get("choices") or ()
    return [(each["text"], sum(logprob for _, logprob in pieces(each))) for each in choices]


def _usage(event: Mapping[str, Any]) -> Usage | None:
    told = event.get("usage")
    if not told:
        return None
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(told.get("prompt_tokens") or 0, cached, told.get("completion_tokens") or 0)


def _tokenizer(name: str, revision: str) -> CodeTokenizer:
    try:
        if folder := model_folder(name):
            return CodeTokenizer.from_folder(folder)
        return CodeTokenizer.from_folder(tokenizer_folder(name, revision))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"SantaApp.remote_tokenizer: {name} has no tokenizer.json to be read"
        ) from error
