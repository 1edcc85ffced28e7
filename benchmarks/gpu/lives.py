"""What befalls a model's process on a GPU: asked, cancelled, killed, unloaded, two of them, no memory.

    python -m benchmarks.gpu.lives MODEL_FOLDER OTHER_FOLDER [--device cuda]

By the server's own way to it. This process fills the GPU's memory to take it from the model. With ``--device
cpu`` what needs a GPU is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import torch

from santajupyter.engine import wire
from santajupyter.engine.process import EngineUnavailable, RequestFailed
from santajupyter.prompt.document import Document
from santajupyter.protocol import Sampling
from santajupyter.server.engines import Engine
from santajupyter.server.settings import Settings

LOAD_WAIT, ASK_WAIT = 90.0, 60.0
# Some 1,500 tokens of SantaCoder's, with a line's number in each.
LINES = 44
LINE = "rows_{0} = frame[frame['column_{0}'] > {0}].groupby('name').agg('mean')\n"
ROUNDS = 8
# So much memory is left to a model that is to have too little, or to one that has its weights already.
TOO_LITTLE, NOTHING = 300 * 2**20, 8 * 2**20


@dataclass(frozen=True)
class Asked:
    """Milliseconds to the first text and to the end; the tokens of the prompt that were computed."""

    first: float
    whole: float
    read: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(_lives(args.model, args.other, args.device))


async def _lives(model: Path, other: Path, device: str) -> None:
    free = _free(device)
    async with _running(model, device) as engine:
        await _answers(engine)
        await _cancels(engine)
        await _is_killed(engine)
        print(f"memory with the model: {_megabytes(free - _free(device))}")
        async with _running(other, device) as second:
            await _two(engine, second)
        if device != "cpu":
            await _has_no_room(engine)
    print(f"memory after it is unloaded: {_megabytes(free - _free(device))}")
    if device != "cpu":
        await _finds_no_room(model)


async def _answers(engine: Engine) -> None:
    cold, cached = [], []
    for number in range(ROUNDS):
        cold.append(await _ask(engine, _document(number)))
        cached.append(await _ask(engine, _document(number, "x")))
    for name, found in (("cold", cold[1:]), ("cached", cached[1:])):
        first, whole = (
            statistics.median(times) for times in zip(*((a.first, a.whole) for a in found), strict=True)
        )
        print(
            f"first text of a {name} prompt: p50 {first:.1f}, at worst {max(a.first for a in found):.1f} ms "
            f"({found[-1].read} tokens read); 12 tokens: p50 {whole:.1f} ms"
        )


async def _cancels(engine: Engine) -> None:
    """From the cancellation of a long text to the first one of another, that is read already."""
    await _ask(engine, _document(0))
    alone = [(await _ask(engine, _document(0))).first for _ in range(ROUNDS)]
    found = []
    for number in range(ROUNDS):
        async with engine.process.complete(_document(number + 50), Sampling(max_new_tokens=400)) as call:
            async for event in call:
                if isinstance(event, wire.Started if number % 2 else wire.Delta):
                    break
        found.append((await _ask(engine, _document(0))).first)
    print(
        f"cancel to free: next text after p50 {statistics.median(found):.1f}, at worst {max(found):.1f} ms; "
        f"with nothing to cancel {statistics.median(alone):.1f} ms"
    )


async def _is_killed(engine: Engine) -> None:
    begun = time.perf_counter()
    os.kill(engine.pid or 0, signal.SIGKILL)
    while engine.status.state == "ready":
        await asyncio.sleep(0.005)
    await _ready(engine)
    await _ask(engine, _document(0))
    print(f"kill -9: a new process answers after {time.perf_counter() - begun:.1f} s")


async def _two(engine: Engine, second: Engine) -> None:
    for one in (engine, second):
        await _ask(one, _document(0))
    alone = [(await _ask(one, _document(0), 64)).whole for one in (engine, second)]
    both = await asyncio.gather(*(_ask(one, _document(0), 64) for one in (engine, second)))
    print(
        "two models, 64 tokens each: {:.0f} and {:.0f} ms alone, {:.0f} and {:.0f} ms together".format(
            *alone, *(asked.whole for asked in both)
        )
    )


async def _has_no_room(engine: Engine) -> None:
    """Its weights are loaded, and then there is no memory for a prompt; then there is some again."""
    said = "the prompt found room all the same"
    filled = _fill(NOTHING)
    try:
        for number in range(ROUNDS):
            await _ask(engine, _document(number + 100), count=8)
    except (RequestFailed, EngineUnavailable) as error:
        said = f"{type(error).__name__}: {error}"
    filled.clear()
    torch.cuda.empty_cache()
    begun = time.perf_counter()
    await _ready(engine)
    await _ask(engine, _document(0))
    print(
        f"no memory for a prompt: {said!r}; with memory it answers after {time.perf_counter() - begun:.1f} s"
    )


async def _finds_no_room(model: Path) -> None:
    """Left to itself it runs on the CPU; asked for the GPU it says why it doesn't."""
    filled = _fill(TOO_LITTLE)
    for device in ("auto", "cuda"):
        begun = time.perf_counter()
        async with _running(model, device, can_fail=True) as engine:
            said = engine.status.error or f"it runs on {engine.status.device}"
        print(f"no memory for the model, device {device}: {said} ({time.perf_counter() - begun:.1f} s)")
    filled.clear()


@contextlib.asynccontextmanager
async def _running(model: Path, device: str, can_fail: bool = False) -> AsyncIterator[Engine]:
    begun = time.perf_counter()
    load = wire.Load(
        model.name, str(model.resolve()), device=device, cache_bytes=Settings.cache_bytes, cache_model=False
    )
    engine = Engine(load, lambda: None, logging.getLogger())
    engine.start()
    try:
        await _ready(engine, can_fail)
        if not can_fail:
            print(f"{model.name}: ready on {engine.status.device} in {time.perf_counter() - begun:.1f} s")
        yield engine
    finally:
        await engine.stop(EngineUnavailable("over", "unloaded", 0))


async def _ready(engine: Engine, can_fail: bool = False) -> None:
    async def wait() -> None:
        while engine.status.state not in ("ready", "error"):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), LOAD_WAIT)
    if engine.status.state == "error" and not can_fail:
        raise SystemExit(f"it can't be loaded: {engine.status.error}")


async def _ask(engine: Engine, document: Document, new: int = 12, count: int = 1) -> Asked:
    async def answered() -> Asked:
        begun, first = time.perf_counter(), 0.0
        sampling = Sampling(max_new_tokens=new, n=count, temperature=0.0 if count == 1 else 1.0)
        async with engine.process.complete(document, sampling) as call:
            async for event in call:
                if isinstance(event, wire.Delta) and not first:
                    first = time.perf_counter() - begun
        whole = time.perf_counter() - begun
        assert isinstance(event, wire.Done)
        read = event.usage.prompt_tokens - event.usage.cached_tokens
        return Asked(1000 * (first or whole), 1000 * whole, read)

    return await asyncio.wait_for(answered(), ASK_WAIT)


def _document(number: int, more: str = "") -> Document:
    """Another one for each number, from its first line on."""
    return Document("".join(LINE.format(1000 * number + line) for line in range(LINES)) + more, "")


def _fill(left: int) -> list[torch.Tensor]:
    """All of the GPU's memory but ``left`` bytes, taken by plain allocations of at most 4 GiB."""
    blocks = []
    while (more := min(_free("cuda") - left, 2**32)) > 2**20:
        try:
            blocks.append(torch.empty(more, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            break
    return blocks


def _free(device: str) -> int:
    return int(torch.cuda.mem_get_info()[0]) if device != "cpu" else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


if __name__ == "__main__":
    main()
