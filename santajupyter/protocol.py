"""The types on the wire, each declared once: what they may hold stands in their annotations.

decoding.py reads JSON into them and says what is wrong; ``server/openapi.py`` describes them for others.
Nothing in here knows HTTP, a model or a tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from .decoding import BadRequest, decode
from .printable import printable

MAX_NEW_TOKENS = 1024
MAX_CANDIDATES = 8
MAX_STOPS = 16
MAX_NAME = 1024
# No window has room for them, and every cell costs the server a moment.
MAX_CELLS = 10_000
# What a cell printed is clipped to this, so that 5 MB of output are no error.
MAX_OUTPUTS = 8
MAX_OUTPUT = 400
# Of what the kernel's names stand for: more than so many are left out, or cut and no longer complete.
MAX_VARIABLES = 200
MAX_LISTED = 2000
MAX_LISTED_NAME = 200
MAX_NAMES = 10_000
MAX_DIMENSIONS = 32

Name = Annotated[str, Meta(max_length=MAX_NAME)]
ListedName = Annotated[str, Meta(max_length=MAX_LISTED_NAME)]
Stop = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
Dimension = Annotated[int, Meta(ge=0, le=2**63 - 1)]
NewTokens = Annotated[int, Meta(ge=1, le=MAX_NEW_TOKENS)]


# Of outputs and variables a request may hold 100,000. As structs, unlike dataclasses, they are made in a
# tenth of the time, and the garbage collector doesn't look at them.
class Output(Struct, frozen=True, gc=False):
    """What a cell's last run left: ``text`` that it showed, or an error: its ``name``, its message

    (``value``) and the ``line`` of the cell that raised it, where that is known. Longer texts are cut.
    """

    type: Literal["error", "text"]
    text: str = ""
    name: str = ""
    value: str = ""
    line: str = ""

    def __post_init__(self) -> None:
        for member in ("text", "name", "value", "line"):
            if len(getattr(self, member)) > MAX_OUTPUT:
                force_setattr(self, member, getattr(self, member)[:MAX_OUTPUT])


class Variable(Struct, frozen=True, gc=False):
    """What a name of the kernel's stands for, as kernel/kernelfacts.py reads it; see docs/rest.md.

    ``columns`` are pairs of name and dtype, ``repeating`` those with few values that come again and again,
    ``values`` pairs of a column or key and some values, as Python writes them. ``inside``: pairs of a key and
    all keys of the dict there; with ``[]`` behind it, or alone, of the dicts in the list there, or in this.
    A list is all there is where ``complete`` names it. Longer lists are cut, and then are complete no more.
    """

    name: Annotated[ListedName, Meta(extra_json_schema={"pattern": r"^[A-Za-z_][\w.]*$"})]
    type: ListedName
    module: ListedName = ""
    shape: Annotated[tuple[Dimension, ...], Meta(max_length=MAX_DIMENSIONS)] | None = None
    dtype: ListedName = ""
    columns: tuple[tuple[ListedName, ListedName], ...] = ()
    keys: tuple[ListedName, ...] = ()
    levels: tuple[ListedName, ...] = ()
    signature: str = ""
    members: tuple[ListedName, ...] = ()
    values: tuple[tuple[ListedName, tuple[ListedName, ...]], ...] = ()
    repeating: tuple[ListedName, ...] = ()
    inside: tuple[tuple[ListedName, tuple[ListedName, ...]], ...] = ()
    complete: frozenset[ListedName] = frozenset()

    def __post_init__(self) -> None:
        # R's names may have dots.
        if not self.name.replace(".", "_").isidentifier():
            raise ValueError("name: must be a name of Python's or R's")
        for member in ("columns", "inside", "keys", "levels", "members", "repeating", "values"):
            if len(getattr(self, member)) > MAX_LISTED:
                force_setattr(self, member, getattr(self, member)[:MAX_LISTED])
                force_setattr(self, "complete", self.complete - {member})
        force_setattr(self, "signature", self.signature[:MAX_NAME])


class Table(Struct, frozen=True, gc=False):
    """A database's table, and pairs of its columns' names and types."""

    name: ListedName
    columns: tuple[tuple[ListedName, ListedName], ...] = ()

    def __post_init__(self) -> None:
        if len(self.columns) > MAX_LISTED:
            force_setattr(self, "columns", self.columns[:MAX_LISTED])


class Database(Struct, frozen=True, gc=False):
    """What SQL can ask in a kernel, as kernel/databases.py reads it.

    ``name``: of the variable that has it, or ``%sql`` for what that magic asks; ``engine``: SQLAlchemy's
    name of its dialect.
    """

    name: ListedName
    engine: ListedName = ""
    tables: tuple[Table, ...] = ()

    def __post_init__(self) -> None:
        if len(self.tables) > MAX_LISTED:
            force_setattr(self, "tables", self.tables[:MAX_LISTED])


@dataclass(frozen=True)
class Cell:
    """One notebook cell. ``source`` may be empty; ``execution_count`` is null for one that didn't run so.

    Of the ``outputs`` the last ones count.
    """

    source: str
    type: Literal["code", "markdown", "raw"] = "code"
    id: Name = ""
    execution_count: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    outputs: tuple[Output, ...] = ()

    def __post_init__(self) -> None:
        if len(self.outputs) > MAX_OUTPUTS:
            object.__setattr__(self, "outputs", self.outputs[-MAX_OUTPUTS:])


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How to choose among the likely tokens, in transformers' words. ``temperature`` 0 is greedy."""

    n: Annotated[int, Meta(ge=1, le=MAX_CANDIDATES)] = 1
    temperature: Annotated[float, Meta(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    stop: Stop | Annotated[tuple[Stop, ...], Meta(max_length=MAX_STOPS)] = ()

    def _sampling(self, max_new_tokens: int, logprobs: bool) -> Sampling:
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        return Sampling(self.n, max_new_tokens, self.temperature, self.top_p, self.seed, stop, logprobs)

    def _check(self) -> None:
        if self.n > 1 and self.temperature == 0:
            raise BadRequest("n: several candidates need a temperature above 0, or they are all the same")


@dataclass(frozen=True)
class Sampling:
    """What the engine is told of a request's choices. ``logprobs``: tell each token's.

    ``min_probability``: a candidate ends before the word that makes all of it less likely than this.
    ``search``: a line is asked for, of which a model with ``beams`` looks for the likeliest whole. ``heal``:
    the prompt's last tokens are generated again, see prompt/fim.py. ``avoid``: characters of which
    none is the text's first one, blanks aside. ``says_more``: it doesn't end before that.
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
    heal: bool = True
    avoid: str = ""
    says_more: bool = False


@dataclass(frozen=True)
class CompletionRequest(Decoding):
    """A cursor in a notebook: ``offset`` Unicode code points into ``cells[active]``.

    ``names`` exist though neither ``cells`` nor ``variables`` say so; "*" among them: there may be others.
    ``modules``: top-level names of all that can be imported; none where that isn't known.
    ``meanwhile``: another model may suggest something before, see Meanwhile.
    The body of POST complete, docstring, warm and explain.
    """

    cells: Annotated[tuple[Cell, ...], Meta(max_length=MAX_CELLS, extra_json_schema={"minItems": 1})]
    active: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]
    language: Name = "python"
    path: Name = ""
    variables: tuple[Variable, ...] = ()
    classes: Mapping[str, tuple[ListedName, ...]] = field(default_factory=dict)
    names: tuple[ListedName, ...] = ()
    databases: tuple[Database, ...] = ()
    modules: frozenset[ListedName] = frozenset()
    trigger: Literal["invoke", "automatic"] = "automatic"
    mode: Literal["line", "block", "auto"] = "auto"
    max_new_tokens: NewTokens = 64
    logprobs: bool = False
    min_probability: Annotated[float, Meta(ge=0, le=1)] = 0.0
    prefetch: bool = False
    stream: bool = False
    meanwhile: bool = False
    client: Name = ""
    sequence: Annotated[int, Meta(ge=0)] = 0

    @property
    def sampling(self) -> Sampling:
        return self._sampling(self.max_new_tokens, self.logprobs)


@dataclass(frozen=True)
class StructuredOutputs:
    """A text is one of ``choice``."""

    choice: Annotated[tuple[Stop, ...], Meta(min_length=1, max_length=MAX_NAMES)]


@dataclass(frozen=True)
class TextRequest(Decoding):
    """The body of POST v1/completions: OpenAI's text completion, with ``suffix`` and vLLM's

    ``structured_outputs``. ``logprobs`` 0 or 1: those of the tokens in the text.
    """

    prompt: str
    suffix: str = ""
    model: Name = ""
    max_tokens: NewTokens = 64
    logprobs: Annotated[bool | int | None, Meta(extra_json_schema={"enum": [0, 1, False, None]})] = None
    echo: Annotated[bool, Meta(extra_json_schema={"enum": [False]})] = False
    best_of: Annotated[int, Meta(extra_json_schema={"enum": [1]})] = 1
    structured_outputs: StructuredOutputs | None = None
    stream: bool = False

    @property
    def infill(self) -> bool:
        """Whether it is asked to fill in even before a blank suffix."""
        return False

    @property
    def sampling(self) -> Sampling:
        return self._sampling(self.max_tokens, self.logprobs is not None and self.logprobs is not False)


@dataclass(frozen=True)
class LoadRequest:
    """The body of POST load: one of the allowed models, or "" for the configured one."""

    model: Name = ""


@dataclass(frozen=True)
class Item:
    """One candidate. ``logprob`` is the mean natural log-probability of its tokens.

    ``logprobs``, where asked for: the text in pieces, each with the sum of what its tokens have. ``reason``,
    where the text is empty: the model had ``nothing`` to say, or what it wrote was ``unlikely``, what stands
    above, below or right of the cursor over again (``repeats-above``, ``repeats-below``, ``repeats-right``),
    the same over and over (``loops``), ``no-code``, or ``broken`` code. ``imports``: statements
    that have to run first, for names that the text uses and that nothing has imported or defined.
    """

    text: str
    finish_reason: str = "stop"
    logprob: float = 0.0
    logprobs: Sequence[tuple[str, float]] | None = None
    reason: str | None = None
    imports: tuple[str, ...] | None = None

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

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Timings:
    """Milliseconds."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True)
class Completion:
    """What the engine made of a request, and which model it was."""

    items: tuple[Item, ...]
    model: str
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)

    @property
    def text(self) -> str:
        """The first candidate."""
        return self.items[0].text

    def to_json(self) -> dict[str, Any]:
        """What wasn't asked for has no field."""
        items = [{k: v for k, v in asdict(item).items() if v is not None} for item in self.items]
        return {**asdict(self), "items": items}


@dataclass(frozen=True)
class Delta:
    """An event of a stream: what comes next of the candidate number ``index``."""

    index: int
    text: str


@dataclass(frozen=True)
class Meanwhile:
    """An event of a stream: what the built-in model suggests while the other one reads a long prompt.

    What comes after it replaces it. ``imports`` as an item has them.
    """

    text: str
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Documentation:
    """What documents the function ``name``: ``text`` goes in ``at`` code points into the active cell.

    Without a text the ``message`` says why there is none.
    """

    name: str = ""
    at: int = 0
    text: str = ""
    message: str = ""


@dataclass(frozen=True)
class Edit:
    """What stands from ``start`` to ``end``, code points into the active cell, becomes ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Fix:
    """What mends the active cell's last error: ``edits`` in the cell's order, none where nothing does.

    ``why``: a sentence. ``reason`` says the same in a word: a ``name``, an ``import`` or the ``syntax`` is
    mended, by a rule, or the ``line`` by the model; else there is ``no-error``, or it is not in this cell's
    line any more (``gone``), what is missing is made ``elsewhere``, and must run first, the cell isn't in
    Python (``language``), or ``nothing`` was found. ``words``: of a name, the wrong one and the right one.
    """

    edits: tuple[Edit, ...] = ()
    by: Literal["rule", "model"] | None = None
    reason: str = "nothing"
    why: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A part of a prompt; ``cached`` of its ``tokens`` needn't be computed."""

    name: str
    text: str = ""
    tokens: int = 0
    cached: int = 0


@dataclass(frozen=True)
class LeftOut:
    """What the model doesn't see."""

    name: str
    characters: int = 0


@dataclass(frozen=True)
class Explanation:
    """What the model would see, in the prompt's order. ``healed`` is generated again."""

    model: str
    window: int = 0
    pieces: tuple[Piece, ...] = ()
    healed: str = ""
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far a download is, in ``unit``; ``total`` is null where it isn't known."""

    phase: str = ""
    done: int | float = 0
    total: int | float | None = None
    unit: str = ""


@dataclass(frozen=True)
class ModelStatus:
    """What is known of a model and its process; an ``error`` may have others' words, such as a hub's.

    ``state``: unloaded, downloading, loading, ready or error. ``window``: tokens. ``min_probability``: how
    likely all of an automatic completion has to be, by the model's own reckoning, to be worth showing.
    """

    model: str = ""
    revision: str = ""
    state: str = "unloaded"
    family: str = ""
    device: str = ""
    dtype: str = ""
    window: int = 0
    min_probability: float = 0.0
    progress: Progress | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error:
            object.__setattr__(self, "error", printable(self.error))


@dataclass(frozen=True)
class Latency:
    """Milliseconds of the last ``n`` completions; null of fewer than two."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class Counts:
    """Since the server's start."""

    requests: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    latency_ms: Latency = field(default_factory=Latency)


@dataclass(frozen=True)
class Problem:
    """An error that wasn't its client's: when, in UTC, at which request, the answer's reason and message."""

    at: str
    operation: str
    reason: str
    message: str


@dataclass(frozen=True)
class Offer:
    """A model that may be loaded. ``name`` is for people, empty where it has no other than ``model``.

    ``blocks``: whether it writes more than the rest of a line.

    ``download`` and ``memory`` are in bytes, about, null where that isn't known; what was downloaded
    before isn't again.
    """

    model: str
    name: str = ""
    blocks: bool = True
    download: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Status(ModelStatus):
    """The configured model's status, and the server's. ``serving`` names the model that answers now,

    ``fallback`` is the one that stands in, while it does or stays beside a model on a CPU; ``memory`` is the
    serving process's, in bytes.
    ``blocks``: whether who asks for several lines gets them, now or when the model is ready. ``models``:
    more of the ``allowed_models``. ``emit_events``: whether the page is to tell Jupyter Server's event
    logger what becomes of suggestions. ``errors``: the last ones, the newest last.
    """

    serving: str | None = None
    fallback: ModelStatus | None = None
    message: str = ""
    blocks: bool = True
    allowed_models: tuple[str, ...] = ()
    models: tuple[Offer, ...] = ()
    busy: int = 0
    memory: int | None = None
    stats: Counts = field(default_factory=Counts)
    errors: tuple[Problem, ...] = ()
    emit_events: bool = False
    version: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "message", printable(self.message))


@dataclass(frozen=True)
class OpenAIError:
    """An error as OpenAI's clients expect it."""

    message: str
    type: str


@dataclass(frozen=True)
class Failure:
    """Why there is no answer: a sentence for people, and one word for programs.

    ``reason`` is null where Jupyter's server itself refused; ``error`` is there in v1/completions alone.
    """

    message: str
    reason: str | None = None
    error: OpenAIError | None = None


@dataclass(frozen=True)
class TextLogprobs:
    """OpenAI's log-probabilities of the tokens in a text; offsets are into it."""

    tokens: Sequence[str]
    token_logprobs: Sequence[float]
    text_offset: Sequence[int]
    top_logprobs: None = None


@dataclass(frozen=True)
class TextChoice:
    """One candidate in OpenAI's form; in a stream's deltas without a ``finish_reason``."""

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: TextLogprobs | None = None


@dataclass(frozen=True)
class CachedTokens:
    """How many of the prompt's tokens needed no computing."""

    cached_tokens: int


@dataclass(frozen=True)
class TextUsage:
    """Token counts in OpenAI's form."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


@dataclass(frozen=True)
class TextCompletion:
    """OpenAI's answer, and each event of its stream; ``created`` in seconds since 1970."""

    id: str
    created: int
    model: str
    choices: Sequence[TextChoice]
    usage: TextUsage | None = None
    object: str = "text_completion"


@dataclass(frozen=True)
class Model:
    """What GET v1/models says of a model."""

    id: str
    object: str = "model"
    owned_by: str = "santajupyter"


@dataclass(frozen=True)
class ModelList:
    """What POST load may name, in OpenAI's form."""

    data: Sequence[Model]
    object: str = "list"


def completion_request(body: object) -> CompletionRequest:
    """Check a body of POST complete: JSON in bytes, or what becomes JSON. Unknown fields are ignored.

    Raises BadRequest with the field's name and what it must be.
    """
    request = decode(body, CompletionRequest)
    request._check()
    if not request.cells:
        raise BadRequest("cells: give at least the cell with the cursor")
    last = len(request.cells) - 1
    if request.active > last:
        raise BadRequest(f"active: must be a whole number from 0 to {last}")
    length = len(request.cells[request.active].source)
    if request.offset > length:
        raise BadRequest(f"offset: must be a whole number from 0 to {length}")
    # A list that is cut can't be told from one that isn't: it says nothing.
    classes = [*request.classes.items()][:MAX_VARIABLES]
    return replace(
        request,
        language=request.language or "python",
        variables=request.variables[:MAX_VARIABLES],
        names=request.names if len(request.names) <= MAX_NAMES else ("*",),
        classes={name: members for name, members in classes if len(members) <= MAX_LISTED},
    )


def text_request(body: object) -> TextRequest:
    """Check a body of POST v1/completions. Raises BadRequest like :func:`completion_request`."""
    request = decode(body, TextRequest)
    request._check()
    for name, is_offered in (("echo", not request.echo), ("best_of", request.best_of == 1)):
        if not is_offered:
            raise BadRequest(f"{name}: not offered by this server; leave it out")
    if request.logprobs not in (None, 0, 1):
        raise BadRequest(
            "logprobs: those of other tokens than the text's aren't offered; send 0, 1 or nothing"
        )
    return request


def load_request(body: object) -> LoadRequest:
    """Check a body of POST load. Raises BadRequest like :func:`completion_request`."""
    return decode(body, LoadRequest)
