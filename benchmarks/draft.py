"""What santa-mini's text is worth as guesses for a bigger model: decode steps counted, times measured.

    santajupyter eval replay --model MODEL --folder NOTEBOOKS --configurations no-rules --out FOLDER
    python -m benchmarks.draft MODEL --of FOLDER/samples.jsonl NOTEBOOKS \\
        --timed build/santacoder int8 --step 7.5

The replay has what MODEL writes. Here that is generated once more on paper: in how many steps, by each
way to guess, and how often santa-mini is asked for a draft. --timed are a model's folder and dtype, whose
steps are measured on this CPU; --step is some other model's step in milliseconds, guesses or none.
README.md has what came of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from santajupyter.engine import causallm
from santajupyter.engine.cachemodel import cache_text
from santajupyter.engine.checkpoint import end_ids as model_end_ids
from santajupyter.engine.checkpoint import text_config
from santajupyter.engine.generate import Completer
from santajupyter.engine.lookup import PromptLookup
from santajupyter.engine.model import KV, MAX_WINDOW, Model
from santajupyter.engine.quantised import DTYPES
from santajupyter.engine.work import Control
from santajupyter.evaluation.harness import Sample
from santajupyter.evaluation.places import MAX_NEW_TOKENS, body, read_folder
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import Document, document
from santajupyter.prompt.fim import FAMILIES, end_ids, fit, recognize
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling, completion_request
from santajupyter.server.engines import MODELS
from santajupyter.server.settings import BUILT_IN, Settings

MOST = 7
LOOKUP = Settings.prompt_lookup
# A draft that can be asked for again has so many of santa-mini's tokens, about what one step checks.
SHORT = 6
# A step is measured behind about so many tokens, so many times, a draft a few times. Others on the machine
# only ever add to a time: of a step the fastest quarter counts, of a draft the fastest.
PROMPT, ROUNDS, REPEATS = 1000, 24, 3

# The guesses after the first n of a line's ids.
Guess = Callable[[int], Sequence[int]]


@dataclass(frozen=True)
class Line:
    """What the model wrote at a place, as generated ids: from the ``healed`` text to the line's end."""

    where: Document
    prompt: tuple[int, ...]
    healed: str
    ids: tuple[int, ...]


class Mini:
    """The built-in model, asked as while typing, without its limit."""

    def __init__(self) -> None:
        folder = MODELS / BUILT_IN
        self._tokenizer = CodeTokenizer.from_folder(folder)
        self._family = FAMILIES[recognize(self._tokenizer)]
        self._window = int(text_config(folder)["n_positions"])
        ends = end_ids(self._tokenizer, self._family, model_end_ids(folder))
        model = causallm.load(folder, "cpu", "auto", LOOKUP)
        self._completer = Completer(
            model, self._tokenizer, ends, cache_bytes=2**28, prompt_lookup=LOOKUP, beams=1
        )
        self._known: dict[tuple[Document, int], tuple[str, float]] = {}

    def text(self, where: Document, new: int) -> tuple[str, float]:
        """The rest of the line, at most ``new`` tokens; how long that took after a key, milliseconds."""
        if (where, new) not in self._known:
            times = []
            for _ in range(REPEATS):
                self._ask(replace(where, prefix=where.prefix[:-1]), 1)
                begun = time.perf_counter()
                text = self._ask(where, new)
                times.append(1000 * (time.perf_counter() - begun))
            self._known[where, new] = text, min(times)
        return self._known[where, new]

    def _ask(self, where: Document, new: int) -> str:
        prompt = fit(where, self._tokenizer, self._family, self._window, new)
        prompt = replace(prompt, cache_text=cache_text(where, self._tokenizer, prompt.healed))
        sampling = Sampling(max_new_tokens=new, stop=("\n",))
        return self._completer.complete(prompt, sampling, Control(), lambda index, text: None).items[0].text


class Draft:
    """Guesses from santa-mini's text: asked for once or, ``again``, where the last one was wrong or ended."""

    def __init__(self, mini: Mini, tokenizer: CodeTokenizer, line: Line, most: int, again: bool) -> None:
        self._mini, self._tokenizer, self._line = mini, tokenizer, line
        self._most, self._again = most, again
        self._text = ""
        self.milliseconds: list[float] = []

    def __call__(self, made: int) -> Sequence[int]:
        line, so_far = self._line, self._tokenizer.decode(self._line.ids[:made])
        begun = max(so_far, line.healed, key=len)
        over = len(self._text) <= len(begun) or not self._text.startswith(begun)
        if not self.milliseconds or (self._again and over):
            where = replace(line.where, prefix=line.where.prefix + begun[len(line.healed) :])
            text, milliseconds = self._mini.text(where, SHORT if self._again else MAX_NEW_TOKENS)
            self._text = begun + text
            self.milliseconds.append(milliseconds)
        if not self._text.startswith(so_far):
            return []
        return self._tokenizer.encode(self._text[len(so_far) :])[: self._most]


@dataclass(frozen=True)
class Way:
    """To guess at most so many tokens: from the prompt, and by santa-mini where that has nothing, or first.

    ``early``: already in the step that reads the prompt's end.
    """

    most: int
    lookup: bool = True
    draft: str = ""
    first: bool = False
    early: bool = False

    def __str__(self) -> str:
        names = ["lookup"] * self.lookup + [f"draft {self.draft}"] * bool(self.draft)
        guesses = ", then ".join(reversed(names) if self.first else names)
        return f"{guesses or 'no guesses'}{', early' * self.early}"

    def count(self, line: Line, mini: Mini, tokenizer: CodeTokenizer) -> Count:
        found = PromptLookup(line.prompt, self.most)
        draft = Draft(mini, tokenizer, line, self.most, self.draft == "again")
        sources: list[Guess] = [lambda made: found.draft([*line.prompt, *line.ids[:made]])] * self.lookup
        sources += [draft] * bool(self.draft)
        return Count(
            widths(line.ids, sources[::-1] if self.first else sources, self.early), draft.milliseconds
        )


WAYS = (
    Way(0, lookup=False),
    *(Way(most) for most in (2, 3, 4, 5, 7)),
    *(Way(LOOKUP, lookup=False, draft=draft) for draft in ("once", "again")),
    *(Way(LOOKUP, draft=draft, first=first) for draft in ("once", "again") for first in (False, True)),
    Way(LOOKUP, early=True),
    *(Way(LOOKUP, draft=draft, early=True) for draft in ("once", "again")),
)


@dataclass(frozen=True)
class Count:
    """``widths``: how many tokens each step of a line had. ``drafts``: how long each took, milliseconds."""

    widths: list[int]
    drafts: list[float]


def widths(ids: Sequence[int], sources: Sequence[Guess], early: bool = False) -> list[int]:
    """How many tokens each step has; the first reads the prompt's end. The first source with any guesses."""
    made, found = 0, []
    while made < len(ids):
        guessed: Sequence[int] = []
        if made or early:
            guessed = next(filter(None, (source(made) for source in sources)), [])
        found.append(1 + len(guessed))
        pairs = zip(guessed, ids[made:], strict=False)
        made += 1 + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return found


@dataclass(frozen=True)
class Steps:
    """Milliseconds of a step of 1, 2, … tokens. In int8 and int4 each has room for all guesses."""

    name: str
    times: list[float]
    same_shape: bool = False

    def line(self, way: Way, count: Count) -> float:
        """The whole of it, drafts too."""
        each = [1 + way.most] * len(count.widths) if self.same_shape else count.widths
        return sum(self.times[width - 1] for width in each) + sum(count.drafts)


def measured(folder: Path, dtype: str) -> Steps:
    model = causallm.load(folder, "cpu", dtype, 0)
    kv = model.empty()
    while kv.length < PROMPT:
        model.step(kv, [range(model.chunk)])
    times = []
    for width in range(1, 2 + MOST):
        if model.dtype in DTYPES:
            model = causallm.load(folder, "cpu", dtype, width - 1)
        times.append(sorted(_step(model, kv, width) for _ in range(ROUNDS))[ROUNDS // 4])
    return Steps(f"{folder.name}, {model.dtype}", times, model.dtype in DTYPES)


def _step(model: Model, kv: KV, width: int) -> float:
    begun, length = time.perf_counter(), kv.length
    model.step(kv, [range(width)], width)
    milliseconds = 1000 * (time.perf_counter() - begun)
    kv.cut(length)
    return milliseconds


def lines(results: Path, folder: Path, tokenizer: CodeTokenizer, order: str) -> Iterator[Line]:
    """What the replay without rules found; without what a kernel or other files knew, if it had that."""
    family, books = FAMILIES[recognize(tokenizer)], read_folder(folder)
    for sample in map(Sample.from_json, map(json.loads, results.read_text("utf-8").splitlines())):
        if sample.configuration != "no-rules" or sample.place is None:
            continue
        request = completion_request(body(books[sample.place.notebook], sample.place))
        place = request.cells, request.active, request.offset, request.language
        where = document(excerpt(*place), request.language)
        prompt = fit(where, tokenizer, family, MAX_WINDOW, MAX_NEW_TOKENS, order)
        healed = tokenizer.decode(prompt.healed)
        yield Line(where, prompt.ids, healed, tuple(tokenizer.encode(f"{healed}{sample.completion}\n")))


def table(counts: dict[Way, list[Count]], models: Sequence[Steps]) -> str:
    """A row for each way; of each model the time of a line, mean / p50."""
    head = ["", "at most", "steps, mean / p50", "drafts", "their ms", *(model.name for model in models)]
    rows = [head, ["-"] * len(head)]
    for way, found in counts.items():
        mean = statistics.mean
        drafts = mean(len(count.drafts) for count in found), mean(sum(count.drafts) for count in found)
        rows.append(
            [str(way), str(way.most), _both([len(count.widths) for count in found], 2)]
            + [f"{drafts[0]:.2f}", f"{drafts[1]:.1f}"]
            + [_both([model.line(way, count) for count in found]) + " ms" for model in models]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _both(values: Sequence[float], digits: int = 0) -> str:
    return f"{statistics.mean(values):.{digits}f} / {statistics.median(values):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the replay's, for its tokenizer")
    parser.add_argument(
        "--of", type=Path, nargs=2, action="append", required=True, metavar=("RESULTS", "NOTEBOOKS")
    )
    parser.add_argument("--prompt-order", choices=("spm", "psm"), default="spm", help="spm: SantaCoder's")
    parser.add_argument("--timed", nargs=2, action="append", default=[], metavar=("FOLDER", "DTYPE"))
    parser.add_argument("--step", type=float, nargs="*", default=[], metavar="MS")
    args = parser.parse_args()
    tokenizer = CodeTokenizer.from_folder(args.model)
    found = [
        line for results, folder in args.of for line in lines(results, folder, tokenizer, args.prompt_order)
    ]
    models = [measured(Path(folder), dtype) for folder, dtype in args.timed]
    for model in models:
        print(f"{model.name}, 1 to {1 + MOST} tokens: {', '.join(f'{time:.1f}' for time in model.times)} ms")
    models += [Steps(f"{step:g} ms a step", [step] * (1 + MOST)) for step in args.step]
    mini = Mini()
    counts = {way: [way.count(line, mini, tokenizer) for line in found] for way in WAYS}
    ids = [len(line.ids) for line in found]
    print(f"{len(found)} lines, tokens in the mean / p50: {_both(ids, 2)}\n\n{table(counts, models)}")


if __name__ == "__main__":
    main()
