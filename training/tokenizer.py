"""A byte-level BPE of 4,096 tokens in the image of SantaCoder's: digits alone, its five special tokens last.

So few tokens because each costs the model 256 parameters; runs of spaces get tokens of their own
all the same, since every second line begins with one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WORK = Path(__file__).parent / "work"
END, PREFIX, MIDDLE, SUFFIX, PAD = SPECIAL = (
    "<|endoftext|>",
    "<fim-prefix>",
    "<fim-middle>",
    "<fim-suffix>",
    "<fim-pad>",
)
VOCABULARY = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    args = parser.parse_args()
    tokenizer = train(notebook_like(args.work / "train.jsonl"), args.vocabulary)
    tokenizer.save(str(args.work / "tokenizer.json"))
    print(f"{args.work / 'tokenizer.json'}: {tokenizer.get_vocab_size()} tokens")


def train(texts: Iterator[str], vocabulary: int) -> Tokenizer:
    """Special tokens get the last ids, in SantaCoder's order, so the BPE is trained without them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def notebook_like(path: Path) -> Iterator[str]:
    """The documents that look like what the model will be asked about."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            if document["kind"] != "library":
                yield document["text"]


if __name__ == "__main__":
    main()
