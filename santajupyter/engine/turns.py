"""Whose turn it is where several users share an engine."""

from __future__ import annotations

from collections.abc import Collection


class Turns:
    """Each has as much of the engine's time as any other who has work, however much that is.

    Who comes new begins with as much as the one who had the least so far: nobody saves up turns by having
    been away, and nobody gets ahead by asking anew.
    """

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    def next(self, users: Collection[str]) -> str:
        """The one of ``users``, those with work, who had the least time of late."""
        least = min((self._used[user] for user in users if user in self._used), default=0.0)
        self._used = {user: self._used.get(user, least) for user in users}
        return min(users, key=self._used.__getitem__)

    def spend(self, user: str, seconds: float) -> None:
        """One who had a turn has used so much."""
        self._used[user] += seconds
