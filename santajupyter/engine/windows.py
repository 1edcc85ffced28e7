"""Which of a long document's segments a prompt has: those that cost least to read, where that matters.

What is best changes while the user types: a name is used, another cell is nearer. Each change moves nearly
all of the prompt, whose keys and values are cached no more. So the window stays where an earlier prompt had
it until there is time to read the new one, which the page asks for while the user rests.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Protocol

from ..prompt.document import Document
from ..prompt.fim import Prompt

# To read so much of the window isn't worth an older choice of segments.
FEW_SHARE = 1 / 4
# Windows that are remembered: each is a place where the user was.
REMEMBERED = 8

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
        self._texts: defaultdict[str, deque[Texts]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    def choose(self, make: Make, user: str = "") -> Prompt:
        """The best prompt, or the newest that has what an earlier one had and saves most of the reading."""
        best = make()
        most = self._unread(best)
        if most <= self._few:
            return best
        others = (make(keep=texts) for texts in self._texts[user])
        return next((prompt for prompt in others if 2 * self._unread(prompt) < most), best)

    def remember(self, document: Document, prompt: Prompt) -> None:
        """A prompt of the document that is going to be read."""
        texts = document.segment_texts
        kept = tuple(texts[number] for number in prompt.segments)
        earlier = self._texts[prompt.user]
        if kept in earlier:
            earlier.remove(kept)
        earlier.appendleft(kept)

    def _unread(self, prompt: Prompt) -> int:
        return len(prompt.ids) - self._cached(prompt.ids, prompt.user)
