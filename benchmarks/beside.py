"""What a running cell loses to ghost text, and ghost text to the cell.

    python -m benchmarks.typing.traces --folder benchmarks/notebooks --out build/notebooks.jsonl
    python -m benchmarks.beside build/notebooks.jsonl --model MODEL [--seconds 30]

Somebody types at a trace's own pace, and each key asks; a process computes meanwhile as a cell does, in one
thread (Python) or in all (numpy): alone, beside the typing, and the typing alone, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.typing.traces import read, states
from santajupyter.evaluation.engines import serving
from santajupyter.protocol import CompletionRequest
from santajupyter.server.service import CompletionService, QueueFull, Superseded
from santajupyter.server.settings import Settings

ROUNDS = 3
# Each says at its end how much it has done a second.
CELLS = {
    "python": "sum(range(2_000))",
    "numpy": "a @ a",
}
CELL = """
import sys, time, numpy as np
a = np.ones((400, 400))
done, begun = 0, time.perf_counter()
while time.perf_counter() - begun < float(sys.argv[1]):
    {work}
    done += 1
print(done / (time.perf_counter() - begun))
"""


@contextmanager
def computing(work: str, seconds: float) -> Iterator[subprocess.Popen[str]]:
    code = CELL.format(work=CELLS[work])
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, str(seconds)], stdout=subprocess.PIPE, text=True
    ) as cell:
        yield cell


async def speed(cell: subprocess.Popen[str]) -> float:
    out, _ = await asyncio.to_thread(cell.communicate)
    return float(out)


async def typed(service: CompletionService, traces: Path, seconds: float) -> list[float]:
    """Milliseconds to the answers of the requests that no newer one has ended."""
    found: list[float] = []
    tasks: list[asyncio.Task[None]] = []

    async def ask(request: CompletionRequest) -> None:
        begun = time.perf_counter()
        with contextlib.suppress(Superseded, QueueFull):
            await service.complete(request, None)
            found.append(1000 * (time.perf_counter() - begun))

    end = time.perf_counter() + seconds
    for events in read(traces):
        begun, first = time.perf_counter(), None
        for event, state in states(events):
            first = event.t if first is None else first
            await asyncio.sleep(max(0.0, begun + (event.t - first) / 1000 - time.perf_counter()))
            if time.perf_counter() > end:
                await asyncio.gather(*tasks)
                return found
            if event.kind == "key":
                request = CompletionRequest(state.cells, state.active, state.offset, client="tab")
                tasks.append(asyncio.create_task(ask(request)))
    return found


def shown(name: str, times: Sequence[float]) -> str:
    times = sorted(times)
    p50, p95 = (times[len(times) * q // 100] for q in (50, 95))
    return f"{name} {p50:.0f} / {p95:.0f} ms (n={len(times)})"


async def measure(traces: Path, model: str, dtype: str, seconds: float) -> None:
    async with serving(Settings(model=model, dtype=dtype, fallback_model="")) as service:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; answers p50 / p95")
        for work in CELLS:
            alone, beside, quiet, busy = [], [], [], []
            for _ in range(ROUNDS):
                with computing(work, seconds / 3) as cell:
                    alone.append(await speed(cell))
                with computing(work, seconds) as cell:
                    answers, did = await asyncio.gather(typed(service, traces, seconds), speed(cell))
                busy += answers
                beside.append(did)
                quiet += await typed(service, traces, seconds)
            lost = 1 - sum(beside) / sum(alone)
            print(f"{work}: the cell is {lost:.1%} slower")
            print(f"  {shown('typing alone', quiet)}, {shown('beside', busy)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("--model", default="santa-mini")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    asyncio.run(measure(args.traces, args.model, args.dtype, args.seconds))


if __name__ == "__main__":
    main()
