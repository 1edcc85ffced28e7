"""Prompt ids -> text, token by token: prefill on top of what is cached, then decode."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from ..fim import CodeTokenizer, Prompt
from ..protocol import Item, Sampling, Usage
from .promptcache import Entry, PromptCache

# A cancelled prefill ends within one chunk.
CHUNK = {"cpu": 128}
GPU_CHUNK = 512

OnDelta = Callable[[int, str], None]


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
    """How a request is stopped from outside: looked at before every step."""

    cancelled: Callable[[], bool] = lambda: False
    finished: Callable[[], bool] = lambda: False


@dataclass
class _Candidate:
    """One row of the batch. ``pending`` is the healed token's raw text still to be generated."""

    pending: str
    skip: int
    ids: list[int] = field(default_factory=list)
    logprob: float = 0.0
    text: str = ""
    sent: int = 0
    finish_reason: str = ""


class Generator:
    """A model with its tokenizer and its prompt cache of ``cache_bytes``.

    Knows nothing of FIM or notebooks. One caller at a time.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: CodeTokenizer,
        ends: frozenset[int],
        cache_bytes: int = 256 * 2**20,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._ends = ends
        self._vocabulary = tokenizer.size
        self._chunk = CHUNK.get(model.device.type, GPU_CHUNK)
        self._prompts = PromptCache(model.config, cache_bytes)

    @torch.inference_mode()
    def warm(self, prompt: Prompt, control: Control) -> Usage:
        """Compute the prompt's keys and values, generate nothing. Raises Cancelled."""
        with self._entry(prompt) as entry:
            cached = len(entry.ids)
            self._prefill(entry, prompt, control)
        return Usage(len(prompt.ids), cached, 0)

    @torch.inference_mode()
    def complete(self, prompt: Prompt, sampling: Sampling, control: Control, on_delta: OnDelta) -> Result:
        """Generate ``sampling.n`` candidates; ``on_delta(index, text)`` as text becomes certain.

        Raises Cancelled within one decode step or one chunk of prefill.
        """
        begun = time.perf_counter()
        with self._entry(prompt) as entry:
            cached = len(entry.ids)
            logits = self._prefill(entry, prompt, control)
            prefilled = time.perf_counter()
            candidates = self._decode(entry, logits, prompt, sampling, control, on_delta)
        decoded = time.perf_counter()
        return Result(
            items=tuple(Item(c.text, c.finish_reason, c.logprob / max(1, len(c.ids))) for c in candidates),
            usage=Usage(len(prompt.ids), cached, sum(len(c.ids) for c in candidates)),
            prefill_ms=1000 * (prefilled - begun),
            decode_ms=1000 * (decoded - prefilled),
        )

    @contextmanager
    def _entry(self, prompt: Prompt) -> Iterator[Entry]:
        """The prompt's entry in the cache; lost if a step fails, kept if one is only cancelled."""
        entry = self._prompts.take(prompt.ids)
        try:
            yield entry
        except Cancelled:
            self._prompts.keep(entry)
            raise
        self._prompts.keep(entry)

    def _prefill(self, entry: Entry, prompt: Prompt, control: Control) -> torch.Tensor:
        """Logits [1, vocabulary] after the prompt's last id, with all of its ids in the entry."""
        logits = torch.empty(0)
        for start in range(len(entry.ids), len(prompt.ids), self._chunk):
            if control.cancelled():
                raise Cancelled
            chunk = prompt.ids[start : start + self._chunk]
            logits = self._step(entry.kv, [chunk])
            entry.ids.extend(chunk)
        return logits

    def _decode(
        self,
        entry: Entry,
        logits: torch.Tensor,
        prompt: Prompt,
        sampling: Sampling,
        control: Control,
        on_delta: OnDelta,
    ) -> list[_Candidate]:
        skip = len(self._tokenizer.decode(sorted(self._tokenizer.ids_of([prompt.healed]))))
        candidates = [_Candidate(prompt.healed, skip) for _ in range(sampling.n)]
        pick = _picker(sampling, self._model.device)
        kv = entry.kv
        if sampling.n > 1:
            kv = copy.deepcopy(kv)
            kv.batch_repeat_interleave(sampling.n)
            logits = logits.repeat(sampling.n, 1)
        for _ in range(prompt.max_new_tokens):
            if control.cancelled():
                raise Cancelled
            scores = torch.log_softmax(self._masked(logits.float(), candidates), dim=-1)
            tokens = pick(scores)
            for index, (candidate, token) in enumerate(zip(candidates, tokens, strict=True)):
                if not candidate.finish_reason:
                    self._extend(candidate, token, float(scores[index, token]), sampling.stop)
                    _emit(candidate, index, on_delta, sampling.stop)
            if all(c.finish_reason for c in candidates) or control.finished():
                break
            logits = self._step(kv, [[token] for token in tokens])
            if kv is entry.kv:
                entry.ids.append(tokens[0])
        for index, candidate in enumerate(candidates):
            candidate.finish_reason = candidate.finish_reason or ("stop" if control.finished() else "length")
            _emit(candidate, index, on_delta, ())
        return candidates

    def _step(self, kv: DynamicCache, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits [rows, vocabulary] after the rows' last ids."""
        ids = torch.tensor(rows, device=self._model.device)
        out = self._model(input_ids=ids, past_key_values=kv, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def _masked(self, logits: torch.Tensor, candidates: Sequence[_Candidate]) -> torch.Tensor:
        """Without the vocabulary's unused rows, and only along a healed token's text."""
        logits[:, self._vocabulary :] = -torch.inf
        for row, candidate in enumerate(candidates):
            if candidate.pending:
                mask = torch.full_like(logits[row], -torch.inf)
                mask[self._tokenizer.tokens_along(candidate.pending)] = 0
                logits[row] += mask
        return logits

    def _extend(self, candidate: _Candidate, token: int, logprob: float, stops: Sequence[str]) -> None:
        if token in self._ends:
            candidate.finish_reason = "stop"
            return
        candidate.ids.append(token)
        candidate.logprob += logprob
        if candidate.pending:
            raw = self._tokenizer.raw(token)
            candidate.pending = candidate.pending[len(raw) :] if candidate.pending.startswith(raw) else ""
        if not candidate.pending:
            text = self._tokenizer.decode(candidate.ids)[candidate.skip :]
            stop = min((at for stop in stops if (at := text.find(stop)) >= 0), default=-1)
            candidate.text = text if stop < 0 else text[:stop]
            candidate.finish_reason = "" if stop < 0 else "stop"


def _emit(candidate: _Candidate, index: int, on_delta: OnDelta, stops: Sequence[str]) -> None:
    """Send what is certain: no half of a character, nothing that may turn out to begin a stop."""
    candidate_end = len(candidate.text.rstrip("\ufffd"))
    if candidate.finish_reason:
        candidate.text = candidate.text[:candidate_end]
    else:
        candidate_end -= _stop_begun(candidate.text[:candidate_end], stops)
    if candidate_end > candidate.sent:
        on_delta(index, candidate.text[candidate.sent : candidate_end])
        candidate.sent = candidate_end


def _stop_begun(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of ``text`` that is the beginning of a stop."""
    longest = max(map(len, stops), default=1) - 1
    return next(
        (n for n in range(min(longest, len(text)), 0, -1) if any(s.startswith(text[-n:]) for s in stops)), 0
    )


def _picker(sampling: Sampling, device: torch.device) -> Callable[[torch.Tensor], list[int]]:
    """Log-probabilities [rows, vocabulary] -> a token a row, by transformers' own warpers."""
    if sampling.temperature == 0:
        return lambda scores: scores.argmax(dim=-1).tolist()
    temperature = TemperatureLogitsWarper(max(sampling.temperature, 1e-4))
    top_p = TopPLogitsWarper(sampling.top_p)
    generator = torch.Generator(device)
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)

    def pick(scores: torch.Tensor) -> list[int]:
        none = torch.empty(0, dtype=torch.long)  # the warpers take the ids so far and ignore them
        warped = top_p(none, temperature(none, scores))
        tokens: list[int] = torch.multinomial(warped.softmax(dim=-1), 1, generator=generator)[:, 0].tolist()
        return tokens

    return pick
