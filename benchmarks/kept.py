"""What a prompt costs that was read before the server's last end: computed anew, or kept on disk.

    python -m benchmarks.kept build/notebooks.jsonl --model MODEL

A process reads a place in each of a few notebooks and ends. Another one is asked there, and the same of one
that finds nothing. The files are in the system's cache then, as they are where a server is restarted; with
--cold they aren't (Linux, as root).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from benchmarks.ahead import places
from benchmarks.typing.traces import read
from santajupyter.evaluation.engines import serving
from santajupyter.protocol import CompletionRequest
from santajupyter.server.settings import Settings


async def life(settings: Settings, requests: list[CompletionRequest]) -> list[tuple[float, int]]:
    """Each prompt's milliseconds and tokens; prints how long it takes to begin and to end."""
    begun, found = time.perf_counter(), []
    async with serving(settings) as service:
        ready = time.perf_counter() - begun
        for request in requests:
            begun = time.perf_counter()
            made = await service.warm(request)
            found.append((1000 * (time.perf_counter() - begun), made.usage.prompt_tokens))
        begun = time.perf_counter()
    print(f"ready after {ready:.1f} s, ended after {time.perf_counter() - begun:.2f} s")
    return found


async def measure(traces: Path, model: str, dtype: str, is_cold: bool) -> None:
    requests = [[*places(events)][-1][0] for events in read(traces)][:4]
    plain = Settings(model=model, dtype=dtype, fallback_model="")
    kept = Settings(model=model, dtype=dtype, fallback_model="", keep_prompts=True)
    await life(kept, requests)
    if is_cold:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    for name, settings in (("kept", kept), ("computed", plain)):
        found = await life(settings, requests)
        print(name, ", ".join(f"{tokens} tokens {took:.0f} ms" for took, tokens in found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--cold", action="store_true", help="drop the system's cache in between")
    args = parser.parse_args()
    asyncio.run(measure(args.traces, args.model, args.dtype, args.cold))


if __name__ == "__main__":
    main()
