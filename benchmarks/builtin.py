"""What the built-in model costs: its start, its memory, and ghost text on one core, in one run.

    python -m benchmarks.builtin [--rounds 5] [--notebooks 4] [--keystrokes 60] [--busy 2]

Somebody types in ``benchmarks/notebooks`` (see typing/traces.py); after each key the service is asked as the
frontend asks while typing, so that an answer ends before the word that the model doubts. The time is that
of a whole answer, the rules included, without HTTP. The model's process and this one share one core; with
``--busy`` they have all of them, beside so many processes that compute, as a running cell does.
The start and the memory are measured beside those of a process that only imports torch, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.typing import traces
from santajupyter.evaluation.engines import serving
from santajupyter.protocol import CompletionRequest
from santajupyter.server.engines import MODELS
from santajupyter.server.service import CompletionService
from santajupyter.server.settings import BUILT_IN, Settings

NOTEBOOKS = Path(__file__).parent / "notebooks"
SAY = """
import time, psutil, sys
begun = time.perf_counter()
{imports}
imported = time.perf_counter()
{load}
print(imported - begun, time.perf_counter() - imported, psutil.Process().memory_info().rss)
"""
TORCH = SAY.format(imports="import torch", load="")
MODEL = SAY.format(
    imports="from pathlib import Path; import torch; from santajupyter.engine.causallm import load",
    load="model = load(Path(sys.argv[1]), 'cpu', 'auto', 4); model.step(model.empty(), [[1, 2, 3]])",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="starts")
    parser.add_argument("--notebooks", type=int, default=4)
    parser.add_argument("--keystrokes", type=int, default=60, help="of each")
    parser.add_argument("--busy", type=int, default=0, help="processes beside")
    args = parser.parse_args()
    logging.disable()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if args.busy:
        with beside(args.busy):
            asyncio.run(typing(args.notebooks, args.keystrokes))
        return
    starts(args.rounds)
    if hasattr(os, "sched_setaffinity"):  # the model's process inherits it
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asyncio.run(typing(args.notebooks, args.keystrokes))


@contextmanager
def beside(processes: int) -> Iterator[None]:
    """While so many others compute."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(processes)]  # noqa: S603
    try:
        yield
    finally:
        for other in others:
            other.kill()


def starts(rounds: int) -> None:
    """Loading, and the memory of a process with the model over that of one with torch alone."""
    runs = [(_figures(TORCH), _figures(MODEL)) for _ in range(rounds)]
    load = statistics.median(model[1] for _, model in runs)
    over = statistics.median(model[2] - torch[2] for torch, model in runs)
    print(f"loading and the first step, all imported: {load:.2f} s (median of {rounds})")
    print(f"memory over a process that only imports torch: {over / 2**20:.0f} MiB")


async def typing(notebooks: int, keystrokes: int) -> None:
    begun = time.perf_counter()
    async with serving(Settings(BUILT_IN, fallback_model="")) as service:
        print(f"from nothing to ready: {time.perf_counter() - begun:.1f} s")
        times: list[float] = []
        shown = 0
        for number, path in enumerate(sorted(NOTEBOOKS.glob("*.ipynb"))[:notebooks]):
            rng = random.Random(number)  # noqa: S311
            cells = traces.notebook_cells(path.read_text("utf-8"))
            events = traces.cut(list(traces.typing(path.name, cells, 3, rng)), keystrokes)
            for event, state in traces.states(events):
                request = CompletionRequest(state.cells, state.active, state.offset)
                if event.kind == "focus":
                    await service.warm(request)
                elif event.kind in traces.KEYSTROKES:
                    taken, text = await _ask(service, request)
                    times.append(taken)
                    shown += bool(text)
        memory = service.status()["memory"]
    p50, p95 = (statistics.quantiles(times, n=20)[at] for at in (9, 18))
    print(f"{len(times)} keys: p50 {p50:.0f} ms, p95 {p95:.0f} ms; something shown after {shown} of them")
    print(f"memory of the model's process in the end: {memory / 2**20:.0f} MiB")


async def _ask(service: CompletionService, request: CompletionRequest) -> tuple[float, str]:
    async def ignore(index: int, text: str) -> None:
        return None

    begun = time.perf_counter()
    answer = await service.complete(request, ignore)
    return 1000 * (time.perf_counter() - begun), answer.items[0].text


def _figures(script: str) -> list[float]:
    """Seconds of importing and of loading, and bytes of memory."""
    command = [sys.executable, "-c", script, str(MODELS / BUILT_IN)]
    return [float(x) for x in subprocess.check_output(command, text=True).split()]  # noqa: S603


if __name__ == "__main__":
    main()
