"""The keys and values of earlier prompts: only what is new in a prompt needs computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .model import KV

# A prompt that comes about from an entry's by an edit that takes away at most this share of it is the
# same text, typed on. One that would take away more is another text, or another place in the text.
EDIT_SHARE = 1 / 8


class PromptCache:
    """Entries within a budget of bytes; the least recently used go first, the newest never.

    An entry that is in here is right: one is taken out for use, and given back only after every step
    on it succeeded. What is in use comes on top of the budget.
    """

    def __init__(self, empty: Callable[[], KV], budget: int) -> None:
        self._empty = empty
        self._budget = budget
        self._entries: list[Entry] = []  # the newest last

    def take(self, ids: Sequence[int]) -> Entry:
        """An entry with the longest cached beginning of ``ids``, the last id always left to compute.

        It is the caller's alone. Where the prompt is an edit of the entry's own (see EDIT_SHARE), it is
        that entry, cut; otherwise a copy of their common beginning, and the entry stays for its text.
        """
        source, length = self._longest(ids)
        source = source or Entry(self._empty())
        if source.lost_to(ids) > EDIT_SHARE * source.prompt_length:
            source = Entry(source.kv.beginning(length), source.ids[:length])
        elif length:
            self._entries.remove(source)
            source.cut(length)
        source.prompt_length = len(ids)
        return source

    def cached(self, ids: Sequence[int]) -> int:
        """How many of the first ids needn't be computed."""
        return self._longest(ids)[1]

    def _longest(self, ids: Sequence[int]) -> tuple[Entry | None, int]:
        found, length = None, 0
        for entry in self._entries:
            common = min(_common_length(entry.ids, ids), len(ids) - 1)
            if common >= max(length, 1) and (common == len(entry.ids) or entry.kv.can_be_cut()):
                found, length = entry, common
        return found, length

    def keep(self, entry: Entry) -> None:
        """Give an entry back, as the newest. Not after a failed step: not all layers may have seen it."""
        if not entry.ids:
            return
        entry.size = entry.kv.size
        self._entries.append(entry)
        total = sum(entry.size for entry in self._entries)
        while total > self._budget and len(self._entries) > 1:
            total -= self._entries.pop(0).size

    def clear(self) -> None:
        self._entries.clear()


@dataclass(eq=False)
class Entry:
    """``kv`` holds the keys and values of ``ids``.

    The first ``prompt_length`` ids were a prompt (or its beginning, if cancelled), the rest generated.
    ``size``: bytes, when it was last given back.
    """

    kv: KV
    ids: list[int] = field(default_factory=list)
    prompt_length: int = 0
    size: int = 0

    def lost_to(self, ids: Sequence[int]) -> int:
        """How many ids of the entry's prompt an edit to ``ids`` takes away; common ends stay.

        Without the common end, each key typed in a prompt whose suffix comes last would count it all.
        """
        prompt = self.ids[: self.prompt_length]
        begun = _common_length(prompt, ids)
        return len(prompt) - begun - _common_length(prompt[begun:][::-1], ids[begun:][::-1])

    def cut(self, length: int) -> None:
        """Leave the first ``length`` ids; needs kv.can_be_cut unless that is all of them."""
        if length < len(self.ids):
            self.kv.cut(length)
        del self.ids[length:]


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
