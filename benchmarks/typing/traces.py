"""Real notebooks -> typing traces: somebody writes a few of a notebook's code cells, key by key.

    python -m benchmarks.typing.traces --out traces.jsonl
    python -m benchmarks.typing.traces --out traces.jsonl --folder ~/notebooks --seed 7

The cells around them stand as the notebook has them. The same seed gives the same file. One event
a line: ``t`` in ms since the notebook was opened; ``kind`` is one of

    focus   the cursor goes to ``offset`` in the cell ``active``; the first one of a notebook brings
            its name and all its ``cells``, as [type, source]
    key     ``text`` goes in at the cursor (with the indentation that an editor adds after Enter)
    delete  Backspace
    move    the cursor goes to ``offset`` in its cell
    accept  ``text``, the rest of a line, goes in as an accepted completion

:func:`states` gives the notebook as it is after each of them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from santajupyter.protocol import Cell
from training.corpus import HERE as TRAINING
from training.corpus import WORK, fetch, notebook_cells, read_packages

KEYSTROKES = ("key", "delete", "accept")

# Median pauses before a key, in ms; each is drawn from a log-normal distribution. 140 ms inside a word is
# a quick typist (the mean of 136 million keystrokes in Dhakal et al., CHI 2018, is 239 ms, all pauses in).
INSIDE, WORD, LINE, FOCUS, LOOK, NOTICE = 140, 230, 1000, 1500, 700, 350
SPREAD = 0.45

# How often a line is finished by an accepted completion or written with a gap that is filled later;
# a character is first typed wrong; a word is taken back and typed again; a line is left for another cell.
ACCEPT, GAP, TYPO, RETYPE, LEAVE = 0.25, 0.12, 0.02, 0.03, 0.2
NEIGHBOURS = {a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in pairwise(row)}

# A cell worth typing: not one call, not a screenful.
SHORTEST_CELL, LONGEST_CELL = 30, 900
SHORTEST_NOTEBOOK = 1500


@dataclass(frozen=True)
class Event:
    """One line of a trace; see the top of this file. Only a notebook's first has a ``notebook``."""

    t: int
    kind: str
    text: str = ""
    active: int = 0
    offset: int = 0
    notebook: str = ""
    cells: tuple[Cell, ...] = ()

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"t": self.t, "kind": self.kind}
        if self.kind in ("key", "accept"):
            fields["text"] = self.text
        if self.kind in ("focus", "move"):
            fields["offset"] = self.offset
        if self.kind == "focus":
            fields["active"] = self.active
        if self.notebook:
            fields["notebook"] = self.notebook
            fields["cells"] = [[cell.type, cell.source] for cell in self.cells]
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Event:
        cells = tuple(Cell(source, kind) for kind, source in fields.get("cells", ()))
        return cls(**{**fields, "cells": cells})


@dataclass(frozen=True)
class State:
    """A notebook with the cursor ``offset`` code points into ``cells[active]``."""

    cells: tuple[Cell, ...]
    active: int
    offset: int

    def after(self, event: Event) -> State:
        if event.kind == "focus":
            return State(event.cells or self.cells, event.active, event.offset)
        if event.kind == "move":
            return replace(self, offset=event.offset)
        source = self.cells[self.active].source
        start = self.offset - (event.kind == "delete")
        changed = Cell(source[:start] + event.text + source[self.offset :], self.cells[self.active].type)
        cells = (*self.cells[: self.active], changed, *self.cells[self.active + 1 :])
        return State(cells, self.active, start + len(event.text))


def states(events: Iterable[Event]) -> Iterator[tuple[Event, State]]:
    """Each event with the notebook as it is after it."""
    state = State((), 0, 0)
    for event in events:
        state = state.after(event)
        yield event, state


def read(path: Path) -> list[list[Event]]:
    """The traces of a file, one list of events a notebook."""
    traces: list[list[Event]] = []
    for line in path.read_text("utf-8").splitlines():
        event = Event.from_json(json.loads(line))
        if event.notebook:
            traces.append([])
        traces[-1].append(event)
    return traces


def typing(name: str, cells: Sequence[Cell], count: int, rng: random.Random) -> Iterator[Event]:
    """Somebody writes ``count`` of the notebook's code cells, which are empty before, to the end."""
    order = _cells_to_type(cells, count, rng)
    lines = {at: cells[at].source.split("\n") for at in order}
    emptied = tuple(replace(cell, source="") if at in lines else cell for at, cell in enumerate(cells))
    typist = _Typist(State(emptied, order[0], 0), rng)
    yield Event(0, "focus", active=order[0], notebook=name, cells=emptied)
    typist.median = FOCUS
    active = order[0]
    while lines:
        first = not typist.state.cells[active].source and len(lines[active]) == _line_count(cells[active])
        yield from typist.line(lines[active].pop(0), first)
        if not lines[active]:
            del lines[active]
        if lines and (active not in lines or (len(lines) > 1 and rng.random() < LEAVE)):
            active = next(at for at in sorted(lines, key=order.index) if at != active)
            yield typist.focus(active)


class _Typist:
    """Hands that type: each method's events change ``state`` as they are given out."""

    def __init__(self, state: State, rng: random.Random) -> None:
        self.state = state
        self.median = INSIDE  # of the pause before the next key
        self._t = 0
        self._rng = rng

    def line(self, line: str, first: bool) -> Iterator[Event]:
        """The next line at the cell's end; Enter brings all but a cell's first one, with its indentation."""
        text = line
        if not first:
            text = line.lstrip(" \t")
            yield self._do("key", "\n" + line[: len(line) - len(text)], pause=LINE)
        way = self._rng.random()
        words = [(m.start(), m.end()) for m in re.finditer(r"\w+", text)]
        if way < ACCEPT and len(text) >= 8:
            typed = self._rng.randint(2, len(text) - 4)
            yield from self._write(text[:typed])
            yield self._do("accept", text[typed:], pause=LOOK)
            self.median = LOOK
        elif way < ACCEPT + GAP and len(words) >= 3:
            start, end = self._rng.choice(words[1:])
            begun = self.state.offset
            yield from self._write(text[:start] + text[end:])
            yield self._go(begun + start)
            yield from self._write(text[start:end])
            yield self._go(begun + len(text))
        else:
            yield from self._write(text)

    def focus(self, active: int) -> Event:
        """To the end of another cell."""
        offset = len(self.state.cells[active].source)
        event = self._do("focus", pause=FOCUS, active=active, offset=offset)
        self.median = FOCUS
        return event

    def _write(self, text: str) -> Iterator[Event]:
        begun = 0
        for at, char in enumerate(text):
            starts_word = at > 0 and not text[at - 1].isalnum() and char.isalnum()
            if starts_word:
                begun = at
                self.median = max(self.median, WORD)
            if char in NEIGHBOURS and self._rng.random() < TYPO:
                yield self._do("key", NEIGHBOURS[char])
                yield self._do("delete", pause=NOTICE)
            yield self._do("key", char)
            ends_word = char.isalnum() and not text[at + 1 : at + 2].isalnum()
            if ends_word and at > begun and self._rng.random() < RETYPE:
                word = text[begun : at + 1]
                for _ in word:
                    yield self._do("delete")
                for again in word:
                    yield self._do("key", again)

    def _go(self, offset: int) -> Event:
        event = self._do("move", pause=LOOK, offset=offset)
        self.median = NOTICE
        return event

    def _do(self, kind: str, text: str = "", pause: int = 0, active: int = 0, offset: int = 0) -> Event:
        median = max(pause, self.median)
        self.median = INSIDE
        self._t += max(20, round(self._rng.lognormvariate(math.log(median), SPREAD)))
        event = Event(self._t, kind, text, active, offset)
        self.state = self.state.after(event)
        return event


def _line_count(cell: Cell) -> int:
    return cell.source.count("\n") + 1


def _cells_to_type(cells: Sequence[Cell], count: int, rng: random.Random) -> list[int]:
    """``count`` code cells that follow one another, where the notebook has so many."""
    worth = [at for at, cell in enumerate(cells) if _worth_typing(cell)]
    start = rng.randrange(max(1, len(worth) - count + 1))
    return worth[start : start + count]


def _worth_typing(cell: Cell) -> bool:
    source = cell.source
    return cell.type == "code" and SHORTEST_CELL <= len(source) <= LONGEST_CELL and source.strip() == source


def cut(events: Iterable[Event], keystrokes: int) -> list[Event]:
    """The beginning of a trace, with at most so many keystrokes."""
    kept: list[Event] = []
    for event in events:
        keystrokes -= event.kind in KEYSTROKES
        if keystrokes < 0:
            break
        kept.append(event)
    return kept


def choose(books: dict[str, list[Cell]], count: int, rng: random.Random) -> list[str]:
    """Notebooks of all sizes: one out of each of ``count`` equal parts of the list, sorted by length."""
    lengths = {name: _length(cells) for name, cells in books.items()}
    fit = [
        name
        for name, cells in books.items()
        if lengths[name] >= SHORTEST_NOTEBOOK and sum(map(_worth_typing, cells)) >= 2
    ]
    fit.sort(key=lambda name: (lengths[name], name))
    count = min(count, len(fit))
    borders = [len(fit) * i // count for i in range(count + 1)] if count else [0]
    chosen = [rng.choice(fit[a:b]) for a, b in pairwise(borders)]
    rng.shuffle(chosen)
    return chosen


def _length(cells: Sequence[Cell]) -> int:
    return sum(len(cell.source) for cell in cells)


def from_folder(folder: Path) -> dict[str, list[Cell]]:
    """The Python notebooks under a folder, by their path in it."""
    return {
        str(path.relative_to(folder)): notebook_cells(path.read_text("utf-8", "replace"))
        for path in sorted(folder.rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
    }


def from_packages(names: Sequence[str], folder: Path) -> dict[str, list[Cell]]:
    """The Python notebooks in source packages from PyPI, in the versions that training/packages.txt pins."""
    pinned = {package.name: package for package in read_packages(TRAINING / "packages.txt")}
    books = {}
    for name in names:
        if name not in pinned:
            raise SystemExit(f"{name}: not in training/packages.txt; --folder reads any notebooks")
        with tarfile.open(fetch(pinned[name], folder)) as tape:
            for member in tape:
                file = tape.extractfile(member) if member.name.endswith(".ipynb") else None
                if file:
                    books[member.name] = notebook_cells(file.read().decode("utf-8", "replace"))
    return books


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="notebooks of your own, instead of the packages'")
    parser.add_argument("--packages", nargs="+", default=["seaborn", "statsmodels"], metavar="NAME")
    parser.add_argument("--downloads", type=Path, default=WORK / "sdists", help="where the packages lie")
    parser.add_argument("--notebooks", type=int, default=12)
    parser.add_argument("--cells", type=int, default=3, help="how many cells of each are typed")
    parser.add_argument("--keystrokes", type=int, default=120, help="at most so many in each notebook")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="three notebooks, 30 keystrokes each")
    args = parser.parse_args()
    if args.small:
        args.notebooks, args.keystrokes = 3, 30
    books = from_folder(args.folder) if args.folder else from_packages(args.packages, args.downloads)
    rng = random.Random(args.seed)  # noqa: S311 - nothing secret
    with args.out.open("w", encoding="utf-8") as out:
        for name in choose(books, args.notebooks, rng):
            events = cut(typing(name, books[name], args.cells, rng), args.keystrokes)
            for event in events:
                out.write(json.dumps(event.to_json(), ensure_ascii=False) + "\n")
            seconds = events[-1].t / 1000
            print(f"{len(events):5} events, {seconds:4.0f} s, {_length(books[name]):6} characters: {name}")


if __name__ == "__main__":
    main()
