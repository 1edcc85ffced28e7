"""Models whose prompt ends with the suffix: what it saves, and costs, not to read that again at each key.

    python -m benchmarks.below MODEL --folder NOTEBOOKS --places 100

At places in notebooks, where the rest of a line is hidden, the prompt is read as it was some characters
earlier; then the line is asked for at the place itself, as somebody who types would, with the suffix as it
was read (moved) and with it read again (exact). Milliseconds until the prompt is read and until the line
is there, p50 / p95, in turns; how many lines are the hidden one; and how many texts are the same.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from santajupyter.engine import causallm
from santajupyter.engine.checkpoint import end_ids as model_end_ids
from santajupyter.engine.generate import Completer, Result
from santajupyter.engine.work import Control
from santajupyter.engine.worker import STALE
from santajupyter.evaluation.places import Notebook, Place, choose, read_folder
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.fim import FAMILIES, Prompt, end_ids, fit, recognize
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell, Sampling
from santajupyter.server.settings import Settings

WINDOW, NEW = 2048, 32


@dataclass
class Found:
    """Of one way to ask, at each place."""

    read: list[float] = field(default_factory=list)
    line: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--back", type=int, nargs="+", default=[10, 80], help="characters earlier")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    model = causallm.load(args.model, "cpu", args.dtype, Settings.prompt_lookup)
    tokenizer = CodeTokenizer.from_folder(args.model)
    family = FAMILIES[recognize(tokenizer)]
    ends = end_ids(tokenizer, family, model_end_ids(args.model))
    books = read_folder(args.folder)
    found = {(back, exact): Found() for back in args.back for exact in (True, False)}
    for place in choose(books, args.places, args.seed):
        completer = Completer(model, tokenizer, ends, cache_bytes=2**30, prompt_lookup=4, beams=1)
        for (back, exact), way in found.items():
            earlier, now = (_prompt(books, place, tokenizer, characters) for characters in (back, 0))
            if now.ids[-now.below :] != earlier.ids[-earlier.below :] or not now.below:
                continue  # nothing stands below, or a longer prefix leaves less of it room
            completer.warm(earlier, Control())
            prompt = replace(now, stale=0 if exact else STALE)
            result = completer.complete(
                prompt, Sampling(max_new_tokens=NEW, stop=("\n",)), Control(), lambda index, text: None
            )
            _count(way, result, place)
    print("| characters later | suffix | places | prompt | line | right | the same |\n" + "| --- " * 7 + "|")
    for (back, exact), way in found.items():
        same = np.mean([a == b for a, b in zip(way.texts, found[back, True].texts, strict=True)])
        times = (f"{p50:.0f} / {p95:.0f} ms" for p50, p95 in map(_percentiles, (way.read, way.line)))
        name = "exact" if exact else "moved"
        cells = [str(back), name, str(len(way.texts)), *times, f"{np.mean(way.right):.1%}", f"{same:.1%}"]
        print(f"| {' | '.join(cells)} |")
    print(f"load {os.getloadavg()[0]:.1f}")


def _prompt(books: dict[str, Notebook], place: Place, tokenizer: CodeTokenizer, back: int) -> Prompt:
    """Where the text ended so many characters before the place."""
    cells = [msgspec.convert(cell, Cell) for cell in books[place.notebook].cells]
    source = cells[place.cell].source
    typed = source[: max(0, place.offset - back)]
    cells[place.cell] = replace(cells[place.cell], source=typed + source[place.offset + len(place.hidden) :])
    text = document(excerpt(cells, place.cell, len(typed)))
    return fit(text, tokenizer, FAMILIES[recognize(tokenizer)], WINDOW, NEW)


def _percentiles(times: list[float]) -> list[float]:
    return [float(time) for time in np.percentile(times, (50, 95))]


def _count(way: Found, result: Result, place: Place) -> None:
    text = result.items[0].text
    way.read.append(result.prefill_ms)
    way.line.append(result.prefill_ms + result.decode_ms)
    way.texts.append(text)
    way.right.append(text.strip() == place.hidden.strip())


if __name__ == "__main__":
    main()
