"""Tasks whose suggestion is run: does what comes after it, the notebook's cells and a check, still pass?

Each task runs in a process of its own and in a folder of its own, once up to the active cell, for what a
kernel knows there (read by the kernel's own reader), and once more with each suggestion.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from ...protocol import completion_request
from ..engines import Configuration
from ..harness import Judged, Part, Question, by_configuration
from ..kernel import SOURCE, near, used_names
from ..metrics import mean
from ..places import MAX_NEW_TOKENS, Place
from ..programs import Verdict, python
from ..report import percent, table
from ..sandbox import Limits
from ..sandbox import run as run_safely
from .executed_tasks import CURSOR, TASKS, Task
from .replay import CONFIGURATIONS, named, question, usable
from .replay import settings as settings

TITLE = "Executed tasks"
ABOUT = (
    "Small tasks of our own in notebooks: cells that have run, a cell with the cursor in it, and a check "
    "that is run after it. A text passes if all of that runs to its end with it. Of some (fresh) the names "
    "stand nowhere in the text, since the data is read from a file."
)
RUNS_CODE = True
LIMITS = Limits(60.0, memory=3 * 2**30, address_space=0, processes=128)
# What a process is told on stdin, and does.
PROGRAM = """\
import json, sys
told = json.load(sys.stdin)
space = {"__name__": "__main__", "__builtins__": __builtins__}
for source in told["cells"]:
    exec(compile(source, "cell", "exec"), space)
if told["reader"]:
    own = {}
    exec(told["reader"], own)
    print(told["end"], own["read"](space, told["names"]), sep="")
else:
    print(told["end"])
"""


def runnable(tasks: Sequence[Task] = TASKS) -> list[Task]:
    """Those that can run here; a sentence on stderr for those that want a package which isn't installed."""
    plots = [task for task in tasks if any("matplotlib" in cell for cell in task.cells)]
    if not plots or find_spec("matplotlib"):
        return list(tasks)
    print(f"{len(plots)} tasks left out: matplotlib isn't installed", file=sys.stderr)
    return [task for task in tasks if task not in plots]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trigger", choices=("automatic", "invoke"), default="invoke")
    names = [configuration.name for configuration in CONFIGURATIONS]
    parser.add_argument("--configurations", nargs="+", choices=names, default=["full"], metavar="NAME")


async def questions(args: argparse.Namespace) -> list[Question]:
    bodies = places(runnable(), args.trigger, args.unprotected)
    return [question(place, completion_request(fields)) for place, fields in bodies.items()]


def configurations(args: argparse.Namespace, questions: Sequence[Question]) -> Sequence[Configuration]:
    return [*usable(named(args.configurations), [each.request for each in questions])]


def judge(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    passed = passes(BY_NAME[question.group], completion, args.unprotected)
    return Verdict(passed, "" if passed else "it failed")


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    return Part(tables=tables(judged))


def places(tasks: Sequence[Task], trigger: str, unprotected: bool = False) -> dict[Place, dict[str, Any]]:
    """Each task's place, with its body of POST complete. Raises RuntimeError where its cells fail."""
    found = {}
    for task in tasks:
        fields = _body(task, trigger)
        told = run(task, task.cells, SOURCE.read_text("utf-8"), used_names(fields), unprotected)
        if told is None:
            raise RuntimeError(f"{task.name}: its cells don't run")
        place = Place(task.name, fields["active"], fields["offset"], task.kind, task.answer)
        found[place] = {**fields, **near(json.loads(told), fields)}
    return found


def passes(task: Task, text: str, unprotected: bool = False) -> bool:
    """Whether the task's cells and its check run to their end with the text at the cursor."""
    cells = [*task.cells, task.source(text), task.check]
    return run(task, cells, unprotected=unprotected) is not None


def run(
    task: Task,
    cells: Sequence[str],
    reader: str = "",
    names: Sequence[str] = (),
    unprotected: bool = False,
) -> str | None:
    """What ``reader`` says of the namespace after the cells; None where they fail or take too much."""
    end = secrets.token_hex(16)
    told = json.dumps({"cells": cells, "reader": reader, "names": names, "end": end})
    job = python(
        [sys.executable, "-P", "-c", PROGRAM]
        if sys.version_info >= (3, 11)
        else [sys.executable, "-c", PROGRAM],
        task.files,
        LIMITS,
        told,
    )
    done = run_safely(job, unprotected)
    _, found, said = done.output.rpartition(end)
    return said if found and done.good else None


def tables(judged: Sequence[Judged]) -> str:
    """For each configuration, and there for what only the kernel knows and for all else: tasks that pass.

    The shares in percent, with intervals that draw tasks with the same data together.
    """
    rows = []
    for configuration, own in by_configuration(judged).items():
        for kind in ("all", "fresh", "other"):
            some = [one for one in own if kind in ("all", _kind(one))]
            if some:
                hits = [one.verdict is not None and one.verdict.passed for one in some]
                groups = [BY_NAME[one.question.group].group for one in some]
                shown = sum(bool(one.sample.completion) for one in some)
                counts = str(sum(hits)), percent(mean(hits, groups)), str(shown)
                rows.append([configuration, kind, str(len(some)), *counts])
    return table(["configuration", "tasks", "of", "pass", "%", "shown"], rows)


def _kind(one: Judged) -> str:
    return "fresh" if BY_NAME[one.question.group].kind.startswith("fresh") else "other"


BY_NAME: Mapping[str, Task] = {task.name: task for task in TASKS}


def _body(task: Task, trigger: str) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {"type": "code", "source": source, "execution_count": number}
        for number, source in enumerate(task.cells, 1)
    ]
    active: dict[str, Any] = {"type": "code", "source": task.source("")}
    if task.failed:
        name, _, value = task.failed.partition(": ")
        active |= {
            "execution_count": len(cells) + 1,
            "outputs": [{"type": "error", "name": name, "value": value}],
        }
    return {
        "cells": [*cells, active],
        "active": len(cells),
        "offset": task.cell.index(CURSOR),
        "path": "notebook.ipynb",
        "trigger": trigger,
        "max_new_tokens": MAX_NEW_TOKENS,
    }
