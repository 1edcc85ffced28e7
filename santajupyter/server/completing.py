"""What becomes of an admitted request: its prompt, the engine's answer to it, and the rules for that."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain, repeat
from typing import Any

from ..engine import wire
from ..engine.process import Call, EngineProcess, EngineUnavailable, RequestFailed
from ..prompt import postprocess
from ..prompt.beginning import avoided
from ..prompt.check import Check
from ..prompt.choices import Choice
from ..prompt.doccomments import Slot, addition, slot_around
from ..prompt.document import Document
from ..prompt.languages import language_of
from ..prompt.place import Place
from ..prompt.repairs import infilled, infilling
from ..protocol import (
    Completion,
    CompletionRequest,
    Documentation,
    Fix,
    Item,
    Meanwhile,
    Sampling,
    TextRequest,
    Timings,
    Usage,
)
from . import metrics, spans
from .candidate import BROKEN, Candidate
from .engines import Engine, Engines
from .prompts import Prompts
from .settings import Settings
from .status import Statistics
from .users import current_user

# (index of the candidate, what may be shown of it since)
OnDelta = Callable[[int, str], Awaitable[None]]
OnMeanwhile = Callable[[Meanwhile], Awaitable[None]]
# Rules by which the user, where he has asked, gets the next best text.
DROPPED = frozenset(postprocess.REASONS.values())
# What a docstring and the code behind it may still take.
MORE_TOKENS = 192
# In the place of a broken candidate, or of one of these, so many others are looked at, at this temperature.
OTHERS = 3
OTHERS_TEMPERATURE = 0.8
# How likely a line that nobody asked for has to be, where model and configuration say nothing: of a 0.5 B
# model's less likely ones hardly any was right. A block would end after a line or two.
LINE_LIMIT = 0.1
# What is worth showing alone.
WORD = re.compile(r"\w\w")


@dataclass(frozen=True)
class _Asked:
    """What the engine is asked. ``place`` None: no rules. ``since``, ``primary_only``: see Engines.available.

    ``check``: what is held against what is there. ``begun``: the document's end, where that is an answer's
    beginning. ``limited``: what isn't likely isn't shown.
    """

    document: Document
    sampling: Sampling
    since: int
    place: Place | None = None
    choice: Choice | None = None
    check: Check | None = None
    begun: str = ""
    automatic: bool = False
    limited: bool = False
    min_probability: float = 0.0
    primary_only: bool = False
    prefetch: bool = False
    warm: bool = False

    def of(self, process: EngineProcess, min_probability: float) -> Call:
        if self.warm:
            return process.warm(self.document, self.sampling, current_user.get())
        sampling = replace(self.sampling, min_probability=min_probability)
        user = current_user.get()
        return process.complete(self.document, sampling, self.automatic, self.choice, self.prefetch, user)


class Completing:
    """Each method does one request. All raise EngineUnavailable and RequestFailed."""

    def __init__(
        self, settings: Settings, engines: Engines, prompts: Prompts, statistics: Statistics
    ) -> None:
        self._settings, self._engines, self._prompts = settings, engines, prompts
        self._statistics = statistics

    async def complete(
        self, request: CompletionRequest, on_delta: OnDelta | None, on_meanwhile: OnMeanwhile | None = None
    ) -> Completion:
        """Complete at the request's cursor; what was told to ``on_delta`` is a beginning of the result.

        ``on_meanwhile``: told before that what another model suggests, where the prompt takes long to read.
        """
        since = self._engines.unloads
        with metrics.STAGE_SECONDS.labels("prompt").time(), spans.span("prompt"):
            document, place, choice, check = await self._prompts.make(request)
        automatic = request.trigger == "automatic"
        stop = (*place.stop, *request.sampling.stop)
        sampling = replace(
            request.sampling, stop=stop, search=not place.block, avoid=avoided(document, place)
        )
        # Who asks behind a comment wants what it says, not more words.
        begun = place.next_line if place.comment and place.block and not automatic else ""
        asked = _Asked(
            replace(document, prefix=document.prefix + begun),
            sampling,
            since,
            place,
            choice,
            check,
            begun,
            automatic=automatic,
            # A model that has a limit writes little of use behind a name that it doesn't know, either.
            limited=automatic or (choice is not None and choice.always),
            min_probability=request.min_probability,
            primary_only=request.mode == "block" and not automatic,
            prefetch=request.prefetch,
        )
        may_stand_in = request.n == 1 and not (asked.primary_only or asked.prefetch)
        return await self._run(asked, on_delta, on_meanwhile if may_stand_in else None)

    async def complete_text(self, request: TextRequest, on_delta: OnDelta | None) -> Completion:
        """Complete between a prompt and a suffix, exactly as the model writes it."""
        document = Document(request.prompt, request.suffix, infill=request.infill)
        choice = None
        if asked := request.structured_outputs:
            choice = Choice(asked.choice, (0.0,) * len(asked.choice), always=False, alone=True)
        since = self._engines.unloads
        return await self._run(_Asked(document, request.sampling, since, choice=choice), on_delta)

    async def docstring(self, request: CompletionRequest) -> Documentation:
        """Documentation for the function around the request's cursor."""
        cell = request.cells[request.active]
        source, language = cell.source, language_of(cell, request.language)
        try:
            slot = await self._prompts.run(slot_around, source, request.offset, language)
        except ValueError as error:
            return Documentation(message=str(error))
        made = await self.complete(_documenting(request, slot), None)
        text = await self._prompts.run(addition, source, slot, made.text, language)
        message = "" if text else f"The model has no words for {slot.name}."
        return Documentation(slot.name, slot.at, text, message)

    async def fix(self, request: CompletionRequest) -> Fix:
        """What mends the active cell's error: a rule, or else what the model makes of the failing line."""
        found = await self._prompts.repaired(request)
        if found.reason != "nothing":
            return found
        line = await self._prompts.run(infilling, request)
        if line is None:
            return found
        with suppress(EngineUnavailable):  # rules need no model
            for asked in (line, replace(line, n=OTHERS, temperature=OTHERS_TEMPERATURE, seed=0)):
                texts = [item.text for item in (await self.complete(asked, None)).items]
                made = await self._prompts.run(infilled, request, line.offset, texts)
                if made:
                    return made
        return found

    async def warm(self, request: CompletionRequest) -> Completion:
        """Compute the prompt cache for the request's place; no items."""
        since = self._engines.unloads
        document = (await self._prompts.make(request)).document
        return await self._run(_Asked(document, request.sampling, since, warm=True), None)

    async def explain(self, request: CompletionRequest) -> dict[str, Any]:
        """What the model would be given for the request, see docs/rest.md."""
        since = self._engines.unloads
        document, pieces = await self._prompts.explained(request)
        engine = await self._engines.available(since=since)
        async with engine.process.explain(document, request.sampling, pieces) as call:
            async for event in call:
                done = event
        assert isinstance(done, wire.Explained)
        self._statistics.completed += 1
        return {"model": engine.status.model, "window": engine.status.window, **done.prompt}

    async def _run(
        self, asked: _Asked, on_delta: OnDelta | None, on_meanwhile: OnMeanwhile | None = None
    ) -> Completion:
        answer = await self._answer(asked, on_delta, on_meanwhile)
        items = await self._items(asked, answer)
        shown = [len(candidate.shown) for candidate in answer.candidates]
        # To look at others would take too long for many, and their pieces wouldn't be those of the text.
        may_ask = len(items) == 1 and not asked.sampling.logprobs and not asked.prefetch
        if may_ask and (again := _again(asked, answer)):
            asked, answer = again, await self._answer(again, None)
            items = await self._items(asked, answer)
        if may_ask and (items[0].reason == BROKEN or (not asked.automatic and items[0].reason in DROPPED)):
            items = (await self._other(asked, answer) or items[0],)
        # Names to choose from, of which nothing was shown, may be more.
        each = zip(items, chain(shown, repeat(0)), strict=False)
        items = tuple([await self._closed(asked, item, length) for item, length in each])
        done, engine = answer.done, answer.engine
        timings = Timings(answer.queue_ms, done.prefill_ms, done.decode_ms)
        took = answer.queue_ms + timings.prefill_ms + timings.decode_ms
        self._statistics.count(done.usage, took if items and not asked.prefetch else None)
        _measure(done.usage, timings)
        return Completion(items, engine.status.model, done.usage, timings)

    async def _answer(
        self, asked: _Asked, on_delta: OnDelta | None, on_meanwhile: OnMeanwhile | None = None
    ) -> _Answer:
        """By the engine that answers now. One that ends before it has looked at the request is replaced."""
        begun = time.perf_counter()
        while True:
            engine = await self._engines.available(asked.primary_only, asked.since)
            limit = self._min_probability(engine, asked) if asked.limited else 0.0
            call = asked.of(engine.process, limit)
            candidates = [self._candidate(asked, limit) for _ in range(asked.sampling.n)]
            meanwhile = _Meanwhile(lambda: self._stand_in(asked, on_meanwhile))
            try:
                queue_ms, done = await _followed(call, candidates, on_delta, begun, meanwhile)
            except EngineUnavailable as error:
                if call.started or error.reason != "engine-died":
                    raise
            else:
                return _Answer(engine, limit, candidates, queue_ms, done)
            finally:
                await meanwhile.end()

    async def _stand_in(self, asked: _Asked, on_meanwhile: OnMeanwhile | None) -> None:
        """Tell what the built-in model suggests, if it has something to say."""
        engine = self._engines.meanwhile
        if engine is None or on_meanwhile is None:
            return
        with suppress(EngineUnavailable, RequestFailed):  # the other one answers
            limit = self._min_probability(engine, asked) if asked.limited else 0.0
            candidate = self._candidate(asked, limit)
            _, done = await _followed(asked.of(engine.process, limit), [candidate])
            item = await candidate.end(done.items[0])
            if item.text:
                await on_meanwhile(Meanwhile(item.text, item.imports or ()))

    async def _items(self, asked: _Asked, answer: _Answer) -> tuple[Item, ...]:
        items = []
        for index, item in enumerate(answer.done.items):
            # Of names to choose from there are more than were asked for; nothing of those is shown before.
            shown = index < len(answer.candidates)
            candidate = answer.candidates[index] if shown else self._candidate(asked, answer.limit)
            items.append(await candidate.end(item))
        return tuple(items)

    async def _closed(self, asked: _Asked, item: Item, shown: int) -> Item:
        """A text with its own end, so far as that can be told; ``shown``: so much of it stays."""
        if not item.text or asked.check is None or item.logprobs is not None:
            return item
        goes_on = asked.automatic and asked.place is not None and asked.place.is_line
        text = await self._prompts.run(asked.check.closed, item.text, shown, goes_on)
        return replace(item, text=text, reason=None)

    def _candidate(self, asked: _Asked, limit: float) -> Candidate:
        return Candidate(asked.place, asked.check, self._prompts.run, asked.begun, limit)

    async def _other(self, asked: _Asked, answer: _Answer) -> Item | None:
        """The likeliest of some others that begin as what isn't shown, as far as that is sound.

        Where somebody asked, a sound beginning of one of them is better than nothing, and a name always is.
        """
        first = answer.candidates[0]
        begun, names = await first.beginning()
        begun = max(asked.begun, begun, key=len)
        document = replace(asked.document, prefix=asked.document.prefix + begun[len(asked.begun) :])
        sampling = replace(
            asked.sampling, n=OTHERS, temperature=OTHERS_TEMPERATURE, top_p=1.0, seed=0, search=False
        )
        names = names and replace(names, always=not asked.automatic)
        limited = asked.limited or names is not None
        others = replace(
            asked, document=document, sampling=sampling, choice=names, begun=begun, limited=limited
        )
        answer = await self._answer(others, None)
        items = await self._items(others, answer)
        sound = [i for i in items if i.reason is None and i.text[len(begun) :].strip()]
        if not sound and not asked.automatic:
            sound = await _parts(begun, items, answer.candidates)
        is_worth = not asked.automatic or (asked.choice is not None and asked.choice.always)
        if not sound and is_worth and asked.check:
            begun = await self._prompts.run(asked.check.rounded, begun, len(first.shown), asked.automatic)
            return Item(begun) if WORD.search(begun) else None
        return max(sound, key=lambda item: item.logprob, default=None)

    def _min_probability(self, engine: Engine, asked: _Asked) -> float:
        """How likely all of an automatic completion has to be; a request may ask for more, not for less."""
        chosen = self._settings.min_probability if engine is self._engines.primary else None
        is_line = asked.automatic and asked.place is not None and asked.place.is_line
        own = engine.status.min_probability or (LINE_LIMIT if is_line else 0.0)
        return max(own if chosen is None else chosen, asked.min_probability)


def _again(asked: _Asked, answer: _Answer) -> _Asked | None:
    """What to ask where all tokens went into a text in three quotes, a docstring mostly: for what follows.

    Where somebody asked, and they went into blanks: with those that stand there for granted; and where the
    model has nothing to say: for what it would say if it had to.
    """
    item, place = answer.done.items[0], asked.place
    if place is None:
        return None
    if item.finish_reason != "length":
        says_nothing = not (item.text.strip() or asked.automatic or asked.sampling.says_more)
        return replace(asked, sampling=replace(asked.sampling, says_more=True)) if says_nothing else None
    if not item.text.strip():
        is_worth = asked.sampling.heal and not asked.automatic
        return replace(asked, sampling=replace(asked.sampling, heal=False)) if is_worth else None
    if not (place.block and place.leaves_text_open(item.text)):
        return None
    document = replace(asked.document, prefix=asked.document.prefix + item.text)
    sampling = replace(asked.sampling, max_new_tokens=MORE_TOKENS)
    return replace(asked, document=document, sampling=sampling, begun=asked.begun + item.text)


@dataclass(frozen=True)
class _Answer:
    """What the ``engine`` made, with this ``limit`` of probability; what was shown the candidates know."""

    engine: Engine
    limit: float
    candidates: Sequence[Candidate]
    queue_ms: float
    done: wire.Done


class _Meanwhile:
    """What is done while the engine reads a prompt that takes long."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = self._task or asyncio.create_task(self._work())

    async def end(self) -> None:
        """Returns when nothing more can come of it."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])


async def _followed(
    call: Call,
    candidates: Sequence[Candidate],
    on_delta: OnDelta | None = None,
    begun: float = 0.0,
    meanwhile: _Meanwhile | None = None,
) -> tuple[float, wire.Done]:
    """How many milliseconds after ``begun``, by time.perf_counter, the call had its turn; and its end.

    ``meanwhile``: begun where that takes long, and ended before any text is told.
    """
    queue_ms = 0.0
    async with call:
        async for event in call:
            if isinstance(event, wire.Started):
                queue_ms = 1000 * (time.perf_counter() - begun)
            elif isinstance(event, wire.Reading) and meanwhile:
                meanwhile.begin()
            elif isinstance(event, wire.Delta):
                candidate = candidates[event.index]
                if candidate.add(event.text) and on_delta and (new := await candidate.show()):
                    if meanwhile:
                        await meanwhile.end()
                    await on_delta(event.index, new)
                if all(candidate.finished for candidate in candidates):
                    call.finish()
    assert isinstance(event, wire.Done)
    # That the turn had begun was read later than it began: stages don't overlap.
    took = 1000 * (time.perf_counter() - begun)
    return max(0.0, min(queue_ms, took - event.prefill_ms - event.decode_ms)), event


async def _parts(begun: str, items: Sequence[Item], candidates: Sequence[Candidate]) -> list[Item]:
    """What is sound of broken items that begin so, where that is a word more."""
    parts = [(item, await candidate.part()) for item, candidate in zip(items, candidates, strict=False)]
    return [replace(item, text=text, reason=None) for item, text in parts if WORD.search(text[len(begun) :])]


def _measure(usage: Usage, timings: Timings) -> None:
    stages = {"queue": timings.queue_ms, "prefill": timings.prefill_ms, "decode": timings.decode_ms}
    for stage, milliseconds in stages.items():
        metrics.STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
    spans.ended(stages)
    spans.tell(**asdict(usage))
    metrics.PROMPT_TOKENS.inc(usage.prompt_tokens)
    metrics.CACHED_TOKENS.inc(usage.cached_tokens)
    metrics.COMPLETION_TOKENS.inc(usage.completion_tokens)


def _documenting(request: CompletionRequest, slot: Slot) -> CompletionRequest:
    """The request for the words of the function's documentation, with all around them in its place."""
    cell = request.cells[request.active]
    left = cell.source[: slot.at] + slot.opening
    changed = replace(cell, source=left + slot.following + cell.source[slot.at :])
    return replace(
        request,
        cells=(*request.cells[: request.active], changed, *request.cells[request.active + 1 :]),
        offset=len(left),
        mode="block",
        trigger="invoke",
        n=1,
        stop=(slot.stop,),
    )
