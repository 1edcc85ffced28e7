"""Trains santa-mini: SantaCoder's architecture at 5 M parameters, on two cores, within an hour or so.

The budget is wall-clock time: a constant rate, then a linear decay over its last third on the most
notebook-like text only, where a large part of the gain comes. A run writes ``work/checkpoint``
every few minutes; started again it goes on from there, and ``--cool-down`` decays from there at once.

Most chunks are shown as the engine will ask: suffix first, then prefix and middle in one piece
(SPM). Cuts lie between tokens, since the engine heals a token that the cursor cuts.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from .muon import Muon
from .tokenizer import END, MIDDLE, PAD, PREFIX, SPECIAL, SUFFIX, WORK

TOKENS_A_STEP = 4096
WINDOW = 512
MUON_RATE, ADAM_RATE = 0.02, 3e-3
WARM_UP = 20
DECAY_FROM = 0.65
SPM_SHARE, PSM_SHARE = 0.65, 0.10
PROSE_WEIGHT = 0.3
LIBRARY_SHARE = 0.35
# There is little text of these: they're seen twice in the time in which the others are once.
TWICE = ("javascript", "java")
PROBES = 96
# Seconds; a process that was stopped for a while has not trained in it.
LONGEST_STEP = 10.0
PIECE = 15 * 2**20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# A processor without instructions for it is several times slower in bfloat16 than in float32.
HAS_BFLOAT16 = DEVICE == "cuda" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
FINAL_KINDS = ("notebook", "gallery", "doc", "javascript", "java")
Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Words:
    """What the sampler asks of the vocabulary: ids of the sentinels, and which tokens break a line."""

    prefix: int
    middle: int
    suffix: int
    end: int
    pad: int
    breaks: NDArray[np.bool_]
    comments: NDArray[np.bool_]
    lengths: Ids

    @staticmethod
    def of(tokenizer: Tokenizer) -> Words:
        names = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
        ids = {name: names.index(name) for name in SPECIAL}
        return Words(
            prefix=ids[PREFIX],
            middle=ids[MIDDLE],
            suffix=ids[SUFFIX],
            end=ids[END],
            pad=ids[PAD],
            breaks=np.array(["Ċ" in name for name in names]),
            comments=np.array([name.lstrip("Ġ").startswith(("#", "//")) for name in names]),
            lengths=np.array([0 if name in SPECIAL else len(name) for name in names]),
        )


@dataclass(frozen=True)
class Chunk:
    """A piece of one document and, token for token, how much it counts in the loss."""

    ids: Ids
    weights: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--minutes", type=float, default=60, help="wall-clock budget, all runs together")
    parser.add_argument("--steps", type=int, default=0, help="a budget in steps instead")
    parser.add_argument("--cool-down", action="store_true", help="decay from the checkpoint within --minutes")
    parser.add_argument("--size", type=int, nargs=3, default=(256, 6, 4), metavar=("EMBD", "LAYER", "HEAD"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=3, metavar="MINUTES")
    parser.add_argument(
        "--weights", type=Path, metavar="FOLDER", help="begin with an exported model's weights"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual learning rates")
    run(parser.parse_args())


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.from_file(str(args.work / "tokenizer.json"))
    words = Words.of(tokenizer)
    documents = load(args.work / "train.jsonl", tokenizer, words)
    probe = probe_pieces(load(args.work / "valid.jsonl", tokenizer, words))
    model = new_model(words, *args.size)
    if args.weights:
        take_over(model, args.weights)
    model.to(DEVICE)
    optimizers = new_optimizers(model)
    state: dict[str, Any] = {"step": 0, "tokens": 0, "elapsed": 0.0, "cpu": 0.0}
    if args.weights:
        state["before"] = json.loads((args.weights / "config.json").read_text(encoding="utf-8"))["trained"]
    checkpoint = args.work / "checkpoint"
    if checkpoint.exists():
        state = resume(checkpoint, model, optimizers)
    start, budget = (state["elapsed"], 60 * args.minutes) if args.cool_down else (0.0, 60 * args.minutes)
    decay_from = 0.0 if args.cool_down else DECAY_FROM
    final = False
    batches: Iterator[list[Chunk]] = iter(())
    last, kept = time.monotonic(), state["elapsed"]
    worked = time.process_time() - state["cpu"]
    total = loss_ = 0.0
    while True:
        done = state["step"] / args.steps if args.steps else (state["elapsed"] - start) / budget
        if done >= 1:
            break
        if done >= decay_from and not final:
            save(args.work / "checkpoint-constant", model, optimizers, state)
            final, batches = True, iter(())
        batch = next(batches, None)
        if batch is None:
            batches = epoch(documents, final, np.random.default_rng((args.seed, int(state["step"]))))
            continue
        scale = args.rate * min(1.0, (state["step"] + 1) / WARM_UP)
        if done >= decay_from:
            scale *= (1 - done) / (1 - decay_from)
        rng = np.random.default_rng((args.seed, int(state["step"]), 1))
        loss_ += step(model, optimizers, [example(chunk, words, rng) for chunk in batch], words, scale)
        total += 1
        state["step"] += 1
        state["tokens"] += sum(len(chunk.ids) for chunk in batch)
        now = time.monotonic()
        state["elapsed"] += min(now - last, LONGEST_STEP)
        state["cpu"] = time.process_time() - worked
        last = now
        if state["step"] % 50 == 0:
            pace = state["tokens"] / max(state["elapsed"], 1e-9)
            print(
                f"step {state['step']} tokens {state['tokens']} minutes {state['elapsed'] / 60:.1f} "
                f"rate {scale:.3f} loss {loss_ / total:.3f} tokens/s {pace:.0f}",
                flush=True,
            )
            total = loss_ = 0.0
        if state["elapsed"] - kept > 60 * args.save_every:
            kept = state["elapsed"]
            save(checkpoint, model, optimizers, state)
            bits = bits_per_byte(model, probe, words)
            print(f"step {state['step']} valid bits/byte {bits:.4f}", flush=True)
    save(checkpoint, model, optimizers, state)
    curve = {**state, "trained": trained(state), "valid_bits_per_byte": bits_per_byte(model, probe, words)}
    (args.work / "curve.json").write_text(json.dumps(curve), encoding="utf-8")
    print((args.work / "curve.json").read_text(encoding="utf-8"), flush=True)


def take_over(model: GPTBigCodeForCausalLM, folder: Path) -> None:
    """Begins with an exported model's weights; of further layers each begins as a copy that adds nothing.

    The copies stand behind the layers they're of, spread evenly, so that the model says what the smaller
    one did until it is trained. Ends the program where ``--size`` isn't that of the weights or deeper.
    """
    begun = GPTBigCodeForCausalLM.from_pretrained(folder, dtype=torch.float32)
    had, wanted = begun.config, model.config
    if had.n_embd != wanted.n_embd or had.n_head != wanted.n_head or had.n_layer > wanted.n_layer:
        raise SystemExit(f"--size: {had.n_embd} {had.n_layer} {had.n_head}, as in {folder}, or more layers")
    weights = begun.state_dict()
    grown = {name: weight for name, weight in weights.items() if ".h." not in name}
    sources = [i * had.n_layer // wanted.n_layer for i in range(wanted.n_layer)]
    for i, source in enumerate(sources):
        added = i > 0 and source == sources[i - 1]
        for part in model.transformer.h[i].state_dict():
            weight = weights[f"transformer.h.{source}.{part}"]
            silent = added and ".c_proj." in part
            grown[f"transformer.h.{i}.{part}"] = torch.zeros_like(weight) if silent else weight
    model.load_state_dict(grown)


def trained(state: dict[str, Any]) -> dict[str, float]:
    """What went into the weights, those that the run began with too."""
    before = state.get("before") or {"tokens": 0, "cpu_hours": 0.0}
    return {
        "tokens": before["tokens"] + state["tokens"],
        "cpu_hours": round(before["cpu_hours"] + state["cpu"] / 3600, 2),
    }


def load(path: Path, tokenizer: Tokenizer, words: Words) -> dict[str, list[Chunk]]:
    """The documents as tokens, by kind; comment lines weigh little, since code is what's asked for."""
    found: dict[str, list[Chunk]] = {}
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tokenizer.encode_special_tokens = True
    encoded = tokenizer.encode_batch_fast([document["text"] for document in documents])
    for document, encoding in zip(documents, encoded, strict=True):
        ids = np.array(encoding.ids, dtype=np.int64)
        found.setdefault(document["kind"], []).append(Chunk(ids, prose_weights(ids, words)))
    return {kind: found.get(kind, []) for kind in (*FINAL_KINDS, "doctest", "library")}


def probe_pieces(documents: dict[str, list[Chunk]]) -> list[Ids]:
    """The first windows of the held-back notebooks, enough for a figure and quick to run."""
    wholes = [chunk.ids for kind in FINAL_KINDS for chunk in documents[kind]]
    return [piece for ids in wholes for piece in np.split(ids, range(WINDOW, len(ids), WINDOW))][:PROBES]


def prose_weights(ids: Ids, words: Words) -> Floats:
    """1 for code, less for the tokens of lines that are only a comment."""
    breaks = words.breaks[ids]
    heads = np.concatenate([[True], breaks[:-1]])[: len(ids)] & ~breaks
    line = np.cumsum(breaks)
    prose = np.zeros(line[-1] + 1 if len(ids) else 1, dtype=bool)
    prose[line[heads & words.comments[ids]]] = True
    return np.where(prose[line] & ~breaks, PROSE_WEIGHT, 1.0).astype(np.float32)


def epoch(documents: dict[str, list[Chunk]], final: bool, rng: np.random.Generator) -> Iterator[list[Chunk]]:
    """Every document, cut at new places, in batches of about equally long chunks.

    Positions are learned one by one, and notebooks begin short: so some long chunks are halved.
    """
    buckets: dict[int, list[Chunk]] = {WINDOW // 4: [], WINDOW // 2: [], WINDOW: []}
    for kind in FINAL_KINDS if final else documents:
        for document in documents[kind] * (2 if kind in TWICE else 1):
            for chunk in _cut(document, WINDOW - 4, int(rng.integers(WINDOW - 4))):
                if kind == "library" and rng.random() > LIBRARY_SHARE:
                    continue
                halves = _cut(chunk, WINDOW // 2 - 4, 0) if rng.random() < 0.25 else [chunk]
                for half in halves:
                    if len(half.ids) >= 16:
                        buckets[min(size for size in buckets if size >= len(half.ids) + 4)].append(half)
    batches = []
    for size, chunks in buckets.items():
        rows = TOKENS_A_STEP // size
        order = rng.permutation(len(chunks))
        batches += [[chunks[j] for j in order[i : i + rows]] for i in range(0, len(chunks), rows)]
    for i in rng.permutation(len(batches)):
        yield batches[i]


def example(chunk: Chunk, words: Words, rng: np.random.Generator) -> Chunk:
    """The chunk as SPM, PSM or left to right, the loss off at the sentinels."""
    draw = rng.random()
    if draw > SPM_SHARE + PSM_SHARE:
        return chunk
    for _ in range(4):  # a cursor in a comment asks for nothing, if there's code to be had
        start, stop, after = middle(chunk.ids, words, rng)
        if start < len(chunk.ids) and chunk.weights[start] == 1:
            break
    before, between, behind = (
        Chunk(chunk.ids[a:b], chunk.weights[a:b]) for a, b in ((0, start), (start, stop), (stop, after))
    )
    if draw < SPM_SHARE:
        return _join([words.prefix, words.suffix], behind, words.middle, before, between, words.end)
    return _join([words.prefix], before, words.suffix, behind, words.middle, between, words.end)


def middle(ids: Ids, words: Words, rng: np.random.Generator) -> tuple[int, int, int]:
    """Where middle and suffix begin and where the suffix ends, near the chunk's end.

    Mostly the rest of a line, as ghost text asks for, or that and a few lines more; at times any span.
    """
    size = len(ids)
    length = 0 if rng.random() < 0.25 else int(rng.integers(1, max(2, size // 4)))
    latest = max(1, size - length)
    draw = rng.random()
    if draw < 0.15:
        stop = latest
        start = max(1, stop - int(rng.integers(1, 64)))
        return start, stop, min(size, stop + length)
    ends = np.flatnonzero(words.breaks[ids])
    ends = ends[(ends > 0) & (ends <= latest)]
    if not length or not len(ends):
        ends = np.append(ends, size)
    code = [k for k in range(len(ends)) if k == 0 or ends[k] - ends[k - 1] > 2]
    last = max(code[-3:]) if not length or not code else int(rng.choice(code[-6:]))
    lines = 1 if draw < 0.70 else int(rng.integers(2, 7))
    first = max(0, last + 1 - lines)
    begin = int(ends[first - 1]) + 1 if first else 0
    line_end = int(ends[first])
    start = int(rng.integers(begin, max(begin + 1, line_end)))
    stop = int(ends[last])
    return start, max(stop, start), min(size, max(stop, start) + length)


def step(
    model: GPTBigCodeForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    rows: list[Chunk],
    words: Words,
    scale: float,
) -> float:
    """One update with all rates times ``scale``; returns the loss in nats a token."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), words.pad)
    weights = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.from_numpy(row.ids)
        weights[i, : len(row.ids)] = torch.from_numpy(row.weights)
    ids, weights = ids.to(DEVICE), weights.to(DEVICE)
    with torch.autocast(DEVICE, torch.bfloat16, enabled=HAS_BFLOAT16):
        logits = model(ids[:, :-1], use_cache=False).logits
    losses = functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    wanted = weights[:, 1:].flatten()
    loss = (losses * wanted).sum() / wanted.sum()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, rate in zip(optimizers, (MUON_RATE, ADAM_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def new_model(words: Words, width: int, layers: int, heads: int) -> GPTBigCodeForCausalLM:
    config = GPTBigCodeConfig(
        vocab_size=len(words.lengths),
        n_positions=WINDOW,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        activation_function="gelu_pytorch_tanh",
        multi_query=True,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=words.end,
        eos_token_id=words.end,
        pad_token_id=None,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    return GPTBigCodeForCausalLM(config)


def new_optimizers(model: GPTBigCodeForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings, norms and biases."""
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    chosen = {id(p) for p in inner}
    outer = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(inner, MUON_RATE, weight_decay=0.01, dtype=torch.bfloat16 if HAS_BFLOAT16 else torch.float32),
        torch.optim.AdamW(outer, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


@torch.inference_mode()
def bits_per_byte(model: GPTBigCodeForCausalLM, pieces: list[Ids], words: Words) -> float:
    """On whole windows, left to right, comments included: the one figure to compare runs by."""
    nats = octets = 0.0
    model.train(False)
    for ids in pieces:
        row = torch.from_numpy(np.concatenate([[words.end], ids]))[None].to(DEVICE)
        logits = model(row[:, :-1][:, :WINDOW], use_cache=False).logits.float()
        nats += float(functional.cross_entropy(logits[0], row[0, 1:][:WINDOW], reduction="sum"))
        octets += float(words.lengths[ids].sum())
    model.train(True)
    return nats / max(octets, 1.0) / math.log(2)


def save(
    folder: Path, model: GPTBigCodeForCausalLM, optimizers: list[torch.optim.Optimizer], state: Any
) -> None:
    """The whole state of the run, in files of at most PIECE bytes."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    whole = io.BytesIO()
    everything = {
        "state": dict(state),
        "config": model.config.to_dict(),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    torch.save(everything, whole)
    for number, start in enumerate(range(0, len(whole.getbuffer()), PIECE)):
        (part / f"{number:02}").write_bytes(whole.getbuffer()[start : start + PIECE])
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def saved(folder: Path) -> Any:
    """What ``save`` wrote, on the CPU."""
    pieces = [path.read_bytes() for path in sorted(folder.iterdir())]
    return torch.load(io.BytesIO(b"".join(pieces)), weights_only=True, map_location="cpu")


def resume(folder: Path, model: GPTBigCodeForCausalLM, optimizers: list[torch.optim.Optimizer]) -> Any:
    everything = saved(folder)
    model.load_state_dict(everything["model"])
    for optimizer, values in zip(optimizers, everything["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    return everything["state"]


def _cut(document: Chunk, size: int, offset: int) -> list[Chunk]:
    """Pieces of at most ``size`` tokens; a first one of ``offset`` moves the cuts from epoch to epoch."""
    borders = [0, *range(offset or size, len(document.ids), size), len(document.ids)]
    return [Chunk(document.ids[a:b], document.weights[a:b]) for a, b in itertools.pairwise(borders) if b > a]


def _join(sentinels: list[int], *parts: Chunk | int) -> Chunk:
    """One row; sentinels weigh nothing, but the end after the middle is there to be learned."""
    pieces = [Chunk(np.array(sentinels), np.zeros(len(sentinels), np.float32))]
    for i, part in enumerate(parts):
        if isinstance(part, int):
            weight = float(i == len(parts) - 1)
            part = Chunk(np.array([part]), np.array([weight], np.float32))
        pieces.append(part)
    return Chunk(np.concatenate([p.ids for p in pieces]), np.concatenate([p.weights for p in pieces]))


if __name__ == "__main__":
    main()
