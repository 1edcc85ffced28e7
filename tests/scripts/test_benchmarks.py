"""The typing traces: what is typed is the notebook, and the same seed types it the same way; their replay."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import reread
from benchmarks.typing import machine, peers, replay, report, traces
from benchmarks.typing.machine import Memory, Speed
from benchmarks.typing.peers import Answer
from santajupyter.evaluation.data import OWN
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.fim import FAMILIES, Prompt, fit
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell

from ..checkpoint import make_tokenizer

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


def test_the_frontend_asks_after_a_pause_and_reads_ahead_in_another_cell() -> None:
    event = traces.Event
    trace = [
        event(0, "focus", active=0, notebook="a", cells=(Cell(""), Cell("b"))),
        event(1000, "key", "x"),
        event(1100, "key", "y"),  # too soon
        event(1251, "delete"),  # a ms after what y waits for
        event(1300, "accept", "yz"),  # too soon after the delete; asks at once itself
        event(1400, "move", offset=1),
        event(1800, "focus", active=1, offset=1),
        event(1900, "key", "c"),  # the cursor didn't rest in the cell
    ]
    found = list(replay.moments(trace))
    assert [(moment.ask, moment.pause) for moment in found] == [
        (False, 1000 - replay.DELAY),
        (True, 1),
        (True, 100),
        (True, replay.LAST_PAUSE - replay.DELAY),
    ]
    assert [[cell.source for cell in moment.state.cells] for moment in found] == [
        ["", "b"],
        ["xy", "b"],
        ["xyz", "b"],
        ["xyz", "bc"],
    ]


# 1 GB and a billion operations a ms: 2 ms a token for 2 GB of weights, 0.4 ms of work a prefilled token.
SPEED = Speed(1e12, {"int8": 1e12})
RUN = report.Run(layers=200_000_000, new=3, keystrokes=50, questions=4)


def figures(name: str, first: float, questions: int = 2, prefilled: int = 1) -> report.Row:
    """Every answer takes ``first`` and 10 ms for each further token."""
    answer = Answer(first, first + 0.02, 0.01, prefilled, 3)
    samples = [report.Sample(name, answer, 1.0, 100, SPEED, pause=0.05)] * questions
    ahead = [report.Ahead(name, 5.0, 8.0)] if prefilled == 1 else []
    facts = report.Facts(name, 2_000_000_000, "int8", Memory(3, 2_700_000_000))
    return report.row(facts, samples, ahead, RUN)


def test_how_much_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [Cell(f"value_{i} = load('part-{i}.csv').drop(columns=[{i}])") for i in range(40)]
    (tmp_path / "tokenizer.json").write_text(make_tokenizer().to_str())
    file = tmp_path / "traces.jsonl"
    events = traces.typing("long.ipynb", cells, 3, random.Random(1))
    file.write_text("".join(json.dumps(event.to_json()) + "\n" for event in events))
    options = ["--tokenizer", str(tmp_path), "--window", "400"]
    monkeypatch.setattr(sys, "argv", ["reread", str(file), *options])
    reread.main()
    best, stays = ([*map(str.strip, row.split("|"))] for row in capsys.readouterr().out.splitlines()[-2:])
    assert int(best[2]) == int(stays[2]) > 20
    assert 0 < float(stays[8]) <= float(best[8]) < 400


def test_figures_of_a_peer() -> None:
    kept = figures("ours", 0.04)
    assert kept.cached == 0.99
    assert kept.cpu == (4 * 1 + 8) * 2  # 4 questions and what was read ahead, in 50 keystrokes
    assert (kept.read_ahead, kept.in_time) == (5, 1)
    assert kept.decode_ratio == pytest.approx(10 / 2)
    assert kept.first_ratio == pytest.approx(40 / 2)
    assert kept.whole_ratio == pytest.approx(60 / 6)
    anew = figures("transformers", 0.4, questions=1, prefilled=100)
    assert (anew.cached, anew.read_ahead, anew.in_time) == (0, None, 0)
    assert anew.cpu == 4 * 1 * 2  # as if it had been asked all four
    assert anew.first_ratio == pytest.approx(400 / 40)
    assert anew.whole_ratio == pytest.approx(420 / 44)


def test_p95_is_what_95_percent_do_not_exceed() -> None:
    assert report.both([float(i) for i in range(20, 0, -1)]) == (10.5, 19)
    assert report.both([7.0]) == (7, 7)


def test_the_table_and_the_goals() -> None:
    rows = [figures("ours", 0.04), figures("llama.cpp Q8_0", 0.03), figures("transformers", 0.4)]
    lines = report.table(rows).splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert "| 40.0 / 40.0 ms" in lines[2]
    said = report.goals(rows).splitlines()
    assert "met    transformers's first text over ours, p50: 10.00 (goal >= 10)" in said
    assert "MISSED llama.cpp Q8_0's first text over ours, p50: 0.75 (goal >= 1)" in said
    assert "MISSED decode over the floor: 5.00 (goal <= 1.35)" in said
    assert "MISSED our own memory beyond the weights, MB: 700.00 (goal <= 600)" in said
    assert len(said) == 5


def test_replay_against_transformers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "traces.jsonl"
    lines = [json.dumps(event.to_json()) for event in traces.cut(typed(0), 12)]
    trace.write_text("\n".join(lines), encoding="utf-8")
    # How fast this machine is takes longer to find than all else, and isn't what is tested here.
    for name in ("BLOCK", "ROWS", "WIDTH", "INNER"):
        monkeypatch.setattr(machine, name, 32)
    monkeypatch.setattr(
        "sys.argv",
        ["replay", str(tiny), str(trace), "--peers", "ours", "transformers", "--new", "4", "--every", "2"],
    )
    replay.main()
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")] for line in out.splitlines() if line.startswith("| ")]
    ours, scratch = ({row[1]: row for row in rows[:4]}[name] for name in ("ours", "transformers"))
    asked = sum(moment.ask for moment in replay.moments(traces.read(trace)[0]))
    assert int(ours[2]) == asked >= 4
    assert 0 < int(scratch[2]) < asked
    assert scratch[7] == "0.0%"  # of the prompt tokens cached
    assert float(ours[7].rstrip("%")) > 50
    assert "12 keystrokes in 1 notebooks" in out


class Listener:
    """A peer that notes what it is asked."""

    name, format, said, keeps, size, pid = "listener", "float32", "", True, 1, os.getpid()

    def __init__(self) -> None:
        self.asked: list[Prompt] = []

    def ask(self, question: peers.Question, new: int) -> Answer:
        self.asked.append(question.prompt)
        return Answer(1, 1, 1, 1, 1)

    def warm(self, question: peers.Question, new: int) -> None:
        pass

    def close(self) -> None:
        pass


def test_the_others_get_the_window_that_ours_still_has(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("BLOCK", "ROWS", "WIDTH", "INNER"):
        monkeypatch.setattr(machine, name, 32)
    cells = (*(Cell(f"value_{number} = load({number})") for number in range(30)), Cell(""))
    event, line = traces.Event, "value_3 + 1\n"
    lines = [event(1000 * number, "accept", line) for number in range(1, 9)]
    listener: Any = Listener()
    ours: Any = peers.Ours(tiny)
    try:
        played = replay.Replay([ours, listener], tiny, 4, 1, 0)
        played.run([event(0, "focus", active=30, notebook="long", cells=cells), *lines])
    finally:
        ours.close()
    assert "made another prompt" not in capsys.readouterr().out
    tokenizer = CodeTokenizer.from_folder(tiny)
    asked = ["value_3 = " in tokenizer.decode(prompt.ids) for prompt in listener.asked]
    texts = [document(excerpt((*cells[:30], Cell(line * n)), 30, len(line) * n)) for n in range(1, 9)]
    fitted = (fit(text, tokenizer, FAMILIES["santacoder"], ours.window, 4) for text in texts)
    best = ["value_3 = " in tokenizer.decode(prompt.ids) for prompt in fitted]
    # The best window has the line that makes the name, but to read that isn't worth it while he types.
    assert (asked[3], best[3]) == (False, True)


def test_a_peer_that_is_not_installed_is_left_out_in_one_sentence(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("llama.cpp Q8_0", "ctranslate2"):
        with pytest.raises(peers.Missing, match=r"is missing: .*pip install -r"):
            peers.OPEN[name](tiny)


def test_what_the_built_in_model_costs() -> None:
    """In a process of its own, which stays on one core."""
    few = ["--rounds", "1", "--notebooks", "1", "--keystrokes", "3"]
    command = [sys.executable, "-m", "benchmarks.builtin", *few]
    out = subprocess.check_output(command, text=True, cwd=Path(__file__).parents[2])
    for figure in (
        r"loading and the first step, all imported: \d+\.\d\d s",
        r"memory over a process that only imports torch: -?\d+ MiB",
        r"3 keys: p50 \d+ ms, p95 \d+ ms; something shown after \d of them",
        r"memory of the model's process in the end: \d+ MiB",
    ):
        assert re.search(figure, out), out


def test_what_healing_is_worth() -> None:
    """Our own problems are in HumanEval's format; within a word a model with other tokens there is lost."""
    command = [sys.executable, "-m", "benchmarks.healing", str(OWN / "humaneval.jsonl"), "--places", "12"]
    told = subprocess.check_output(command, text=True, cwd=Path(__file__).parents[2])
    healed, plain = (int(line.split("right ")[1].split(",")[0]) for line in told.splitlines())
    assert healed > plain
