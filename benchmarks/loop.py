"""How long the server's event loop keeps others waiting while it completes, explains and documents.

    python -m benchmarks.loop [--seconds 10] [--model santa-mini]

A real Jupyter server runs, with the model in its own process. An extension that is loaded here alone sleeps
two milliseconds at a time on the server's loop and notes how much later it comes back: that is what every
other user of the server waits. Each kind of load runs by itself, from two connections at once; bodies of the
greatest size are those that have cost most. The aim is 20 ms at the 99th percentile, and 50 ms at most.
Client, server and model share the machine: where there are fewer cores than these, their turns are in the
figures too, which "nothing" shows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import httpx

from benchmarks.server import jupyter

STEP = 0.002
JSON = dict[str, Any]


# The extension, in the server's process.


def _jupyter_server_extension_points() -> list[JSON]:
    return [{"module": "benchmarks.loop"}]


def _load_jupyter_server_extension(app: Any) -> None:
    from tornado import web

    delays: list[float] = []

    async def probe() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(STEP)
            delays.append(time.perf_counter() - begun - STEP)

    class Delays(web.RequestHandler):
        def get(self) -> None:
            self.finish(json.dumps(delays))
            delays.clear()

    app.web_app.add_handlers(".*", [("/loop-delays", Delays)])
    app.io_loop.add_callback(lambda: asyncio.ensure_future(probe()))


# The loads: a path and a body each.


def cells(sources: list[str], active: int, offset: int, **more: object) -> JSON:
    given = [{"source": source} for source in sources]
    return {"cells": given, "active": active, "offset": offset, "max_new_tokens": 48, **more}


def alone(source: str, offset: int | None = None, **more: object) -> JSON:
    return cells([source], 0, len(source) if offset is None else offset, **more)


CODE = "import numpy as np\n\n\ndef mean(values):\n    return sum(values) / len(values)\n\n\n"
NOTEBOOK = [*(CODE + f"x{n} = mean([{n}])" for n in range(40)), "for x in range(10):\n    "]
END = len(NOTEBOOK[-1])
ONE_LINE = json.dumps({"values": list(range(80_000))})[:500_000]
VARIABLE = [{"name": "x", "type": "int"}]
LOADS: dict[str, tuple[str, Callable[[], JSON]]] = {
    "nothing": ("", lambda: {}),
    "complete": ("complete", lambda: cells(NOTEBOOK, 40, END, trigger="automatic")),
    "complete, streamed": ("complete", lambda: cells(NOTEBOOK, 40, END, stream=True, trigger="invoke")),
    "complete, 8 streamed": (
        "complete",
        lambda: cells(NOTEBOOK, 40, END, stream=True, n=8, temperature=1.0, mode="block", trigger="invoke"),
    ),
    "explain": ("explain", lambda: cells(NOTEBOOK, 40, END)),
    "explain, 2,000 cells": ("explain", lambda: cells([CODE] * 2000, 1000, 5)),
    "docstring, Python": ("docstring", lambda: alone(CODE, 40)),
    "docstring, Python of 180 kB": ("docstring", lambda: alone(CODE * 2200, 90_000)),
    "docstring, Java, 180 kB of words": (
        "docstring",
        lambda: alone("a " * 90_000, 90_000, language="java"),
    ),
    "one line of JSON, 500 kB": ("complete", lambda: alone(ONE_LINE, 250_000, stream=True)),
    "one line of JSON, 3 MB": ("complete", lambda: alone(ONE_LINE * 6, 1_500_000, stream=True)),
    "3 MB of (": ("complete", lambda: alone("(" * 3_000_000, stream=True)),
    "3 MB of code above": ("complete", lambda: cells([CODE * 36_000, "x = "], 1, 4)),
    "30,000 blank lines": ("complete", lambda: alone("\n" * 30_000 + "x", variables=VARIABLE)),
    "240,000 cells": ("complete", lambda: cells(["x"] * 240_000, 120_000, 1)),
    "explain, 60,000 cells": ("explain", lambda: cells(["x = 1"] * 60_000, 30_000, 1)),
    "docstring, 100,000 blanks": ("docstring", lambda: alone(" " * 100_000 + "x")),
    "docstring, JavaScript, 3 MB": ("docstring", lambda: alone("a b " * 750_000, language="javascript")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each kind of load")
    parser.add_argument("--model", default="santa-mini")
    parser.add_argument("--only", default="", help="the kinds that have this in their names")
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("aim: p99 20 ms, max 50 ms")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(folder, args.model, args.seconds, args.only))


async def measure(folder: str, model: str, seconds: float, only: str) -> None:
    """Print a row of milliseconds for each kind of load."""
    async with jupyter(model, folder, "benchmarks.loop", timeout=120) as (client, _):
        print("| load | requests | p50 | p99 | max |\n| --- | --- | --- | --- | --- |")
        for name, (path, body) in LOADS.items():
            if only in name:
                await client.get("/loop-delays")
                asked = await _load(client, path, body, seconds)
                delays = [1000 * delay for delay in (await client.get("/loop-delays")).json()]
                p50, *_, p99 = statistics.quantiles(delays, n=100)[49:]
                print(f"| {name} | {asked} | {p50:.1f} | {p99:.1f} | {max(delays):.0f} ms |", flush=True)


async def _load(client: httpx.AsyncClient, path: str, body: Callable[[], JSON], seconds: float) -> int:
    """Ask again and again from two connections; returns how often."""
    if not path:
        await asyncio.sleep(seconds)
        return 0
    content = json.dumps(body(), separators=(",", ":")).encode()
    end = time.monotonic() + seconds

    async def ask() -> int:
        count = 0
        while time.monotonic() < end:
            response = await client.post(f"/santajupyter/{path}", content=content)
            if response.status_code != 400:  # what is refused has to be read as well
                response.raise_for_status()
            count += 1
        return count

    return sum(await asyncio.gather(ask(), ask()))


if __name__ == "__main__":
    main()
