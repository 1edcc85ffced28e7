"""The server's side of a model's process: one life of it, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..prompt.choices import Choice
from ..prompt.document import Document
from ..protocol import Sampling
from . import wire

if TYPE_CHECKING:
    from typing_extensions import Self

# Seconds: for an end by itself once its stdin is closed, and for the system to end it by force.
STOP_TIMEOUT = 3.0
KILL_TIMEOUT = 5.0
# The process beats once a second. After so many seconds of the server's loop without a word from it, or
# without a step while it has work, it hangs. While it loads, OpenVINO holds Python's lock as long as a slow
# disk takes to write 1.3 GB.
WATCH_INTERVAL = 1.0
SILENT_LIMIT = 15
SILENT_LIMIT_LOADING = 300
STEP_LIMIT = 60
# Defaults for the worker's environment. PASSIVE: torch's threads sleep while they wait for each other.
# Spinning, they lose their turn to any other work on the cores, such as a busy kernel: beside a
# training run on two cores, a token of santa-mini took 45 ms instead of 3. glibc's memory in pages of 2 MB,
# where the system has them: 3 % off a token of SantaCoder's in int4, 5 in int8.
ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}
PACKAGE_ROOT = Path(__file__).parents[2]
WORKER = "santajupyter.engine.worker"
# What a request's caller hears, and of that what isn't its end.
OnTheWay = wire.Started | wire.Reading | wire.Delta
Event = OnTheWay | wire.Done | wire.Explained


class EngineUnavailable(Exception):
    """No model answers here now; ``retry_after`` seconds may help.

    ``reason``: loading, engine-died, unloaded, busy or error, as in docs/rest.md.
    """

    def __init__(self, message: str, reason: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason, self.retry_after = reason, retry_after


class RequestFailed(Exception):
    """The engine couldn't do this one request.

    The message has no word of the prompt; ``said``, what another server said of it, may have some.
    """

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class Call:
    """One request in the process: iterate over its events; ``finish`` ends it early and keeps the result.

    Use as an async context manager: leaving it before the end cancels the request.
    """

    def __init__(self, number: int, process: EngineProcess) -> None:
        self._number, self._process = number, process
        self._events: asyncio.Queue[wire.FromWorker | EngineUnavailable] = asyncio.Queue()
        self._open = True
        self._finishing = False
        self.started = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            self._process.cancel(self._number)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """``Started``, perhaps ``Reading``, ``Delta`` … and ``Done`` or ``Explained``.

        Raises RequestFailed, and EngineUnavailable when the process ends before that.
        """
        while self._open:
            event = await self._events.get()
            self._open = isinstance(event, OnTheWay)
            self.started = self.started or isinstance(event, wire.Started)
            if isinstance(event, EngineUnavailable):
                raise event
            if isinstance(event, wire.Failed) and event.retry_after:
                raise EngineUnavailable(event.message, "busy", event.retry_after)
            if isinstance(event, wire.Failed):
                raise RequestFailed(event.message, event.said)
            if isinstance(event, Event):
                yield event

    def finish(self) -> None:
        """End the generation; what is there becomes the answer."""
        if self._open and not self._finishing:
            self._finishing = True
            self._process.send(wire.Finish(self._number))

    def receive(self, event: wire.FromWorker | EngineUnavailable) -> None:
        """What the process says of this call."""
        self._events.put_nowait(event)


class EngineProcess:
    """A process with a model, begun by making this object and never begun again.

    Use from one event loop, on which ``on_state`` follows its Loading, Ready and Broken, and ``on_exit``
    its end, once, with a sentence's end such as "ended unexpectedly (exit code 1)". ``answered``: whether
    it has done a request. Raises OSError.
    """

    def __init__(
        self,
        load: wire.Load,
        on_state: Callable[[EngineProcess, wire.Loading | wire.Ready | wire.Broken], None],
        on_exit: Callable[[EngineProcess, str], None],
        log: logging.Logger,
    ) -> None:
        self._on_state, self._on_exit, self._log = on_state, on_exit, log
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count(1)
        self._unsent: dict[int, wire.Request] = {}
        self._outbox: queue.SimpleQueue[wire.ToWorker | int | None] = queue.SimpleQueue()
        self._gone = asyncio.Event()
        self._refusal: EngineUnavailable | None = None
        self._end = self._why = ""
        self._silent = self._stuck = self._steps = 0
        self._ready = self.answered = False
        # A file named torch.py beside the notebook must not be what the worker imports: not the server's
        # folder but one that is on the path anyway becomes the worker's first. In a session of its own it
        # gets no Ctrl-C, nor what interrupts a kernel.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=PACKAGE_ROOT,
            env={**ENVIRONMENT, **os.environ},
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        # A thread writes too: a worker that hangs must not hold the server's loop at a full pipe.
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._wait, args=(reader,), daemon=True).start()
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)
        self.send(load)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def busy(self) -> bool:
        """Whether a call isn't answered yet."""
        return bool(self._calls)

    def complete(
        self,
        document: Document,
        sampling: Sampling,
        automatic: bool = False,
        choice: Choice | None = None,
        prefetch: bool = False,
        user: str = "",
    ) -> Call:
        """Begin a completion. What was invoked and what is automatic (ghost text) take turns, step by step.

        ``choice``: all that can come next, where the kernel knows it. ``prefetch``: nobody waits for it, and
        it goes last. ``user``: whose it is, where several share this process.
        """
        return self._call(
            lambda number: wire.Complete(number, document, sampling, automatic, user, choice, prefetch)
        )

    def warm(self, document: Document, sampling: Sampling, user: str = "") -> Call:
        """Begin computing the prompt cache alone."""
        return self._call(lambda number: wire.Warm(number, document, sampling, True, user))

    def explain(self, document: Document, sampling: Sampling, pieces: Mapping[str, Any]) -> Call:
        """Begin to describe the prompt; ``pieces`` as explain.locate_pieces has them."""
        return self._call(lambda number: wire.Explain(number, document, sampling, pieces=pieces))

    def send(self, message: wire.Load | wire.Cancel | wire.Finish) -> None:
        """Write in a thread; a message that the process no longer reads is dropped."""
        self._outbox.put(message)

    def cancel(self, number: int) -> None:
        """What the process has not been told yet, it never is."""
        if self._unsent.pop(number, None) is None:
            self.send(wire.Cancel(number))
        else:
            self._calls.pop(number, None)

    async def stop(self, refusal: EngineUnavailable) -> None:
        """End the process, and its calls by ``refusal``; all its memory is free when this returns.

        Returns after at most STOP_TIMEOUT and KILL_TIMEOUT, be it dead or not.
        """
        self._refuse(refusal)
        self._outbox.put(None)
        if await self._ends_within(STOP_TIMEOUT):
            return
        self._process.kill()
        if not await self._ends_within(KILL_TIMEOUT):
            self._log.error("santajupyter: the system doesn't end the process %s", self.pid)

    def _call(self, request: Callable[[int], wire.Request]) -> Call:
        number = next(self._numbers)
        call = Call(number, self)
        if self._refusal:
            call.receive(self._refusal)
            return call
        self._calls[number] = call
        self._unsent[number] = request(number)
        self._outbox.put(number)
        return call

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._gone.wait(), seconds)
        return self._gone.is_set()

    def _refuse(self, refusal: EngineUnavailable) -> None:
        """End what is asked of the process, now and from now on."""
        self._refusal = self._refusal or refusal
        calls, self._calls = self._calls, {}
        self._unsent.clear()
        for call in calls.values():
            call.receive(self._refusal)

    # On threads of their own:

    def _write(self) -> None:
        """Send messages until a None; then close the worker's stdin, which ends it."""
        stdin: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        # When it died, the waiting thread sees that too, and reports it.
        with contextlib.suppress(OSError), stdin:
            while (next_one := self._outbox.get()) is not None:
                message = self._unsent.pop(next_one, None) if isinstance(next_one, int) else next_one
                if message is None:
                    continue
                try:
                    wire.send(stdin.fileno(), message)
                except UnicodeEncodeError as error:  # of a file's name, which may be any bytes
                    if not isinstance(next_one, int):
                        self._post(self._on_event, wire.Broken(str(error)))
                        break  # nothing to load: it would wait for ever
                    self._post(self._on_event, wire.Failed(next_one, str(error)))

    def _read(self) -> None:
        stdout: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        with contextlib.suppress(OSError), stdout:
            for event in wire.events(stdout.fileno()):
                self._post(self._on_event, event)

    def _wait(self, reader: threading.Thread) -> None:
        code = self._process.wait()
        self._outbox.put(None)
        reader.join(WATCH_INTERVAL)  # what it said last
        self._post(self._on_gone, code)

    def _post(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            self._log.debug("santajupyter: the server's loop ended before its worker")

    # On the event loop again:

    def _on_event(self, event: wire.FromWorker) -> None:
        self._silent = 0
        if isinstance(event, wire.Beat):
            self._stuck = self._stuck + 1 if event.busy and event.steps == self._steps else 0
            self._steps = event.steps
        elif isinstance(event, wire.Loading | wire.Ready | wire.Broken):
            self._ready = isinstance(event, wire.Ready)
            self._why = event.error if isinstance(event, wire.Broken) else ""
            self._on_state(self, event)
        elif isinstance(event, OnTheWay):
            if event.id in self._calls:
                self._calls[event.id].receive(event)
        else:
            self.answered = self.answered or isinstance(event, wire.Done)
            if call := self._calls.pop(event.id, None):
                call.receive(event)

    def _look(self) -> None:
        """Counted in turns of this loop: the time that this computer slept doesn't count."""
        self._silent += 1
        self._watch = self._loop.call_later(WATCH_INTERVAL, self._look)
        if self._silent > (SILENT_LIMIT if self._ready else SILENT_LIMIT_LOADING) or self._stuck > STEP_LIMIT:
            self._end = "didn't answer any more and was ended"
            self._process.kill()

    def _on_gone(self, code: int) -> None:
        self._watch.cancel()
        self._end = self._end or f"ended unexpectedly (exit code {code})"
        died = f"The model's process {self._end} while it worked on this; it is being restarted. Try again."
        self._refuse(EngineUnavailable(self._why or died, "engine-died", 1))
        self._gone.set()
        self._on_exit(self, self._end)
