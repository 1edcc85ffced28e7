"""What is asked: the service behind ghost text, as it is or set otherwise, or llama.cpp's ``/infill``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from ..prompt.check import Check
from ..protocol import Completion, CompletionRequest, Sampling, TextRequest
from ..server.service import CompletionService
from ..server.settings import Settings

LOAD_TIMEOUT = 600.0
INFILL_TIMEOUT = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Raw(TextRequest):
    """The model's own text: the prompt as it is, its last tokens too. ``infill``: also before no suffix."""

    infill: bool = False

    @property
    def sampling(self) -> Sampling:
        return replace(super().sampling, heal=False)


@dataclass(frozen=True)
class Line(TextRequest):
    """The bare model where a line is missing: it looks for the likeliest whole line, where it can."""

    @property
    def sampling(self) -> Sampling:
        return replace(super().sampling, search=True)


Request = CompletionRequest | TextRequest


def _same(request: CompletionRequest) -> CompletionRequest:
    return request


@dataclass(frozen=True)
class Configuration:
    """One way of asking. ``change`` is applied to each request for a place in a notebook, ``settings`` to

    the server; without ``rules`` the model's text stays as it is. ``infill``: the address of a llama.cpp.
    """

    name: str
    change: Callable[[CompletionRequest], CompletionRequest] = _same
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: bool = True
    infill: str = ""

    @property
    def server(self) -> tuple[str, bool, str]:
        """Configurations of which this is the same can be asked of the same engine."""
        return repr(sorted(self.settings.items())), self.rules, self.infill


@dataclass(frozen=True)
class Answer:
    """One text, and of the request that brought it: the milliseconds, and the prompt's tokens.

    ``broken``: it doesn't parse in its place, or names what doesn't exist.
    """

    text: str
    milliseconds: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    broken: bool = False


# The texts for a request; the second one is the request with all that is known, to judge by.
Ask = Callable[[Request, Request], Awaitable[Sequence[Answer]]]


@asynccontextmanager
async def asking(
    settings: Settings, configuration: Configuration, root: Path | None = None
) -> AsyncIterator[tuple[Ask, Mapping[str, Any]]]:
    """A way to ask, and the engine's status. ``root``: where the server may read a notebook's project.

    Raises SystemExit where the model can't be loaded.
    """
    if configuration.infill:
        async with httpx.AsyncClient(
            base_url=configuration.infill, timeout=INFILL_TIMEOUT, trust_env=False
        ) as client:
            yield _infill(client), {"model": configuration.infill, "device": "llama.cpp", "dtype": ""}
    else:
        own = replace(settings, **configuration.settings)
        async with serving(own, root, configuration.rules) as service:
            yield _served(service), service.status()


@asynccontextmanager
async def serving(
    settings: Settings, root: Path | None = None, rules: bool = True
) -> AsyncIterator[CompletionService]:
    """The service with its model loaded. Raises SystemExit when that fails, TimeoutError when it hangs."""
    service = CompletionService(settings, log, root, rules)
    try:
        await service.engines.start()
        await asyncio.wait_for(_ready(service), LOAD_TIMEOUT)
        yield service
    finally:
        await service.close()


async def _ready(service: CompletionService) -> None:
    while (state := service.status()["state"]) != "ready":
        if state == "error":
            raise SystemExit(service.status()["message"])
        await asyncio.sleep(0.1)


def _served(service: CompletionService) -> Ask:
    async def ask(request: Request, whole: Request) -> Sequence[Answer]:
        """As a page asks, which shows the text as it comes."""
        begun = time.perf_counter()
        if isinstance(request, CompletionRequest):
            made = await service.complete(request, _ignore)
        else:
            made = await service.complete_text(request, _ignore)
        return _answers(made, whole, 1000 * (time.perf_counter() - begun))

    return ask


def _answers(made: Completion, whole: Request, milliseconds: float) -> list[Answer]:
    check = Check(whole) if isinstance(whole, CompletionRequest) else None
    usage = made.usage.prompt_tokens, made.usage.cached_tokens
    return [
        Answer(
            item.text,
            round(milliseconds, 1),
            *usage,
            check is not None and check.sound(item.text, False)[1] is not None,
        )
        for item in made.items
    ]


def _infill(client: httpx.AsyncClient) -> Ask:
    async def ask(request: Request, whole: Request) -> Sequence[Answer]:
        """llama.cpp's tools/server/README.md, POST /infill."""
        if isinstance(request, CompletionRequest):
            left, right = text_around(request)
            stop, most = ["\n"], request.max_new_tokens
        else:
            left, right, stop, most = request.prompt, request.suffix, [*request.stop], request.max_tokens
        asked = {
            "input_prefix": left,
            "input_suffix": right,
            "n_predict": most,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed if request.seed is not None else -1,
            "stop": stop,
            "cache_prompt": True,
        }
        begun = time.perf_counter()
        answer = await client.post("/infill", json=asked)
        answer.raise_for_status()
        milliseconds = round(1000 * (time.perf_counter() - begun), 1)
        found = answer.json()
        text = found["content"].partition("\n")[0] if stop == ["\n"] else found["content"]
        cached = found.get("timings", {}).get("cache_n", 0)
        return [Answer(text, milliseconds, found.get("tokens_evaluated", 0), cached)]

    return ask


def text_around(request: CompletionRequest) -> tuple[str, str]:
    """The notebook as a script, left and right of the cursor: markdown is comments, cells are a line apart.

    Our own way to text may be better, so it isn't used here.
    """
    texts = [
        "\n".join(f"# {line}" for line in cell.source.split("\n")) if cell.type == "markdown" else cell.source
        for cell in request.cells
    ]
    active, offset = request.active, request.offset
    left, right = texts[active][:offset], texts[active][offset:]
    return "\n\n".join([*texts[:active], left]), "\n\n".join([right, *texts[active + 1 :]])


async def _ignore(index: int, text: str) -> None:
    return None
