"""The types on the wire, checked on entry.

A :class:`CompletionRequest` is made from a JSON body by :func:`completion_request`,
which raises :class:`BadRequest` naming the field and the remedy. Nothing in here
knows HTTP, a model or a tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CELL_TYPES = ("code", "markdown", "raw")
TRIGGERS = ("invoke", "automatic")
MODES = ("line", "block", "auto")
FINISH_REASONS = ("stop", "length")
MAX_NEW_TOKENS = 1024
MAX_CANDIDATES = 8
MAX_STOPS = 16
MAX_NAME = 1024


class BadRequest(ValueError):
    """A request's field is missing or wrong; the message names it and the remedy."""


@dataclass(frozen=True)
class Cell:
    """One notebook cell. ``source`` may be empty; ``execution_count`` is None for one never run."""

    source: str
    type: str = "code"
    id: str = ""
    execution_count: int | None = None


@dataclass(frozen=True)
class Sampling:
    """How to decode, in transformers' words. ``temperature`` 0 is greedy."""

    n: int = 1
    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompletionRequest:
    """A cursor in a notebook: ``offset`` code points into ``cells[active]``."""

    cells: tuple[Cell, ...]
    active: int
    offset: int
    language: str = "python"
    path: str = ""
    trigger: str = "automatic"
    mode: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    stream: bool = False
    client: str = ""


@dataclass(frozen=True)
class Item:
    """One candidate. ``logprob`` is the mean natural log-probability of its tokens."""

    text: str
    finish_reason: str
    logprob: float


@dataclass(frozen=True)
class Usage:
    """Token counts; ``cached_tokens`` of ``prompt_tokens`` were not computed again."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Timings:
    """Milliseconds."""

    queue_ms: float
    prefill_ms: float
    decode_ms: float


@dataclass(frozen=True)
class Completion:
    """What the engine made of a request, and which model it was."""

    items: tuple[Item, ...]
    model: str
    usage: Usage
    timings: Timings

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
