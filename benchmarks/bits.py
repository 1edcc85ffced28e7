"""What weights in few bits cost in quality: any causal model, its linear layers rounded by our engine's code.

    python -m benchmarks.bits MODEL benchmarks/notebooks --tokens 512

Each notebook's code is read with the weights as they are in the file, and with those of each way to round
them, in float32 by torch. Of each token: the Kullback-Leibler divergence from the former's distribution to
the latter's, and whether both have the same likeliest token. Of each line, and of its rest from a seeded
token on: whether all of its tokens are the likeliest ones, which is what greedy decoding would have
written. Activations aren't quantised here, as OpenVINO does on some CPUs. A head that is tied to the
embedding is rounded, the embedding isn't. After --minutes the rest is left out.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from santajupyter.engine import rounding
from santajupyter.engine.architecture import HEAD, Architecture
from santajupyter.engine.checkpoint import own_architecture, tensors
from santajupyter.engine.native_weights import products
from santajupyter.evaluation.places import read_folder

DRAWS = 2000
EMBEDDING = re.compile(r"(wte|embed_tokens)\.weight$")


@dataclass(frozen=True)
class Way:
    """``layers`` and ``head``: a format each, none for the file's. The largest scale alone, or the best."""

    layers: str = ""
    head: str = ""
    search: bool = True
    group: int = rounding.GROUP


# As decoder.c has it, some of it in eight bits; the others in four are OpenVINO's.
FINE = "int4, fine"
WAYS = {
    "int8": Way("int8", "int8"),
    FINE: Way(FINE, "int8"),
    "int4, nearest": Way("int4", "int8", search=False),
    "int4, best scales": Way("int4", "int8"),
    "int4, head too": Way("int4", "int4"),
    "int4, groups of 64": Way("int4", "int8", group=64),
}


@dataclass
class Found:
    """Of one way to round, for each token; and for each text's lines and their rests, if they are right."""

    divergence: list[float] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)
    lines: list[list[bool]] = field(default_factory=list)
    rests: list[list[bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Text:
    """``lines``: the first and the last token of each, the last with its newline."""

    ids: list[int]
    lines: list[tuple[int, int]]


class Rounded:
    """A model whose weights are the file's, rounded one way or another."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._files = {name: info.file for name, info in tensors(folder).items()}
        self._embedding = next((name for name in self._files if EMBEDDING.search(name)), "")
        self._fine = formats(own_architecture(folder))

    def weights(self, way: Way) -> None:
        rounding.GROUP, tried = way.group, rounding.TRIED
        if not way.search:
            rounding.TRIED = np.ones(1, np.float32)
        for name, module in self.model.named_modules():
            if isinstance(module, torch.nn.Linear):
                dtype = way.head if "head" in name else way.layers
                weight = self._weight(f"{name}.weight", dtype)
                module.weight = torch.nn.Parameter(weight, requires_grad=False)  # not that of the embedding
        rounding.GROUP, rounding.TRIED = WAYS["int8"].group, tried

    @torch.inference_mode()
    def logprobs(self, text: Text) -> torch.Tensor:
        """[tokens - 1, vocabulary], of what follows each token but the last."""
        logits = self.model(torch.tensor([text.ids[:-1]])).logits[0]
        return torch.log_softmax(logits, dim=-1)

    def _weight(self, name: str, dtype: str) -> torch.Tensor:
        name = name if name in self._files else self._embedding
        with safe_open(self._files[name], "pt") as file:
            weight: torch.Tensor = file.get_tensor(name).float()
        if not dtype:
            return weight
        parts = self._fine[name] if dtype == FINE else [(slice(None), dtype)]
        return torch.cat([_rounded(weight[rows], number, dtype == FINE) for rows, number in parts])


def formats(of: Architecture) -> dict[str, list[tuple[slice, str]]]:
    """Of each weight of the layers its rows, and the format that decoder.c's int4 has them in."""
    found: dict[str, list[tuple[slice, str]]] = defaultdict(list)
    shapes = of.shapes()
    for linear in products(of, "int4"):
        above, span = 0, (linear.first, linear.first + linear.rows)
        for name in [f"{name}.weight" for name in linear.names if name != HEAD]:
            rows = shapes[name][0]
            first, end = (min(max(row - above, 0), rows) for row in span)
            if first < end:
                found[name].append((slice(first, end), linear.dtype))
            above += rows
    return found


def _rounded(weight: torch.Tensor, dtype: str, is_fine: bool) -> torch.Tensor:
    if is_fine and dtype == "int4":
        return torch.from_numpy(rounding.restored_fine(rounding.fine(weight.numpy())))
    return torch.from_numpy(rounding.restored(rounding.rounded(weight.numpy(), dtype)))


def notebook_texts(folder: Path, tokenizer: Any, most: int) -> Iterator[Text]:
    """The code of each notebook, its first ``most`` tokens."""
    for book in read_folder(folder).values():
        code = "\n\n".join(cell["source"] for cell in book.cells if cell["type"] == "code")
        ids, start, lines = tokenizer.encode(code)[:most], 0, []
        for at, token in enumerate(ids):
            if "\n" in tokenizer.decode([token]):
                if start and at > start:
                    lines.append((start, at))
                start = at + 1
        yield Text(ids, lines)


def look(text: Text, exact: torch.Tensor, logprobs: torch.Tensor, found: Found) -> None:
    found.divergence += (exact.exp() * (exact - logprobs)).sum(-1).tolist()
    likeliest = logprobs.argmax(-1)
    found.same += (exact.argmax(-1) == likeliest).tolist()
    right = [True, *(likeliest == torch.tensor(text.ids[1:])).tolist()]
    rng = random.Random(len(text.ids))  # noqa: S311
    found.lines.append([all(right[first : last + 1]) for first, last in text.lines])
    inside = [rng.randint(min(first + 1, last), last) for first, last in text.lines]
    found.rests.append([all(right[at : last + 1]) for at, (_, last) in zip(inside, text.lines, strict=True)])


def table(found: dict[str, Found]) -> str:
    head = ["", "KL mean", "KL p99", "other likeliest token", "lines", "rests", "rests, times int8's"]
    rows = [head, ["-"] * len(head)]
    for name, one in found.items():
        divergence = np.array(one.divergence)
        low, ratio, high = _ratio(one.rests, found["int8"].rests)
        rows.append(
            [
                *(name, f"{divergence.mean():.4f}", f"{np.percentile(divergence, 99):.3f}"),
                *(f"{100 - 100 * np.mean(one.same):.1f} %", _share(one.lines), _share(one.rests)),
                f"{ratio:.3f} [{low:.3f}, {high:.3f}]",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _share(texts: list[list[bool]]) -> str:
    return f"{100 * np.mean(np.concatenate(texts)):.1f} % of {sum(map(len, texts))}"


def _ratio(ours: list[list[bool]], theirs: list[list[bool]]) -> tuple[float, float, float]:
    """With its 95 % interval; whole texts are drawn."""
    counts = np.array([(sum(one), sum(other)) for one, other in zip(ours, theirs, strict=True)])
    draws = np.random.default_rng(0).integers(0, len(counts), (DRAWS, len(counts)))
    sums = counts[draws].sum(1)
    low, high = np.percentile(sums[:, 0] / np.maximum(1, sums[:, 1]), (2.5, 97.5))
    return low, counts[:, 0].sum() / max(1, counts[:, 1].sum()), high


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("notebooks", type=Path, help="a folder")
    parser.add_argument("--tokens", type=int, default=512, help="of each notebook at most so many")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="NAME")
    parser.add_argument("--minutes", type=float, default=1e9)
    args = parser.parse_args()
    begun = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    texts = [*notebook_texts(args.notebooks, tokenizer, args.tokens)]
    model = Rounded(args.model)
    exact = [model.logprobs(text).half() for text in texts]
    found = {"as in the file": Found()}
    for text, logprobs in zip(texts, exact, strict=True):
        look(text, logprobs.float(), logprobs.float(), found["as in the file"])
    for name in dict.fromkeys(["int8", *args.ways]):
        if time.monotonic() - begun > 60 * args.minutes:
            break
        model.weights(WAYS[name])
        found[name] = Found()
        for text, logprobs in zip(texts, exact, strict=True):
            look(text, logprobs.float(), model.logprobs(text), found[name])
        print(f"{name}: after {time.monotonic() - begun:.0f} s", flush=True)
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
