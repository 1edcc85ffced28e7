"""Work that is done step by step, so that other work can have a turn in between, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Work = Generator[None, None, T]


class Cancelled(Exception):
    """The request isn't wanted any more."""


@dataclass
class Control:
    """How a request is steered from outside.

    ``cancelled`` (nobody wants it) and ``finished`` (what there is will do) are looked at before every
    step. ``reads`` is told, before each step that reads some of the prompt, how many tokens are left of it.
    """

    cancelled: Callable[[], bool] = lambda: False
    finished: Callable[[], bool] = lambda: False
    reads: Callable[[int], None] = lambda left: None

    def check(self) -> None:
        """Raises Cancelled if it is."""
        if self.cancelled():
            raise Cancelled


def run(work: Work[T]) -> T:
    """Do all of it; returns its result."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
