"""The model's own process: what wire.py has comes in on stdin and goes out on stdout.

It ends when its stdin does, so it never outlives the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ..prompt.explain import explain
from ..prompt.fim import FAMILIES, Family, Prompt, end_ids, fit, recognize
from ..prompt.tokenizer import CodeTokenizer
from ..protocol import Progress
from ..traces import trace
from . import causallm, wire
from .cachemodel import cache_text
from .devices import is_device_lost, is_out_of_memory, resolve
from .model import MAX_WINDOW, Keeps, ModelUnavailable
from .pipes import Ended, Inbox, Out, line
from .turns import Turns
from .windows import Windows
from .work import Cancelled, Control

if TYPE_CHECKING:
    from .remote import RemoteEngine

PROGRESS_INTERVAL = 0.25
# Seconds: of a prompt that takes longer to read the server is told, so that another model can answer first.
LONG_READING = 0.7
# Of fewer tokens a step's time tells little of what more would take.
TELLING = 16
# Of the prefix's tokens so many may have changed since the suffix was read, where nobody asked for an answer.
STALE = 64
BEAT_INTERVAL = 1.0
# Seconds that prompts may take to be written when the process is to end; less than it has to.
KEEP_LIMIT = 2.0
# So many requests in a row that failed: what is wrong isn't the requests, and a new process may be better.
MAX_FAILURES = 3
PR_SET_PDEATHSIG = 1
# A twentieth of the share of the cores that a running cell gets, where both want them: with a tenth, and the
# memory that both read, a cell on all cores lost up to 17 %.
NICENESS = 13


def main() -> None:
    """Serve until stdin ends. Exits at once, without waiting for threads or libraries."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    out, inbox = Out(), Inbox()
    try:
        _serve(inbox, out)
    except ModelUnavailable as error:
        out.send(wire.Broken(line(str(error))))
        os._exit(0)
    except Ended:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _serve(inbox: Inbox, out: Out) -> None:
    load = inbox.next()
    assert isinstance(load, wire.Load)
    out.send(wire.Loading())
    engine: _Engine | RemoteEngine | None = None

    def beat() -> None:
        while True:
            out.send(wire.Beat(engine.steps, engine.busy) if engine else wire.Beat(0, False))
            time.sleep(BEAT_INTERVAL)

    threading.Thread(target=beat, daemon=True).start()
    if load.remote:
        from .remote import RemoteEngine

        engine = RemoteEngine(load, load.remote, out)
        asyncio.run(engine.serve(inbox))
    engine = _Engine(load, out)
    inbox.patience = KEEP_LIMIT
    try:
        while True:
            for message in inbox.all(wait=not engine.busy):
                engine.take(message)
            if engine.busy:
                engine.step()
    except Ended:
        engine.keep()
        raise


def _die_with_parent() -> None:
    """On Linux also when it is stopped or stuck, and can't see its stdin end."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _give_way() -> None:
    """On the CPU the user's own computation goes first."""
    with contextlib.suppress(OSError, psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else NICENESS)
    # Where Linux shares the cores out among sessions first, of which this process has one of its own.
    # https://man7.org/linux/man-pages/man7/sched.7.html
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))


@dataclass(eq=False)
class _Job:
    """A request, in its turn one step at a time; ``work`` returns its last event.

    ``left``: how many tokens of its prompt, before it last read some. ``seconds``: what its steps took since.
    ``told``: whether the server knows that the prompt is a long one.
    """

    request: wire.Request
    work: Generator[None, None, wire.FromWorker] = field(init=False)
    started: bool = False
    cancelled: bool = False
    finished: bool = False
    left: int = 0
    seconds: float = 0.0
    told: bool = False

    @property
    def kind(self) -> str:
        if isinstance(self.request, wire.Warm) or getattr(self.request, "prefetch", False):
            return "idle"
        return "automatic" if self.request.automatic else "invoked"


class _Engine:
    """Takes turns, step by step: between users, and of one between what was invoked and what is automatic.

    So nobody waits for another's end; of each kind the oldest goes first. What nobody waits for, warming and
    what is fetched ahead, has a turn only when there is nothing else. ``steps``: how many were done so far.
    Raises ModelUnavailable.
    """

    def __init__(self, load: wire.Load, out: Out) -> None:
        from .checkpoint import end_ids as model_end_ids
        from .checkpoint import text_config
        from .generate import Completer
        from .locate import locate

        self.steps = 0
        self._out = out
        self._jobs: dict[str, deque[_Job]] = {"invoked": deque(), "automatic": deque(), "idle": deque()}
        self._turn = "automatic"
        self._turns = Turns()
        self._failures = 0
        self._pace = 0.0  # seconds that a prompt's token took last
        folder = locate(load.folder, load.revision, _downloading(out))
        out.send(wire.Loading())
        self._tokenizer = CodeTokenizer.from_folder(folder)
        name = load.family or recognize(self._tokenizer)
        self._family: Family | None = FAMILIES[name] if name else None
        self._order = load.prompt_order
        if load.gives_way and resolve(load.device) == "cpu":
            _give_way()
        model = causallm.load(folder, load.device, load.dtype, load.prompt_lookup)
        config = text_config(folder)
        self._cache_model = config.get("cache_model", False) if load.cache_model is None else load.cache_model
        positions = config.get("max_position_embeddings") or config.get("n_positions")
        self._window = min(MAX_WINDOW, positions or MAX_WINDOW)
        ends = end_ids(self._tokenizer, self._family, model_end_ids(folder))
        self._completer = Completer(
            model,
            self._tokenizer,
            ends,
            cache_bytes=load.cache_bytes,
            prompt_lookup=load.prompt_lookup,
            beams=config.get("beams", 1),
            trust=config.get("trust_in_names", 1.0),
        )
        self._windows = Windows(self._window, self._completer.prompts.cached)
        self._keeper = model if load.keep_prompts and isinstance(model, Keeps) else None
        for ids, kv in self._keeper.kept() if self._keeper else ():
            self._completer.prompts.add(ids, kv)
        limit = config.get("min_probability", 0.0)
        out.send(wire.Ready(name or "", model.device, model.dtype, self._window, limit))

    @property
    def busy(self) -> bool:
        return any(self._jobs.values())

    def keep(self) -> None:
        """Have the newest prompts kept for the next process, where the model can do that."""
        if self._keeper:
            self._keeper.keep(self._completer.prompts.newest())

    def take(self, message: wire.ToWorker) -> None:
        """Begin, cancel or finish a request; one that is over already is none of its business."""
        if isinstance(message, wire.Cancel | wire.Finish):
            for job in (job for jobs in self._jobs.values() for job in jobs if job.request.id == message.id):
                job.cancelled = job.cancelled or isinstance(message, wire.Cancel)
                job.finished = job.finished or isinstance(message, wire.Finish)
        elif not isinstance(message, wire.Load):
            job = _Job(message)
            job.work = self._work(job)
            self._jobs[job.kind].append(job)

    def step(self) -> None:
        """One step of the job whose turn it is; there must be one."""
        job = self._next()
        begun = time.perf_counter()
        over = self._step(job)
        took = time.perf_counter() - begun
        job.seconds += took
        self._turns.spend(job.request.user, took)
        self.steps += 1
        if over is None:
            return
        self._jobs[job.kind].remove(job)
        self._out.send(over)
        if isinstance(over, wire.Failed) and self._failures >= MAX_FAILURES:
            print("santajupyter: the device failed; the process ends, for a new one", file=sys.stderr)
            os._exit(1)

    def _next(self) -> _Job:
        """The oldest job of the kind and the user whose turn it is."""
        invoked, automatic, idle = self._jobs["invoked"], self._jobs["automatic"], self._jobs["idle"]
        jobs = [*invoked, *automatic] or idle
        if idle and idle[0].cancelled:
            jobs = idle  # what it holds of the prompt cache is free for what comes instead
        user = self._turns.next({job.request.user for job in jobs})
        kinds = {job.kind for job in jobs if job.request.user == user}
        if len(kinds) == 2:
            kinds.remove(self._turn)
        (kind,) = kinds
        self._turn = self._turn if kind == "idle" else kind
        return next(job for job in self._jobs[kind] if job.request.user == user)

    def _step(self, job: _Job) -> wire.FromWorker | None:
        """What ends the job, or None."""
        try:
            if job.cancelled:
                # Here, and not when Python's garbage collector comes to it, in the midst of another's work:
                # it gives its entry in the prompt cache back.
                job.work.close()
                return wire.Cancelled(job.request.id)
            if not job.started:
                job.started = True
                self._out.send(wire.Started(job.request.id))
            next(job.work)
            return None
        except StopIteration as done:
            self._failures = 0
            over: wire.FromWorker = done.value
            return over
        except Cancelled:
            return wire.Cancelled(job.request.id)
        except Exception as error:
            # What fails here is our bug, but for a device without memory. By way of stderr it goes to the
            # server's log.
            print(trace(error), file=sys.stderr, flush=True)
            self._failures = MAX_FAILURES if is_device_lost(error) else self._failures + 1
            return wire.Failed(job.request.id, line(self._failure(error)))

    def _failure(self, error: Exception) -> str:
        """A sentence. Without memory, the prompt cache is emptied, which may be all that is needed."""
        if not is_out_of_memory(error):
            return trace(error).splitlines()[-1][:500]
        self._completer.prompts.clear()
        return (
            "The memory of the model's device is full. The prompt cache was emptied: try again. If that "
            "doesn't help, free memory there, lower SantaApp.cache_bytes or set SantaApp.device to cpu."
        )

    def _work(self, job: _Job) -> Generator[None, None, wire.FromWorker]:
        request = job.request
        prompt = self._prompt(request)
        yield  # of a long notebook that takes as long as a step of the model
        if isinstance(request, wire.Explain):
            cached = self._completer.prompts.cached(prompt.ids, prompt.user)
            document, pieces = request.document, request.pieces
            described = explain(document, prompt, self._tokenizer, self._family, pieces, cached)
            return wire.Explained(request.id, described)
        control = Control(
            cancelled=lambda: job.cancelled,
            finished=lambda: job.finished,
            reads=lambda left: self._reads(job, left),
        )
        if isinstance(request, wire.Warm):
            usage = yield from self._completer.warming(prompt, control)
            return wire.Done(request.id, (), usage)
        result = yield from self._completer.completing(
            prompt,
            request.sampling,
            control,
            lambda index, text: self._out.send(wire.Delta(request.id, index, text)),
            request.choice,
        )
        return wire.Done(request.id, result.items, result.usage, result.prefill_ms, result.decode_ms)

    def _reads(self, job: _Job, left: int) -> None:
        """Tell once that the job's prompt is a long one, as soon as that is known."""
        if job.left - left >= TELLING:
            self._pace = job.seconds / (job.left - left)
        job.left, job.seconds = left, 0.0
        if not job.told and left * self._pace > LONG_READING:
            job.told = True
            self._out.send(wire.Reading(job.request.id))

    def _prompt(self, request: wire.Request) -> Prompt:
        """While the user rests the best is read; to him who types it may cost too much."""
        document, new = request.document, request.sampling.max_new_tokens
        heal = request.sampling.heal

        def make(keep: Sequence[str] = ()) -> Prompt:
            made = fit(document, self._tokenizer, self._family, self._window, new, self._order, heal, keep)
            return replace(made, user=request.user, stale=_stale(request))

        prompt = make() if isinstance(request, wire.Warm) else self._windows.choose(make, request.user)
        if not isinstance(request, wire.Explain):
            self._windows.remember(document, prompt)
        if self._cache_model:
            prompt = replace(prompt, cache_text=cache_text(document, self._tokenizer, prompt.healed))
        return prompt


def _stale(request: wire.Request) -> int:
    """See Prompt. While the user rests the suffix is read again somewhat sooner than typing needs it."""
    return STALE // 2 if isinstance(request, wire.Warm) else STALE if request.automatic else 0


def _downloading(out: Out) -> Callable[[int, int], None]:
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        if 0 < done < total:
            if time.monotonic() - last < PROGRESS_INTERVAL:
                return
            last = time.monotonic()
        out.send(wire.Loading(Progress("downloading", done, total, "B")))

    return report


if __name__ == "__main__":
    main()
