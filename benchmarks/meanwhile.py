"""How long until there is text at a place whose prompt the model hasn't read, with and without santa-mini's.

    python -m benchmarks.typing.traces --folder benchmarks/notebooks --out build/notebooks.jsonl
    python -m benchmarks.meanwhile build/notebooks.jsonl --model MODEL

Places in one notebook after another, so that neither model has read much of what is asked; each is asked
with and without, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path

from benchmarks.ahead import places, summarize
from benchmarks.typing.traces import read
from santajupyter.evaluation.engines import serving
from santajupyter.protocol import CompletionRequest, Meanwhile
from santajupyter.server.service import CompletionService
from santajupyter.server.settings import Settings

# (milliseconds until there was text, the text); nothing where there was none.
Shown = tuple[float, str] | None


async def asked(service: CompletionService, request: CompletionRequest, wants: bool) -> tuple[Shown, Shown]:
    """What was shown meanwhile, and what came of the model."""
    begun = time.perf_counter()
    meanwhile: list[tuple[float, str]] = []
    first: list[float] = []

    def took() -> float:
        return 1000 * (time.perf_counter() - begun)

    async def on_delta(index: int, text: str) -> None:
        first.append(took())

    async def on_meanwhile(made: Meanwhile) -> None:
        meanwhile.append((took(), made.text))

    text = (await service.complete(request, on_delta, on_meanwhile if wants else None)).text
    return next(iter(meanwhile), None), ([*first, took()][0], text) if text else None


async def measure(traces: Path, model: str, dtype: str, most: int) -> None:
    rng = random.Random(0)  # noqa: S311 - nothing secret
    books = [[*places(events)] for events in read(traces)]
    each = -(-most // len(books))
    chosen = [place for row in zip(*(rng.sample(book, each) for book in books), strict=True) for place in row]
    # The newest entry stays, whatever it takes.
    settings = Settings(model=model, dtype=dtype, cache_bytes=0)
    alone: list[float] = []
    beside: list[float] = []
    sooner: list[float] = []
    right: list[bool] = []
    async with serving(settings) as service:
        while service.engines.meanwhile is None:
            await asyncio.sleep(0.1)
        for number, (request, typed) in enumerate(chosen[:most]):
            for wants in (number % 2 == 0, number % 2 == 1):
                other = chosen[number - 1][0]
                await service.complete(other, None)  # so that this one's prompt isn't what was read last
                meanwhile, made = await asked(service, request, wants)
                if made:
                    (beside if wants else alone).append(made[0])
                if meanwhile:
                    sooner.append(meanwhile[0])
                    right.append(typed.startswith(meanwhile[1]))
    for name, times in (("the model's", alone), ("the same, beside", beside), ("meanwhile", sooner)):
        summarize(name, times)
    print(f"of those meanwhile {sum(right)} are what was typed next ({sum(right) / len(right):.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--most", type=int, default=60, help="places at most")
    args = parser.parse_args()
    asyncio.run(measure(args.traces, args.model, args.dtype, args.most))


if __name__ == "__main__":
    main()
