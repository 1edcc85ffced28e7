"""What can be evaluated. Each is a module with the functions of harness.Task."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ..harness import Task

if TYPE_CHECKING:
    from . import code_to_text, executed, fim, fresh, humaneval, humaneval_infilling, multipl_e, replay

    # Each is checked against the protocol.
    _1: Task = code_to_text
    _2: Task = executed
    _3: Task = fim
    _4: Task = fresh
    _5: Task = humaneval
    _6: Task = humaneval_infilling
    _7: Task = multipl_e
    _8: Task = replay

# The command's names, and the modules.
TASKS: Mapping[str, str] = {
    "fresh-data": "fresh",
    "replay": "replay",
    "executed": "executed",
    "humaneval": "humaneval",
    "multipl-e": "multipl_e",
    "fim": "fim",
    "humaneval-infilling": "humaneval_infilling",
    "code-to-text": "code_to_text",
}


def load(name: str) -> Task:
    """Raises ModuleNotFoundError where a package is missing that only the evaluation needs."""
    return cast(Task, import_module(f".{TASKS[name]}", __name__))
