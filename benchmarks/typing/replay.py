"""Typing traces, replayed against our worker and its peers: one checkpoint, one run, taking turns.

    python -m benchmarks.typing.replay MODEL_FOLDER TRACES [--small] [--plot replay.png]

MODEL_FOLDER is a checkpoint in safetensors whose architecture our own code runs (checkpoint.py makes one of
SantaCoder's), TRACES a file of traces.py. For llama.cpp another architecture than that needs its F16.gguf in
MODEL_FOLDER-converted.
../README.md says how a request comes about and what the columns are.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from santajupyter.engine.windows import TRIED, Texts
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import Document, document
from santajupyter.prompt.fim import FAMILIES, Prompt, fit
from santajupyter.prompt.tokenizer import CodeTokenizer

from . import report
from .machine import Memory, Speed, SpeedTest, cpu_seconds, described, load
from .peers import OPEN, Missing, Ours, Peer, Question, in_layers
from .report import Ahead, Facts, Run, Sample
from .traces import KEYSTROKES, Event, State, cut, read, states

# The provider waits so long for a next key before it asks, and Warmup before it has the prompt read; ms.
DELAY = 150
# The pause after a trace's last event, ms.
LAST_PAUSE = 10_000


@dataclass(frozen=True)
class Moment:
    """The frontend asks, or (``ask`` false) has the prompt read; the next event comes in ``pause`` ms."""

    state: State
    ask: bool
    pause: int


def moments(trace: Iterable[Event]) -> Iterator[Moment]:
    """When the frontend turns to the server: it asks where a pause in typing exceeds DELAY, and at once
    after an accepted completion; it has the prompt read where the cursor rests in another cell.
    """
    steps = list(states(trace))
    times = [event.t for event, _ in steps]
    ends = [*times[1:], times[-1] + LAST_PAUSE]
    for (event, state), end in zip(steps, ends, strict=True):
        pause = end - event.t - (0 if event.kind == "accept" else DELAY)
        if pause > 0 and event.kind in (*KEYSTROKES, "focus"):
            yield Moment(state, event.kind != "focus", pause)


class Replay:
    """Every peer gets each question, in an order drawn anew; one that keeps nothing from question to
    question is asked one of ``every``. Each answer is waited for, whatever its pause was.
    """

    def __init__(self, peers: Sequence[Peer], folder: Path, new: int, every: int, seed: int) -> None:
        self._peers, self._new, self._every = peers, new, every
        self._rng = random.Random(seed)  # noqa: S311 - nothing secret
        self._tokenizer = CodeTokenizer.from_folder(folder)
        self._ours = ours = next(peer for peer in peers if isinstance(peer, Ours))
        self._family, self._window = FAMILIES[ours.family] if ours.family else None, ours.window
        self._earlier: list[Texts] = []
        self.speed = SpeedTest({peer.format for peer in peers})
        self.memory = {peer.name: Memory() for peer in peers}
        self.samples: list[Sample] = []
        self.ahead: list[Ahead] = []
        self.asked = self.healed = 0
        self._chosen = 0

    def run(self, trace: Iterable[Event]) -> None:
        for moment in moments(trace):
            question = self._question(moment)
            if not moment.ask:
                for peer in self._shuffled():
                    self._warm(peer, question)
                continue
            speed = self.speed.measure()
            if self.asked % self._every == 0:
                self._chosen = self.asked + self._rng.randrange(self._every)
            for peer in self._shuffled():
                if peer.keeps or self.asked == self._chosen:
                    self._ask(peer, question, speed, moment.pause / 1000)
                self.memory[peer.name] = self.memory[peer.name].and_now(peer.pid)
            self.asked += 1
            self.healed += bool(question.prompt.healed)

    def _shuffled(self) -> list[Peer]:
        return self._rng.sample(self._peers, len(self._peers))

    def _question(self, moment: Moment) -> Question:
        state = moment.state
        text = document(excerpt(state.cells, state.active, state.offset))
        prompt = self._asked(text) if moment.ask else self._fitted(text)
        texts = text.segment_texts
        kept = tuple(texts[number] for number in prompt.segments)
        self._earlier = [kept, *(other for other in self._earlier if other != kept)][:TRIED]
        return Question(text, prompt)

    def _asked(self, text: Document) -> Prompt:
        """As our worker would make it by now: its window may be an earlier one, see engine/windows.py."""
        told = self._ours.explain(text, self._new)
        prompts = (self._fitted(text, keep) for keep in ((), *self._earlier))
        found = (p for p in prompts if self._tokenizer.decode(p.ids) == told)
        if (prompt := next(found, None)) is None:
            raise SystemExit("our worker makes another prompt of a notebook than the replay")
        return prompt

    def _fitted(self, text: Document, keep: Texts = ()) -> Prompt:
        return fit(text, self._tokenizer, self._family, self._window, self._new, keep=keep)

    def _ask(self, peer: Peer, question: Question, speed: Speed, pause: float) -> None:
        before = cpu_seconds(peer.pid)
        answer = peer.ask(question, self._new)
        cpu = cpu_seconds(peer.pid) - before
        self.samples.append(Sample(peer.name, answer, cpu, len(question.prompt.ids), speed, pause))

    def _warm(self, peer: Peer, question: Question) -> None:
        if peer.keeps:
            before, begun = cpu_seconds(peer.pid), time.perf_counter()
            peer.warm(question, self._new)
            seconds = time.perf_counter() - begun
            self.ahead.append(Ahead(peer.name, seconds, cpu_seconds(peer.pid) - before))


def main() -> None:
    args = _arguments()
    if args.small:
        args.notebooks, args.keystrokes, args.every = 2, 15, 10
    begun = time.monotonic()
    print(f"{described()}\nload average at the start: {load()}")
    traces = [cut(trace, args.keystrokes) for trace in read(args.traces)[: args.notebooks]]
    asked = sum(moment.ask for trace in traces for moment in moments(trace))
    with ExitStack() as stack:
        peers = _opened(args.peers, args.model, stack)
        replay = Replay(peers, args.model, args.new, min(args.every, asked), args.seed)
        for number, trace in enumerate(traces, 1):
            replay.run(trace)
            print(f"notebook {number} of {len(traces)} after {time.monotonic() - begun:.0f} s", flush=True)
    keystrokes = sum(event.kind in KEYSTROKES for trace in traces for event in trace)
    run = Run(in_layers(args.model), args.new, keystrokes, replay.asked)
    rows = [
        report.row(
            Facts(peer.name, peer.size, peer.format, replay.memory[peer.name]),
            [sample for sample in replay.samples if sample.peer == peer.name],
            [read for read in replay.ahead if read.peer == peer.name],
            run,
        )
        for peer in peers
    ]
    print(
        f"{keystrokes} keystrokes in {len(traces)} notebooks, {replay.asked} questions of {args.new} tokens, "
        f"{replay.healed} prompts whose last token is made again; p50 / p95"
    )
    print(
        f"\n{report.table(rows)}\n\n{report.table(rows, report.FLOORS)}\n{report.floor(replay.speed.found)}\n"
    )
    print(f"{report.goals(rows)}\n")
    print(f"load average at the end: {load()}; {time.monotonic() - begun:.0f} s in all")
    if args.plot:
        report.plot(args.plot, rows, replay.samples)


def _opened(names: Sequence[str], model: Path, stack: ExitStack) -> list[Peer]:
    peers = []
    for name in names:
        begun = time.perf_counter()
        try:
            if name.startswith("ours"):
                OPEN[name](model).close()  # the first start may make a copy: what is measured is a later one
            peer = OPEN[name](model)
        except Missing as missing:
            print(f"{name} is left out: {missing}")
            continue
        stack.callback(peer.close)
        peers.append(peer)
        print(f"{name}: {peer.said}, {peer.size / 1e6:,.0f} MB, there in {time.perf_counter() - begun:.1f} s")
    return peers


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--peers", nargs="+", choices=OPEN, default=list(OPEN), metavar="NAME")
    parser.add_argument("--notebooks", type=int, default=5, help="the first so many traces")
    parser.add_argument("--keystrokes", type=int, default=60, help="at most so many in each")
    parser.add_argument("--new", type=int, default=12, help="tokens that each answer has")
    parser.add_argument("--every", type=int, default=24, help="of so many questions one to the slow peers")
    parser.add_argument("--seed", type=int, default=0, help="of the order, and of which questions")
    parser.add_argument("--small", action="store_true", help="two notebooks, 15 keystrokes each")
    parser.add_argument("--plot", type=Path, help="a PNG of the times' distribution")
    args = parser.parse_args()
    if "ours" not in args.peers:
        parser.error("--peers: ours must be among them")
    return args


if __name__ == "__main__":
    main()
