"""How often santa-mini is right: seeded cursor places in notebooks of packages never trained on.

At each place at least three characters of a code line stand before the cursor; the model sees the
cells around it and completes the line, suffix first and with token healing, greedily. Counted are
lines that are exactly right and those whose first word is, all of them and the most confident ones,
for the engine shows ghost text only above a confidence.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GPTBigCodeForCausalLM

from .tokenizer import MIDDLE, PREFIX, SUFFIX, WORK
from .train import WINDOW, Words, new_model

PLACES = 400
MAX_NEW_TOKENS = 48
SUFFIX_SHARE = 4
MIN_TYPED = 3
CHARACTERS = 16 * WINDOW  # more text than any window holds


@dataclass(frozen=True)
class Place:
    """A cursor: what the model gets, and the rest of the line as its author wrote it."""

    prefix: str
    suffix: str
    truth: str


@dataclass(frozen=True)
class Answer:
    """A completed line and the mean natural log-probability of its tokens."""

    text: str
    logprob: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--model", type=Path, help="an exported model instead of the checkpoint")
    parser.add_argument("--split", default="test")
    parser.add_argument("--places", type=int, default=PLACES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print so many of the places")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_file(str((args.model or args.work) / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    model = from_export(args.model) if args.model else from_checkpoint(args.work)
    cursors = places(args.work / f"{args.split}.jsonl", args.places, args.seed)
    texts = token_texts(tokenizer)
    model.train(False)
    answers = [complete(model, tokenizer, texts, place) for place in cursors]
    for place, answer in list(zip(cursors, answers, strict=True))[: args.show]:
        print(f"{place.prefix[-60:]!r} -> {answer.text!r} ({answer.logprob:.2f}), was {place.truth!r}")
    figures = score(cursors, answers)
    (args.work / f"evaluation-{args.split}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(json.dumps(figures, indent=1))


def places(path: Path, count: int, seed: int) -> list[Place]:
    """Cursors anywhere in the code lines of notebooks, every notebook as likely as it has lines."""
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [document["text"] for document in documents if document["kind"] == "notebook"]
    lines = [
        (text, match.start(), match.end())
        for text in texts
        for match in re.finditer(r"^.+$", text, re.MULTILINE)
        if not match[0].lstrip().startswith(("#", "%", "!")) and len(match[0].strip()) > MIN_TYPED
    ]
    rng = random.Random(seed)  # noqa: S311
    found = []
    for text, start, end in rng.sample(lines, min(count, len(lines))):
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        cursor = rng.randrange(start + indent + MIN_TYPED, end)
        found.append(Place(text[:cursor], text[end:], text[cursor:end]))
    return found


@torch.inference_mode()
def complete(
    model: GPTBigCodeForCausalLM, tokenizer: Tokenizer, texts: Sequence[str], place: Place
) -> Answer:
    """The rest of the line, greedily, the token that the cursor cuts made anew (token healing)."""
    ids, healed = prompt(tokenizer, place)
    new = list[int]()
    logprobs = list[float]()
    written, step, past = "", torch.tensor([ids]), None
    while len(new) < MAX_NEW_TOKENS and "\n" not in written[len(healed) :]:
        output = model(step, past_key_values=past, use_cache=True)
        scores = output.logits[0, -1].float().log_softmax(-1)
        rest = healed[len(written) :]
        if rest:
            scores = torch.where(torch.tensor([_heals(text, rest) for text in texts]), scores, -torch.inf)
        best = int(scores.argmax())
        logprobs.append(float(scores[best]))
        if not texts[best]:
            break
        new.append(best)
        written = tokenizer.decode(new)
        step, past = torch.tensor([[best]]), output.past_key_values
    line = written[len(healed) :].partition("\n")[0]
    return Answer(line, sum(logprobs) / max(1, len(logprobs)))


def prompt(tokenizer: Tokenizer, place: Place) -> tuple[list[int], str]:
    """SPM within the window, its last token left off, and that token's text to begin the answer with."""
    suffix = tokenizer.encode(place.suffix[:CHARACTERS]).ids[: WINDOW // SUFFIX_SHARE]
    room = WINDOW - MAX_NEW_TOKENS - len(suffix) - 3
    prefix = tokenizer.encode(place.prefix[-CHARACTERS:]).ids[-room:]
    sentinel = tokenizer.get_vocab()
    head = [sentinel[PREFIX], sentinel[SUFFIX], *suffix, sentinel[MIDDLE]]
    healed = tokenizer.decode(prefix[-1:])
    return (head + prefix, "") if "\N{REPLACEMENT CHARACTER}" in healed else (head + prefix[:-1], healed)


def token_texts(tokenizer: Tokenizer) -> list[str]:
    """Every token as text, "" for the special ones."""
    return [tokenizer.decode([i], skip_special_tokens=True) for i in range(tokenizer.get_vocab_size())]


def score(cursors: Sequence[Place], answers: Sequence[Answer]) -> dict[str, object]:
    """Shares of exact lines and right first words, whole and by confidence with its threshold."""
    order = sorted(range(len(answers)), key=lambda i: -answers[i].logprob)
    exact = [answers[i].text.rstrip() == cursors[i].truth.rstrip() for i in order]
    word = [_first_word(answers[i].text) == _first_word(cursors[i].truth) for i in order]
    figures: dict[str, object] = {"places": len(order)}
    for name, share in (("all", 1.0), ("half", 0.5), ("quarter", 0.25), ("tenth", 0.1)):
        size = max(1, round(share * len(order)))
        figures[name] = {
            "logprob >=": round(answers[order[size - 1]].logprob, 3),
            "exact": round(sum(exact[:size]) / size, 4),
            "first word": round(sum(word[:size]) / size, 4),
        }
    return figures


def from_export(folder: Path) -> GPTBigCodeForCausalLM:
    return GPTBigCodeForCausalLM.from_pretrained(folder, dtype=torch.float32)


def from_checkpoint(work: Path) -> GPTBigCodeForCausalLM:
    """The weights of the last checkpoint, without the optimizers'."""
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    words = Words.of(Tokenizer.from_file(str(work / "tokenizer.json")))
    config = saved["config"]
    model = new_model(words, config["n_embd"], config["n_layer"], config["n_head"])
    model.load_state_dict(saved["model"])
    return model


def _heals(token: str, rest: str) -> bool:
    """Whether a token may stand where ``rest`` must come back: beyond it or on the way to it."""
    return token.startswith(rest) or (token != "" and rest.startswith(token))


def _first_word(text: str) -> str:
    match = re.match(r"\s*(\w+|[^\w\s]+)?", text)
    return match[0] if match else ""


if __name__ == "__main__":
    main()
