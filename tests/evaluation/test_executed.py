"""Tasks are whole, told apart by their checks, and judged."""

from __future__ import annotations

import pytest

from santajupyter.evaluation.harness import Judged, Sample
from santajupyter.evaluation.places import Place
from santajupyter.evaluation.programs import Verdict
from santajupyter.evaluation.sandbox import Limits
from santajupyter.evaluation.tasks import executed
from santajupyter.evaluation.tasks.executed_tasks import CURSOR, TASKS, Task
from santajupyter.evaluation.tasks.fresh import NAME
from santajupyter.evaluation.tasks.replay import question
from santajupyter.protocol import Cell, CompletionRequest

from .test_sandbox import needs_sandbox

ROWS = Task("rows", "fresh call", ("rows = [3, 1]",), f"most = {CURSOR}", "max(rows)", "assert most == 3")


def test_there_are_tasks_of_many_kinds() -> None:
    assert len(TASKS) == len({task.name for task in TASKS}) == 50
    assert len({task.kind for task in TASKS}) >= 20
    assert all(task.cell.count(CURSOR) == 1 for task in TASKS)


def test_what_only_the_kernel_knows_stands_nowhere_in_the_text() -> None:
    fresh = [task for task in TASKS if task.kind.startswith("fresh") and task.answer.isidentifier()]
    assert len(fresh) >= 10
    for task in fresh:
        loading = [cell for cell in task.cells if "parse_dates" not in cell]
        assert task.answer not in NAME.findall("\n".join([*loading, task.source("")]))


# A few of them: each is a process of its own.
@needs_sandbox
@pytest.mark.parametrize("task", [ROWS, *executed.runnable(TASKS[::17])], ids=lambda task: task.name)
def test_its_answer_passes_and_nothing_does_not(task: Task) -> None:
    assert executed.passes(task, task.answer)
    assert not executed.passes(task, "")


@needs_sandbox
def test_what_ends_early_or_never_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not executed.passes(ROWS, "3\nraise SystemExit(0)")
    monkeypatch.setattr(executed, "LIMITS", Limits(1.0))
    assert not executed.passes(ROWS, "3\nwhile True: pass")


@needs_sandbox
def test_a_place_has_what_the_kernel_knows() -> None:
    [(place, body)] = executed.places([ROWS], "invoke").items()
    assert place == Place("rows", 1, len("most = "), "fresh call", "max(rows)")
    assert body["cells"][0]["execution_count"] == 1 and body["trigger"] == "invoke"
    assert [(variable["name"], variable["type"]) for variable in body["variables"]] == [("rows", "list")]
    with pytest.raises(RuntimeError, match="rows: its cells don't run"):
        executed.places([Task("rows", "", ("1 / 0",), CURSOR, "", "")], "invoke")


def test_a_task_whose_package_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(executed, "find_spec", lambda name: None)
    left = executed.runnable()
    assert 0 < len(left) < 50 and "matplotlib isn't installed" in capsys.readouterr().err


def test_the_table_counts_what_passes() -> None:
    asked = question(Place(TASKS[0].name, 1, 0, TASKS[0].kind, ""), CompletionRequest((Cell(""),), 0, 0))
    table = executed.tables([Judged(asked, Sample(asked.task_id, "full", 0, "x", 1.0), Verdict(True))])
    assert table.splitlines()[2].startswith("| full | all | 1 | 1 | 100.0 [100.0, 100.0] | 1 |")
    assert [line.split("|")[2].strip() for line in table.splitlines()[3:]] == ["fresh"]
