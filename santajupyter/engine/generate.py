"""Prompt ids -> text, token by token: prefill on top of what is cached, then decode."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from ..prompt.choices import Choice
from ..prompt.fim import Prompt
from ..prompt.tokenizer import CodeTokenizer
from ..protocol import Item, Sampling, Usage
from .continuation import Continuation, Decoding, OnDelta
from .lookup import PromptLookup
from .model import Logits, Model, RunsAhead
from .naming import Naming
from .promptcache import Entry, PromptCache
from .sampling import Picker
from .search import search
from .work import Control, Work, run


@dataclass
class Result:
    """The candidates, what they cost in tokens, and how long prefill and decode took.

    Times are in milliseconds from the first step on; those of other works' turns are in them.
    """

    items: tuple[Item, ...]
    usage: Usage
    prefill_ms: float
    decode_ms: float


class Completer:
    """A model with its tokenizer and its prompt cache.

    Knows nothing of FIM or notebooks. Use from one thread; several works may be in progress, one
    step of each at a time. A work that fails or is cancelled leaves the others as they are.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: CodeTokenizer,
        ends: frozenset[int],
        *,
        cache_bytes: int,
        prompt_lookup: int,
        beams: int,
        trust: float = 1.0,
    ) -> None:
        """``ends``: tokens that end a text. ``cache_bytes``: the prompt cache's budget.

        ``prompt_lookup``: how many draft tokens a greedy step has at most, 0 for none. ``beams``: how many
        beginnings a search follows; with 1 nothing is searched. ``trust``: how much the model's opinion of a
        name that it can't know counts beside how well that fits.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._prompt_lookup = prompt_lookup
        self._beams = beams
        self._trust = trust
        self.prompts = PromptCache(model.empty, cache_bytes)

    def warm(self, prompt: Prompt, control: Control) -> Usage:
        """As ``warming``, in one go."""
        return run(self.warming(prompt, control))

    def complete(
        self,
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
        choice: Choice | None = None,
    ) -> Result:
        """As ``completing``, in one go."""
        return run(self.completing(prompt, sampling, control, on_delta, choice))

    def warming(self, prompt: Prompt, control: Control) -> Work[Usage]:
        """Work that reads the prompt into the cache and generates nothing, a chunk in each step.

        What is read counts at once: cancelled, or while it waits for its turn, others go on from there.
        Raises Cancelled before a step, and what the model raises.
        """
        control.check()
        with self.prompts.using(prompt) as entry:
            yield from self._prefill(entry, prompt, control)
        return Usage(len(prompt.ids), entry.cached, 0)

    def completing(
        self,
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
        choice: Choice | None = None,
    ) -> Work[Result]:
        """Work that generates ``sampling.n`` candidates; ``on_delta(index, text)`` for what is certain.

        With a ``choice`` each begins with another one of its names, the best first, and there may be fewer.
        A step is a chunk of prefill, a few names read, or a token of each candidate (or a few where drafts
        are right). Raises Cancelled before a step, and what the model raises; cancelled before the first, it
        has cost nothing.
        """
        control.check()
        begun = time.perf_counter()
        decoding = Decoding(self._tokenizer, self._ends, prompt, sampling, control, on_delta)
        with self.prompts.using(prompt) as entry:
            searches = self._beams > 1 and _may_search(sampling)
            healed = () if searches or choice else prompt.healed
            logits = yield from self._prefill(entry, prompt, control, healed)
            prefilled = time.perf_counter()
            continuations: list[Continuation] = []
            if choice:
                continuations = yield from self._named(entry, logits, decoding, choice)
            if not continuations and searches:
                continuations = yield from self._search(entry, logits, decoding)
            elif not continuations:
                continuations = yield from self._decode(entry, logits, decoding)
        decoded = time.perf_counter()
        return Result(
            items=tuple(continuation.item(sampling.logprobs) for continuation in continuations),
            usage=Usage(len(prompt.ids), entry.cached, sum(c.new for c in continuations)),
            prefill_ms=1000 * (prefilled - begun),
            decode_ms=1000 * (decoded - prefilled),
        )

    def _named(
        self, entry: Entry, logits: Logits, decoding: Decoding, choice: Choice
    ) -> Work[list[Continuation]]:
        """A continuation for each of the best names, one after the other; none where no name has room."""
        prompt, sampling, control = decoding.prompt, decoding.sampling, decoding.control
        # A library's names it may know; those of the user's data it has never seen.
        trust = self._trust if choice.always else 1.0
        naming = Naming(self._model, self._tokenizer, prompt, decoding.following, trust, control)
        most = sampling.n if entry.kv.can_be_cut(prompt.max_new_tokens) else 1
        names = yield from naming.best(entry.kv, logits, choice, most)
        alone = replace(sampling, n=1, temperature=0.0 if sampling.n > 1 else sampling.temperature)
        decoding = decoding.at(alone)
        continuations = []
        for index, name in enumerate(names):
            control.check()
            begun = decoding.named(name, choice)
            decoding.emit(index, begun)
            if not begun.finish_reason and decoding.left(begun) > 0 and not control.finished():
                entry.cut(len(prompt.ids))
                logits = self._model.step(entry.kv, [begun.ids])
                entry.ids += begun.ids
                yield
                follow = self._search if self._beams > 1 and _may_search(alone) else self._decode
                [begun] = yield from follow(entry, logits, decoding, begun, index)
            decoding.end(index, begun)
            continuations.append(begun)
        return continuations

    def _search(
        self,
        entry: Entry,
        logits: Logits,
        decoding: Decoding,
        begun: Continuation | None = None,
        index: int = 0,
    ) -> Work[list[Continuation]]:
        """The likeliest continuation, or the likeliest way to go on with one that has begun."""
        found = yield from search(self._model, entry.kv, logits, decoding, self._beams, begun, index)
        return [found]

    def _prefill(
        self, entry: Entry, prompt: Prompt, control: Control, healed: Sequence[int] = ()
    ) -> Work[Logits]:
        """Read the rest of the prompt's ids into the entry, a chunk in each step; at least the last id.

        Returns logits [1, n, vocabulary]: after the prompt's last id, and after each of ``healed``, which
        are read in the same step; all these ids are in the entry then. Where its keys and values couldn't
        be cut back (see KV.can_be_cut), the healed ids are not read, and n is 1. Raises Cancelled.
        """
        while True:
            self.prompts.catch_up(entry, prompt.ids)
            control.reads(entry.left(prompt))
            before = entry.put_below(prompt, self._model.chunk)
            start = len(entry.ids)
            chunk = [*prompt.ids[start : start + self._model.chunk]]
            last = start + len(chunk) == len(prompt.ids)
            more = [*healed] if last and entry.kv.can_be_cut(len(chunk) + len(healed)) else []
            logits = self._model.step(entry.kv, [[*before, *chunk, *more]], 1 + len(more))
            entry.ids += [*chunk, *more]
            yield
            if last:
                return logits
            control.check()

    def _decode(
        self,
        entry: Entry,
        logits: Logits,
        decoding: Decoding,
        begun: Continuation | None = None,
        index: int = 0,
    ) -> Work[list[Continuation]]:
        """``sampling.n`` continuations, a token of each in a step.

        With a single greedy one, draft tokens are read in the same step. One is kept where it is what greedy
        decoding picks, so the output is the same without. ``logits`` as _prefill returns them: the healed
        tokens are the first draft. Afterwards the entry ends where the last step's right drafts do, for
        several continuations with the prompt. One that has ``begun`` is the only one, its ids are in the
        entry, and it is the candidate ``index``.
        """
        sampling, prompt = decoding.sampling, decoding.prompt
        continuations = [begun] if begun else [decoding.begin() for _ in range(sampling.n)]
        picker = Picker(sampling)
        # 1. A single continuation goes on in the entry, several in copies of it.
        single, kv = sampling.n == 1, entry.kv
        draft = [] if begun else entry.ids[len(prompt.ids) :]
        if not single:
            entry.cut(len(prompt.ids))
            logits, draft = logits[:, :1].repeat(sampling.n, axis=0), []
            kv = entry.kv.picked([0] * sampling.n)
        greedy = single and sampling.temperature == 0
        runs_ahead = greedy and prompt.cache_text is None and isinstance(self._model, RunsAhead)
        drafts = greedy and kv.can_be_cut(prompt.max_new_tokens)
        lookup = PromptLookup(prompt.ids, self._prompt_lookup if drafts else 0)
        while True:
            decoding.control.check()
            # 2. Pick what follows the last token, and the draft tokens as far as they are right.
            right, tokens = self._picked(logits, draft, continuations, decoding, picker, index)
            if draft:
                entry.cut(len(entry.ids) - len(draft) + right)
            if decoding.is_over(continuations):
                break
            # 3. Where the model itself can pick the rest, it does.
            if runs_ahead and not (continuations[0].pending or decoding.is_bound(continuations[0])):
                yield from self._follow(entry, tokens[0], continuations[0], decoding, index)
                break
            # 4. Read the new tokens, and a draft of what may follow.
            most = min(*map(decoding.left, continuations), self._model.together(kv)) - 1
            draft = lookup.draft([*entry.ids, tokens[0]])[:most]
            logits = self._model.step(kv, [[token, *draft] for token in tokens], 1 + len(draft))
            if single:
                entry.ids += [tokens[0], *draft]
            yield
        for number, continuation in enumerate(continuations, index):
            decoding.end(number, continuation)
        return continuations

    def _picked(
        self,
        logits: Logits,
        draft: Sequence[int],
        continuations: Sequence[Continuation],
        decoding: Decoding,
        picker: Picker,
        index: int,
    ) -> tuple[int, list[int]]:
        """Extend each continuation by the tokens that ``logits`` [n, 1 + draft, vocabulary] give.

        Returns how many draft tokens were right, and what was picked after them: a token for each.
        ``index``: the first one's number.
        """
        for right, guess in enumerate(draft):
            tokens = _pick(logits[:, right], continuations, decoding, picker, index)
            if decoding.is_over(continuations) or tokens[0] != guess:
                return right, tokens
        return len(draft), _pick(logits[:, len(draft)], continuations, decoding, picker, index)

    def _follow(
        self, entry: Entry, token: int, continuation: Continuation, decoding: Decoding, index: int
    ) -> Work[None]:
        """Extend the continuation by what the model itself picks after ``token``, to its end."""
        assert isinstance(self._model, RunsAhead)
        picks = self._model.greedy(entry.kv, token, self._tokenizer.size)
        left = decoding.left(continuation)
        with closing(picks):
            for _, (following, logprob) in zip(range(left), picks, strict=False):
                entry.ids.append(token)
                token = following
                decoding.extend(continuation, token, logprob)
                decoding.emit(index, continuation)
                if continuation.finish_reason or decoding.control.finished():
                    return
                yield
                decoding.control.check()


def _pick(
    logits: Logits, continuations: Sequence[Continuation], decoding: Decoding, picker: Picker, index: int
) -> list[int]:
    """Extend each continuation that hasn't ended by the token that its row of ``logits`` gives."""
    tokens = []
    for number, continuation in enumerate(continuations):
        token, logprob = picker.pick(decoding.scores(logits[number], continuation))
        if not continuation.finish_reason:
            decoding.extend(continuation, token, logprob)
            decoding.emit(index + number, continuation)
        tokens.append(token)
    return tokens


def _may_search(sampling: Sampling) -> bool:
    """Not for the sure beginning of a line: that is the greedy way to find."""
    greedy = sampling.n == 1 and not sampling.temperature
    return sampling.search and greedy and not sampling.min_probability
