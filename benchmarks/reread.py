"""Long notebooks: how many tokens of a prompt are read again when the user pauses in typing.

    python -m benchmarks.typing.traces --out traces.jsonl --folder LONG_NOTEBOOKS --keystrokes 500 --cells 6
    python -m benchmarks.reread traces.jsonl --tokenizer FOLDER_OF_SANTACODER

No model is needed: the prompts are the product's, and its prompt cache holds no keys and values but counts
their bytes. When the cursor comes to another cell the prompt is read as far as the pause there allows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from santajupyter.engine.promptcache import PromptCache
from santajupyter.engine.windows import Windows
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.fim import FAMILIES, Prompt, fit
from santajupyter.prompt.tokenizer import CodeTokenizer

from .typing.replay import Moment, moments
from .typing.traces import Event, read

# SantaCoder's: 24 layers, a key and a value of 128 numbers, two bytes each.
BYTES_PER_TOKEN = 24 * 2 * 128 * 2
CACHE_BYTES = 256 << 20
# Tokens that two cores read in a second.
SPEED = 200


@dataclass(eq=False)
class _Counted:
    """Keys and values, of which there is nothing but the number."""

    tokens: int = 0

    @property
    def size(self) -> int:
        return self.tokens * BYTES_PER_TOKEN

    def can_be_cut(self) -> bool:
        return True

    def beginning(self, length: int) -> _Counted:
        return _Counted(length)

    def cut(self, length: int) -> None:
        self.tokens = length


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a folder with a tokenizer.json")
    parser.add_argument("--window", type=int, default=2048)
    parser.add_argument("--new", type=int, default=24, help="tokens that an answer may have")
    args = parser.parse_args()
    tokenizer, traces = CodeTokenizer.from_folder(args.tokenizer), read(args.traces)
    print("| window | questions | p50 | p90 | p95 | p99 | over 128 | mean |\n" + "| --- " * 8 + "|")
    for name, stays in (("the best at each key", False), ("stays while it is cheaper", True)):
        found = sorted(n for trace in traces for n in _read(trace, tokenizer, args.window, args.new, stays))
        shares = " | ".join(str(found[int(share * len(found))]) for share in (0.5, 0.9, 0.95, 0.99))
        many = sum(n > 128 for n in found) / len(found)
        print(f"| {name} | {len(found)} | {shares} | {many:.1%} | {sum(found) / len(found):.1f} |")


def _read(trace: list[Event], tokenizer: CodeTokenizer, window: int, new: int, stays: bool) -> Iterator[int]:
    """The tokens that each question had to wait for."""
    cache = PromptCache(_Counted, CACHE_BYTES)  # type: ignore[arg-type]
    windows = Windows(window, cache.cached)
    for moment in moments(trace):
        prompt = _prompt(moment, tokenizer, window, new, windows if stays else None)
        with cache.using(prompt) as entry:
            if moment.ask:
                yield len(prompt.ids) - entry.cached
            most = len(prompt.ids) if moment.ask else entry.cached + moment.pause * SPEED // 1000
            entry.ids[:] = prompt.ids[:most]
            entry.kv = _Counted(len(entry.ids))  # type: ignore[assignment]


def _prompt(
    moment: Moment, tokenizer: CodeTokenizer, window: int, new: int, windows: Windows | None
) -> Prompt:
    state = moment.state
    text = document(excerpt(state.cells, state.active, state.offset))

    def make(*, keep: tuple[str, ...] = ()) -> Prompt:
        return fit(text, tokenizer, FAMILIES["santacoder"], window, new, keep=keep)

    if windows is None:
        return make()
    prompt = windows.choose(make) if moment.ask else make()
    windows.remember(text, prompt)
    return prompt


if __name__ == "__main__":
    main()
