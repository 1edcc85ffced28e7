"""A decoded token on a GPU: our captured step, transformers' eager one, and the floor, in one run.

    python -m benchmarks.gpu MODEL_FOLDER [--device cuda] [--prompt 1200] [--new 128] [--rounds 5]

Both run the same checkpoint in float16 behind the engine's own decode loop, greedy, in turns. The floor of a
token is the bytes of the weights over the bandwidth at which this GPU reads memory. Without a GPU,
``--device cpu`` shows that the script works, and nothing else.
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
from santajupyter.prompt.fim import CodeTokenizer, Prompt
from santajupyter.protocol import Sampling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--prompt", type=int, default=1200, help="tokens")
    parser.add_argument("--new", type=int, default=128, help="tokens")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    dtype = "float32" if args.device == "cpu" else "float16"
    theirs = transformers_causallm.load(args.model, args.device, dtype)
    models: dict[str, Model] = {
        "ours": cuda_causallm.load(args.model, args.device, dtype),
        "transformers": theirs,
    }
    tokenizer = CodeTokenizer.from_folder(args.model)
    prompt = Prompt(tuple(7 * i % tokenizer.size for i in range(args.prompt)), args.new)
    completers = {
        name: Completer(model, tokenizer, frozenset(), cache_bytes=2**28, prompt_lookup=0, beams=1)
        for name, model in models.items()
    }
    first: dict[str, list[float]] = {name: [] for name in models}
    token: dict[str, list[float]] = {name: [] for name in models}
    bandwidths = []
    for _ in range(1 + args.rounds):
        for name, completer in completers.items():
            result = completer.complete(prompt, Sampling(), Control(), lambda index, text: None)
            first[name].append(result.prefill_ms)
            token[name].append(result.decode_ms / (result.usage.completion_tokens - 1))
        bandwidths.append(read_speed(args.device))
    size = sum(tensor.nbytes for tensor in theirs.module.parameters())
    floor = 1000 * size / statistics.median(bandwidths[1:])
    print(f"{models['ours'].device}, torch {torch.__version__}, {dtype}, {args.prompt} tokens of prompt")
    print(f"floor: {floor:.3f} ms a token ({statistics.median(bandwidths[1:]) / 1e9:.0f} GB/s)")
    for name in models:  # the first round warmed up
        p50 = statistics.median(token[name][1:])
        print(
            f"{name}: {p50:.3f} ms a token (worst round {max(token[name][1:]):.3f}), {p50 / floor:.2f} x the "
            f"floor; a cached prompt's first token {statistics.median(first[name][1:]):.2f} ms"
        )


def read_speed(device: str) -> float:
    """Bytes a second, of reading 1 GiB; the best of five."""
    block, best = torch.ones(2**28, device=device), 0.0
    for _ in range(5):
        begun = time.perf_counter()
        block.max().item()
        best = max(best, block.nbytes / (time.perf_counter() - begun))
    return best


if __name__ == "__main__":
    main()
