"""Draft tokens from the text itself: prompt lookup decoding.

https://github.com/apoorvumang/prompt-lookup-decoding
"""

from __future__ import annotations

from collections.abc import Sequence


class PromptLookup:
    """Drafts what comes next from where the last tokens stood before: code repeats itself."""

    def __init__(self, ids: Sequence[int], length: int) -> None:
        """``length``: how many tokens a draft has at most; 0: it is always empty."""
        self._length = length
        self._after: dict[tuple[int, ...], int] = {}
        self._known = 0
        if length:
            self._learn(ids)

    def draft(self, ids: Sequence[int]) -> list[int]:
        """Tokens that may follow ``ids``: all so far, those of the calls before and what came since."""
        if not self._length:
            return []
        self._learn(ids)
        at = self._after.get(tuple(ids[-3:])) or self._after.get(tuple(ids[-2:])) or len(ids)
        return list(ids[at : at + self._length])

    def _learn(self, ids: Sequence[int]) -> None:
        """Where a run of three or two ids was followed by something; of several places, the last."""
        for end in range(max(self._known, 3), len(ids)):
            self._after[tuple(ids[end - 3 : end])] = end
            self._after[tuple(ids[end - 2 : end])] = end
        self._known = len(ids)
