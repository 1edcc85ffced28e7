"""The keys and values of earlier prompts: only what is new in a prompt needs computing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

# A prompt that comes about from an entry's by an edit that takes away at most this share of it is the
# same text, typed on. One that would take away more is another text, or another place in the text.
EDIT_SHARE = 1 / 8


class PromptCache:
    """Entries within a budget of bytes; the least recently used go first, the newest never.

    An entry that is in here is right: one is taken out for use, and given back only after every step
    on it succeeded. What is in use comes on top of the budget.
    """

    def __init__(self, config: PreTrainedConfig, budget: int) -> None:
        self._config = config
        self._budget = budget
        self._entries: list[Entry] = []  # the newest last

    def take(self, ids: Sequence[int]) -> Entry:
        """An entry with the longest cached beginning of ``ids``, the last id always left to compute.

        It is the caller's alone. Where the prompt is an edit of the entry's own (see EDIT_SHARE), it is
        that entry, cut; otherwise a copy of their common beginning, and the entry stays for its text.
        """
        source, length = Entry(DynamicCache(config=self._config)), 0
        for entry in self._entries:
            common = min(_common_length(entry.ids, ids), len(ids) - 1)
            if common >= max(length, 1) and (common == len(entry.ids) or entry.can_be_cut):
                source, length = entry, common
        if source.lost_to(ids) > EDIT_SHARE * source.prompt_length:
            source = source.beginning(length, self._config)
        elif length:
            self._entries.remove(source)
            source.cut(length)
        source.prompt_length = len(ids)
        return source

    def keep(self, entry: Entry) -> None:
        """Give an entry back, as the newest. Not after a failed step: not all layers may have seen it."""
        if not entry.ids:
            return
        entry.size = sum(tensor.untyped_storage().nbytes() for tensor in _tensors(entry.kv))
        self._entries.append(entry)
        total = sum(entry.size for entry in self._entries)
        while total > self._budget and len(self._entries) > 1:
            total -= self._entries.pop(0).size


@dataclass(eq=False)
class Entry:
    """``kv`` holds the keys and values of ``ids``, in each layer [1, heads, len(ids), head size].

    The first ``prompt_length`` ids were a prompt (or its beginning, if cancelled), the rest generated.
    ``size``: bytes, when it was last given back.
    """

    kv: DynamicCache
    ids: list[int] = field(default_factory=list)
    prompt_length: int = 0
    size: int = 0

    @property
    def can_be_cut(self) -> bool:
        """Whether each layer has every position. A full sliding window or a recurrent state hasn't."""
        return all(
            type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
            and layer.keys is not None
            and layer.keys.shape[-2] == len(self.ids)
            for layer in _layers(self.kv)
        )

    def lost_to(self, ids: Sequence[int]) -> int:
        """How many ids of the entry's prompt an edit to ``ids`` takes away; common ends stay.

        Without the common end, each key typed in a prompt whose suffix comes last would count it all.
        """
        prompt = self.ids[: self.prompt_length]
        begun = _common_length(prompt, ids)
        return len(prompt) - begun - _common_length(prompt[begun:][::-1], ids[begun:][::-1])

    def cut(self, length: int) -> None:
        """Leave the first ``length`` ids; needs can_be_cut unless that is all of them."""
        if length < len(self.ids):
            self.kv.crop(length - len(self.ids))  # negative: how many to remove
        del self.ids[length:]

    def beginning(self, length: int, config: PreTrainedConfig) -> Entry:
        """A copy of the first ``length`` ids; needs can_be_cut."""
        pairs = [(layer.keys[..., :length, :], layer.values[..., :length, :]) for layer in _layers(self.kv)]
        return Entry(DynamicCache(pairs, config=config), self.ids[:length])


def _layers(kv: DynamicCache) -> list[Any]:
    """Of many types, most with ``keys`` and ``values`` [1, heads, positions, head size]."""
    return list(kv.layers)


def _tensors(kv: DynamicCache) -> Iterator[torch.Tensor]:
    """Every tensor of every layer; recurrent states too, which are in a dict."""
    for value in (value for layer in _layers(kv) for value in vars(layer).values()):
        inner = value.values() if isinstance(value, dict) else [value]
        yield from (tensor for tensor in inner if isinstance(tensor, torch.Tensor))


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
