"""One text as it is generated: what a token adds to it, what ends it, and what of it is certain."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..prompt.choices import Choice
from ..prompt.fim import Prompt
from ..prompt.tokenizer import CodeTokenizer
from ..protocol import Item, Sampling
from .cachemodel import interpolated
from .model import Logits, Row
from .naming import Name
from .work import Control

# To accept one character costs as many keys as to type it.
WORTH_A_KEY = 2
# What only finishes what was begun, and is likely itself, makes no text too unlikely: the model may write it
# in tokens of several lengths, of which those of one way count alone.
FINISHES = re.compile(r"(?:\(\)|[)\]}\"':])+")
LIKELY = math.log(0.5)
# A quote that begins a string, as far as what stands before it tells, and a dot: nothing to end with.
OPENING = re.compile(r"(?:\A|[(\[{=,:\s])[A-Za-z]{0,2}[\"']\Z|[\w)\]}\"']\.\Z")
# What half of a character decodes to.
HALF = "\ufffd"

OnDelta = Callable[[int, str], None]


@dataclass
class Continuation:
    """A text behind the prompt. ``pending`` is the healed tokens' raw text, still to be made again.

    ``ids`` are its tokens, ``new`` of them with text that isn't the healed ones'; ``skip`` is the length of
    the healed text. ``logprobs``: of each token, with the length of the certain text after it. ``sure``: the
    length of the text, up to a word's end, before all of it became too unlikely. ``sent``: how much of it
    has been streamed. ``closing``: the ids of which one has to come next. ``known``: the log-probability of
    what the kernel knows, which makes nothing unlikely.
    """

    pending: str
    skip: int
    closing: npt.NDArray[np.intp] | None = None
    ids: list[int] = field(default_factory=list)
    new: int = 0
    logprobs: list[tuple[int, float]] = field(default_factory=list)
    text: str = ""
    sure: int = 0
    sent: int = 0
    finish_reason: str = ""
    known: float = 0.0

    @property
    def logprob(self) -> float:
        """The natural log-probability of all of it."""
        return sum(logprob for _, logprob in self.logprobs)

    def copy(self) -> Continuation:
        """For a branch that goes on in another way."""
        return replace(self, ids=[*self.ids], logprobs=[*self.logprobs])

    def item(self, detailed: bool) -> Item:
        """As the request's answer has it; ``detailed``: with the log-probabilities of its pieces."""
        mean = self.logprob / max(1, len(self.ids))
        return Item(self.text, self.finish_reason, mean, [*self._pieces()] if detailed else None)

    def _pieces(self) -> Iterator[tuple[str, float]]:
        """The text in order; tokens that end within a character, or before the text, count for the next."""
        start, total = 0, 0.0
        for end, logprob in self.logprobs:
            total += logprob
            if min(end, len(self.text)) > start:
                yield self.text[start:end], total
                start, total = end, 0.0


class Decoding:
    """What the continuations of one request have in common: the prompt, how to decode, who listens."""

    def __init__(
        self,
        tokenizer: CodeTokenizer,
        ends: frozenset[int],
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
    ) -> None:
        """``ends``: tokens that end a text."""
        self.prompt, self.sampling, self.control = prompt, sampling, control
        self._tokenizer, self._ends = tokenizer, ends
        self._on_delta = on_delta
        least = sampling.min_probability
        self._min_logprob = math.log(least) if least > 0 else -math.inf

    def begin(self) -> Continuation:
        """An empty one."""
        pending = "".join(map(self._tokenizer.raw, self.prompt.healed))
        skip = len(self._tokenizer.decode(self.prompt.healed))
        return Continuation(pending, skip)

    def at(self, sampling: Sampling) -> Decoding:
        """The same for other continuations."""
        return Decoding(self._tokenizer, self._ends, self.prompt, sampling, self.control, self._on_delta)

    def named(self, name: Name, choice: Choice) -> Continuation:
        """One that begins with the name; it is shown alone if all of it is unlikely, or else not at all."""
        begun = self.begin()
        stops = [at for stop in self.sampling.stop if (at := name.rest.find(stop)) >= 0]
        logprobs = [(len(name.rest), name.logprob), *((len(name.rest), 0.0) for _ in name.ids[1:])]
        text = name.rest[: min(stops, default=None)]
        unlikely = not choice.always and name.logprob < self._min_logprob
        return replace(
            begun,
            pending="",
            closing=self._tokenizer.ending(choice.quote),
            ids=[*name.ids],
            new=max(1, len(name.ids) - len(self.prompt.healed)),
            logprobs=logprobs,
            text="" if unlikely else text,
            sure=0 if unlikely else len(text) + len(choice.quote) * choice.always,
            finish_reason="stop" if stops or unlikely or choice.alone else "",
            known=name.logprob if choice.always else 0.0,
        )

    def left(self, continuation: Continuation) -> int:
        """How many more tokens there may be."""
        most = self.prompt.max_new_tokens
        return min(most - continuation.new, most + len(self.prompt.healed) - len(continuation.ids))

    def is_over(self, continuations: Sequence[Continuation]) -> bool:
        """Whether there is nothing more to generate for any of them."""
        ended = all(continuation.finish_reason for continuation in continuations)
        return ended or min(map(self.left, continuations)) <= 0 or self.control.finished()

    def scores(self, logits: Logits, continuation: Continuation) -> Row:
        """The model's ``logits`` [rows] as they count, in float64: -inf for what can't come.

        That is rows without a token, and, while healed tokens are made again, all that doesn't go along.
        """
        row = self.following(logits, continuation.ids)
        if continuation.closing is not None:
            return _masked(row, continuation.closing)
        if self.is_bound(continuation):
            for character in self.sampling.avoid:
                row[self._tokenizer.writing(continuation.pending, character)] = -np.inf
            row[[*self._ends] if self.sampling.says_more else []] = -np.inf
        if not continuation.pending:
            return row
        healed, made = self.prompt.healed, len(continuation.ids)
        usual = healed[made] if tuple(continuation.ids) == healed[:made] else None
        allowed = self._tokenizer.tokens_along(continuation.pending, usual)
        return _masked(row, allowed)

    def is_bound(self, continuation: Continuation) -> bool:
        """Whether not every token may come next, for the text has said nothing yet."""
        return bool(self.sampling.avoid or self.sampling.says_more) and not continuation.text.strip()

    def following(self, logits: Logits, made: Sequence[int]) -> Row:
        """``scores`` of anything that comes after the ids ``made``."""
        row = logits.astype(np.float64)
        row[self._tokenizer.size :] = -np.inf
        text = self.prompt.cache_text
        return row if text is None else interpolated(row, text, made)

    def extend(self, continuation: Continuation, token: int, logprob: float) -> None:
        """Add a token; the text may end by it, before the word that makes all of it too unlikely too."""
        if token in self._ends:
            continuation.finish_reason = "stop"
            return
        continuation.closing = None
        continuation.pending, text = self._after(continuation, token)
        continuation.ids.append(token)
        continuation.new += bool(text)
        continuation.logprobs.append((len(text.rstrip(HALF)), logprob))
        stop = min((at for stop in self.sampling.stop if (at := text.find(stop)) >= 0), default=-1)
        text = text if stop < 0 else text[:stop]
        before = len(continuation.text.rstrip(HALF))
        if len(text[:before].strip()) >= WORTH_A_KEY and may_end(text, before):
            continuation.sure = max(continuation.sure, before)
        finishes = before > 0 and logprob >= LIKELY and FINISHES.fullmatch(text[before:])
        unlikely = not finishes and continuation.logprob - continuation.known < self._min_logprob
        if unlikely and (text != continuation.text or continuation.pending):
            text, stop = text[: continuation.sure], continuation.sure
        continuation.text = text
        continuation.finish_reason = "" if stop < 0 else "stop"

    def emit(self, index: int, continuation: Continuation) -> None:
        """Send what is certain: no half of a character, nothing that may turn out to begin a stop."""
        end = len(continuation.text.rstrip(HALF))
        if continuation.finish_reason:
            continuation.text = continuation.text[:end]
        else:
            end -= _stop_begun(continuation.text[:end], self.sampling.stop)
            if self._min_logprob > -math.inf:
                end = min(end, continuation.sure)
        if end > continuation.sent:
            self._on_delta(index, continuation.text[continuation.sent : end])
            continuation.sent = end

    def end(self, index: int, continuation: Continuation) -> None:
        """Say why it ended, and send the rest."""
        if not continuation.finish_reason:
            continuation.finish_reason = "stop" if self.control.finished() else "length"
        self.emit(index, continuation)

    def _after(self, continuation: Continuation, token: int) -> tuple[str, str]:
        """What is still pending once the continuation has the token, and its text then."""
        pending = continuation.pending
        if pending:
            raw = self._tokenizer.raw(token)
            pending = pending[len(raw) :] if pending.startswith(raw) else ""
        ids = [*continuation.ids, token]
        return pending, "" if pending else self._tokenizer.decode(ids)[continuation.skip :]


def _masked(row: Row, allowed: npt.NDArray[np.intp]) -> Row:
    masked = np.full_like(row, -np.inf)
    masked[allowed] = row[allowed]
    return masked


def may_end(text: str, at: int) -> bool:
    """Whether a suggestion may end there: neither in a word, nor behind a dot or a string's first quote."""
    return not is_within_word(text, at) and not OPENING.search(text[:at][-4:])


def is_within_word(text: str, at: int) -> bool:
    """Whether the characters before and after belong to one word."""
    return 0 < at < len(text) and all(c == "_" or c.isalnum() for c in text[at - 1 : at + 1])


def _stop_begun(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of ``text`` that is the beginning of a stop."""
    longest = max(map(len, stops), default=1) - 1
    return next(
        (n for n in range(min(longest, len(text)), 0, -1) if any(s.startswith(text[-n:]) for s in stops)), 0
    )
