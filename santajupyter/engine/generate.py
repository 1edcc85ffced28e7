"""Prompt ids -> text, token by token: prefill on top of what is cached, then decode."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import itemgetter
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..prompt.fim import CodeTokenizer, Prompt
from ..protocol import Item, Sampling, Usage
from .cachemodel import mixed
from .model import Logits, Model, RunsAhead
from .promptcache import Entry, PromptCache

# Guessed tokens checked in one step; on a CPU that costs little more than one alone.
LOOKUP = 4
# Of a place's tokens so many are tried before the candidate ends.
MAX_REFUSED = 4000
# Of a search's beginnings so many times as many ways to go on are looked at in a step.
BRANCHES = 6
# To accept one character costs as many keys as to type it.
WORTH_A_KEY = 2

Row = npt.NDArray[np.float64]
OnDelta = Callable[[int, str], None]
T = TypeVar("T")
# What is done step by step, so that others can have a turn in between.
Work = Generator[None, None, T]


def run(work: Work[T]) -> T:
    """Do all of it; returns its result."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result


class Cancelled(Exception):
    """The request isn't wanted any more."""


@dataclass
class Result:
    items: tuple[Item, ...]
    usage: Usage
    prefill_ms: float
    decode_ms: float


@dataclass
class Control:
    """How a request is stopped from outside: looked at before every step.

    ``refuses`` tells the texts that must not come; a token that would make one is passed over.
    """

    cancelled: Callable[[], bool] = lambda: False
    finished: Callable[[], bool] = lambda: False
    refuses: Callable[[str], bool] | None = None


@dataclass
class _Candidate:
    """One row of the batch. ``pending`` is the healed tokens' raw text still to be generated.

    ``made``: how many of the ``ids`` have text that is new. ``logprobs``: of each id, with the length of the
    certain text after it. ``sure``: the length of the text that is likelier than ``min_logprob``, up to the
    end of a word.
    """

    pending: str
    skip: int
    min_logprob: float = -math.inf
    ids: list[int] = field(default_factory=list)
    made: int = 0
    logprobs: list[tuple[int, float]] = field(default_factory=list)
    text: str = ""
    sure: int = 0
    sent: int = 0
    finish_reason: str = ""

    @property
    def logprob(self) -> float:
        return sum(logprob for _, logprob in self.logprobs)

    def left(self, prompt: Prompt) -> int:
        """How many more tokens there may be."""
        new = prompt.max_new_tokens
        return min(new - self.made, new + len(prompt.healed) - len(self.ids))

    def copy(self) -> _Candidate:
        return replace(self, ids=[*self.ids], logprobs=[*self.logprobs])

    def item(self, detailed: bool) -> Item:
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


class Completer:
    """A model with its tokenizer and its prompt cache of ``cache_bytes``.

    ``lookup``: how many tokens are guessed a step. ``beams``: how many beginnings are followed in search of
    the likeliest line.

    Knows nothing of FIM or notebooks. Use from one thread; several works may be in progress, one
    step of each at a time.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: CodeTokenizer,
        ends: frozenset[int],
        cache_bytes: int = 256 * 2**20,
        lookup: int = LOOKUP,
        beams: int = 1,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._vocabulary = tokenizer.size
        self._lookup = lookup
        self._beams = beams
        self.prompts = PromptCache(model.empty, cache_bytes)

    def warm(self, prompt: Prompt, control: Control) -> Usage:
        """Compute the prompt's keys and values, generate nothing. Raises Cancelled."""
        return run(self.warming(prompt, control))

    def complete(self, prompt: Prompt, sampling: Sampling, control: Control, on_delta: OnDelta) -> Result:
        """As ``completing``, in one go."""
        return run(self.completing(prompt, sampling, control, on_delta))

    def warming(self, prompt: Prompt, control: Control) -> Work[Usage]:
        """Work that computes the prompt's keys and values. Raises Cancelled."""
        with self._entry(prompt) as entry:
            cached = len(entry.ids)
            yield from self._prefill(entry, prompt, control)
        return Usage(len(prompt.ids), cached, 0)

    def completing(
        self, prompt: Prompt, sampling: Sampling, control: Control, on_delta: OnDelta
    ) -> Work[Result]:
        """Work that generates ``sampling.n`` candidates; ``on_delta(index, text)`` for what is certain.

        Raises Cancelled within one decode step or one chunk of prefill.
        """
        begun = time.perf_counter()
        with self._entry(prompt) as entry:
            cached = len(entry.ids)
            searching = self._beams > 1 and _is_for_the_likeliest_line(sampling)
            logits = yield from self._prefill(entry, prompt, control, () if searching else prompt.healed)
            prefilled = time.perf_counter()
            work = self._search if searching else self._decode
            candidates = yield from work(entry, logits, prompt, sampling, control, on_delta)
        decoded = time.perf_counter()
        return Result(
            items=tuple(candidate.item(sampling.logprobs) for candidate in candidates),
            usage=Usage(len(prompt.ids), cached, sum(c.made for c in candidates)),
            prefill_ms=1000 * (prefilled - begun),
            decode_ms=1000 * (decoded - prefilled),
        )

    @contextmanager
    def _entry(self, prompt: Prompt) -> Iterator[Entry]:
        """The prompt's entry in the cache; lost if a step fails, kept if one is only cancelled."""
        entry = self.prompts.take(prompt.ids)
        try:
            yield entry
        except Cancelled:
            self.prompts.keep(entry)
            raise
        self.prompts.keep(entry)

    def _prefill(
        self, entry: Entry, prompt: Prompt, control: Control, healed: Sequence[int] = ()
    ) -> Work[Logits]:
        """Logits [1, n, vocabulary] after the prompt's last id and each of ``healed``, all now in the entry.

        Without the healed where the entry couldn't lose them again.
        """
        logits: Logits = np.empty(0, np.float32)
        more: list[int] = []
        for start in range(len(entry.ids), len(prompt.ids), self._model.chunk):
            if control.cancelled():
                raise Cancelled
            chunk = prompt.ids[start : start + self._model.chunk]
            if start + len(chunk) == len(prompt.ids) and entry.kv.can_be_cut(len(chunk) + len(healed)):
                more = [*healed]
            logits = self._model.step(entry.kv, [[*chunk, *more]], 1 + len(more))
            entry.ids += [*chunk, *more]
            yield
        return logits

    def _decode(
        self,
        entry: Entry,
        logits: Logits,
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
    ) -> Work[list[_Candidate]]:
        """Token by token; with one greedy candidate, guesses are checked in the same step.

        A guess is kept where it is what greedy decoding picks, so the output is the same without it.
        """
        candidates = [self._candidate(prompt, sampling) for _ in range(sampling.n)]
        pick = _Picker(sampling)
        single = sampling.n == 1
        guessed = entry.ids[len(prompt.ids) :]
        if not single:
            entry.cut(len(prompt.ids))
            logits, guessed = logits[:, :1].repeat(sampling.n, axis=0), []
        kv = entry.kv if single else entry.kv.picked([0] * sampling.n)
        greedy = single and sampling.temperature == 0
        ahead = self._model if greedy and prompt.own is None and isinstance(self._model, RunsAhead) else None
        guesses = self._lookup if greedy and kv.can_be_cut(prompt.max_new_tokens) else 0
        lookup = _Lookup(prompt.ids, guesses)
        while True:
            if control.cancelled():
                raise Cancelled
            for at in range(1 + len(guessed)):
                tokens = self._pick(logits[:, at], candidates, prompt, pick, sampling.stop, control, on_delta)
                left = min(candidate.left(prompt) for candidate in candidates)
                over = left == 0 or all(c.finish_reason for c in candidates) or control.finished()
                if over or (at < len(guessed) and tokens[0] != guessed[at]):
                    break
            if guessed:
                entry.cut(len(entry.ids) - len(guessed) + at)
            if over:
                break
            if ahead and not candidates[0].pending:
                picks = ahead.greedy(kv, tokens[0], self._vocabulary)
                refused = yield from self._follow(
                    picks, left, entry, tokens[0], candidates[0], sampling.stop, control, on_delta
                )
                if refused is None:
                    break
                tokens, left = [refused], candidates[0].left(prompt)
            most = min(left, self._model.together(kv)) - 1
            guessed = lookup.guess([*entry.ids, tokens[0]])[:most]
            logits = self._model.step(kv, [[token, *guessed] for token in tokens], 1 + len(guessed))
            if single:
                entry.ids += [tokens[0], *guessed]
            yield
        for index, candidate in enumerate(candidates):
            candidate.finish_reason = candidate.finish_reason or ("stop" if control.finished() else "length")
            _emit(candidate, index, on_delta, ())
        return candidates

    def _search(
        self,
        entry: Entry,
        logits: Logits,
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
    ) -> Work[list[_Candidate]]:
        """The likeliest text among those that the likeliest ``beams`` beginnings lead to; sent as a whole.

        Texts with the same end in different tokens, one newline or two, are one, as likely as all of them.
        """
        live = [self._candidate(prompt, sampling)]
        ended: dict[str, tuple[float, _Candidate]] = {}
        kv = entry.kv.picked([0])
        while True:
            if control.cancelled():
                raise Cancelled
            following: list[tuple[int, _Candidate]] = []
            branches = self._branches(logits[:, -1], live, prompt, control)
            for logprob, index, token, of_token in islice(branches, BRANCHES * self._beams):
                branch = live[index].copy()
                self._extend(branch, token, of_token, sampling.stop)
                if branch.finish_reason or not branch.left(prompt):
                    before, first = ended.get(branch.text, (-math.inf, branch))
                    ended[branch.text] = float(np.logaddexp(before, logprob)), first
                elif len(following) < self._beams:
                    following.append((index, branch))
            likeliest, found = max(ended.values(), key=itemgetter(0), default=(-math.inf, live[0]))
            live = [branch for _, branch in following]
            if not live or control.finished() or likeliest >= live[0].logprob:
                break
            kv = kv.picked([index for index, _ in following])
            logits = self._model.step(kv, [branch.ids[-1:] for branch in live])
            yield
        found.finish_reason = found.finish_reason or ("stop" if control.finished() else "length")
        _emit(found, 0, on_delta, ())
        return [found]

    def _branches(
        self, logits: Logits, live: Sequence[_Candidate], prompt: Prompt, control: Control
    ) -> Iterator[tuple[float, int, int, float]]:
        """What may follow, likeliest first: its log-probability, after which of ``live``, token, its own."""

        def following(index: int) -> Iterator[tuple[float, int, int, float]]:
            row = self._row(logits[index], live[index], prompt)
            row -= row.max() + np.log(np.exp(row - row.max()).sum())
            before = live[index].logprob
            for token in np.argsort(-row, kind="stable")[:MAX_REFUSED].tolist():
                if row[token] > -np.inf and not self._is_refused(live[index], token, control):
                    yield before + row[token], index, token, float(row[token])

        return heapq.merge(*map(following, range(len(live))), key=lambda branch: -branch[0])

    def _candidate(self, prompt: Prompt, sampling: Sampling) -> _Candidate:
        pending = "".join(map(self._tokenizer.raw, prompt.healed))
        least = math.log(sampling.min_probability) if sampling.min_probability > 0 else -math.inf
        return _Candidate(pending, len(self._tokenizer.decode(prompt.healed)), least)

    def _follow(
        self,
        picks: Generator[tuple[int, float], None, None],
        left: int,
        entry: Entry,
        token: int,
        candidate: _Candidate,
        stops: Sequence[str],
        control: Control,
        on_delta: OnDelta,
    ) -> Work[int | None]:
        """At most ``left`` tokens after ``token``, picked by the model.

        Where what it picks is refused, returns the token before, which has to be read again.
        """
        with closing(picks):
            for _, (following, logprob) in zip(range(left), picks, strict=False):
                entry.ids.append(token)
                if self._is_refused(candidate, following, control):
                    break
                token = following
                self._extend(candidate, token, logprob, stops)
                _emit(candidate, 0, on_delta, stops)
                if candidate.finish_reason or control.finished():
                    return None
                yield
                if control.cancelled():
                    raise Cancelled
            else:
                return None
        entry.cut(len(entry.ids) - 1)
        return token

    def _pick(
        self,
        logits: Logits,
        candidates: Sequence[_Candidate],
        prompt: Prompt,
        pick: _Picker,
        stops: Sequence[str],
        control: Control,
        on_delta: OnDelta,
    ) -> list[int]:
        """Extend each candidate that isn't finished by the token that its row of logits gives."""
        tokens = []
        for index, candidate in enumerate(candidates):
            row = self._row(logits[index], candidate, prompt)
            token, logprob = self._permitted(candidate, row, pick, control)
            tokens.append(token)
            if not candidate.finish_reason:
                self._extend(candidate, token, logprob, stops)
                _emit(candidate, index, on_delta, stops)
        return tokens

    def _row(self, logits: Logits, candidate: _Candidate, prompt: Prompt) -> Row:
        """Logits [vocabulary] as they count: mixed, and of what goes along with the text to be made again."""
        row = logits.astype(np.float64)
        row[self._vocabulary :] = -np.inf  # the model's unused rows
        if prompt.own is not None and not candidate.finish_reason:
            row = mixed(row, prompt.own, candidate.ids)
        if not candidate.pending:
            return row
        made = len(candidate.ids)
        usual = prompt.healed[made] if tuple(candidate.ids) == prompt.healed[:made] else None
        allowed = self._tokenizer.tokens_along(candidate.pending, usual)
        masked = np.full_like(row, -np.inf)
        masked[allowed] = row[allowed]
        return masked

    def _permitted(
        self, candidate: _Candidate, row: Row, pick: _Picker, control: Control
    ) -> tuple[int, float]:
        """The token picked or, where that is refused, the next one that isn't; its log-probability of all.

        So what the model was steered to, and doubts itself, counts as doubted. Where there is none the
        candidate ends.
        """
        token, logprob = pick(row)
        if not self._is_refused(candidate, token, control):
            return token, logprob
        for other in pick.order(row)[:MAX_REFUSED].tolist():
            if row[other] > -np.inf and not self._is_refused(candidate, other, control):
                return other, logprob + float(row[other] - row[token])
        candidate.finish_reason = "stop"
        return token, logprob

    def _is_refused(self, candidate: _Candidate, token: int, control: Control) -> bool:
        if control.refuses is None or candidate.finish_reason:
            return False
        if token in self._ends:  # as good as a line's end, for what isn't nothing at all
            return bool(candidate.text) and control.refuses(candidate.text + "\n")
        return control.refuses(self._after(candidate, token)[1])

    def _after(self, candidate: _Candidate, token: int) -> tuple[str, str]:
        """What is still pending once the candidate has the token, and its text then."""
        pending = candidate.pending
        if pending:
            raw = self._tokenizer.raw(token)
            pending = pending[len(raw) :] if pending.startswith(raw) else ""
        text = "" if pending else self._tokenizer.decode([*candidate.ids, token])[candidate.skip :]
        return pending, text

    def _extend(self, candidate: _Candidate, token: int, logprob: float, stops: Sequence[str]) -> None:
        if token in self._ends:
            candidate.finish_reason = "stop"
            return
        candidate.pending, text = self._after(candidate, token)
        candidate.ids.append(token)
        candidate.made += bool(text)
        candidate.logprobs.append((len(text.rstrip("\ufffd")), logprob))
        stop = min((at for stop in stops if (at := text.find(stop)) >= 0), default=-1)
        text = text if stop < 0 else text[:stop]
        before = len(candidate.text.rstrip("\ufffd"))
        if len(text[:before].strip()) >= WORTH_A_KEY and not _is_within_word(text, before):
            candidate.sure = before
        if candidate.logprob < candidate.min_logprob and (text != candidate.text or candidate.pending):
            text, stop = text[: candidate.sure], candidate.sure
        candidate.text = text
        candidate.finish_reason = "" if stop < 0 else "stop"


def _is_for_the_likeliest_line(sampling: Sampling) -> bool:
    """Not for the sure beginning of one: that is the greedy way to find."""
    greedy = sampling.n == 1 and not sampling.temperature
    return greedy and not sampling.min_probability and "\n" in sampling.stop


def _emit(candidate: _Candidate, index: int, on_delta: OnDelta, stops: Sequence[str]) -> None:
    """Send what is certain: no half of a character, nothing that may turn out to begin a stop."""
    candidate_end = len(candidate.text.rstrip("\ufffd"))
    if candidate.finish_reason:
        candidate.text = candidate.text[:candidate_end]
    else:
        candidate_end -= _stop_begun(candidate.text[:candidate_end], stops)
        if candidate.min_logprob > -math.inf:
            candidate_end = min(candidate_end, candidate.sure)
    if candidate_end > candidate.sent:
        on_delta(index, candidate.text[candidate.sent : candidate_end])
        candidate.sent = candidate_end


def _is_within_word(text: str, at: int) -> bool:
    """Whether the characters before and after belong to one word."""
    return 0 < at < len(text) and all(c == "_" or c.isalnum() for c in text[at - 1 : at + 1])


def _stop_begun(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of ``text`` that is the beginning of a stop."""
    longest = max(map(len, stops), default=1) - 1
    return next(
        (n for n in range(min(longest, len(text)), 0, -1) if any(s.startswith(text[-n:]) for s in stops)), 0
    )


class _Lookup:
    """Guesses what comes next from where the last tokens stood before: code repeats itself.

    Prompt lookup decoding, https://github.com/apoorvumang/prompt-lookup-decoding.
    """

    def __init__(self, ids: Sequence[int], length: int) -> None:
        self._length = length
        self._after: dict[tuple[int, ...], int] = {}
        self._known = 0
        if length:
            self._learn(ids)

    def guess(self, ids: Sequence[int]) -> list[int]:
        """At most ``length`` tokens; ``ids``: all so far."""
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


class _Picker:
    """Logits [vocabulary] -> a token and its natural log-probability; top_p as transformers does it."""

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = max(sampling.temperature, 1e-4) if sampling.temperature else 0.0
        self._top_p = sampling.top_p
        self._random = np.random.default_rng(sampling.seed)

    def __call__(self, logits: Row) -> tuple[int, float]:
        top = logits.max()
        total = top + np.log(np.exp(logits - top).sum())
        if not self._temperature:
            token = int(logits.argmax())
        else:
            scaled = (logits - top) / self._temperature
            token = _sample(np.exp(scaled) / np.exp(scaled).sum(), self._top_p, self._random)
        return token, float(logits[token] - total)

    def order(self, logits: Row) -> npt.NDArray[np.intp]:
        """The tokens as they would be drawn one after another (Gumbel's trick), of all, whatever top_p."""
        if self._temperature:
            logits = logits / self._temperature + self._random.gumbel(size=len(logits))
        return np.argsort(-logits, kind="stable")


def _sample(probabilities: Row, top_p: float, random: np.random.Generator) -> int:
    """From the smallest set of likeliest tokens whose probabilities add up to ``top_p``."""
    order = np.argsort(-probabilities, kind="stable")
    cumulative = probabilities[order].cumsum()
    kept = int(np.searchsorted(cumulative, min(top_p, 1.0) * cumulative[-1])) + 1
    place = np.searchsorted(cumulative[:kept], random.random() * cumulative[:kept][-1], side="right")
    return int(order[min(int(place), kept - 1)])
