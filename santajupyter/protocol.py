"""The types on the wire, checked on entry.

A :class:`CompletionRequest` is made from a JSON body by :func:`completion_request`,
which raises :class:`BadRequest` naming the field and the remedy. Nothing in here
knows HTTP, a model or a tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any

CELL_TYPES = ("code", "markdown", "raw")
TRIGGERS = ("invoke", "automatic")
MODES = ("line", "block", "auto")
MAX_NEW_TOKENS = 1024
MAX_CANDIDATES = 8
MAX_STOPS = 16
MAX_NAME = 1024
# What a cell printed is clipped to this, so that 5 MB of output are no error.
MAX_OUTPUTS = 8
MAX_OUTPUT = 400
OUTPUT_TYPES = ("error", "text")
# Of what the kernel's names stand for: more than so many are left out, or cut and no longer complete.
MAX_VARIABLES = 200
MAX_LISTED = 2000
MAX_LISTED_NAME = 200
MAX_DIMENSIONS = 32


class BadRequest(ValueError):
    """A request's field is missing or wrong; the message names it and the remedy."""


@dataclass(frozen=True)
class Output:
    """What a cell's last run left: ``text`` that it showed, or an error: its ``name``, its message

    (``value``) and the ``line`` of the cell that raised it, where that is known.
    """

    type: str
    text: str = ""
    name: str = ""
    value: str = ""
    line: str = ""


@dataclass(frozen=True)
class Cell:
    """One notebook cell. ``source`` may be empty; ``execution_count`` is None for one never run."""

    source: str
    type: str = "code"
    id: str = ""
    execution_count: int | None = None
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Variable:
    """What a name of the kernel's stands for, as kernel/kernelfacts.py reads it; see docs/rest.md.

    ``columns`` are pairs of name and dtype. A list is all there is where ``complete`` names it.
    """

    name: str
    type: str
    module: str = ""
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    signature: str = ""
    members: tuple[str, ...] = ()
    complete: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sampling:
    """How to decode, in transformers' words. ``temperature`` 0 is greedy. ``logprobs``: tell each token's.

    ``min_probability``: a candidate ends before the word that makes all of it less likely than this.
    ``search``: a line is asked for, of which a model with ``beams`` looks for the likeliest whole.
    """

    n: int = 1
    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    min_probability: float = 0.0
    search: bool = False


@dataclass(frozen=True)
class CompletionRequest:
    """A cursor in a notebook: ``offset`` code points into ``cells[active]``."""

    cells: tuple[Cell, ...]
    active: int
    offset: int
    language: str = "python"
    path: str = ""
    variables: tuple[Variable, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trigger: str = "automatic"
    mode: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    stream: bool = False
    client: str = ""


@dataclass(frozen=True)
class Item:
    """One candidate. ``logprob`` is the mean natural log-probability of its tokens.

    ``logprobs``, where asked for: the text in pieces, each with the sum of what its tokens have.
    """

    text: str
    finish_reason: str
    logprob: float
    logprobs: Sequence[tuple[str, float]] | None = None

    def cut(self, text: str) -> Item:
        """The item with a beginning of its text."""
        if self.logprobs is None:
            return replace(self, text=text)
        starts = accumulate((len(piece) for piece, _ in self.logprobs), initial=0)
        kept = [
            (piece[: len(text) - start], logprob)
            for start, (piece, logprob) in zip(starts, self.logprobs, strict=False)
            if start < len(text)
        ]
        return replace(self, text=text, logprobs=kept)


@dataclass(frozen=True)
class Usage:
    """Token counts; ``cached_tokens`` of ``prompt_tokens`` were not computed again."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Timings:
    """Milliseconds."""

    queue_ms: float
    prefill_ms: float
    decode_ms: float


@dataclass(frozen=True)
class Completion:
    """What the engine made of a request, and which model it was."""

    items: tuple[Item, ...]
    model: str
    usage: Usage
    timings: Timings

    @property
    def text(self) -> str:
        """The first candidate."""
        return self.items[0].text

    def to_json(self) -> dict[str, Any]:
        """What wasn't asked for has no field."""
        items = [{k: v for k, v in asdict(item).items() if v is not None} for item in self.items]
        return {**asdict(self), "items": items}


@dataclass(frozen=True)
class Documentation:
    """What documents the function ``name``: ``text`` goes in ``at`` code points into the active cell.

    Without a text the ``message`` says why there is none.
    """

    name: str = ""
    at: int = 0
    text: str = ""
    message: str = ""


def completion_request(body: object) -> CompletionRequest:
    """Check a JSON body of POST complete or warm. Unknown fields are ignored.

    Raises BadRequest with the field's name and what it must be.
    """
    fields = _Fields(body)
    cells = tuple(_cell(f"cells[{i}]", cell) for i, cell in enumerate(fields.list("cells")))
    if not cells:
        raise BadRequest("cells: give at least the cell with the cursor")
    active = fields.integer("active", 0, len(cells) - 1, default=None)
    offset = fields.integer("offset", 0, len(cells[active].source), default=None)
    return CompletionRequest(
        cells=cells,
        active=active,
        offset=offset,
        language=fields.text("language", "python") or "python",
        path=fields.text("path", ""),
        variables=tuple(
            _variable(f"variables[{i}]", value)
            for i, value in enumerate(fields.list("variables", ())[:MAX_VARIABLES])
        ),
        classes=_classes(fields.values.get("classes")),
        trigger=fields.choice("trigger", TRIGGERS, "automatic"),
        mode=fields.choice("mode", MODES, "auto"),
        sampling=_sampling(fields, "max_new_tokens", fields.boolean("logprobs")),
        stream=fields.boolean("stream"),
        client=fields.text("client", ""),
    )


@dataclass(frozen=True)
class TextRequest:
    """A checked body of POST v1/completions (OpenAI's text completion, with ``suffix``)."""

    prompt: str
    suffix: str
    model: str
    sampling: Sampling
    stream: bool


def text_request(body: object) -> TextRequest:
    """Check a JSON body of POST v1/completions. Raises BadRequest like :func:`completion_request`."""
    fields = _Fields(body)
    for name in ("echo", "best_of"):
        if fields.values.get(name) not in (None, False, 1 if name == "best_of" else None):
            raise BadRequest(f"{name}: not offered by this server; leave it out")
    chosen = fields.values.get("logprobs")
    if chosen not in (None, 0):
        raise BadRequest("logprobs: only 0 is offered, those of the tokens in the text; send that or nothing")
    return TextRequest(
        prompt=fields.text("prompt", None, limit=None),
        suffix=fields.text("suffix", "", limit=None),
        model=fields.text("model", ""),
        sampling=_sampling(fields, "max_tokens", logprobs=chosen is not None and chosen is not False),
        stream=fields.boolean("stream"),
    )


def model_name(body: object) -> str:
    """The optional ``model`` of POST load; "" when absent. Raises BadRequest."""
    return _Fields(body).text("model", "")


def _sampling(fields: _Fields, length_name: str, logprobs: bool) -> Sampling:
    n = fields.integer("n", 1, MAX_CANDIDATES, default=1)
    temperature = fields.number("temperature", 0.0, 2.0, 0.0)
    if n > 1 and temperature == 0:
        raise BadRequest("n: several candidates need a temperature above 0, or they are all the same")
    top_p = fields.number("top_p", 0.0, 1.0, 1.0)
    if top_p == 0:
        raise BadRequest("top_p: must be above 0")
    seed = fields.integer("seed", 0, 2**63 - 1, default=-1)
    return Sampling(
        n=n,
        max_new_tokens=fields.integer(length_name, 1, MAX_NEW_TOKENS, default=64),
        temperature=temperature,
        top_p=top_p,
        seed=None if seed < 0 else seed,
        stop=fields.stops("stop"),
        logprobs=logprobs,
    )


def _cell(name: str, value: object) -> Cell:
    fields = _Fields(value, name)
    count = fields.integer("execution_count", 0, 2**53, default=-1)
    return Cell(
        source=fields.text("source", None, limit=None),
        type=fields.choice("type", CELL_TYPES, "code"),
        id=fields.text("id", ""),
        execution_count=None if count < 0 else count,
        outputs=tuple(
            _output(f"{name}.outputs[{i}]", output) for i, output in enumerate(fields.list("outputs", ()))
        )[-MAX_OUTPUTS:],
    )


def _output(name: str, value: object) -> Output:
    fields = _Fields(value, name)
    return Output(
        type=fields.choice("type", OUTPUT_TYPES, None),
        text=fields.beginning("text"),
        name=fields.beginning("name"),
        value=fields.beginning("value"),
        line=fields.beginning("line"),
    )


def _variable(name: str, value: object) -> Variable:
    fields = _Fields(value, name)
    identifier = fields.text("name", None, MAX_LISTED_NAME)
    if not identifier.isidentifier():
        raise BadRequest(f"{name}.name: must be a Python name")
    shape = fields.list("shape", ())
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise BadRequest(
            f"{name}.shape: must be a list of at most {MAX_DIMENSIONS} whole numbers, none below 0"
        )
    columns = fields.list("columns", ())
    lists = {kind: fields.names(kind) for kind in ("keys", "members", "complete")}
    cut = {kind for kind in ("columns", "keys", "members") if len(fields.list(kind, ())) > MAX_LISTED}
    return Variable(
        name=identifier,
        type=fields.text("type", None, MAX_LISTED_NAME),
        module=fields.text("module", "", MAX_LISTED_NAME),
        shape=None if fields.values.get("shape") is None else tuple(n for n in shape if isinstance(n, int)),
        dtype=fields.text("dtype", "", MAX_LISTED_NAME),
        columns=tuple(
            _column(f"{name}.columns[{i}]", column) for i, column in enumerate(columns[:MAX_LISTED])
        ),
        keys=lists["keys"],
        signature=fields.text("signature", "", limit=None)[:MAX_NAME],
        members=lists["members"],
        complete=frozenset(lists["complete"]) - cut,
    )


def _column(name: str, value: object) -> tuple[str, str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise BadRequest(f"{name}: must be a list of a name and a dtype")
    fields = _Fields({"name": value[0], "dtype": value[1]}, name)
    return fields.text("name", None, MAX_LISTED_NAME), fields.text("dtype", "", MAX_LISTED_NAME)


def _classes(value: object) -> dict[str, tuple[str, ...]]:
    fields = _Fields({} if value is None else value, "classes")
    # One that is cut can't be told from one that isn't: it says nothing.
    return {
        place: fields.names(place)
        for place in list(fields.values)[:MAX_VARIABLES]
        if len(fields.list(place, ())) <= MAX_LISTED
    }


class _Fields:
    """A JSON object's fields by type; null counts as absent. A default of None means required."""

    def __init__(self, body: object, name: str = "") -> None:
        if not isinstance(body, Mapping):
            raise BadRequest(f"{name or 'the body'}: must be a JSON object")
        self.values: Mapping[str, object] = body
        self._prefix = f"{name}." if name else ""

    def _get(self, name: str, default: object) -> object:
        value = self.values.get(name)
        if value is not None:
            return value
        if default is None:
            raise BadRequest(f"{self._prefix}{name}: missing")
        return default

    def _bad(self, name: str, remedy: str) -> BadRequest:
        return BadRequest(f"{self._prefix}{name}: {remedy}")

    def text(self, name: str, default: str | None, limit: int | None = MAX_NAME) -> str:
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._bad(name, "must be a string")
        if limit is not None and len(value) > limit:
            raise self._bad(name, f"at most {limit} characters")
        if not _encodable(value):
            raise self._bad(name, "has half of a surrogate pair; send whole Unicode characters")
        return value

    def beginning(self, name: str, length: int = MAX_OUTPUT) -> str:
        """A text's first characters; what is longer is no error."""
        return self.text(name, "", limit=None)[:length]

    def choice(self, name: str, options: Sequence[str], default: str | None) -> str:
        value = self._get(name, default)
        if value not in options:
            raise self._bad(name, f"must be one of {', '.join(options)}")
        return str(value)

    def integer(self, name: str, low: int, high: int, default: int | None) -> int:
        value = self._get(name, default)
        if self.values.get(name) is None:
            return default  # type: ignore[return-value]  # _get raised if it was None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._bad(name, f"must be a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float) -> float:
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(name, "must be a number")
        if not math.isfinite(value) or not low <= value <= high:
            raise self._bad(name, f"must lie between {low:g} and {high:g}")
        return float(value)

    def boolean(self, name: str) -> bool:
        value = self._get(name, False)
        if not isinstance(value, bool):
            raise self._bad(name, "must be true or false")
        return value

    def list(self, name: str, default: Sequence[object] | None = None) -> Sequence[object]:
        value = self._get(name, default)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self._bad(name, "must be a list")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """The first MAX_LISTED of an optional list of strings."""
        names = self.list(name, ())[:MAX_LISTED]
        if not all(isinstance(n, str) and len(n) <= MAX_LISTED_NAME and _encodable(n) for n in names):
            raise self._bad(name, f"each must be a string of at most {MAX_LISTED_NAME} characters")
        return tuple(map(str, names))

    def stops(self, name: str) -> tuple[str, ...]:
        """A string or a list of strings, as OpenAI's API has it."""
        value = self._get(name, ())
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, Sequence) or len(stops) > MAX_STOPS:
            raise self._bad(name, f"must be a string or a list of at most {MAX_STOPS} strings")
        if not all(
            isinstance(stop, str) and 0 < len(stop) <= MAX_NAME and _encodable(stop) for stop in stops
        ):
            raise self._bad(name, f"each must be a string of 1 to {MAX_NAME} characters")
        return tuple(stops)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
