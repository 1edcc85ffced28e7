"""A keystroke in a warm notebook: our engine beside transformers' generate from scratch, same checkpoint.

    python benchmarks/engine.py MODEL_FOLDER [--keys 40] [--new 12] [--every 8]

Each key of a line typed into a long cell asks for ``--new`` tokens; every ``--every``-th is also asked of
transformers, bfloat16, in this process, so that both see the same machine. Prompt lookup is off: random
weights repeat themselves, which would flatter it. Prints times in ms, and the floor of a token: bytes of
the int8 weights over the bandwidth at which this machine reads memory.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import time
from pathlib import Path

import torch

from santajupyter.engine import EngineProcess, causallm
from santajupyter.fim import FAMILIES, CodeTokenizer, fit
from santajupyter.notebook import Document
from santajupyter.protocol import Sampling

LINE = "result = np.mean(value_3 + value_4)\ntotal = sum("
ABOVE = "".join(f"value_{i} = compute(data[{i}], alpha={i * 7 % 13}, name='item {i}')\n" for i in range(36))
BELOW = "".join(f"\nprint(value_{i}, {i})" for i in range(30))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--new", type=int, default=12)
    parser.add_argument("--every", type=int, default=8)
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    engine = await started(args.model)
    tokenizer = CodeTokenizer.from_folder(args.model)
    peer = causallm.load(args.model, "cpu", "bfloat16").module
    await ask(engine, Document(ABOVE, BELOW), 1)
    first, whole, decode, prefilled, scratch = [], [], [], [], []
    for key in range(1, args.keys + 1):
        document = Document(ABOVE + LINE[:key], BELOW)
        times = await ask(engine, document, args.new)
        first.append(times[0])
        whole.append(times[1])
        decode.append(times[2])
        prefilled.append(times[3])
        if key % args.every == 0:
            ids = fit(document, tokenizer, FAMILIES["santacoder"], 2048, args.new).ids
            scratch.append((generate(peer, ids, 1), generate(peer, ids, args.new)))
    memory = peak(engine.pid or 0)
    bandwidth = read_speed()
    size = sum(p.numel() for p in peer.parameters())
    show("ours, first text", first)
    show(f"ours, {args.new} tokens", whole)
    show("ours, decode a token", decode)
    show("ours, tokens prefilled", prefilled)
    show("transformers from scratch, first token", [one for one, _ in scratch])
    show(f"transformers from scratch, {args.new} tokens", [all_ for _, all_ in scratch])
    ratio = statistics.median(one for one, _ in scratch) / statistics.median(first)
    print(f"first text: {ratio:.1f} times sooner")
    floor = 1000 * size / bandwidth
    print(f"floor of a token in int8: {floor:.1f} ms ({bandwidth / 1e9:.0f} GB/s), ", end="")
    print(f"decode is {statistics.median(decode) / floor:.2f} times that")
    print(f"worker: {memory}")
    await engine.stop()


async def started(model: Path) -> EngineProcess:
    options = {"model": "benchmark", "folder": str(model), "revision": "", "family": "", "device": "cpu"}
    fixed = {"dtype": "auto", "prompt_order": "auto", "cache_bytes": 2**28, "prompt_lookup": 0}
    engine = EngineProcess({**options, **fixed}, lambda: None, logging.getLogger())
    begun = time.perf_counter()
    engine.start()
    while engine.status.state not in ("ready", "error"):
        await asyncio.sleep(0.02)
    print(f"{engine.status.state} in {time.perf_counter() - begun:.1f} s, {engine.status.dtype}")
    return engine


async def ask(engine: EngineProcess, document: Document, new: int) -> tuple[float, float, float, float]:
    """Milliseconds to the first text, to the last, and a decoded token's; and the tokens prefilled."""
    begun, first = time.perf_counter(), 0.0
    async with engine.complete(document, Sampling(max_new_tokens=new)) as call:
        async for event in call:
            if event["event"] == "delta" and not first:
                first = time.perf_counter() - begun
    usage = event["usage"]
    whole = time.perf_counter() - begun
    prefilled = usage["prompt_tokens"] - usage["cached_tokens"]
    # The first token comes out of the prefill.
    return 1000 * first, 1000 * whole, event["decode_ms"] / max(1, usage["completion_tokens"] - 1), prefilled


@torch.inference_mode()
def generate(model: torch.nn.Module, ids: tuple[int, ...], new: int) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    limits = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "pad_token_id": 0}
    model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), **limits)  # type: ignore[operator]
    return 1000 * (time.perf_counter() - begun)


def read_speed() -> float:
    """Bytes a second, reading 1 GiB with all threads; the median of seven."""
    block = torch.ones(2**28)
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        block.max()
        times.append(time.perf_counter() - begun)
    return block.nbytes / statistics.median(times)


def peak(pid: int) -> str:
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return ", ".join(
        " ".join(line.split()) for line in lines if line.startswith(("VmHWM", "RssAnon", "RssFile"))
    )


def show(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{name}: p50 {statistics.median(ordered):.1f}, p95 {p95:.1f}, n {len(ordered)}")


if __name__ == "__main__":
    asyncio.run(main())
