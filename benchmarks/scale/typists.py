"""What people who type ask of a completions server, and when.

They type the traces of benchmarks.typing.traces; when the page asks is decided as src/suggest/pace.ts does:
the slower the answers, the fewer keys ask. Ghost text that is what comes next spares requests: not here.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from santajupyter.engine.model import MAX_WINDOW
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.fim import FAMILIES, fit, recognize
from santajupyter.prompt.tokenizer import CodeTokenizer

from ..typing.traces import KEYSTROKES, Event, State, read, states

# Seconds between the last key in one notebook and the first in the next.
BETWEEN = 2.0
# Where the cursor rests so long in another cell, its prompt is read ahead; seconds, as the next ones.
READ_AHEAD = 0.15
# As in src/suggest/pace.ts.
SHORTEST, LONGEST, USUAL_GAP = 0.02, 0.5, 0.2
GAPS, ANSWERS, FEW = 20, 5, 5


@dataclass(frozen=True)
class Prompt:
    """What stands around the cursor, and as token ids if there is a tokenizer."""

    prefix: str
    suffix: str
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A request at second ``at``; the next key ends it at second ``until``.

    Where nobody waits for it (not ``shown``) the prompt is read ahead, as the cursor came to another cell.
    ``sitting``: which typist in which notebook.
    """

    at: float
    until: float
    shown: bool
    prompt: Prompt
    sitting: str


@dataclass(frozen=True)
class Step:
    """An event of a trace, ``at`` seconds after its begin."""

    at: float
    kind: str
    prompt: Prompt


@dataclass(frozen=True)
class Trace:
    """One notebook that is typed."""

    steps: Sequence[Step]
    seconds: float


class Typist:
    """Types one notebook after another, beginning somewhere in the first; the same number does the same."""

    def __init__(self, number: int, traces: Sequence[Trace]) -> None:
        self._number, self._traces = number, traces
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._answers: deque[float] = deque(maxlen=ANSWERS)
        self._typed = -math.inf

    def answered(self, seconds: float) -> None:
        """The first text of the last request came after so long."""
        self._answers.append(seconds)

    def asks(self) -> Iterator[Ask]:
        """Without end. Take the next one when what became of the one before is known."""
        turn = self._number
        rng = random.Random(self._number)  # noqa: S311 - nothing secret
        begun = -rng.random() * self._traces[turn % len(self._traces)].seconds
        while True:
            trace = self._traces[turn % len(self._traces)]
            ends = [*(step.at for step in trace.steps[1:]), trace.seconds]
            for step, end in zip(trace.steps, ends, strict=True):
                at = begun + step.at + self._wait(begun + step.at, step.kind)
                if begun + step.at >= 0 and at < begun + end:
                    sitting = f"{self._number}-{turn}"
                    yield Ask(at, begun + end, step.kind != "focus", step.prompt, sitting)
            begun += trace.seconds
            turn += 1

    def _wait(self, now: float, kind: str) -> float:
        """Seconds after the event until the page asks."""
        if kind not in ("key", "delete"):
            return {"accept": 0.0, "focus": READ_AHEAD}.get(kind, math.inf)
        if (gap := now - self._typed) < LONGEST:
            self._gaps.append(gap)
        self._typed = now
        return wait_after_key(self._gaps, self._answers)


def wait_after_key(gaps: Sequence[float], answers: Sequence[float]) -> float:
    """Seconds, as ``waitAfterKey`` of src/suggest/pace.ts."""
    is_known = len(gaps) >= FEW
    ordered = sorted(gaps)
    gap = _at(ordered, 0.5) if is_known else USUAL_GAP
    long_gap = _at(ordered, 0.9) if is_known else USUAL_GAP
    answer = _at(sorted(answers), 0.5) if answers else USUAL_GAP
    wait = answer if 2 * answer <= gap else max(long_gap, answer / 4)
    return min(max(wait, SHORTEST), LONGEST)


def load_traces(file: Path, tokenizer: Path | None, new: int) -> list[Trace]:
    """Of a file that benchmarks.typing.traces wrote. With the tokenizer's folder prompts are token ids,

    with room for ``new`` more.
    """
    codec = CodeTokenizer.from_folder(tokenizer) if tokenizer else None
    return [_trace(events, codec, new) for events in read(file)]


def quantile(waits: Iterable[tuple[float, bool]], share: float) -> float | None:
    """How long the first text takes at most for this share; None where too few were waited for to tell.

    Each wait is (seconds, whether the text came). What the next key ended would have taken longer than that,
    nobody knows how long: Kaplan and Meier's estimate takes that into account. To leave those out would
    make a slow server look fast.
    """
    ordered = sorted(waits, key=lambda wait: (wait[0], not wait[1]))
    still_waiting = 1.0
    for place, (seconds, came) in enumerate(ordered):
        if came:
            still_waiting *= 1 - 1 / (len(ordered) - place)
            if still_waiting <= 1 - share + 1e-12:
                return seconds
    return None


def _trace(events: Sequence[Event], tokenizer: CodeTokenizer | None, new: int) -> Trace:
    steps = [
        Step(event.t / 1000, event.kind, _prompt(state, tokenizer, new))
        for event, state in states(events)
        if event.kind in (*KEYSTROKES, "focus", "move")
    ]
    return Trace(steps, events[-1].t / 1000 + BETWEEN)


def _prompt(state: State, tokenizer: CodeTokenizer | None, new: int) -> Prompt:
    text = document(excerpt(state.cells, state.active, state.offset))
    if not tokenizer:
        return Prompt(text.prefix, text.suffix)
    family = FAMILIES.get(recognize(tokenizer) or "")
    return Prompt("", "", fit(text, tokenizer, family, MAX_WINDOW, new, heal=False).ids)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
