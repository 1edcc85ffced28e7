"""What token healing is worth: places where the cursor cuts a word, asked with it and without, in turn.

    python -m benchmarks.healing HumanEval.jsonl.gz --model MODEL [--remote-url http://GPU:8000/v1]

Of each line a word is cut, at a seeded place; the model is asked for the rest of the line, greedily. With an
address a server there has the model, and only its tokenizer is read here.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from santajupyter.engine.wire import Remote
from santajupyter.evaluation.data import rows
from santajupyter.evaluation.engines import serving
from santajupyter.evaluation.tasks import humaneval_infilling
from santajupyter.protocol import Cell, CompletionRequest, Sampling
from santajupyter.server.settings import BUILT_IN, Settings

WORD = re.compile(r"[A-Za-z_]{4,}")


class Plain(CompletionRequest):
    """Asked without healing."""

    @property
    def sampling(self) -> Sampling:
        return replace(super().sampling, heal=False)


@dataclass(frozen=True)
class Place:
    """``rest`` of the line, which begins with the ``word``'s."""

    left: str
    right: str
    rest: str
    word: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", metavar="DATA", help="HumanEval.jsonl.gz")
    parser.add_argument("--model", default=BUILT_IN)
    parser.add_argument("--remote-url", default="")
    parser.add_argument("--places", type=int, default=200)
    args = parser.parse_args()
    logging.disable()
    remote = Remote(args.remote_url, "", args.model) if args.remote_url else None
    asyncio.run(compare(Settings(args.model, fallback_model="", remote=remote), args.data, args.places))


async def compare(settings: Settings, data: str, number: int) -> None:
    """Print how many are right."""
    found = [*places(data, random.Random(0))][:number]  # noqa: S311
    async with serving(settings) as service:
        for kind in (CompletionRequest, Plain):
            lines = words = 0
            for place in found:
                cells = (Cell(f"{place.left}\n{place.right}"),)
                request = kind(cells, 0, len(place.left), mode="line", trigger="invoke", max_new_tokens=32)
                text = (await service.complete(request, None)).text
                lines += text.strip() == place.rest.strip()
                words += re.match(re.escape(place.word) + r"(?!\w)", text) is not None
            how = "healed" if kind is CompletionRequest else "as it stands"
            print(f"{how}: of {len(found)} the word right {words}, the rest of the line {lines}", flush=True)


def places(data: str, rng: random.Random) -> Iterator[Place]:
    """One in each line that has a word, in a seeded order."""
    lines = [
        hole
        for row in rows(data, "humaneval.jsonl", humaneval_infilling.NEEDED)
        for hole in humaneval_infilling.holes(row)
    ]
    rng.shuffle(lines)
    for line in lines:
        if words := [*WORD.finditer(line.hidden)]:
            word = rng.choice(words)
            at = word.start() + rng.randint(1, len(word[0]) - 2)
            left = line.prompt + line.hidden[:at]
            yield Place(left, line.suffix, line.hidden[at:], line.hidden[at : word.end()])


if __name__ == "__main__":
    main()
