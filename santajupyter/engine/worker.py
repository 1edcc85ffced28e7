"""The model's own process: JSON lines in on stdin, JSON lines out on stdout.

In:  {"op": "load", model, folder, revision, family, device, dtype, prompt_order,
     cache_bytes}, once, first;
     {"op": "complete" | "warm", id, prefix, suffix, sampling: {...}};
     {"op": "cancel" | "finish", id}: stop; finish keeps what is there.
Out: {"event": "state", state, ...}: fields of ModelStatus that changed;
     {"event": "started" | "cancelled", id}; {"event": "delta", id, index, text};
     {"event": "done", id, items, usage, prefill_ms, decode_ms}; {"event": "failed", id, message}.
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
from dataclasses import asdict
from typing import Any, BinaryIO

from ..fim import FAMILIES, CodeTokenizer, Family, end_ids, fit, recognize
from ..notebook import Document
from ..protocol import Sampling

# SantaCoder's own window; a longer prompt costs more time than it is worth to a keystroke.
MAX_WINDOW = 2048
PROGRESS_INTERVAL = 0.25

Message = dict[str, Any]


def main() -> None:
    out = _Out()
    inbox = _Inbox(sys.stdin.buffer)
    options = inbox.get()
    out.send(event="state", state="loading")
    # Imported here: seconds of work, which the state above announces.
    from .loading import ModelUnavailable

    try:
        engine = _Engine(options, out)
    except ModelUnavailable as error:
        out.send(event="state", state="error", error=str(error), progress=None)
        os._exit(0)  # an ordinary exit fails while the inbox's thread is waiting for stdin
    while True:
        engine.answer(inbox.get(), inbox)


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

    def get(self) -> Message:
        return self._queue.get()

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


class _Engine:
    def __init__(self, options: Message, out: _Out) -> None:
        from .generate import Cancelled, Control, Generator
        from .loading import end_ids as model_end_ids
        from .loading import load, locate

        self._out = out
        self._cancelled, self._control = Cancelled, Control
        _quiet_transformers()
        folder = locate(options["folder"], options["revision"], self._downloading())
        out.send(event="state", state="loading", progress=None)
        self._tokenizer = CodeTokenizer.from_folder(folder)
        name = options["family"] or recognize(self._tokenizer)
        self._family: Family | None = FAMILIES[name] if name else None
        self._order = options["prompt_order"]
        model = load(folder, options["device"], options["dtype"])
        config = model.config.get_text_config()
        self._heal = bool(getattr(config, "heal_tokens", False))
        self._window = min(MAX_WINDOW, getattr(config, "max_position_embeddings", None) or MAX_WINDOW)
        ends = end_ids(self._tokenizer, self._family, model_end_ids(folder, model))
        self._generator = Generator(model, self._tokenizer, ends, options["cache_bytes"])
        out.send(
            event="state",
            state="ready",
            family=name,
            device=_device_name(model.device),
            dtype=str(model.dtype).removeprefix("torch."),
            window=self._window,
            min_logprob=getattr(config, "min_logprob", None),
        )

    def answer(self, message: Message, inbox: _Inbox) -> None:
        number = message["id"]
        control = self._control(
            cancelled=lambda: number in inbox.cancelled, finished=lambda: number in inbox.finished
        )
        self._out.send(event="started", id=number)
        try:
            self._out.send(event="done", id=number, **self._done(message, control))
        except self._cancelled:
            self._out.send(event="cancelled", id=number)
        except Exception as error:
            # Out of memory on a GPU leaves the process usable; what else fails here is our bug.
            # The traceback, which holds no prompt, goes to the server's log by way of stderr.
            traceback.print_exc()
            self._out.send(event="failed", id=number, message=f"{type(error).__name__}: {error}"[:500])
        inbox.cancelled.discard(number)
        inbox.finished.discard(number)

    def _done(self, message: Message, control: Any) -> Message:
        number = message["id"]
        sampling = Sampling(**message["sampling"])
        document = Document(message["prefix"], message["suffix"])
        prompt = fit(
            document,
            self._tokenizer,
            self._family,
            self._window,
            sampling.max_new_tokens,
            self._order,
            self._heal,
        )
        if message["op"] == "warm":
            usage = self._generator.warm(prompt, control)
            return {"items": [], "usage": asdict(usage), "prefill_ms": 0.0, "decode_ms": 0.0}
        return asdict(
            self._generator.complete(
                prompt,
                sampling,
                control,
                lambda index, text: self._out.send(event="delta", id=number, index=index, text=text),
            )
        )

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


def _quiet_transformers() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _device_name(device: Any) -> str:
    if device.type != "cuda":
        return str(device)
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


if __name__ == "__main__":
    main()
