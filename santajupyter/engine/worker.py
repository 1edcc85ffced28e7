"""The model's own process: JSON lines in on stdin, JSON lines out on stdout.

In:  {"op": "load", model, folder, revision, family, device, dtype, prompt_order,
     cache_bytes, prompt_lookup, own_words}, once, first;
     {"op": "complete" | "warm", id, unasked, prefix, suffix, parts, sampling: {...},
     names: {...} or null};
     {"op": "explain", the same, pieces: {...}}: describes the prompt;
     {"op": "cancel" | "finish", id}: stop; finish keeps what is there.
Out: {"event": "state", state, ...}: fields of ModelStatus that changed;
     {"event": "started" | "cancelled", id}; {"event": "delta", id, index, text};
     {"event": "done", id, items, usage, prefill_ms, decode_ms}, or prompt; {"event": "failed", id, message}.
The process ends when its stdin does, so it never outlives the server.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..prompt.document import Document, Part
from ..prompt.explain import explain
from ..prompt.fim import FAMILIES, CodeTokenizer, Family, end_ids, fit, recognize
from ..protocol import Sampling
from .cachemodel import own_text
from .candidates import LastWord
from .devices import resolve
from .model import ModelUnavailable, OutOfMemory

if TYPE_CHECKING:
    from .model import Model

# SantaCoder's own window; a longer prompt costs more time than it is worth to a keystroke.
MAX_WINDOW = 2048
PROGRESS_INTERVAL = 0.25

Message = dict[str, Any]


def main() -> None:
    out = _Out()
    inbox = _Inbox(sys.stdin.buffer)
    [options] = inbox.get_all(wait=True)
    out.send(event="state", state="loading")
    try:
        engine = _Engine(options, inbox, out)
    except ModelUnavailable as error:
        out.send(event="state", state="error", error=str(error), progress=None)
        os._exit(0)  # an ordinary exit fails while the inbox's thread is waiting for stdin
    while True:
        for message in inbox.get_all(wait=not engine.busy):
            engine.begin(message)
        engine.step()


class _Out:
    """stdout, kept for the protocol alone: whatever a library prints goes to stderr."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file = os.fdopen(os.dup(1), "wb")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def send(self, **message: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(message).encode() + b"\n")
            self._file.flush()


class _Inbox:
    """Requests in order; cancel and finish overtake them."""

    def __init__(self, file: BinaryIO) -> None:
        self.cancelled: set[int] = set()
        self.finished: set[int] = set()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(file,), daemon=True).start()

    def get_all(self, wait: bool) -> list[Message]:
        """What came since the last time; at least one message, if it shall wait."""
        found = [self._queue.get()] if wait else []
        while not self._queue.empty():
            found.append(self._queue.get())
        return found

    def _read(self, file: BinaryIO) -> None:
        for line in file:
            message = json.loads(line)
            if message["op"] == "cancel":
                self.cancelled.add(message["id"])
            elif message["op"] == "finish":
                self.finished.add(message["id"])
            else:
                self._queue.put(message)
        os._exit(0)


@dataclass(eq=False)
class _Job:
    """A request, in its turn one step at a time; ``work`` returns what its done event says."""

    id: int
    work: Generator[None, None, Message]
    started: bool = False


class _Engine:
    """Takes turns between what was asked for and what is done unasked, so that neither waits for the
    other's end; of each kind the oldest first. Warming has a turn only when there is neither.
    """

    def __init__(self, options: Message, inbox: _Inbox, out: _Out) -> None:
        from .generate import Cancelled, Completer, Control
        from .locate import end_ids as model_end_ids
        from .locate import locate, text_config

        self._inbox, self._out = inbox, out
        self._jobs: dict[str, deque[_Job]] = {"asked": deque(), "unasked": deque(), "warm": deque()}
        self._turn = "unasked"
        self._cancelled, self._control = Cancelled, Control
        folder = locate(options["folder"], options["revision"], self._downloading())
        out.send(event="state", state="loading", progress=None)
        self._tokenizer = CodeTokenizer.from_folder(folder)
        name = options["family"] or recognize(self._tokenizer)
        self._family: Family | None = FAMILIES[name] if name else None
        self._order = options["prompt_order"]
        model = _load(folder, options["device"], options["dtype"], options["prompt_lookup"])
        config = text_config(folder)
        chosen = options["own_words"]
        self._own_words = bool(config.get("own_words", False)) if chosen is None else chosen
        positions = config.get("max_position_embeddings") or config.get("n_positions")
        self._window = min(MAX_WINDOW, positions or MAX_WINDOW)
        ends = end_ids(self._tokenizer, self._family, model_end_ids(folder))
        self._completer = Completer(
            model,
            self._tokenizer,
            ends,
            options["cache_bytes"],
            options["prompt_lookup"],
            config.get("beams", 1),
        )
        out.send(
            event="state",
            state="ready",
            family=name,
            device=model.device,
            dtype=model.dtype,
            window=self._window,
            min_probability=config.get("min_probability", 0.0),
        )

    @property
    def busy(self) -> bool:
        return any(self._jobs.values())

    def begin(self, message: Message) -> None:
        number, inbox = message["id"], self._inbox
        control = self._control(
            cancelled=lambda: number in inbox.cancelled, finished=lambda: number in inbox.finished
        )
        if message["names"]:
            control.refuses = LastWord(**message["names"]).refuses
        kind = "warm" if message["op"] == "warm" else "unasked" if message["unasked"] else "asked"
        self._jobs[kind].append(_Job(number, self._work(message, control)))

    def step(self) -> None:
        """One step of the job whose turn it is."""
        other = "asked" if self._turn == "unasked" else "unasked"
        kind = next(kind for kind in (other, self._turn, "warm") if self._jobs[kind])
        self._turn = self._turn if kind == "warm" else kind
        job = self._jobs[kind][0]
        if not job.started:
            job.started = True
            self._out.send(event="started", id=job.id)
        try:
            next(job.work)
            return
        except StopIteration as done:
            self._out.send(event="done", id=job.id, **done.value)
        except self._cancelled:
            self._out.send(event="cancelled", id=job.id)
        except Exception as error:
            # What fails here is our bug, but for a GPU without memory. The traceback, which holds no
            # prompt, goes to the server's log by way of stderr.
            traceback.print_exc()
            self._out.send(event="failed", id=job.id, message=self._failure(error))
        self._jobs[kind].popleft()
        self._inbox.cancelled.discard(job.id)
        self._inbox.finished.discard(job.id)

    def _failure(self, error: Exception) -> str:
        """A sentence. Without memory, the prompt cache is emptied, which may be all that is needed."""
        if type(error).__name__ != "OutOfMemoryError":
            return f"{type(error).__name__}: {error}"[:500]
        self._completer.prompts.clear()
        return (
            "The GPU's memory is full. The prompt cache was emptied: try again. If that doesn't help, free "
            "memory on the GPU, lower SantaApp.cache_bytes or set SantaApp.device to cpu."
        )

    def _work(self, message: Message, control: Any) -> Generator[None, None, Message]:
        number = message["id"]
        sampling = Sampling(**message["sampling"])
        parts = tuple(Part(*part) for part in message["parts"])
        document = Document(message["prefix"], message["suffix"], parts=parts)
        prompt = fit(
            document,
            self._tokenizer,
            self._family,
            self._window,
            sampling.max_new_tokens,
            self._order,
        )
        if self._own_words:
            prompt = replace(prompt, own=own_text(document, self._tokenizer, prompt.healed))
        if message["op"] == "explain":
            cached = self._completer.prompts.cached(prompt.ids)
            described = explain(document, prompt, self._tokenizer, self._family, message["pieces"], cached)
            return {"prompt": described}
        if message["op"] == "warm":
            usage = yield from self._completer.warming(prompt, control)
            return {"items": [], "usage": asdict(usage), "prefill_ms": 0.0, "decode_ms": 0.0}
        result = yield from self._completer.completing(
            prompt,
            sampling,
            control,
            lambda index, text: self._out.send(event="delta", id=number, index=index, text=text),
        )
        return asdict(result)

    def _downloading(self) -> Any:
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            if 0 < done < total:
                if time.monotonic() - last < PROGRESS_INTERVAL:
                    return
                last = time.monotonic()
            progress = {"phase": "downloading", "done": done, "total": total, "unit": "B"}
            self._out.send(event="state", state="downloading", progress=progress)

        return report


def _load(folder: Path, device: str, dtype: str, guesses: int) -> Model:
    """Where nothing else was asked for, a GPU without room for the model is no reason not to have it."""
    chosen = resolve(device)
    try:
        return _load_on(folder, chosen, dtype, guesses)
    except OutOfMemory as error:
        if (device, dtype) != ("auto", "auto"):
            raise
        print(f"santajupyter: {error}; it runs on the CPU", file=sys.stderr)
    return _load_on(folder, "cpu", dtype, guesses)


def _load_on(folder: Path, device: str, dtype: str, guesses: int) -> Model:
    """By our own code for SantaCoder's architecture; what isn't needed isn't imported, torch above all."""
    if device == "cpu":
        try:
            from . import openvino_bigcode
        except ImportError:  # no OpenVINO for this platform
            pass
        else:
            if openvino_bigcode.runs(folder, device, dtype):
                return openvino_bigcode.load(folder, dtype, guesses)
    else:
        from . import cuda_bigcode

        if cuda_bigcode.runs(folder, device, dtype):
            return cuda_bigcode.load(folder, device, dtype)
    from . import transformers_causallm

    return transformers_causallm.load(folder, device, dtype)


if __name__ == "__main__":
    main()
