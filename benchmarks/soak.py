"""Whether the model's process keeps its memory: many completions through a real worker.

    python -m benchmarks.soak [--requests 20000] [--typed 5000] [--model santa-mini]

The first ``--typed`` requests are the keys of one notebook that somebody types from its beginning, the
others places all over ``benchmarks/notebooks``, so that nearly every prompt has a length of its own. They
are asked as the frontend asks while typing, one after another. ``over`` is the memory (resident) above that
right after loading; a time is that of a whole answer without HTTP, this process's own share included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from santajupyter.kernel import client
from santajupyter.kernel.local import LocalEngine

NOTEBOOKS = Path(__file__).parent / "notebooks"
REPORTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--typed", type=int, default=5_000)
    parser.add_argument("--model", default="santa-mini")
    parser.add_argument("--limit", type=int, default=300, help="MB over the start that are an error")
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    engine = LocalEngine(args.model)
    try:
        most = client.run(soak(engine, args.requests, min(args.typed, args.requests)))
    finally:
        client.run(engine.close())
    sys.exit(most > args.limit)


async def soak(engine: LocalEngine, requests: int, typed: int) -> float:
    """Ask, and print the memory as it goes; the most that it was over its start, in MB."""
    status = await client.loaded(engine)
    if status["state"] != "ready":
        sys.exit(status["message"])
    start = most = status["memory"] / 1e6
    print(f"{status['message']} {start:.0f} MB")
    print("requests   MB   over   ms a request (p50, p95)")
    times: list[float] = []
    bodies = chain(islice(typing(), typed), jumping(random.Random(0)))  # noqa: S311
    for number, body in enumerate(islice(bodies, requests), 1):
        begun = time.perf_counter()
        await engine.complete(body, lambda index, text: None)
        times.append(1000 * (time.perf_counter() - begun))
        if number % max(1, requests // REPORTS) == 0 or number == requests:
            memory = (await engine.status())["memory"] / 1e6
            most = max(most, memory)
            p50, p95 = (statistics.quantiles([*times, times[-1]], n=20)[at] for at in (9, 18))
            print(f"{number:8} {memory:5.0f} {memory - start:6.0f}   {p50:.1f} {p95:.1f}", flush=True)
            times.clear()
    print(f"at most {most - start:.0f} MB over the start")
    return most - start


def typing() -> Iterator[dict[str, Any]]:
    """Bodies of one long notebook of all the notebooks' cells, after each of its keys."""
    written: list[dict[str, str]] = []
    for cell in chain.from_iterable(notebooks()):
        for offset in range(1, len(cell["source"]) + 1 if cell["type"] == "code" else 1):
            cells = [*written, {**cell, "source": cell["source"][:offset]}]
            yield {"cells": cells, "active": len(written), "offset": offset}
        written.append(cell)


def jumping(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Bodies of places all over the notebooks, with all of their text around them."""
    all_cells = list(notebooks())
    while True:
        cells = rng.choice(all_cells)
        active = rng.choice([at for at, cell in enumerate(cells) if cell["type"] == "code"])
        yield {"cells": cells, "active": active, "offset": rng.randint(0, len(cells[active]["source"]))}


def notebooks() -> Iterator[list[dict[str, str]]]:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        yield [{"type": cell["cell_type"], "source": "".join(cell["source"])} for cell in cells]


if __name__ == "__main__":
    main()
