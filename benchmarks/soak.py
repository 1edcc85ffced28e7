"""Whether a server and its model's process keep their memory: many completions over HTTP.

    python -m benchmarks.soak [--requests 20000] [--typed 5000] [--model santa-mini]

A real Jupyter server runs, with the model in its own process. The first ``--typed`` requests are the keys of
one notebook that somebody types from its beginning, the others places all over ``benchmarks/notebooks``, so
that nearly every prompt has a length of its own. They are asked as the frontend asks while typing, one after
another; each 20th is streamed, each 50th is left before its answer. Memory is resident; what a request adds
is counted from half of the requests to their end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.server import jupyter

NOTEBOOKS = Path(__file__).parent / "notebooks"
# Requests after which the memory is told, beside half of them and all.
TOLD = (1_000, 2_000, 5_000, 10_000, 15_000)
# Every so many requests one is streamed; one is left after so many seconds.
STREAMED, LEFT = 20, 50
LEFT_AFTER = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--typed", type=int, default=5_000)
    parser.add_argument("--model", default="santa-mini")
    parser.add_argument("--limit", type=int, default=300, help="MB of both over the start that are an error")
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        most = asyncio.run(soak(folder, args.model, args.requests, min(args.typed, args.requests)))
    sys.exit(most > args.limit)


async def soak(folder: str, model: str, requests: int, typed: int) -> float:
    """Ask, and print the memory as it goes; by how much both grew, in MB."""
    async with jupyter(model, folder) as (client, pid):
        return await _asked(client, psutil.Process(pid), requests, typed)


async def _asked(client: httpx.AsyncClient, server: psutil.Process, requests: int, typed: int) -> float:
    async def look() -> tuple[float, float]:
        worker = (await client.get("/santajupyter/status")).json()["memory"]
        return server.memory_info().rss / 1e6, worker / 1e6

    def tell(number: int, now: tuple[float, float]) -> None:
        print(f"| {number:,} | {now[0]:.1f} | {now[1]:.1f} |", flush=True)

    print("| requests | server, MB | model's process, MB |\n| --- | --- | --- |")
    start = half = now = await look()
    tell(0, start)
    bodies = chain(islice(typing(), typed), jumping(random.Random(0)))  # noqa: S311
    for number, body in enumerate(islice(bodies, requests), 1):
        await _ask(client, number, body)
        if number in (*TOLD, requests // 2, requests):
            now = await look()
            tell(number, now)
            half = now if number == requests // 2 else half
    grown = [1e9 * (b - a) / (requests - requests // 2) for a, b in zip(half, now, strict=True)]
    print(f"bytes per 1,000 requests, last half: server {grown[0]:,.0f}, model's process {grown[1]:,.0f}")
    print((await client.get("/santajupyter/status")).json()["stats"])
    return sum(now) - sum(start)


async def _ask(client: httpx.AsyncClient, number: int, body: dict[str, Any]) -> None:
    asked = {**body, "trigger": "automatic", "client": "page", "stream": number % STREAMED == 0}
    if number % LEFT == LEFT // 2:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.post("/santajupyter/complete", json=asked), LEFT_AFTER)
        return
    response = await client.post("/santajupyter/complete", json=asked)
    if response.status_code not in (200, 409):  # one that was left may be read later, and is the newer
        raise SystemExit(f"request {number}: {response.status_code} {response.text}")


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
