"""Whether our decoder on a GPU computes what transformers computes, in the engine's own format.

    python -m benchmarks.gpu.parity MODEL_FOLDER [--device cuda]

The measure is transformers in float32: an error is the root mean square of what the logits are off by, as a
part of the logits' own spread. Ours is right where it is no more wrong than transformers in float16. Each
line ends with ``ok`` or ``WRONG``; the exit code is 1 if any is wrong.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from santajupyter.engine import cuda_causallm, transformers_causallm
from santajupyter.engine.model import KV, Logits, Model

PROMPT, NEW = 1500, 48
# Of the error of transformers' own float16, and of the spread, for what has hardly any.
WORSE, LEAST = 1.5, 2e-3
# Logits that should be the same but for the order in which the GPU adds.
SAME = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    dtype = "float32" if args.device == "cpu" else "float16"
    ours = cuda_causallm.load(args.model, args.device, dtype)
    ids = [7 * i % 4001 for i in range(PROMPT)]
    lines = [*_against_transformers(ours, args.model, args.device, dtype, ids), *_with_itself(ours, ids)]
    for line, is_right in lines:
        print(f"{line}: {'ok' if is_right else 'WRONG'}")
    sys.exit(not all(is_right for _, is_right in lines))


def _against_transformers(
    ours: cuda_causallm.CausalLM, folder: Path, device: str, dtype: str, ids: list[int]
) -> list[tuple[str, bool]]:
    texts = {"prefill": _prefilled(ours, ids), "decode": _decoded(ours, ids)}
    exact = transformers_causallm.load(folder, device, "float32")
    right = {"prefill": _prefilled(exact, ids), "decode": _decoded(exact, ids)}
    del exact
    theirs = transformers_causallm.load(folder, device, dtype)
    other = {"prefill": _prefilled(theirs, ids), "decode": _decoded(theirs, ids)}
    lines = []
    for name, wanted in right.items():
        error, their_error = _error(texts[name], wanted), _error(other[name], wanted)
        same = np.mean(texts[name].argmax(-1) == wanted.argmax(-1))
        line = f"{name}, {dtype}: error {100 * error:.3f} %, transformers' {100 * their_error:.3f} %"
        lines.append((f"{line}, the same best token {100 * same:.1f} %", error < WORSE * their_error + LEAST))
    return lines


def _with_itself(ours: cuda_causallm.CausalLM, ids: list[int]) -> list[tuple[str, bool]]:
    """What is captured, cut, reused and batched, against a plain prefill."""
    kv, vocabulary = _read(ours, ids[:-1]), ours.rows
    ahead = [token for token, _ in islice(ours.greedy(kv, ids[-1], vocabulary), NEW)]
    picked = _prefilled(ours, [*ids, *ahead], len(ahead) + 1).argmax(-1)[:-1]
    same = int(np.sum(picked == ahead))
    lines = [(f"captured step: {same} of {NEW} tokens as in one prefill", same >= NEW - 2)]

    kv.cut(1000)  # a beginning of what was decoded behind, as typing leaves it
    ours.step(kv, [[5, 6, 7]])
    kv.cut(1000)
    plain = _prefilled(ours, ids)
    error = _error(ours.step(kv, [ids[1000:]], NEW)[0], plain)
    lines.append((f"cut and reused cache: error {100 * error:.3f} %", error < SAME))

    batch = _read(ours, ids[:-NEW]).picked([0, 0, 0])
    rows = ours.step(batch, [ids[-NEW:], ids[:NEW], ids[-NEW:]], NEW)
    error = max(_error(rows[0], plain), _error(rows[2], plain))
    lines.append((f"three texts in a batch: error {100 * error:.3f} %", error < SAME))
    lines.append((f"draft tokens in a step: {ours.together(batch) - 1}, so none changes a text", True))
    return lines


def _read(model: Model, ids: list[int]) -> KV:
    kv = model.empty()
    for start in range(0, len(ids), model.chunk):
        model.step(kv, [ids[start : start + model.chunk]])
    return kv


def _prefilled(model: Model, ids: list[int], keep: int = NEW) -> Logits:
    """After the last ids, [keep, vocabulary], read in chunks but for those."""
    kv = _read(model, ids[:-keep])
    return model.step(kv, [ids[-keep:]], keep)[0]


def _decoded(model: Model, ids: list[int]) -> Logits:
    """The same, the last ids one by one."""
    kv = _read(model, ids[:-NEW])
    return np.concatenate([model.step(kv, [[token]])[0] for token in ids[-NEW:]])


def _error(found: Logits, right: Logits) -> float:
    return float(np.sqrt(np.mean((found - right) ** 2)) / right.std())


if __name__ == "__main__":
    with torch.inference_mode():
        main()
