"""Prompt ids -> text, token by token: prefill on top of what is cached, then decode."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

from ..prompt.fim import CodeTokenizer, Prompt
from ..protocol import Item, Sampling, Usage
from .continuation import MAX_REFUSED, Continuation, Decoding, OnDelta
from .lookup import PromptLookup
from .model import Logits, Model, RunsAhead
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
    ) -> None:
        """``ends``: tokens that end a text. ``cache_bytes``: the prompt cache's budget.

        ``prompt_lookup``: how many draft tokens a greedy step has at most, 0 for none. ``beams``: how many
        beginnings a search follows; with 1 nothing is searched.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._prompt_lookup = prompt_lookup
        self._beams = beams
        self._token_text: Callable[[int], str] = lru_cache(maxsize=None)(self._decoded)
        self.prompts = PromptCache(model.empty, cache_bytes)

    def warm(self, prompt: Prompt, control: Control) -> Usage:
        """As ``warming``, in one go."""
        return run(self.warming(prompt, control))

    def complete(self, prompt: Prompt, sampling: Sampling, control: Control, on_delta: OnDelta) -> Result:
        """As ``completing``, in one go."""
        return run(self.completing(prompt, sampling, control, on_delta))

    def warming(self, prompt: Prompt, control: Control) -> Work[Usage]:
        """Work that reads the prompt into the cache and generates nothing, a chunk in each step.

        What is read counts at once: cancelled, or while it waits for its turn, others go on from there.
        Raises Cancelled before a step, and what the model raises.
        """
        control.check()
        with self.prompts.using(prompt.ids) as entry:
            yield from self._prefill(entry, prompt, control)
        return Usage(len(prompt.ids), entry.cached, 0)

    def completing(
        self, prompt: Prompt, sampling: Sampling, control: Control, on_delta: OnDelta
    ) -> Work[Result]:
        """Work that generates ``sampling.n`` candidates; ``on_delta(index, text)`` for what is certain.

        A step is a chunk of prefill, a token of each candidate (or a few where drafts are right), or
        TRIED_A_STEP tokens held against the constraint. Raises Cancelled before a step, and what the model
        raises; cancelled before the first, it has cost nothing.
        """
        control.check()
        begun = time.perf_counter()
        decoding = Decoding(
            self._tokenizer, self._token_text, self._ends, prompt, sampling, control, on_delta
        )
        with self.prompts.using(prompt.ids) as entry:
            if self._beams > 1 and _may_search(sampling):
                logits = yield from self._prefill(entry, prompt, control)
                prefilled = time.perf_counter()
                found = yield from search(self._model, entry.kv, logits, decoding, self._beams)
                continuations = [found]
            else:
                logits = yield from self._prefill(entry, prompt, control, prompt.healed)
                prefilled = time.perf_counter()
                continuations = yield from self._decode(entry, logits, decoding)
        decoded = time.perf_counter()
        return Result(
            items=tuple(continuation.item(sampling.logprobs) for continuation in continuations),
            usage=Usage(len(prompt.ids), entry.cached, sum(c.new for c in continuations)),
            prefill_ms=1000 * (prefilled - begun),
            decode_ms=1000 * (decoded - prefilled),
        )

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
            start = len(entry.ids)
            chunk = [*prompt.ids[start : start + self._model.chunk]]
            last = start + len(chunk) == len(prompt.ids)
            more = [*healed] if last and entry.kv.can_be_cut(len(chunk) + len(healed)) else []
            logits = self._model.step(entry.kv, [[*chunk, *more]], 1 + len(more))
            entry.ids += [*chunk, *more]
            yield
            if last:
                return logits
            control.check()

    def _decode(self, entry: Entry, logits: Logits, decoding: Decoding) -> Work[list[Continuation]]:
        """``sampling.n`` continuations, a token of each in a step.

        With a single greedy one, draft tokens are read in the same step. One is kept where it is what greedy
        decoding picks, so the output is the same without. ``logits`` as _prefill returns them: the healed
        tokens are the first draft. Afterwards the entry ends where the last step's right drafts do, for
        several continuations with the prompt.
        """
        sampling, prompt = decoding.sampling, decoding.prompt
        continuations = [decoding.begin() for _ in range(sampling.n)]
        picker = Picker(sampling)
        # 1. A single continuation goes on in the entry, several in copies of it.
        single, kv = sampling.n == 1, entry.kv
        draft = entry.ids[len(prompt.ids) :]
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
            right, tokens = yield from self._picked(logits, draft, continuations, decoding, picker)
            if draft:
                entry.cut(len(entry.ids) - len(draft) + right)
            if decoding.is_over(continuations):
                break
            # 3. Where the model itself picks the rest, only what it may not pick is left to do.
            if runs_ahead and not continuations[0].pending:
                refused = yield from self._follow(entry, tokens[0], continuations[0], decoding)
                if refused is None:
                    break
                tokens = [refused]
            # 4. Read the new tokens, and a draft of what may follow.
            most = min(*map(decoding.left, continuations), self._model.together(kv)) - 1
            draft = lookup.draft([*entry.ids, tokens[0]])[:most]
            logits = self._model.step(kv, [[token, *draft] for token in tokens], 1 + len(draft))
            if single:
                entry.ids += [tokens[0], *draft]
            yield
        for index, continuation in enumerate(continuations):
            decoding.end(index, continuation)
        return continuations

    def _picked(
        self,
        logits: Logits,
        draft: Sequence[int],
        continuations: Sequence[Continuation],
        decoding: Decoding,
        picker: Picker,
    ) -> Work[tuple[int, list[int]]]:
        """Extend each continuation by the tokens that ``logits`` [n, 1 + draft, vocabulary] give.

        Returns how many draft tokens were right, and what was picked after them: a token for each.
        """
        for right, guess in enumerate(draft):
            tokens = yield from self._pick(logits[:, right], continuations, decoding, picker)
            if decoding.is_over(continuations) or tokens[0] != guess:
                return right, tokens
        tokens = yield from self._pick(logits[:, len(draft)], continuations, decoding, picker)
        return len(draft), tokens

    def _pick(
        self, logits: Logits, continuations: Sequence[Continuation], decoding: Decoding, picker: Picker
    ) -> Work[list[int]]:
        """Extend each continuation that hasn't ended by the token that its row of ``logits`` gives.

        Where that is refused it is the next one that isn't; where there is none the continuation ends. The
        log-probability is the one among all tokens: what the model was steered to, and doubts itself, counts
        as doubted.
        """
        tokens = []
        for index, continuation in enumerate(continuations):
            scores = decoding.scores(logits[index], continuation)
            token, logprob = picker.pick(scores)
            if decoding.refuses(continuation, token):
                order = picker.order(scores)[:MAX_REFUSED].tolist()
                others = yield from decoding.permitted(continuation, scores, order, 1)
                if others:
                    token, logprob = others[0], logprob + float(scores[others[0]] - scores[token])
                else:
                    continuation.finish_reason = "stop"
            if not continuation.finish_reason:
                decoding.extend(continuation, token, logprob)
                decoding.emit(index, continuation)
            tokens.append(token)
        return tokens

    def _follow(
        self, entry: Entry, token: int, continuation: Continuation, decoding: Decoding
    ) -> Work[int | None]:
        """Extend the continuation by what the model itself picks after ``token``, to its end.

        Where what it picks is refused, returns the token before, which has to be read again: the entry ends
        before it.
        """
        assert isinstance(self._model, RunsAhead)
        picks = self._model.greedy(entry.kv, token, self._tokenizer.size)
        left = decoding.left(continuation)
        with closing(picks):
            for _, (following, logprob) in zip(range(left), picks, strict=False):
                entry.ids.append(token)
                if decoding.refuses(continuation, following):
                    break
                token = following
                decoding.extend(continuation, token, logprob)
                decoding.emit(0, continuation)
                if continuation.finish_reason or decoding.control.finished():
                    return None
                yield
                decoding.control.check()
            else:
                return None
        entry.cut(len(entry.ids) - 1)
        return token

    def _decoded(self, token: int) -> str:
        return self._tokenizer.decode([token])


def _may_search(sampling: Sampling) -> bool:
    """Not for the sure beginning of a line: that is the greedy way to find."""
    greedy = sampling.n == 1 and not sampling.temperature
    return sampling.search and greedy and not sampling.min_probability
