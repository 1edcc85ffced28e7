"""What the server's process and the model's process say to each other: JSON, one message a line.

The worker's stdin and stdout carry it, which works the same on Linux, macOS and Windows. Anything may
print to stdout before the worker takes it over, and a process may die in mid-line: what isn't a whole
message is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from ..prompt.choices import Choice
from ..prompt.document import Document
from ..protocol import Item, Progress, Sampling, Usage

READ_SIZE = 65_536
# A longer line is no message; it isn't kept while its end is looked for.
MAX_LINE = 64 * 2**20

T = TypeVar("T")


class _ToWorker(msgspec.Struct, tag_field="op", tag=str.lower):
    pass


class Remote(msgspec.Struct):
    """A server of OpenAI's text completions that has the model.

    ``url``: with or without its /v1. ``tokenizer``: a folder with the model's tokenizer.json, or a hub id.
    """

    url: str
    key: str
    tokenizer: str


class Load(_ToWorker):
    """The first message, and there is one. ``folder``: a folder's absolute path, or a hub id.

    ``remote``: who has the model; None: this process. ``gives_way``: it computes on a CPU where others
    compute whose work goes first.
    """

    model: str
    folder: str
    revision: str = ""
    family: str = ""
    device: str = "auto"
    dtype: str = "auto"
    prompt_order: str = "auto"
    cache_bytes: int = 0
    prompt_lookup: int = 0
    cache_model: bool | None = None
    keep_prompts: bool = False
    gives_way: bool = False
    remote: Remote | None = None


class _Request(_ToWorker):
    """``automatic``: nobody asked for it; it takes turns with what somebody did ask for.

    ``user``: whose it is, where several share the engine; each has the same share of its time.
    """

    id: int
    document: Document
    sampling: Sampling
    automatic: bool = False
    user: str = ""


class Complete(_Request):
    """``choice``: all that can come next, where the kernel knows it.

    ``prefetch``: nobody waits for it; it has a turn when there is nothing else to do.
    """

    choice: Choice | None = None
    prefetch: bool = False


class Warm(_Request):
    """Compute the prompt cache alone; answered by Done without items."""


class Explain(_Request):
    """Describe the prompt; ``pieces`` as explain.locate_pieces has them. Answered by Explained."""

    pieces: Any = None


class Cancel(_ToWorker):
    """Give up a request; answered by Cancelled."""

    id: int


class Finish(_ToWorker):
    """End the generation and keep what is there."""

    id: int


class _FromWorker(msgspec.Struct, tag_field="event", tag=str.lower):
    pass


class Loading(_FromWorker):
    """``progress`` while downloading."""

    progress: Progress | None = None


class Ready(_FromWorker):
    """``window``: tokens. ``min_probability``: see ModelStatus."""

    family: str
    device: str
    dtype: str
    window: int
    min_probability: float = 0.0


class Broken(_FromWorker):
    """The model can't be loaded; the process ends. ``retry_after``: seconds; 0: as usual."""

    error: str
    retry_after: float = 0.0


class Beat(_FromWorker):
    """Sent once a second, by a thread of its own. ``steps``: how many were done since the start."""

    steps: int
    busy: bool


class Started(_FromWorker):
    """The request has its first turn."""

    id: int


class Reading(_FromWorker):
    """Reading what is new in the request's prompt takes rather long."""

    id: int


class Delta(_FromWorker):
    """The next piece of candidate ``index``."""

    id: int
    index: int
    text: str


class Done(_FromWorker):
    """Times in milliseconds."""

    id: int
    items: tuple[Item, ...]
    usage: Usage
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


class Explained(_FromWorker):
    """``prompt``: the fields that POST explain answers with, but for the model's."""

    id: int
    prompt: dict[str, Any]


class Failed(_FromWorker):
    """``message``: a sentence without a word of the prompt. ``said``: what another server said of it.

    ``retry_after``: seconds, where that server has only too much to do now.
    """

    id: int
    message: str
    said: str = ""
    retry_after: float = 0.0


class Cancelled(_FromWorker):
    """Nothing more comes of the request."""

    id: int


ToWorker = Load | Complete | Warm | Explain | Cancel | Finish
Request = Complete | Warm | Explain
FromWorker = (
    Loading | Ready | Broken | Beat | Started | Reading | Delta | Done | Explained | Failed | Cancelled
)

encode = msgspec.json.Encoder().encode
_to_worker = msgspec.json.Decoder(ToWorker)
_from_worker = msgspec.json.Decoder(FromWorker)


def requests(file: int) -> Iterator[ToWorker]:
    """What the server says, up to the end of the file descriptor."""
    return _messages(file, _to_worker)


def events(file: int) -> Iterator[FromWorker]:
    """What the worker says, up to the end of the file descriptor."""
    return _messages(file, _from_worker)


def send(file: int, message: ToWorker | FromWorker) -> None:
    """Write it as a line of its own, whatever stood there before. Raises OSError."""
    line = memoryview(b"\n" + encode(message) + b"\n")
    while line:
        line = line[os.write(file, line) :]


def _messages(file: int, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    for line in _lines(file):
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def _lines(file: int) -> Iterator[bytes]:
    """Whole lines, without the empty ones. No buffered file: Python's exit would wait for its lock."""
    begun: list[bytes] = []
    length = 0
    while data := os.read(file, READ_SIZE):
        first, *rest = data.split(b"\n")
        begun.append(first)
        length += len(first)
        if length > MAX_LINE:
            begun.clear()
            length = 0
        if rest:
            yield from filter(None, [b"".join(begun), *rest[:-1]])
            begun, length = [rest[-1]], len(rest[-1])
