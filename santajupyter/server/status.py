"""What GET status says besides the bare fields: a sentence for people, and counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from statistics import quantiles
from typing import Any

import psutil

from ..protocol import ModelStatus, Problem, Usage

# So many of the last errors are kept.
PROBLEMS = 20


def sentence(status: ModelStatus, stand_in: ModelStatus | None) -> str:
    """The state in a plain sentence or two."""
    model = status.model
    if status.state == "ready":
        return f"{model} is ready on {status.device}."
    if status.state == "unloaded":
        return f"{model} is not loaded; it loads on first use."
    if status.state == "error":
        said = f"{model} can't be used: {status.error}."
    elif status.state == "downloading" and status.progress and status.progress.total:
        done, total = status.progress.done, status.progress.total
        said = f"Downloading {model}: {100 * done // total} % of {total / 1e9:.2f} GB."
    else:
        said = f"Loading {model}."
    if stand_in:
        rest = "instead" if status.state == "error" else "until then"
        said += f" The built-in model {stand_in.model} answers {rest}."
    return said


def memory(pid: int | None) -> int | None:
    """Bytes of main memory that a process holds; None where there is no process or nothing to tell."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else None
    except (OSError, psutil.Error):
        return None


@dataclass
class Statistics:
    """Counts since the server's start, and the latencies of the last completions."""

    requests: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    problems: deque[Problem] = field(default_factory=lambda: deque(maxlen=PROBLEMS))

    def note(self, operation: str, reason: str, message: str) -> None:
        """An error that isn't its client's. ``message``: a sentence without a word of anyone's code."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.problems.append(Problem(now, operation, reason, message))

    def count(self, usage: Usage, milliseconds: float | None) -> None:
        """One more that is done; ``milliseconds`` None: it was no completion."""
        self.completed += 1
        self.prompt_tokens += usage.prompt_tokens
        self.cached_tokens += usage.cached_tokens
        if milliseconds is not None:
            self.latencies.append(milliseconds)

    def to_json(self) -> dict[str, Any]:
        """As ``stats`` of GET status; latencies as percentiles, in milliseconds."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        return {**counts, "latency_ms": _percentiles(self.latencies)}


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    if len(latencies) < 2:
        return {"n": len(latencies)}
    cuts = quantiles(latencies, n=20, method="inclusive")
    return {"n": len(latencies), "p50": round(cuts[9], 1), "p95": round(cuts[18], 1)}
