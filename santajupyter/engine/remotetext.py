"""One text as another server writes it: what of it may be shown, and where it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..protocol import Item, Sampling
from .continuation import WORTH_A_KEY, may_end
from .remotenames import RemoteName, ends


class Elsewhere(Exception):
    """The text doesn't begin as it had to: the server can't be made to do that."""


@dataclass
class Text:
    """One candidate as it comes. ``name``: what it has begun with, until it is known how that ends.

    ``healed``: what it begins with that stands left of the cursor already, as far as that has yet to come.
    ``sure``: the length, up to a word's end, before all became too unlikely.
    """

    least: float
    text: str = ""
    healed: str = ""
    name: RemoteName | None = None
    pieces: list[tuple[str, float]] = field(default_factory=list)
    total: float = 0.0
    sure: int = 0
    sent: int = 0
    finish_reason: str = ""

    @classmethod
    def of(cls, name: RemoteName, least: float) -> Text:
        """One that has begun with the name; that isn't unlikely."""
        return cls(least, name.text, "", name, [(name.text, 0.0)], sure=len(name.text))

    def take(self, choice: Mapping[str, Any]) -> str:
        """The text that the answer's piece adds and that may be shown. Raises Elsewhere."""
        for piece, logprob in pieces(choice):
            self._add(self._behind_healed(piece), logprob)
        if choice.get("finish_reason") and not self.finish_reason:
            self._end(choice["finish_reason"])
        is_open = self.least > -math.inf and not self.finish_reason
        begin, self.sent = self.sent, max(self.sent, self.sure if is_open else len(self.text))
        return self.text[begin : self.sent]

    def item(self, detailed: bool) -> Item:
        """As the request's answer has it."""
        mean = self.total / max(1, len(self.pieces))
        pieces = self.pieces if detailed else None
        whole = Item("".join(text for text, _ in self.pieces), self.finish_reason or "stop", mean, pieces)
        return whole.cut(self.text)

    def _behind_healed(self, text: str) -> str:
        known = min(len(self.healed), len(text))
        if self.healed[:known] != text[:known]:
            raise Elsewhere
        self.healed = self.healed[known:]
        return text[known:]

    def _add(self, text: str, logprob: float) -> None:
        """Nothing comes after the word that makes all of it too unlikely."""
        if self.finish_reason:
            return
        if text and self.name:
            if not ends(self.name.closing, text):
                self._end("stop")
                return
            self.name = None
        before, whole = len(self.text), self.text + text
        if len(whole[:before].strip()) >= WORTH_A_KEY and may_end(whole, before):
            self.sure = before
        self.total += logprob
        self.pieces.append((text, logprob))
        self.text = whole
        if self.total < self.least:
            self.text, self.finish_reason = whole[: self.sure], "stop"

    def _end(self, finish_reason: str) -> None:
        self.finish_reason = finish_reason
        if self.name and self.name.ending:
            self.text += self.name.ending
            self.pieces.append((self.name.ending, 0.0))


def least(sampling: Sampling) -> float:
    """The logarithm of how likely all of a text must be; minus infinity: that doesn't matter."""
    return math.log(sampling.min_probability) if sampling.min_probability > 0 else -math.inf


def pieces(choice: Mapping[str, Any]) -> Sequence[tuple[str, float]]:
    """The choice's new text by tokens; as one piece where they are others, or aren't told.

    Log-probabilities come as OpenAI's completions have them, or as llama.cpp's server does: as its chats do.
    """
    text, told = choice.get("text") or "", choice.get("logprobs") or {}
    listed = told.get("content") or ()
    tokens = told.get("tokens") or [each.get("token") for each in listed]
    found = told.get("token_logprobs") or [each.get("logprob") for each in listed]
    logprobs = [float(each or 0) for each in found]
    if len(tokens) == len(logprobs) and "".join(tokens) == text:
        return [*zip(tokens, logprobs, strict=True)]
    return [(text, sum(logprobs))] if text else []
