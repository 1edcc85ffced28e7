"""Is what follows a suggestion there when it is accepted, and is the first one as fast as without?

    python -m benchmarks.typing.traces --folder benchmarks/notebooks --out build/notebooks.jsonl
    python -m benchmarks.ahead build/notebooks.jsonl

Wherever a trace rests, the server is asked. Where what it suggests is what is typed next, the user looks at
it for LOOK ms (median) and accepts; what follows was asked for WAIT ms after the first came. And half of
the requests come while one that was asked ahead is at work, which they end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.typing.traces import LOOK, SPREAD, Event, read, states
from santajupyter.evaluation.engines import serving
from santajupyter.protocol import CompletionRequest
from santajupyter.server.service import CompletionService, QueueFull, Superseded
from santajupyter.server.settings import Settings

# Milliseconds: a pause that asks, and from a suggestion to the request for what follows, at most.
PAUSE, WAIT = 150, 200


def places(events: Sequence[Event]) -> Iterator[tuple[CompletionRequest, str]]:
    """Where a trace rests, and the rest of the line there as it is typed next."""
    line = [*states(events)]
    for at, (event, state) in enumerate(line[:-1]):
        if event.kind == "key" and line[at + 1][0].t - event.t > PAUSE:
            typed = ""
            for after, _ in line[at + 1 :]:
                if after.kind not in ("key", "accept") or "\n" in after.text:
                    break
                typed += after.text
            yield CompletionRequest(state.cells, state.active, state.offset, client="tab"), typed


def accepted(request: CompletionRequest, text: str) -> CompletionRequest:
    """What is asked ahead where ``text`` is suggested."""
    cell, at = request.cells[request.active], request.offset
    changed = replace(cell, source=cell.source[:at] + text + cell.source[at:])
    cells = (*request.cells[: request.active], changed, *request.cells[request.active + 1 :])
    return replace(request, cells=cells, offset=at + len(text), prefetch=True)


async def timed(service: CompletionService, request: CompletionRequest) -> tuple[str, float]:
    begun = time.perf_counter()
    text = (await service.complete(request, ignore)).text
    return text, 1000 * (time.perf_counter() - begun)


def summarize(name: str, times: list[float]) -> None:
    """Print how many there are, and what half of them and 95 % take at most."""
    times.sort()
    shares = {f"p{q}": round(times[len(times) * q // 100], 1) for q in (50, 95)}
    print(f"{name:22} n={len(times):4} {shares} ms")


async def ignore(index: int, text: str) -> None:
    return None


async def measure(path: Path, model: str, most: int) -> None:
    rng = random.Random(0)  # noqa: S311 - nothing secret
    plain: list[float] = []
    beside: list[float] = []
    following: list[float] = []
    there: list[bool] = []
    async with serving(Settings(model=model, fallback_model="")) as service:
        for request, typed in [place for events in read(path) for place in places(events)][:most]:
            ahead = None
            if rng.random() < 0.5:
                ahead = asyncio.create_task(timed(service, accepted(request, "x")))
            await asyncio.sleep(rng.uniform(0, 0.05))
            text, took = await timed(service, request)
            (plain if ahead is None else beside).append(took)
            if ahead:
                with contextlib.suppress(Superseded, QueueFull):
                    await ahead
            if text and typed.startswith(text):
                took = (await timed(service, accepted(request, text)))[1]
                following.append(took)
                there.append(WAIT + took <= LOOK * math.exp(rng.gauss(0, SPREAD)))
    for name, times in (("first", plain), ("first, ending another", beside), ("following", following)):
        summarize(name, times)
    print(f"there when accepted: {sum(there)} of {len(there)} ({sum(there) / len(there):.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("--model", default="santa-mini")
    parser.add_argument("--most", type=int, default=600, help="places at most")
    args = parser.parse_args()
    asyncio.run(measure(args.traces, args.model, args.most))


if __name__ == "__main__":
    main()
