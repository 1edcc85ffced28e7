"""How often santa-mini is right: seeded cursor places in notebooks of packages never trained on.

JavaScript and Java have no notebooks there: their places are in the held-out packages' source.

At each place at least three characters of a code line stand before the cursor; the model sees the
cells around it and completes the line through the engine's own code, as it does when asked. Counted are lines
that are exactly right and those whose first word is, all of them and the most confident ones. All are
counted whole; while typing they end before the word that the model doubts (``min_probability``).
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GPTBigCodeForCausalLM

from santajupyter.engine.cachemodel import cache_text
from santajupyter.engine.generate import Completer
from santajupyter.engine.transformers_causallm import CausalLM
from santajupyter.engine.work import Control
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import FAMILIES, end_ids, fit
from santajupyter.prompt.languages import comment_mark
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Item, Sampling

from .tokenizer import WORK
from .train import WINDOW, Words, new_model, saved

PLACES = 400
MAX_NEW_TOKENS = 48
MIN_TYPED = 3
VERBATIM = 30
# More than three gain no more than chance on the `valid` split.
BEAMS = 3
LINE = Sampling(max_new_tokens=MAX_NEW_TOKENS, stop=("\n",), search=True)


@dataclass(frozen=True)
class Place:
    """A cursor: what the model gets, and the rest of the line as its author wrote it."""

    prefix: str
    suffix: str
    truth: str
    language: str = "python"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--model", type=Path, help="an exported model instead of the checkpoint")
    parser.add_argument("--split", default="test")
    parser.add_argument("--language", choices=("python", "javascript", "java"), default="python")
    parser.add_argument("--places", type=int, default=PLACES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bare", action="store_true", help="without the cache model")
    parser.add_argument("--verbatim", action="store_true", help="count longer outputs that the corpus has")
    parser.add_argument("--show", type=int, default=0, help="print so many of the places")
    args = parser.parse_args()
    tokenizer = CodeTokenizer.from_folder(args.model or args.work)
    model = from_export(args.model) if args.model else from_checkpoint(args.work)
    ends = end_ids(tokenizer, FAMILIES["santacoder"], [])
    generator = Completer(
        CausalLM(model.train(False)), tokenizer, ends, cache_bytes=2**28, prompt_lookup=4, beams=BEAMS
    )
    cursors = places(args.work / f"{args.split}.jsonl", args.places, args.seed, args.language)
    if args.verbatim:
        counted = verbatim(generator, tokenizer, cursors, args.work / "train.jsonl")
        (args.work / "verbatim.json").write_text(json.dumps(counted), encoding="utf-8")
        print(json.dumps(counted))
        return
    answers = [complete(generator, tokenizer, place, not args.bare) for place in cursors]
    for place, answer in list(zip(cursors, answers, strict=True))[: args.show]:
        print(f"{place.prefix[-60:]!r} -> {answer.text!r} ({answer.logprob:.2f}), was {place.truth!r}")
    figures = score(cursors, answers)
    name = report(args.split, args.language, args.bare)
    (args.work / name).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(json.dumps(figures, indent=1))


def report(split: str, language: str, bare: bool = False) -> str:
    """The name of the file with the figures."""
    return f"evaluation-{split}-{language}{'-bare' if bare else ''}.json"


def places(path: Path, count: int, seed: int, language: str = "python") -> list[Place]:
    """Cursors anywhere in the code lines, every document as likely as it has lines."""
    kind = "notebook" if language == "python" else language
    mark = comment_mark(language)
    documents = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [document["text"] for document in documents if document["kind"] == kind]
    lines = [
        (text, match.start(), match.end())
        for text in texts
        for match in re.finditer(r"^.+$", text, re.MULTILINE)
        if not match[0].lstrip().startswith((mark, "%", "!")) and len(match[0].strip()) > MIN_TYPED
    ]
    rng = random.Random(seed)  # noqa: S311
    found = []
    for text, start, end in rng.sample(lines, min(count, len(lines))):
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        cursor = rng.randrange(start + indent + MIN_TYPED, end)
        found.append(Place(text[:cursor], text[end:], text[cursor:end], language))
    return found


def complete(generator: Completer, tokenizer: CodeTokenizer, place: Place, cache_model: bool = True) -> Item:
    """The rest of the line, as the engine writes it."""
    return _ask(generator, tokenizer, place, cache_model, LINE)


def verbatim(
    generator: Completer, tokenizer: CodeTokenizer, cursors: Sequence[Place], corpus: Path
) -> dict[str, object]:
    """How many outputs of VERBATIM tokens stand in the training text, but for white space."""
    lines = corpus.read_text(encoding="utf-8").splitlines()
    known = "\n".join(" ".join(json.loads(line)["text"].split()) for line in lines)
    answers = [_ask(generator, tokenizer, p, True, Sampling(max_new_tokens=VERBATIM)) for p in cursors]
    texts = [" ".join(answer.text.split()) for answer in answers if answer.finish_reason == "length"]
    return {"outputs": len(texts), "tokens": VERBATIM, "in the corpus": sum(text in known for text in texts)}


def _ask(
    generator: Completer, tokenizer: CodeTokenizer, place: Place, cache_model: bool, sampling: Sampling
) -> Item:
    document = Document(place.prefix, place.suffix, place.language)
    prompt = fit(document, tokenizer, FAMILIES["santacoder"], WINDOW, sampling.max_new_tokens)
    if cache_model:
        prompt = replace(prompt, cache_text=cache_text(document, tokenizer, prompt.healed))
    return generator.complete(prompt, sampling, Control(), lambda index, text: None).items[0]


def score(cursors: Sequence[Place], answers: Sequence[Item]) -> dict[str, object]:
    """Shares of exact lines and right first words, whole and by confidence with the least that is in it."""
    order = sorted(range(len(answers)), key=lambda i: -answers[i].logprob)
    exact = [answers[i].text.rstrip() == cursors[i].truth.rstrip() for i in order]
    word = [_first_word(answers[i].text) == _first_word(cursors[i].truth) for i in order]
    figures: dict[str, object] = {"places": len(order)}
    for name, share in (("all", 1.0), ("half", 0.5), ("third", 1 / 3), ("quarter", 0.25), ("tenth", 0.1)):
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
    everything = saved(work / "checkpoint")
    words = Words.of(Tokenizer.from_file(str(work / "tokenizer.json")))
    config = everything["config"]
    model = new_model(words, config["n_embd"], config["n_layer"], config["n_head"])
    model.load_state_dict(everything["model"])
    return model


def _first_word(text: str) -> str:
    match = re.match(r"\s*(\w+|[^\w\s]+)?", text)
    return match[0] if match else ""


if __name__ == "__main__":
    main()
