"""Which of a long document's segments a prompt has: those that cost least to read, where that matters.

What is best changes while the user types: a name is used, another cell is nearer. Each change moves nearly
all of the prompt, whose keys and values are cached no more. So the window stays where an earlier prompt had
it until there is time to read the new one, which the page asks for while the user rests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol

from ..prompt.document import Document
from ..prompt.fim import Prompt

# To read so much of the window isn't worth an older choice of segments.
FEW_SHARE = 1 / 4
# Windows that are tried: each is a place where the user was; and so many are remembered, of all users.
TRIED = 8
REMEMBERED = 64

Texts = tuple[str, ...]


class Make(Protocol):
    """The prompt; it has segments of the texts ``keep``, as far as it can have them."""

    def __call__(self, *, keep: Texts = ()) -> Prompt: ...


class Windows:
    """The windows of each user's last prompts, newest first."""

    def __init__(self, window: int, cached: Callable[[Sequence[int], str], int]) -> None:
        """``window``: the most tokens of a prompt. ``cached``: how many of its ids a user's prompts had."""
        self._few = window * FEW_SHARE
        self._cached = cached
        self._earlier: deque[tuple[str, Texts]] = deque(maxlen=REMEMBERED)

    def choose(self, make: Make, user: str = "") -> Prompt:
        """The best prompt, or the newest that has what an earlier one had and saves most of the reading."""
        best = make()
        most = self._unread(best)
        if most <= self._few:
            return best
        theirs = islice((texts for owner, texts in self._earlier if owner == user), TRIED)
        others = (make(keep=texts) for texts in theirs)
        return next((prompt for prompt in others if 2 * self._unread(prompt) < most), best)

    def remember(self, document: Document, prompt: Prompt) -> None:
        """A prompt of the document that is going to be read."""
        texts = document.segment_texts
        kept = prompt.user, tuple(texts[number] for number in prompt.segments)
        if kept in self._earlier:
            self._earlier.remove(kept)
        self._earlier.appendleft(kept)

    def _unread(self, prompt: Prompt) -> int:
        """A suffix that comes last moves along with what is typed (see promptcache.py)."""
        unread = len(prompt.ids) - self._cached(prompt.ids, prompt.user)
        typed = unread - prompt.below
        return typed if 0 <= typed < prompt.stale else unread
