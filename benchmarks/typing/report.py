"""The replay's samples -> figures, a table, the goals, a plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from .machine import Memory, Speed
from .peers import Answer


@dataclass(frozen=True)
class Sample:
    """One ``answer`` of a peer to a prompt of so many tokens, and its ``cpu`` seconds; the machine's
    ``speed`` just before, and the seconds from asking to the next event (``pause``).
    """

    peer: str
    answer: Answer
    cpu: float
    prompt: int
    speed: Speed
    pause: float


@dataclass(frozen=True)
class Ahead:
    """A prompt that a peer only read ahead: ``seconds`` that it took, ``cpu`` seconds."""

    peer: str
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Facts:
    """A peer: bytes of its weights, the format of its products, its memory."""

    name: str
    size: int
    format: str
    memory: Memory


@dataclass(frozen=True)
class Run:
    """What all peers had in common. ``layers``: the parameters that each prefilled token is multiplied
    with; ``new``: tokens that each answer shall have.
    """

    layers: int
    new: int
    keystrokes: int
    questions: int


@dataclass(frozen=True)
class Row:
    """A peer's figures: seconds, (p50, p95) where they are pairs; ``…_ratio``: p50 of time over floor."""

    peer: Facts
    answers: int
    first: tuple[float, float]
    whole: tuple[float, float]
    decode: float
    prefilled: tuple[float, float]
    cached: float
    in_time: float
    read_ahead: float | None
    cpu: float
    first_ratio: float
    whole_ratio: float
    decode_ratio: float
    other_length: int


def row(peer: Facts, samples: Sequence[Sample], ahead: Sequence[Ahead], run: Run) -> Row:
    """``samples`` and ``ahead``: the peer's own."""
    answers = [sample.answer for sample in samples]
    floors = [_floors(peer, sample, run) for sample in samples]
    cpu = run.questions * mean(s.cpu for s in samples) + sum(read.cpu for read in ahead)
    return Row(
        peer=peer,
        answers=len(answers),
        first=both([answer.first for answer in answers]),
        whole=both([answer.whole for answer in answers]),
        decode=median(answer.decode for answer in answers),
        prefilled=both([answer.prefilled for answer in answers]),
        cached=1 - sum(answer.prefilled for answer in answers) / sum(s.prompt for s in samples),
        in_time=mean(s.answer.first <= s.pause for s in samples),
        read_ahead=median(read.seconds for read in ahead) if ahead else None,
        cpu=100 * cpu / run.keystrokes,
        first_ratio=median(a.first / first for a, (first, _, _) in zip(answers, floors, strict=True)),
        whole_ratio=median(a.whole / whole for a, (_, whole, _) in zip(answers, floors, strict=True)),
        decode_ratio=median(a.decode / token for a, (_, _, token) in zip(answers, floors, strict=True)),
        other_length=sum(answer.made != run.new for answer in answers),
    )


def _floors(peer: Facts, sample: Sample, run: Run) -> tuple[float, float, float]:
    """The least seconds to the first text, to the whole line and for a token: every step reads all
    weights, and a prefill also multiplies each of its tokens with those of the layers.
    """
    token = peer.size / sample.speed.bandwidth
    work = 2 * run.layers * sample.answer.prefilled
    first = max(token, work / sample.speed.products[peer.format])
    return first, first + (run.new - 1) * token, token


def both(values: Sequence[float]) -> tuple[float, float]:
    """p50, and p95: the smallest value that 95 % of them don't exceed."""
    return median(values), sorted(values)[math.ceil(0.95 * len(values)) - 1]


COLUMNS: dict[str, Callable[[Row], str]] = {
    "": lambda row: row.peer.name,
    "n": lambda row: str(row.answers),
    "first text": lambda row: _pair(row.first, 1000, "ms"),
    "whole line": lambda row: _pair(row.whole, 1000, "ms"),
    "a token": lambda row: f"{1000 * row.decode:.1f} ms",
    "prefilled": lambda row: _pair(row.prefilled, 1, ""),
    "cached": lambda row: f"{row.cached:.1%}",
    "in time": lambda row: f"{row.in_time:.0%}",
    "read ahead": lambda row: "-" if row.read_ahead is None else f"{row.read_ahead:.1f} s",
    "CPU of 100 keys": lambda row: f"{row.cpu:,.0f} s",
    "weights": lambda row: _megabytes(row.peer.size),
    "own memory": lambda row: _megabytes(row.peer.memory.own),
    "with files": lambda row: _megabytes(row.peer.memory.resident),
    "other length": lambda row: str(row.other_length),
}
FLOORS: dict[str, Callable[[Row], str]] = {
    "over the floor, p50": lambda row: row.peer.name,
    "first text": lambda row: f"{row.first_ratio:.2f}",
    "whole line": lambda row: f"{row.whole_ratio:.2f}",
    "a token": lambda row: f"{row.decode_ratio:.2f}",
}


def table(rows: Sequence[Row], columns: dict[str, Callable[[Row], str]] = COLUMNS) -> str:
    """In Markdown, the columns as wide as they need be."""
    lines = [list(columns), *([column(row) for column in columns.values()] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def floor(found: Sequence[Speed]) -> str:
    reads = [speed.bandwidth / 1e9 for speed in found]
    products = (
        f"{number} {median(speed.products[number] for speed in found) / 1e9:,.0f}"
        for number in found[0].products
    )
    return (
        f"The floor is of the moment; over {len(found)} looks, memory read at {median(reads):.1f} GB/s "
        f"({min(reads):.0f} to {max(reads):.0f}), products in billions of operations a second: "
        f"{', '.join(products)} (medians)."
    )


def goals(rows: Sequence[Row]) -> str:
    """A line for each goal whose peers are there."""
    by_name = {row.peer.name: row for row in rows}
    ours = by_name["ours"]
    own = ours.peer.memory.own
    found: list[tuple[str, float, str, float]] = [
        ("decode over the floor", ours.decode_ratio, "<=", 1.35),
        ("tokens prefilled at a keystroke, p50", ours.prefilled[0], "<=", 4),
    ]
    if own is not None:
        found.append(("our own memory beyond the weights, MB", (own - ours.peer.size) / 1e6, "<=", 600))
    for name, least in (("llama.cpp Q8_0", 1), ("transformers", 10)):
        if name in by_name:
            times = by_name[name].first[0] / ours.first[0]
            found.insert(0, (f"{name}'s first text over ours, p50", times, ">=", least))
    return "\n".join(
        f"{'met   ' if (value <= goal if way == '<=' else value >= goal) else 'MISSED'} "
        f"{what}: {value:.2f} (goal {way} {goal:g})"
        for what, value, way, goal in found
    )


def plot(path: Path, rows: Sequence[Row], samples: Sequence[Sample]) -> None:
    """Every answer's times as a dot, a bar at p50 and p95; a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.2 + 0.7 * len(rows)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    for panel, what, times in zip(panels, ("first", "whole"), ("first text", "whole line"), strict=True):
        panel.set(title=f"Time to the {times}", xscale="log", xlabel="seconds")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.grid(axis="x", alpha=0.3)
        for place, row in enumerate(rows):
            name = row.peer.name
            values = [getattr(s.answer, what) for s in samples if s.peer == name]
            heights = [place + 0.5 * (i / max(1, len(values) - 1) - 0.5) for i in range(len(values))]
            panel.plot(values, heights, ".", alpha=0.35, color=f"C{place}")
            for value, end, beside in zip(both(values), (0.3, -0.3), ("bottom", "top"), strict=True):
                panel.plot([value] * 2, [place - 0.28, place + 0.28], color="black", linewidth=1.2)
                panel.text(value, place + end, f"{value:.3g}", ha="center", va=beside, fontsize=8)
    panels[0].set_yticks(range(len(rows)), [f"{row.peer.name}\nn = {row.answers}" for row in rows])
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    figure.suptitle("Replayed typing: each dot an answer; bars at p50 (above) and p95 (below)", fontsize=10)
    figure.savefig(path, dpi=150)


def _pair(values: tuple[float, float], times: float, unit: str) -> str:
    return " / ".join(
        f"{times * value:,.{1 if times * value < 100 and unit else 0}f}" for value in values
    ) + (f" {unit}" if unit else "")


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.0f} MB"
