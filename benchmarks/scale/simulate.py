"""How many replicas of vLLM so many people need, by a simulation of one of them.

    python -m benchmarks.scale.simulate traces.jsonl TOKENIZER steps.json --validate load.json
    python -m benchmarks.scale.simulate traces.jsonl TOKENIZER steps.json --gpu H100 L4 --price 2.5 --plot PNG

steps.json is what benchmarks.scale.steps wrote, load.json what benchmarks.scale.load --json did. With --gpu
steps are those of SantaCoder on such a GPU: the server's own part as in steps.json, which is of a tiny model
then, and the model's as long as the GPU needs for the bytes and the multiplications, by its maker's figures.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from santajupyter.engine.model import MAX_WINDOW

from ..typing.checkpoint import SANTACODER
from .steps import Steps
from .typists import Ask, Prompt, Trace, Typist, load_traces, quantile

# Seconds: who types waits at most so long for the first text, at the 95th percentile.
GOAL = 0.5
# And at least this share of the suggestions begins before the next key: a server with too much to do still
# answers some in time, since those that keys have ended leave.
IN_TIME = 0.5
# GB/s and GB of memory, 10^12 operations a second in 16 bits without sparsity: NVIDIA's data sheets.
GPUS = {"H100": (3350, 80, 989), "A100": (2039, 80, 312), "L4": (300, 24, 121)}
# Of a GPU's memory so much is vLLM's.
MEMORY_SHARE = 0.9
# Shares of these that are reached: an assumption.
BANDWIDTH_SHARE, OPERATIONS_SHARE = 0.6, 0.4
# vLLM's defaults on most GPUs, an H100's are higher: tokens and requests in a step, tokens in a block.
MAX_TOKENS, MAX_SEQUENCES, BLOCK = 2048, 256, 16
# Tokens that a decoded one attends to, for a GPU's time.
CONTEXT = 1200


@dataclass
class Job:
    """A request at a replica. ``left``: prompt tokens to read, then ``new`` to make; times in seconds."""

    ask: Ask
    typist: int
    left: int
    new: int
    is_new: bool = True
    first: float = 0.0


@dataclass(frozen=True)
class Result:
    """``waits`` as for :func:`quantile`; shares and counts of what was asked in the measured time."""

    waits: Sequence[tuple[float, bool]]
    requests_per_second: float
    cached: float
    busy: float
    running: float

    def p(self, share: float) -> float:
        """Seconds to the first text; infinite where too few came to tell."""
        found = quantile(self.waits, share)
        return math.inf if found is None else found

    @property
    def before_next_key(self) -> float:
        return sum(came for _, came in self.waits) / max(1, len(self.waits))


class Replica:
    """One vLLM, which works in steps.

    A step makes a token of each text that is begun and reads as much of prompts as its limit leaves room for,
    first come first served. What it has read of a sitting it has cached.
    """

    def __init__(self, steps: Steps, traces: Sequence[Trace], users: int, new: int, block: int) -> None:
        self._steps, self._new, self._block = steps, new, block
        self._typists = [Typist(number, traces) for number in range(users)]
        self._asks = [typist.asks() for typist in self._typists]
        self._chains: dict[int, list[int]] = {}
        self._cached: dict[str, set[int]] = {}

    def run(self, settle: float, seconds: float) -> Result:
        """One typist after another begins within ``settle``; what is asked in ``seconds`` after it counts."""
        until, users = settle + seconds, len(self._typists)
        self._begins = [settle * number / users for number in range(users)]
        self._coming: list[tuple[float, int, Ask]] = []
        for number in range(users):
            self._next(number)
        waits: list[tuple[float, bool]] = []
        tokens, cached, requests, busy, running = 0, 0, 0, 0.0, 0.0
        jobs: deque[Job] = deque()
        now = 0.0
        while now < until:
            while self._coming and self._coming[0][0] <= now:
                at, number, ask = heapq.heappop(self._coming)
                hit = self._hit(ask)
                jobs.append(Job(ask, number, len(ask.prompt.ids) - hit, self._new if ask.shown else 1))
                if at >= settle:
                    requests, tokens, cached = requests + 1, tokens + len(ask.prompt.ids), cached + hit
            for job in self._ended(jobs, now):
                if job.ask.shown and self._at(job) >= settle and self._at(job) < until:
                    waits.append((job.first or self._pause(job), job.first > 0))
                if not job.first:
                    self._next(job.typist)
            took = self._step(jobs, now)
            if now >= settle:
                busy, running = busy + took, running + took * len(jobs)
            now = now + took if took else max(now, self._when_next(jobs))
        share = cached / max(1, tokens)
        return Result(waits, requests / seconds, share, busy / seconds, running / seconds)

    def _step(self, jobs: deque[Job], now: float) -> float:
        """Its seconds, 0 where there is nothing to do."""
        room = MAX_TOKENS
        making: list[Job] = []
        reading: list[tuple[Job, int]] = []
        for job in jobs:
            if len(making) + len(reading) >= MAX_SEQUENCES or not room:
                break
            part = min(job.left, room) if job.left else 1
            room -= part
            if job.left:
                reading.append((job, part))
            else:
                making.append(job)
        if not making and not reading:
            return 0.0
        read = sum(part for _, part in reading)
        begun = sum(job.is_new for job, _ in reading)
        took = self._steps.base + self._steps.request * begun + self._steps.token * read
        took += self._steps.sequence * (len(making) + len(reading))
        now += took / 1000
        for job in making:
            job.new -= 1
        for job, part in reading:
            job.left -= part
            job.is_new = False
            if not job.left:
                job.new -= 1
                self._cached[job.ask.sitting].update(self._chain(job.ask.prompt))
                self._came(job, now + self._steps.fixed / 1000)
        return took / 1000

    def _came(self, job: Job, now: float) -> None:
        """The first text, if its typist still waits."""
        if now < self._until(job):
            job.first = now - self._at(job)
            if job.ask.shown:
                self._typists[job.typist].answered(job.first)
            self._next(job.typist)

    def _ended(self, jobs: deque[Job], now: float) -> Iterator[Job]:
        """Those that are whole or that a key has ended leave."""
        for _ in range(len(jobs)):
            job = jobs.popleft()
            if not job.new or self._until(job) <= now:
                yield job
            else:
                jobs.append(job)

    def _next(self, number: int) -> None:
        ask = next(self._asks[number])
        heapq.heappush(self._coming, (self._begins[number] + ask.at, number, ask))

    def _when_next(self, jobs: deque[Job]) -> float:
        return min([*(at for at, _, _ in self._coming[:1]), *(self._until(job) for job in jobs)])

    def _at(self, job: Job) -> float:
        return self._begins[job.typist] + job.ask.at

    def _until(self, job: Job) -> float:
        return self._begins[job.typist] + job.ask.until

    def _pause(self, job: Job) -> float:
        return job.ask.until - job.ask.at

    def _hit(self, ask: Ask) -> int:
        """Tokens of the prompt that are cached: whole blocks, and never the last token."""
        have = self._cached.setdefault(ask.sitting, set())
        hit = 0
        for link in self._chain(ask.prompt):
            if link not in have:
                break
            hit += self._block
        return hit

    def _chain(self, prompt: Prompt) -> list[int]:
        """A number for each block with all before it."""
        if (found := self._chains.get(id(prompt))) is None:
            link, found = 0, []
            for end in range(self._block, len(prompt.ids), self._block):
                link = hash((link, prompt.ids[end - self._block : end]))
                found.append(link)
            self._chains[id(prompt)] = found
        return found


def on(gpu: str, own: Steps) -> Steps:
    """SantaCoder's steps there: the server's ``own`` part and the time for bytes and multiplications."""
    bandwidth, _, operations = GPUS[gpu]
    per_ms = 1e6 * bandwidth * BANDWIDTH_SHARE, 1e9 * operations * OPERATIONS_SHARE
    return replace(
        own,
        base=own.base + 2 * parameters() / per_ms[0],
        sequence=own.sequence + CONTEXT * token_bytes() / per_ms[0],
        token=2 * parameters() / per_ms[1],
    )


def parameters() -> int:
    """SantaCoder's, without biases."""
    width, inner, layers = (SANTACODER[name] for name in ("n_embd", "n_inner", "n_layer"))
    head = width // SANTACODER["n_head"]
    layer = width * (width + 2 * head) + width * width + 2 * width * inner
    return int(layers * layer + SANTACODER["vocab_size"] * width)


def token_bytes() -> int:
    """Of a token's key and value in SantaCoder's layers, in 16 bits: one head for all."""
    return int(2 * 2 * SANTACODER["n_embd"] // SANTACODER["n_head"] * SANTACODER["n_layer"])


def room(gpu: str) -> int:
    """Users whose whole windows the cache holds there."""
    return int((MEMORY_SHARE * 1e9 * GPUS[gpu][1] - 2 * parameters()) / (MAX_WINDOW * token_bytes()))


def most_users(
    steps: Steps, traces: Sequence[Trace], new: int, seconds: float, goal: float
) -> tuple[int, list[tuple[int, Result]]]:
    """How many may type at one replica at a time, and what was tried: (users, result)."""
    tried: list[tuple[int, Result]] = []

    def is_good(users: int) -> bool:
        tried.append((users, Replica(steps, traces, users, new, BLOCK).run(seconds / 2, seconds)))
        return tried[-1][1].p(0.95) <= goal and tried[-1][1].before_next_key >= IN_TIME

    low, high = 0, 32
    while is_good(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if is_good(middle) else (low, middle)
    return low, sorted(tried, key=lambda each: each[0])


def replicas(people: int, typing: float, users: int) -> int:
    """For so many people of whom a share types at a time, where each stays at one replica, chosen by chance.

    At one of them there are more than the mean: three standard deviations. One more may be away.
    """
    mean = people * typing
    count = 1
    while mean / count + 3 * math.sqrt(mean / count) > users:
        count += 1
    return count + 1


def described(gpu: str, steps: Steps, users: int, best: Result | None) -> str:
    """What a replica does with as many users as it can have."""
    said = (
        f"{gpu}: a step takes {steps.base:.2f} ms + {steps.sequence:.3f} a text + {steps.request:.2f} a new "
        f"request + {steps.token:.4f} a token read; {users} type at one replica"
    )
    if not best:
        return said
    return (
        f"{said}: {best.requests_per_second:.0f} requests/s, {best.running:.1f} at work, "
        f"p50 {1000 * best.p(0.5):.0f} ms, p95 {1000 * best.p(0.95):.0f} ms, "
        f"{best.before_next_key:.0%} before the next key, {best.cached:.1%} cached, {best.busy:.0%} busy; "
        f"its memory holds {room(gpu)} whole windows"
    )


def slower(steps: Steps, by: float) -> Steps:
    """Steps that take so many times as long."""
    return Steps(*(by * each for each in astuple(steps)))


def fitted(steps: Steps, real: dict[str, Any], traces: Sequence[Trace], new: int, block: int) -> float:
    """How many times as long steps took in a run of benchmarks.scale.load, by its 95th percentile."""
    low, high = 0.25, 8.0
    for _ in range(8):
        middle = math.sqrt(low * high)
        made = _as_measured(slower(steps, middle), real, traces, new, block)
        low, high = (low, middle) if 1000 * made.p(0.95) > real["p95"] else (middle, high)
    return math.sqrt(low * high)


def validate(steps: Steps, traces: Sequence[Trace], new: int, block: int, file: Path) -> str:
    """Measured / simulated, a run of benchmarks.scale.load a row. The first says how slow steps are there."""
    first, *others = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    by = fitted(steps, first, traces, new, block)
    rows = [
        f"{by:.2f} times the steps of benchmarks.scale.steps, by p95 of the first row",
        "| typists | requests/s | p50 | p95 | before the next key | cached |",
        "| --- " * 6 + "|",
    ]
    for real in (first, *others):
        made = _as_measured(slower(steps, by), real, traces, new, block)
        both = (
            (f"{real['requests_per_second']:.1f}", f"{made.requests_per_second:.1f}"),
            *((_ms(real[name]), _ms(1000 * made.p(share))) for name, share in (("p50", 0.5), ("p95", 0.95))),
            (f"{real['before_next_key']:.0%}", f"{made.before_next_key:.0%}"),
            (f"{real.get('cached', math.nan):.1%}", f"{made.cached:.1%}"),
        )
        rows.append(f"| {real['users']} | " + " | ".join(f"{a} / {b}" for a, b in both) + " |")
    return "\n".join(rows)


def _as_measured(steps: Steps, real: dict[str, Any], traces: Sequence[Trace], new: int, block: int) -> Result:
    return Replica(steps, traces, real["users"], new, block).run(real["settle"], real["seconds"])


def _ms(time: float | None) -> str:
    return "?" if time is None or math.isinf(time) else f"{time:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("traces", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("steps", type=Path)
    parser.add_argument("--validate", type=Path, metavar="LOAD_JSON", help="measured / simulated")
    parser.add_argument("--block", type=int, default=BLOCK, help="vLLM's cache; 128 on CPUs")
    parser.add_argument("--gpu", nargs="+", choices=GPUS, default=[])
    parser.add_argument("--people", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--typing", type=float, default=0.1, help="share of them that types at a time")
    parser.add_argument("--price", type=float, default=0.0, help="of a GPU hour")
    parser.add_argument("--goal", type=float, default=GOAL, help="seconds to the first text, p95")
    parser.add_argument("--slower", type=float, default=1.0, help="steps take so many times as long")
    parser.add_argument("--new", type=int, default=12, help="tokens that a suggestion has at most")
    parser.add_argument("--seconds", type=float, default=30, help="that are simulated")
    parser.add_argument("--plot", type=Path, help="a PNG")
    args = parser.parse_args()
    own = slower(Steps(**json.loads(args.steps.read_text("utf-8"))), args.slower)
    traces = load_traces(args.traces, args.tokenizer, args.new)
    if args.validate:
        print(validate(own, traces, args.new, args.block, args.validate))
    curves = {}
    for gpu in args.gpu:
        steps = on(gpu, own)
        users, curves[gpu] = most_users(steps, traces, args.new, args.seconds, args.goal)
        print(described(gpu, steps, users, dict(curves[gpu]).get(users)))
        users = min(users, room(gpu))
        for people in args.people:
            count = replicas(people, args.typing, users)
            cost = f", {count * args.price:,.2f} an hour" if args.price else ""
            print(f"  {people:,} people, {args.typing:.0%} typing: {count} replicas of a GPU{cost}")
    if args.plot and curves:
        plot(args.plot, curves)


def plot(file: Path, curves: dict[str, list[tuple[int, Result]]]) -> None:
    """The first text's 95th percentile, and the share in time, by how many people type at one replica."""
    from matplotlib import pyplot

    figure, (late, in_time) = pyplot.subplots(1, 2, figsize=(9, 4))
    for gpu, tried in curves.items():
        users, results = zip(*tried, strict=True)
        late.plot(users, [1000 * result.p(0.95) for result in results], marker="o", label=gpu)
        in_time.plot(users, [result.before_next_key for result in results], marker="o", label=gpu)
    late.axhline(1000 * GOAL, color="grey", linestyle="--", linewidth=1)
    in_time.axhline(IN_TIME, color="grey", linestyle="--", linewidth=1)
    late.set(ylim=(0, None), xlabel="people who type at one replica", ylabel="first text, p95, ms")
    in_time.set(ylim=(0, 1), xlabel="people who type at one replica", ylabel="share before the next key")
    late.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=100)


if __name__ == "__main__":
    main()
