"""The typing traces: what is typed is the notebook, and the same seed types it the same way."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.typing import traces
from santajupyter.protocol import Cell

SOURCES = [
    "import numpy as np\nfrom collections import Counter",
    "def mean(values):\n    total = sum(values)\n\n    return total / len(values)  # ☃, 日本語",
    "counts = Counter(word for word in words)\nprint(counts.most_common(10), mean(counts))",
    "for name, value in sorted(table.items()):\n    if value > 2:\n        print(name, value)",
]
CELLS = [Cell("# Words", "markdown"), *map(Cell, SOURCES), Cell("What follows", "markdown")]


def typed(seed: int, cells: list[Cell] = CELLS) -> list[traces.Event]:
    return list(traces.typing("words.ipynb", cells, 3, random.Random(seed)))


@pytest.mark.parametrize("seed", range(40))
def test_typing_ends_with_the_notebook(seed: int) -> None:
    states = [state for _, state in traces.states(typed(seed))]
    assert list(states[-1].cells) == CELLS
    assert list(states[0].cells) != CELLS
    assert all(0 <= state.offset <= len(state.cells[state.active].source) for state in states)


def test_every_kind_of_event_comes_and_time_goes_on() -> None:
    kinds = set()
    for seed in range(20):
        events = typed(seed)
        kinds |= {event.kind for event in events}
        assert all(a.t < b.t for a, b in pairwise(events))
    assert kinds == {"focus", "key", "delete", "move", "accept"}


def test_a_seed_types_one_way() -> None:
    assert typed(3) == typed(3)
    assert typed(3) != typed(4)


def test_a_delete_takes_what_is_before_the_cursor_and_an_accept_fills_in_there() -> None:
    state = traces.State((Cell("a"), Cell("xyz")), 1, 2)
    assert state.after(traces.Event(1, "delete")) == traces.State((Cell("a"), Cell("xz")), 1, 1)
    accepted = traces.State((Cell("a"), Cell("xy123z")), 1, 5)
    assert state.after(traces.Event(1, "accept", "123")) == accepted
    assert state.after(traces.Event(1, "focus", active=0, offset=1)) == traces.State(state.cells, 0, 1)


def test_cut_counts_keystrokes() -> None:
    events = traces.cut(typed(0), 10)
    assert sum(event.kind in traces.KEYSTROKES for event in events) == 10
    assert events == typed(0)[: len(events)]


def test_notebooks_in_a_folder_become_a_file_of_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        cells = [
            {"cell_type": "markdown", "source": ["A long text\n"] * 150},
            *({"cell_type": "code", "source": source.splitlines(keepends=True)} for source in SOURCES),
        ]
        (tmp_path / f"{i}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    out = tmp_path / "traces.jsonl"
    arguments = ["traces", "--out", str(out), "--folder", str(tmp_path), "--small"]
    monkeypatch.setattr("sys.argv", arguments)
    traces.main()
    first = out.read_bytes()
    read = traces.read(out)
    assert len(read) == 3
    for trace in read:
        assert trace[0].notebook
        rewritten = [traces.Event.from_json(event.to_json()) for event in trace]
        assert rewritten == trace
    traces.main()
    assert out.read_bytes() == first
