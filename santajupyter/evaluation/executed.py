"""Tasks whose suggestion is run: does what comes after it, the notebook's cells and a check, still pass?

Each task runs in a process of its own and in a folder of its own, once up to the active cell, for what a
kernel knows there (read by the kernel's own reader), and once more with each suggestion. This runs what the
model wrote: the time is limited, nothing else is.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .executed_tasks import CURSOR, TASKS, Task
from .kernel import SOURCE, near, used_names
from .metrics import share
from .places import MAX_NEW_TOKENS, Place
from .replay import Result

TIMEOUT = 60.0
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


def places(tasks: Sequence[Task], trigger: str) -> dict[Place, dict[str, Any]]:
    """Each task's place, with its body of POST complete. Raises RuntimeError where its cells fail."""
    found = {}
    for task in tasks:
        fields = _body(task, trigger)
        told = run(task, task.cells, SOURCE.read_text("utf-8"), used_names(fields))
        if told is None:
            raise RuntimeError(f"{task.name}: its cells don't run")
        place = Place(task.name, fields["active"], fields["offset"], task.kind, task.answer)
        found[place] = {**fields, **near(json.loads(told), fields)}
    return found


def passes(task: Task, text: str) -> bool:
    """Whether the task's cells and its check run to their end with the text at the cursor."""
    return run(task, [*task.cells, task.source(text), task.check]) is not None


def run(task: Task, cells: Sequence[str], reader: str = "", names: Sequence[str] = ()) -> str | None:
    """What ``reader`` says of the namespace after the cells; None where they fail or take too long."""
    end = secrets.token_hex(16)
    told = {"cells": cells, "reader": reader, "names": names, "end": end}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in task.files.items():
            Path(folder, name).write_text(content, "utf-8")
        try:
            done = subprocess.run(  # noqa: S603  our own program
                [sys.executable, "-c", PROGRAM],
                input=json.dumps(told),
                encoding="utf-8",
                cwd=folder,
                env={**os.environ, "MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
            )
        except (subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
    _, found, said = done.stdout.rpartition(end)
    return said if found and done.returncode == 0 else None


def tables(results: Sequence[Result], passed: Mapping[tuple[str, str], bool]) -> str:
    """For each configuration, and there for what only the kernel knows and for all else: tasks that pass.

    ``passed``: of each task's name and text. The shares in percent, with intervals.
    """
    lines = ["| configuration | tasks | of | pass | % | shown |", "|---|---|---|---|---|---|"]
    for configuration in dict.fromkeys(result.configuration for result in results):
        own = [result for result in results if result.configuration == configuration]
        for kind in ("all", "fresh", "other"):
            some = [
                r for r in own if kind in ("all", "fresh" if r.place.kind.startswith("fresh") else "other")
            ]
            if some:
                lines.append(f"| {configuration} | {kind} | {len(some)} | {_shares(some, passed)} |")
    return "\n".join(lines)


def _shares(results: Sequence[Result], passed: Mapping[tuple[str, str], bool]) -> str:
    hits = [passed[result.place.notebook, result.text] for result in results]
    groups = [next(task.group for task in TASKS if task.name == result.place.notebook) for result in results]
    found = share(hits, groups)
    shown = sum(bool(result.text) for result in results)
    return f"{sum(hits)} | {100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}] | {shown}"


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
