"""How long our CPU engine's steps take in one number format and another, in turns, in one process.

    python -m benchmarks.typing.checkpoint TOKENIZER_JSON build/santacoder
    python -m benchmarks.steps build/santacoder --formats int8 "openvino int8" int4 "openvino int4"

By the code that the product takes here, or by OpenVINO where the format's name begins so.
Behind a prompt, steps of one token, and of as many right guesses as there is room for; before these, how
long the prompt took, and whether a token's logits are the same to the last bit alone and among guesses.
Milliseconds at the 10th, 50th and 90th percentile, and the ratio to the first format: of steps that follow
one another, so what else the machine does touches both.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np

from santajupyter.engine import causallm, native_causallm, openvino_causallm
from santajupyter.engine.model import KV, Model
from santajupyter.server.settings import Settings

GUESSES = Settings.prompt_lookup


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--formats", nargs="+", default=["int8", "int4"], help="the first is compared with")
    parser.add_argument("--prompt", type=int, default=1200, help="tokens")
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    native_causallm.WORTH = openvino_causallm.WORTH = math.inf  # guesses are what is measured
    ours = {dtype: _loaded(args.model, dtype) for dtype in args.formats}
    prompt = np.random.default_rng(0).integers(0, 4000, args.prompt).tolist()
    read = {dtype: _read(dtype, ours[dtype], prompt) for dtype in args.formats}
    kinds = {"one token": 1, "guesses": 1 + GUESSES}
    times: dict[tuple[str, str], list[float]] = {(k, d): [] for k in kinds for d in args.formats}
    for _ in range(args.rounds):
        for kind, width in kinds.items():
            for dtype in args.formats:
                _step(
                    ours[dtype], read[dtype], prompt[:width]
                )  # a step of another size than before takes longer
                times[kind, dtype].append(_step(ours[dtype], read[dtype], prompt[:width]))
    print("\n| step | format | p10 | p50 | p90 | times |\n| --- | --- | --- | --- | --- | --- |")
    for (kind, dtype), found in times.items():
        p10, p50, p90 = np.percentile(found, (10, 50, 90))
        ratio = np.median(np.divide(found, times[kind, args.formats[0]]))
        print(f"| {kind} | {dtype} | {p10:.1f} | {p50:.1f} | {p90:.1f} ms | {ratio:.2f} |")
    print(f"load {os.getloadavg()[0]:.1f}")


def _loaded(folder: Path, name: str) -> Model:
    begun, dtype = time.perf_counter(), name.split()[-1]
    if name.startswith("openvino"):
        model: Model = openvino_causallm.load(folder, dtype, GUESSES)
    else:
        model = causallm.load(folder, "cpu", dtype, GUESSES)
    print(f"{name}: loaded in {time.perf_counter() - begun:.1f} s", flush=True)
    return model


def _read(name: str, model: Model, prompt: list[int]) -> KV:
    """The prompt's keys and values."""
    kv, begun = model.empty(), time.perf_counter()
    for start in range(0, len(prompt), model.chunk):
        model.step(kv, [prompt[start : start + model.chunk]])
    seconds = time.perf_counter() - begun
    several = prompt[: model.together(kv)]
    logits = model.step(kv, [several], len(several))[0]
    kv.cut(len(prompt))
    same = np.array_equal(logits[0], model.step(kv, [several[:1]])[0][0])
    kv.cut(len(prompt))
    words = "the same" if same else "NOT THE SAME"
    print(f"{name}: prompt read in {seconds:.2f} s; a token's logits among guesses are {words}")
    return kv


def _step(model: Model, kv: KV, ids: list[int]) -> float:
    begun, length = time.perf_counter(), kv.length
    model.step(kv, [ids], len(ids))
    milliseconds = 1000 * (time.perf_counter() - begun)
    kv.cut(length)
    return milliseconds


if __name__ == "__main__":
    main()
