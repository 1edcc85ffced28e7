"""The server's side of the worker: starts it, talks to it, and starts it again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..prompt.document import Document
from ..protocol import Sampling

if TYPE_CHECKING:
    from typing_extensions import Self

# After a death the worker is started again by itself, after 0.5, 1, 2, 4, 8 seconds; then only on request.
FIRST_DELAY = 0.5
MAX_RESTARTS = 5
STOP_TIMEOUT = 5.0
# Defaults for the worker's environment. PASSIVE: torch's threads sleep while they wait for each other.
# Spinning, they lose their turn to any other work on the cores, such as a busy kernel: beside a
# training run on two cores, a token of santa-mini took 45 ms instead of 3.
ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}
PACKAGE_ROOT = Path(__file__).parents[2]

Message = dict[str, Any]


@dataclass(frozen=True)
class ModelStatus:
    """What a model's process says of itself.

    ``progress``: {phase, done, total, unit} while downloading. ``min_probability``: how likely all of a
    completion has to be, by the model's own reckoning, to be worth showing unasked.
    """

    model: str
    revision: str = ""
    state: str = "unloaded"
    family: str = ""
    device: str = ""
    dtype: str = ""
    window: int = 0
    min_probability: float = 0.0
    progress: Mapping[str, Any] | None = None
    error: str | None = None


class EngineUnavailable(Exception):
    """No model answers here now; ``retry_after`` seconds may help."""

    def __init__(self, message: str, reason: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason, self.retry_after = reason, retry_after


class RequestFailed(Exception):
    """The engine couldn't do this one request."""


class Call:
    """One request in the worker: iterate over its events; ``finish`` ends it early and keeps the result.

    Use as an async context manager: leaving it before the end cancels the request.
    """

    def __init__(self, number: int, send: Callable[[Message], None]) -> None:
        self._number, self._send = number, send
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._open = True
        self._finishing = False
        self.started = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            self._send({"op": "cancel", "id": self._number})

    async def __aiter__(self) -> AsyncIterator[Message]:
        """``started``, ``delta`` … and ``done``. Raises EngineUnavailable, RequestFailed."""
        while self._open:
            message = await self._events.get()
            self.started = self.started or message["event"] == "started"
            if message["event"] in ("done", "failed", "died"):
                self._open = False
            if message["event"] == "failed":
                raise RequestFailed(message["message"])
            if message["event"] == "died":
                raise EngineUnavailable(
                    "The model's process ended while it worked on this; it is being restarted. Try again.",
                    "engine-died",
                    1,
                )
            yield message

    def finish(self) -> None:
        if self._open and not self._finishing:
            self._finishing = True
            self._send({"op": "finish", "id": self._number})

    def receive(self, message: Message) -> None:
        self._events.put_nowait(message)


class EngineProcess:
    """A model in a process of its own. Use from one event loop; ``on_change`` follows every new state."""

    def __init__(
        self, options: Mapping[str, Any], on_change: Callable[[], None], log: logging.Logger
    ) -> None:
        self._options = dict(options)
        self._log = log
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._calls: dict[int, Call] = {}
        self._numbers = itertools.count(1)
        self._restarts = 0
        self._restart: asyncio.TimerHandle | None = None
        self.status = ModelStatus(self._options["model"], self._options.get("revision", ""))

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def busy(self) -> bool:
        return bool(self._calls)

    def start(self) -> None:
        """Start the process unless it runs; loading goes on in it. Safe to call at any time."""
        self._cancel_restart()
        if self._process is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._set_status(replace(self.status, state="loading", error=None, progress=None))
        # A file named torch.py beside the notebook must not be what the worker imports: not the
        # server's folder but one that is on the path anyway becomes the worker's first.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "santajupyter.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PACKAGE_ROOT,
            env={**ENVIRONMENT, **os.environ},
        )
        self._outbox = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        # A thread writes too: a worker that hangs must not hold the server's loop at a full pipe.
        threading.Thread(target=_write, args=(self._process, self._outbox), daemon=True).start()
        self._send({"op": "load", **self._options})

    def complete(
        self,
        document: Document,
        sampling: Sampling,
        unasked: bool = False,
        names: Mapping[str, Any] | None = None,
    ) -> Call:
        """Begin a completion. The process must have been started.

        What was asked for and what wasn't (ghost text) take turns, step by step. ``names``: the
        arguments of LastWord, where the kernel has it.
        """
        return self._call("complete", document, sampling, unasked, names)

    def warm(self, document: Document, sampling: Sampling) -> Call:
        """Begin computing the prompt cache alone."""
        return self._call("warm", document, sampling, True)

    def explain(self, document: Document, sampling: Sampling, pieces: Mapping[str, Any]) -> Call:
        """Begin to describe the prompt; ``pieces`` as explain.locate_pieces has them."""
        return self._call("explain", document, sampling, False, pieces=pieces)

    async def stop(self) -> None:
        """End the process; all its memory is free when this returns."""
        self._cancel_restart()
        process, self._process = self._process, None
        if process is not None:
            self._outbox.put(None)
            await asyncio.to_thread(_end, process)
        self._fail_calls()
        self._set_status(ModelStatus(self.status.model, self.status.revision))

    def _call(
        self,
        op: str,
        document: Document,
        sampling: Sampling,
        unasked: bool,
        names: Mapping[str, Any] | None = None,
        pieces: Mapping[str, Any] | None = None,
    ) -> Call:
        number = next(self._numbers)
        call = self._calls[number] = Call(number, self._send)
        self._send(
            {
                "op": op,
                "id": number,
                "unasked": unasked,
                "prefix": document.prefix,
                "suffix": document.suffix,
                "parts": document.parts,
                "sampling": asdict(sampling),
                "names": names,
                "pieces": pieces,
            }
        )
        return call

    def _send(self, message: Message) -> None:
        self._outbox.put(message)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        with process.stdout as stdout:  # type: ignore[union-attr]
            for line in stdout:
                self._post(self._on_message, process, json.loads(line))
        process.wait()
        self._post(self._on_exit, process)

    def _post(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            self._log.debug("santajupyter: the server's loop ended before its worker")

    def _on_message(self, process: subprocess.Popen[bytes], message: Message) -> None:
        if process is not self._process:
            return
        if message["event"] == "state":
            fields = {name: value for name, value in message.items() if name != "event"}
            if message["state"] == "error":
                self._drop_process()  # it is about to exit, and start() may come before that
            self._set_status(replace(self.status, **fields))
            return
        over = message["event"] in ("done", "failed", "cancelled")
        call = self._calls.pop(message["id"], None) if over else self._calls.get(message["id"])
        if message["event"] == "done":
            self._restarts = 0
        if call is not None:
            call.receive(message)

    def _on_exit(self, process: subprocess.Popen[bytes]) -> None:
        if process is not self._process:
            return
        self._drop_process()
        what = f"The model's process ended unexpectedly (exit code {process.returncode})"
        self._log.warning("santajupyter: %s", what)
        if self._restarts < MAX_RESTARTS:
            delay = FIRST_DELAY * 2**self._restarts
            self._restarts += 1
            self._restart = self._loop.call_later(delay, self.start)
            self._set_status(replace(self.status, state="loading", progress=None, error=None))
        else:
            self._restarts = 0
            self._set_status(
                replace(
                    self.status,
                    state="error",
                    progress=None,
                    error=what + f" {MAX_RESTARTS + 1} times in a row",
                )
            )

    def _drop_process(self) -> None:
        self._process = None
        self._outbox.put(None)
        self._fail_calls()

    def _fail_calls(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.receive({"event": "died"})

    def _cancel_restart(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None

    def _set_status(self, status: ModelStatus) -> None:
        self.status = status
        self._on_change()


def _write(process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[Message | None]) -> None:
    """Send messages until a None; then close the worker's stdin, which ends it."""
    stdin: IO[bytes] = process.stdin  # type: ignore[assignment]
    # When it died, the reader thread sees that too, and reports it.
    with contextlib.suppress(OSError), stdin:
        while (message := outbox.get()) is not None:
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
