"""Waiting with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """The work's result; raises asyncio.TimeoutError, and cancels the work, when it takes longer.

    Up to Python 3.11 asyncio.wait_for loses a cancellation that comes just when the work is done: whoever
    hung up then had the rest of the request worked on for nobody.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
