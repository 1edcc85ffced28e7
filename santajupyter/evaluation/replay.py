"""Hide the rest of a line at places in notebooks, and ask the server's own path for it.

A configuration is one way of asking: the whole request, or with a piece of its context taken away,
or on a server that is set otherwise. All of them see the same places.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..prompt import postprocess
from ..prompt.check import Check
from ..protocol import Cell, CompletionRequest
from ..server.service import CompletionService
from ..server.settings import Settings
from .places import Place

LOAD_TIMEOUT = 600.0

T = TypeVar("T", CompletionRequest, Cell)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Configuration:
    """``change`` is applied to each request, ``settings`` to the server; ``rules``: of postprocess.py."""

    name: str
    change: Callable[[CompletionRequest], CompletionRequest] = lambda request: request
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: bool = True


@dataclass(frozen=True)
class Result:
    """What one configuration suggested at one place, all of it after so many ``milliseconds``.

    ``broken``: it doesn't parse there, or names what doesn't exist.
    """

    place: Place
    configuration: str
    text: str
    milliseconds: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    broken: bool = False

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Result:
        """A line of ``--out``."""
        return cls(**{**fields, "place": Place(**fields["place"])})


def cell_only(request: CompletionRequest) -> CompletionRequest:
    """As something asks that knows nothing of notebooks: the active cell, and nothing else."""
    alone = replace(request, cells=(request.cells[request.active],), active=0, path="")
    return no_variables(alone)


def no_suffix(request: CompletionRequest) -> CompletionRequest:
    """Without the cells below."""
    return replace(request, cells=request.cells[: request.active + 1])


def no_order(request: CompletionRequest) -> CompletionRequest:
    """Without what ran when."""
    return _each_cell_without(request, "execution_count")


def no_outputs(request: CompletionRequest) -> CompletionRequest:
    """Without what cells showed."""
    return _each_cell_without(request, "outputs")


def no_variables(request: CompletionRequest) -> CompletionRequest:
    """Without what the kernel knows."""
    return _without(request, "variables", "classes")


CONFIGURATIONS = (
    Configuration("full"),
    Configuration("cell-only", cell_only),
    Configuration("no-suffix", no_suffix),
    Configuration("no-order", no_order),
    Configuration("no-outputs", no_outputs),
    Configuration("no-variables", no_variables),
    Configuration("no-rules", rules=False),
    Configuration("no-kernel-names", settings={"kernel_names": False}),
    Configuration("no-check", settings={"check": False}),
    Configuration("no-cache-model", settings={"cache_model": False}),
    Configuration("cache-model", settings={"cache_model": True}),
)
# For the choice of SantaApp.min_probability.
LIMITS = tuple(
    Configuration(f"sure-{least:g}", settings={"min_probability": least})
    for least in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
)


def usable(
    configurations: Iterable[Configuration], requests: Collection[CompletionRequest]
) -> Iterator[Configuration]:
    """Those that can make a difference; a sentence on stderr for each other one."""
    known = {each.name for each in fields(Settings)}
    for configuration in configurations:
        missing = set(configuration.settings) - known
        plain = configuration.rules and not configuration.settings
        if missing:
            print(f"{configuration.name}: left out, SantaApp has no {', '.join(missing)}", file=sys.stderr)
        elif plain and configuration.name != "full" and all(configuration.change(r) == r for r in requests):
            print(
                f"{configuration.name}: left out, nothing at these places is changed by it", file=sys.stderr
            )
        else:
            yield configuration


async def replay(
    settings: Settings,
    configurations: Sequence[Configuration],
    requests: Mapping[Place, CompletionRequest],
    root: Path | None = None,
) -> AsyncIterator[Result]:
    """Each configuration's suggestion at each place, all of a place together.

    So they share what the model has read, as do the places of one notebook in reading order. Those
    that need a server of their own come after the others. ``root``: the notebooks' folder, where the server
    may read the project's files. Raises SystemExit when the model can't be
    loaded, and what CompletionService.complete raises.
    """
    servers: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        servers.setdefault(repr(configuration.settings), []).append(configuration)
    for group in servers.values():
        async with serving(replace(settings, **group[0].settings), root) as service:
            for place, request in requests.items():
                asked: list[tuple[CompletionRequest, bool, Result]] = []
                for configuration in group:
                    changed = configuration.change(request)
                    same = (r for old, rules, r in asked if (old, rules) == (changed, configuration.rules))
                    result = next(same, None) or await _ask(
                        service, place, changed, request, configuration.rules
                    )
                    asked.append((changed, configuration.rules, result))
                    yield replace(result, configuration=configuration.name)


async def _ask(
    service: CompletionService,
    place: Place,
    request: CompletionRequest,
    whole: CompletionRequest,
    rules: bool,
) -> Result:
    """As a page asks, which shows the text as it comes. ``whole``: the request with all that is known."""
    with nullcontext() if rules else _no_rules():
        begun = time.perf_counter()
        completion = await service.complete(request, _ignore)
        milliseconds = 1000 * (time.perf_counter() - begun)
    item, usage = completion.items[0], completion.usage
    broken = Check(whole).sound(item.text, False)[1] is not None
    tokens = usage.prompt_tokens, usage.cached_tokens
    return Result(place, "", item.text, round(milliseconds, 1), *tokens, broken)


@contextmanager
def _no_rules() -> Iterator[None]:
    """The model's raw text up to the line's end, where it is stopped anyway.

    The chain is emptied where it stands, so that all else stays the same: prompt, stop, threshold.
    """
    rules, postprocess.RULES = postprocess.RULES, ()
    try:
        yield
    finally:
        postprocess.RULES = rules


@asynccontextmanager
async def serving(settings: Settings, root: Path | None = None) -> AsyncIterator[CompletionService]:
    """The service with its model loaded. Raises SystemExit when that fails, TimeoutError when it hangs."""
    service = CompletionService(settings, log, root)
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


async def _ignore(index: int, text: str) -> None:
    return None


def _each_cell_without(request: CompletionRequest, name: str) -> CompletionRequest:
    return replace(request, cells=tuple(_without(cell, name) for cell in request.cells))


def _without(value: T, *names: str) -> T:
    """As if the fields hadn't been given; those that this version of the protocol lacks are none."""
    plain = Cell("") if isinstance(value, Cell) else CompletionRequest((), 0, 0)
    absent: dict[str, Any] = {name: getattr(plain, name) for name in names if hasattr(plain, name)}
    return replace(value, **absent)
