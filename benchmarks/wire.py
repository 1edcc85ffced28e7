"""How long the largest bodies of POST complete take to read, and keep other threads from running.

``python -m benchmarks.wire``: this package's way, msgspec at once into the same types, Python's own json,
and pydantic where it is installed. Milliseconds: the median of all, and the longest that another thread,
such as the server's event loop, waited.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import msgspec

from santajupyter.decoding import BadRequest, decode
from santajupyter.protocol import CompletionRequest

REPEATS = 7
TICK = 0.0005


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    line = '    value = compute("x", 1) + other[3]  # a comment\n'
    cells = [
        {"source": line * 36, "id": str(n), "outputs": [{"type": "text", "text": "x"}]} for n in range(2000)
    ]
    names = [f"n{number:05}" for number in range(2000)]
    variables = [{"name": f"v{n}", "type": "dict", "keys": names, "complete": ["keys"]} for n in range(200)]
    yield "one cell of 4 MB", {"cells": [{"source": line * 75_000}]}
    yield "2,000 cells", {"cells": cells}
    yield "200 x 2,000 names", {"cells": [{"source": "x"}], "variables": variables}
    yield (
        "110,000 outputs",
        {"cells": [{"source": "x", "outputs": [{"type": "text", "text": "abc"}] * 110_000}]},
    )
    yield "240,000 cells, refused", {"cells": [{"source": ""}] * 240_000}


def readers() -> Iterator[tuple[str, Callable[[bytes], object]]]:
    yield "ours", lambda body: decode(body, CompletionRequest)
    yield "msgspec at once", msgspec.json.Decoder(CompletionRequest).decode
    yield "json.loads", json.loads
    with suppress(ImportError):
        import pydantic

        class Output(pydantic.BaseModel):
            type: Literal["error", "text"]
            text: str = ""

        class Cell(pydantic.BaseModel):
            source: str
            id: str = ""
            outputs: tuple[Output, ...] = ()

        class Variable(pydantic.BaseModel):
            name: str
            type: str
            keys: tuple[str, ...] = ()
            complete: frozenset[str] = frozenset()

        class Request(pydantic.BaseModel):
            cells: tuple[Cell, ...]
            variables: tuple[Variable, ...] = ()

        yield "pydantic", Request.model_validate_json


def measure(read: Callable[[bytes], object], body: bytes) -> tuple[float, float]:
    times, waits = [], []
    for _ in range(REPEATS):
        thread = threading.Thread(target=_read, args=(read, body))
        begun = last = time.perf_counter()
        thread.start()
        longest = 0.0
        while thread.is_alive():
            time.sleep(TICK)
            now = time.perf_counter()
            longest, last = max(longest, now - last - TICK), now
        times.append(1000 * (last - begun))
        waits.append(1000 * longest)
    return statistics.median(times), statistics.median(waits)


def _read(read: Callable[[bytes], object], body: bytes) -> None:
    with suppress(BadRequest, msgspec.ValidationError):
        read(body)


def main() -> None:
    for name, fields in bodies():
        body = json.dumps({**fields, "active": 0, "offset": 0}).encode()
        print(f"{name} ({len(body) / 1e6:.1f} MB)")
        for reader, read in readers():
            took, waited = measure(read, body)
            print(f"    {reader:16} {took:7.1f} ms, others waited {waited:6.1f} ms")


if __name__ == "__main__":
    main()
