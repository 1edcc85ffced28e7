"""Infilling tasks are made, asked and judged."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from santajupyter.evaluation import infilling

TWICE = {
    "task_id": "Test/0",
    "prompt": 'def twice(x):\n    """Twice."""\n',
    "canonical_solution": "    y = x\n\n    return x + y\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "twice",
}


def test_a_task_for_each_line_of_a_solution(tmp_path: Path) -> None:
    path = tmp_path / "HumanEval.jsonl"
    path.write_text(json.dumps(TWICE) + "\n")
    tasks = infilling.read_tasks(path)
    assert [(task.id, task.hidden) for task in tasks] == [
        ("Test/0/L0", "    y = x"),
        ("Test/0/L2", "    return x + y"),
    ]
    assert all(infilling.passes(task.program(task.hidden)) for task in tasks)
    assert all(not infilling.passes(task.program("    pass")) for task in tasks)
    made = {**TWICE, "prompt": tasks[1].prompt, "suffix": "", "canonical_solution": "    return x + y\n"}
    path.write_text(json.dumps(made))
    assert infilling.read_tasks(path) == [replace(tasks[1], id="Test/0")]
    path.write_text("{}")
    with pytest.raises(SystemExit, match="not a file of HumanEval problems"):
        infilling.read_tasks(path)


def test_what_ends_early_or_never_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infilling, "TIMEOUT", 1.0)
    assert infilling.passes("x = 1")
    assert not infilling.passes("raise SystemExit(0)")
    assert not infilling.passes("while True: pass")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no limit on memory there")
def test_what_takes_all_memory_does_not_pass() -> None:
    assert not infilling.passes(f"x = bytearray({infilling.MEMORY})")


def test_infilling_through_both_paths(tmp_path: Path) -> None:
    data = tmp_path / "HumanEval.jsonl"
    data.write_text(json.dumps(TWICE))
    command = [sys.executable, "-m", "santajupyter.evaluation", "infilling", "--data", str(data)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--run-generated-code" in refused.stderr
    run = subprocess.run([*command, "--run-generated-code"], capture_output=True, text=True, check=True)
    assert "| 2 tasks | pass rate | exact match |" in run.stdout
