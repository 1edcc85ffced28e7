"""What can be evaluated. Each is a module with the functions of harness.Task."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from ..harness import Task

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
