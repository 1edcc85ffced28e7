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
    """One question to one peer, of ``prompt`` tokens: ``seconds`` and ``cpu`` seconds that it took, ``pause``
    seconds from asking to the next event. Without an ``answer`` the prompt was only read ahead.
    """

    peer: str
    seconds: float
    cpu: float
    answer: Answer | None = None
    prompt: int = 0
    pause: float = 0


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

    speed: Speed
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


def row(peer: Facts, samples: Sequence[Sample], run: Run) -> Row:
    """``samples``: the peer's own."""
    answered = [(s, s.answer) for s in samples if s.answer]
    answers = [answer for _, answer in answered]
    ahead = [s for s in samples if not s.answer]
    token = peer.size / run.speed.bandwidth
    # Every step reads all weights; a prefill also multiplies each of its tokens with those of the layers.
    work = 2 * run.layers / run.speed.products[peer.format]
    floors = [max(token, answer.prefilled * work) for answer in answers]
    lasts = [floor + (run.new - 1) * token for floor in floors]
    cpu = run.questions * mean(s.cpu for s, _ in answered) + sum(s.cpu for s in ahead)
    return Row(
        peer=peer,
        answers=len(answers),
        first=both([answer.first for answer in answers]),
        whole=both([answer.whole for answer in answers]),
        decode=median(answer.decode for answer in answers),
        prefilled=both([answer.prefilled for answer in answers]),
        cached=1 - sum(answer.prefilled for answer in answers) / sum(s.prompt for s, _ in answered),
        in_time=mean(answer.first <= s.pause for s, answer in answered),
        read_ahead=median(s.seconds for s in ahead) if ahead else None,
        cpu=100 * cpu / run.keystrokes,
        first_ratio=median(a.first / floor for a, floor in zip(answers, floors, strict=True)),
        whole_ratio=median(a.whole / floor for a, floor in zip(answers, lasts, strict=True)),
        decode_ratio=median(answer.decode for answer in answers) / token,
        other_length=sum(answer.made != run.new for answer in answers),
    )


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


def floor(run: Run) -> str:
    speed = run.speed
    products = ", ".join(f"{number} {rate / 1e9:,.0f}" for number, rate in speed.products.items())
    return (
        f"The floor: {speed.bandwidth / 1e9:.1f} GB/s read ({speed.way}, the fastest of the ways tried); "
        f"products, billions of operations a second: {products}."
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
    for name, least in (("llama.cpp Q8_0", 1), ("llama.cpp Q4_0", 1), ("transformers", 10)):
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
        panel.grid(axis="x", alpha=0.3)
        for place, row in enumerate(rows):
            name = row.peer.name
            values = [getattr(s.answer, what) for s in samples if s.answer and s.peer == name]
            heights = [place + 0.5 * (i / max(1, len(values) - 1) - 0.5) for i in range(len(values))]
            panel.plot(values, heights, ".", alpha=0.35, color=f"C{place}")
            for value in both(values):
                panel.plot([value] * 2, [place - 0.38, place + 0.38], color="black", linewidth=1.2)
                panel.annotate(f"{value:.2g} s", (value, place + 0.4), ha="center", va="bottom", fontsize=8)
    panels[0].set_yticks(range(len(rows)), [f"{row.peer.name}\nn = {row.answers}" for row in rows])
    panels[0].set_ylim(-0.6, len(rows) - 0.2)
    figure.suptitle("Replayed typing: each dot an answer, bars at p50 and p95", fontsize=10)
    figure.savefig(path, dpi=150)


def _pair(values: tuple[float, float], times: float, unit: str) -> str:
    return " / ".join(
        f"{times * value:,.{1 if times * value < 100 and unit else 0}f}" for value in values
    ) + (f" {unit}" if unit else "")


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.0f} MB"
