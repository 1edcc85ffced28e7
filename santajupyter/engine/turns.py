"""Whose turn it is where several users share an engine."""

from __future__ import annotations

from collections.abc import Collection

# Seconds of the engine that somebody may have got less than the others and still get before them.
CREDIT = 1.0


class Turns:
    """Each has as much of the engine's time as any other who has work, however much that is.

    Who has had less of late goes first, by so much but no more than ``credit`` seconds: so who types, and
    needs little, doesn't wait for who floods, and nobody saves up turns by having been away for long.
    """

    def __init__(self, credit: float = CREDIT) -> None:
        self._credit = credit
        self._used: dict[str, float] = {}
        self._at_work: frozenset[str] = frozenset()
        self._floor = 0.0  # what those have had at least who have had work all the time

    def next(self, users: Collection[str]) -> str:
        """The one of ``users``, those with work, who had the least time of late."""
        going_on = [self._used[user] for user in self._at_work.intersection(users)]
        self._floor = max(self._floor, min(going_on, default=self._floor))
        least = self._floor - self._credit
        known = {user: used for user, used in self._used.items() if used > least}
        self._used = known | {user: known.get(user, least) for user in users}
        self._at_work = frozenset(users)
        return min(users, key=self._used.__getitem__)

    def spend(self, user: str, seconds: float) -> None:
        """One who had a turn has used so much."""
        self._used[user] += seconds
