"""A decoded token on a GPU: our captured step, transformers' eager one, and the floor, in one run.

    python -m benchmarks.gpu.speed MODEL_FOLDER [--device cuda] [--compile]

Ours and transformers run the same checkpoint in float16 behind the engine's own decode loop, greedy, in
turns: a prompt that is new, the same with another last token, and the tokens after it. The floor of a token
is the bytes of the weights over the bandwidth at which this GPU reads memory. --compile measures instead what
transformers makes of it by itself, with a static cache and torch.compile; that takes a minute to compile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from santajupyter.engine import cuda_causallm, transformers_causallm
from santajupyter.engine.generate import Completer
from santajupyter.engine.model import Model
from santajupyter.engine.work import Control
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

FLOATS = {"cuda": 2**30, "cpu": 2**26}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--prompt", type=int, default=1500, help="tokens")
    parser.add_argument("--new", type=int, default=128, help="tokens")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    dtype = "float32" if args.device == "cpu" else "float16"
    theirs = transformers_causallm.load(args.model, args.device, dtype)
    size = sum(tensor.nbytes for tensor in theirs.module.parameters())
    floor = 1000 * size / read_speed(args.device)
    print(f"{theirs.device}, torch {torch.__version__}, {dtype}; floor {floor:.3f} ms a token")
    if args.compile:
        took = _compiled(theirs, args.prompt, args.new)
        print(f"transformers, torch.compile: {took:.3f} ms a token, {took / floor:.2f} x the floor")
        return
    ours = cuda_causallm.load(args.model, args.device, dtype)
    tokenizer = CodeTokenizer.from_folder(args.model)
    for name, model in (("ours", ours), ("transformers", theirs)):
        _report(name, model, tokenizer, args, floor)


def _report(
    name: str, model: Model, tokenizer: CodeTokenizer, args: argparse.Namespace, floor: float
) -> None:
    completer = Completer(model, tokenizer, frozenset(), cache_bytes=2**30, prompt_lookup=0, beams=1)
    cold, cached, token = [], [], []
    for number in range(1 + args.rounds):  # the first one warms up
        ids = [(7 * i + number) % 4001 for i in range(args.prompt)]
        for times, last in ((cold, 1), (cached, 2)):
            prompt = Prompt((*ids[:-1], last), args.new)
            result = completer.complete(prompt, Sampling(), Control(), lambda index, text: None)
            times.append(result.prefill_ms)
            token.append(result.decode_ms / (result.usage.completion_tokens - 1))
    p50, worst = statistics.median(token[2:]), max(token[2:])
    print(f"{name}: {p50:.3f} ms a token (at worst {worst:.3f}), {p50 / floor:.2f} x the floor")
    firsts = (statistics.median(times[1:]) for times in (cold, cached))
    print(
        "{}: first token of a cold prompt of {} {:.2f} ms, of a cached one {:.2f} ms".format(
            name, args.prompt, *firsts
        )
    )


def _compiled(theirs: transformers_causallm.CausalLM, prompt: int, new: int) -> float:
    """Milliseconds a token, by the difference of two texts' times."""
    ids = torch.arange(prompt, device=theirs.module.device)[None] * 7 % 4001

    def seconds(count: int) -> float:
        begun = time.perf_counter()
        lengths = {"min_new_tokens": count, "max_new_tokens": count}
        theirs.module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            cache_implementation="static",
            **lengths,
        )
        return time.perf_counter() - begun

    begun = time.perf_counter()
    for _ in range(2):
        seconds(new)
    print(f"compiled in {time.perf_counter() - begun:.0f} s")
    whole, one = (statistics.median(seconds(count) for _ in range(3)) for count in (new, 1))
    return 1000 * (whole - one) / (new - 1)


def read_speed(device: str) -> float:
    """Bytes a second, of reading a block larger than any cache; the best of several."""
    block, best = torch.ones(FLOATS[device.partition(":")[0]], device=device), 0.0
    for read in (block.max, block.sum, block.view(torch.int32).max) * 3:
        begun = time.perf_counter()
        read().item()
        best = max(best, block.nbytes / (time.perf_counter() - begun))
    return best


if __name__ == "__main__":
    main()
