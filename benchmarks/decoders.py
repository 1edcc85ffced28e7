"""A step of ours beside those of other ways to run the same model on a CPU, by turns, each in its process.

    pip install onnxruntime-genai onnx onnx-ir
    python -m benchmarks.decoders MODEL_FOLDER --work build/decoders

onnxruntime-genai in int4 (made by its own builder, kept in the folder), transformers in bfloat16 with a
static cache, eager and by torch.compile, ours in int8 and int4. Behind a prompt of random tokens: seconds to
read it, and milliseconds a token, p50 of each round. A way whose package isn't installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

OURS, ONNX = ("int8", "int4"), "onnxruntime-genai, int4"
EAGER, COMPILED = "transformers, bfloat16", "the same by torch.compile"
# The first one reads the prompt.
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/decoders"))
    parser.add_argument("--prompt", type=int, default=1200, help="tokens")
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(_measured(args)))
        return
    ways = [*OURS, EAGER, COMPILED]
    if importlib.util.find_spec("onnxruntime_genai"):
        ways.append(ONNX)
        _built(args.model, args.work)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way in ways:
            done = subprocess.run(  # noqa: S603
                [sys.executable, "-m", "benchmarks.decoders", *sys.argv[1:], "--only", way],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    print("\n| by | prompt, each round | a token, p50 of each round |\n| --- | --- | --- |")
    for way, rounds in found.items():
        prompts = ", ".join(f"{seconds:.2f}" for seconds, _ in rounds)
        print(f"| {way} | {prompts} s | {', '.join(f'{step:.1f}' for _, step in rounds)} ms |")
    print(f"load {os.getloadavg()[0]:.1f}")


def _measured(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds for the prompt, milliseconds a token."""
    ids = np.random.default_rng(0).integers(0, 4000, args.prompt).tolist()
    if args.only in OURS:
        step = _ours(args.model, args.only, ids)
    elif args.only == ONNX:
        step = _onnx(args.work / "onnx", ids, args.tokens)
    else:
        step = _transformers(args.model, ids, args.tokens, args.only == COMPILED)
    times = []
    for _ in range(args.tokens + 1):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return times[0], 1000 * statistics.median(times[1:])


def _ours(model: Path, dtype: str, ids: list[int]) -> Step:
    from santajupyter.engine import causallm

    loaded = causallm.load(model, "cpu", dtype, 0)
    kv = loaded.empty()

    def step() -> None:
        rest = ids if not kv.length else [1]
        for start in range(0, len(rest), loaded.chunk):
            loaded.step(kv, [rest[start : start + loaded.chunk]])

    return step


def _built(model: Path, work: Path) -> None:
    if not (work / "onnx" / "genai_config.json").exists():
        builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", str(model)]
        made = ["-o", str(work / "onnx"), "-p", "int4", "-e", "cpu", "-c", str(work / "cache")]
        subprocess.run([*builder, *made], check=True)  # noqa: S603


def _onnx(folder: Path, ids: list[int], tokens: int) -> Step:
    import onnxruntime_genai

    model = onnxruntime_genai.Model(str(folder))
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(max_length=len(ids) + tokens + 8, min_length=len(ids) + tokens + 8)
    generator = onnxruntime_genai.Generator(model, params)
    is_read = False

    def step() -> None:
        nonlocal is_read
        if not is_read:
            generator.append_tokens(ids)
            is_read = True
        generator.generate_next_token()

    return step


def _transformers(folder: Path, ids: list[int], tokens: int, compiled: bool) -> Step:
    import torch
    from transformers import AutoModelForCausalLM, StaticCache

    warnings.simplefilter("ignore", FutureWarning)  # of how the cache is named
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    cache = StaticCache(model.config, max_cache_len=len(ids) + tokens + 8)
    forward = torch.compile(model.forward) if compiled else model.forward
    length = 0

    @torch.inference_mode()
    def step() -> None:
        nonlocal length
        rest = torch.tensor([[1] if length else ids])
        call = forward if length else model.forward
        positions = torch.arange(length, length + rest.shape[1])
        call(rest, past_key_values=cache, cache_position=positions, use_cache=True, logits_to_keep=1)
        length += rest.shape[1]

    return step


if __name__ == "__main__":
    main()
