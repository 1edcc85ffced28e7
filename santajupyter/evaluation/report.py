"""Results -> a report: JSON for programs, Markdown for people who see the project for the first time."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .._version import __version__
from .metrics import Estimate

PACKAGES = ("torch", "transformers", "openvino", "tokenizers")
INTERVAL = (
    "In brackets: the 95 % interval of a bootstrap over problems (for places in notebooks: over notebooks)."
    " It says how much the value would change with other problems of the same kind, and nothing of the "
    "model's luck."
)


@dataclass(frozen=True)
class Figure:
    """One number, as a share of 1, with what was ``published`` for SantaCoder. ``of``: so many items."""

    name: str
    value: Estimate
    of: int
    published: float | None = None


@dataclass(frozen=True)
class Part:
    """What a task has to say: figures, more as Markdown, and what a reader must know."""

    figures: Sequence[Figure] = ()
    tables: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Run:
    """``protection``: what stood around the programs that were run, "" where there were none."""

    title: str
    about: str
    questions: int
    samples: int
    protection: str
    settings: Mapping[str, Any]
    engine: Mapping[str, Any]
    machine: Mapping[str, Any]


def machine() -> dict[str, Any]:
    """Where it was measured, and with what."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "santajupyter": __version__,
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def to_json(run: Run, part: Part) -> str:
    return json.dumps({**asdict(run), **asdict(part)}, indent=1, ensure_ascii=False)


def to_markdown(run: Run, part: Part) -> str:
    parts = [f"# {run.title}", run.about]
    if part.figures:
        parts += [figures(part.figures), INTERVAL]
    parts += [part.tables] if part.tables else []
    parts += [f"- {note}" for note in part.notes]
    protected = {"": "", "none": " **without any protection**"}.get(run.protection, f", in {run.protection}")
    programs = f" Generated programs were run here{protected}." if run.protection else ""
    parts.append(f"{run.questions} questions, {run.samples} texts.{programs}")
    parts.append("## How it was measured")
    told = {**run.settings, **run.engine}
    parts.append(table(["setting", "value"], [[name, _shown(value)] for name, value in told.items()]))
    parts.append(table(["machine", ""], [[name, _shown(value)] for name, value in run.machine.items()]))
    return "\n\n".join(parts) + "\n"


def figures(found: Sequence[Figure]) -> str:
    published = any(figure.published is not None for figure in found)
    rows = [
        [figure.name, percent(figure.value), str(figure.of)]
        + ([f"{100 * figure.published:.1f}" if figure.published is not None else "-"] if published else [])
        for figure in found
    ]
    return table(["", "%", "of", *(["published for SantaCoder"] if published else [])], rows)


def percent(found: Estimate, form: str = ".1f") -> str:
    """With its interval."""
    if math.isnan(found.value):
        return "-"
    value, low, high = (format(100 * part, form) for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", "\\n") if text not in ("None", "") else "-"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor()
