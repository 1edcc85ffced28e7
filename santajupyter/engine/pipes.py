"""The worker's ends of the wire: stdin, read by a thread, and stdout, kept for messages alone."""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
import time
from contextlib import suppress

from ..printable import printable
from . import wire


class Out:
    """stdout, kept for the wire alone: whatever a library prints goes to stderr."""

    def __init__(self) -> None:
        try:
            os.fstat(2)
        except OSError:  # the server has no stderr, and what is opened next would be it
            os.open(os.devnull, os.O_WRONLY)
        self._file = os.dup(1)
        self._lock = threading.Lock()
        os.dup2(2, 1)
        sys.stdout = sys.stderr = _Printable()

    def send(self, message: wire.FromWorker) -> None:
        """Any thread may; the process ends where nobody reads it any more."""
        try:
            with self._lock:
                wire.send(self._file, message)
        except OSError:  # the server is gone
            os._exit(0)


class _Printable(io.TextIOBase):
    """stderr, for what a library says of a checkpoint: without what a terminal takes for commands.

    Where nobody reads it any more, it says nothing.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            os.write(2, printable(text).encode("utf-8", "replace"))
        return len(text)

    def fileno(self) -> int:
        return 2


class Ended(Exception):
    """Nothing more comes in: this process is to end."""


class Inbox:
    """What comes in on stdin, read by a thread.

    ``patience``: how many seconds after its end the process may take to end by itself.
    """

    def __init__(self) -> None:
        self.patience = 0.0
        self._queue: queue.SimpleQueue[wire.ToWorker | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> wire.ToWorker:
        """The next message, once it is there. Raises Ended."""
        message = self._queue.get()
        if message is None:
            raise Ended
        return message

    def all(self, wait: bool) -> list[wire.ToWorker]:
        """What came since the last time; at least one message, if it shall wait. Raises Ended."""
        found = [self.next()] if wait else []
        while not self._queue.empty():
            found.append(self.next())
        return found

    def _read(self) -> None:
        for message in wire.requests(0):
            self._queue.put(message)
        self._queue.put(None)
        time.sleep(self.patience)
        os._exit(0)


def line(text: str) -> str:
    """The text on one line, which nobody can take for two of a log."""
    return printable(" ".join(text.split()))
