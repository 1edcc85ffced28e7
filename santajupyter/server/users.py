"""Who asks, where several users share a server, and that none of them takes what is the others'."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

# Whose request it is that is being done; empty where a server has one user.
current_user: ContextVar[str] = ContextVar("santajupyter_user", default="")


class Door:
    """Lets so many requests of each user in at a time; where there is one user, any number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: Counter[str] = Counter()

    @contextmanager
    def inside(self, user: str) -> Iterator[bool]:
        """For as long as a request takes; False, and nothing is counted, where there are too many."""
        if user and self._inside[user] >= self._limit:
            yield False
            return
        self._inside[user] += 1
        try:
            yield True
        finally:
            self._inside[user] -= 1
            self._inside += Counter()  # forgets who has none


class Line:
    """Where work is done one after another: each user has one piece of it there at a time.

    So the users take turns, however much one of them brings.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The current user's; of their own the oldest goes first."""
        async with self._locks[current_user.get()]:
            yield
