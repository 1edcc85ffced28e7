"""Fill-in-the-middle: a document -> the token ids that a model was trained on.

A family is a prompt format. Its sentinels go in by id; the user's text is encoded
apart from them and can never become one, whatever it spells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .document import Document
from .tokenizer import CodeTokenizer

# The suffix may take this share of the window when the prefix would fill it all.
SUFFIX_SHARE = 1 / 4
# What is too long is cut in steps of this share of the room, so that all but the prompt's
# end, and with it the prompt cache, stays the same for many keystrokes.
CUT_SHARE = 1 / 8
# Of the room for the prefix's segments, this share is for the nearest ones, whatever they are.
NEAR_SHARE = 1 / 2
# When so many segments didn't fit, what is left of the room is not worth more tokenizing.
MISSES = 8
# No tokenizer here has code with more characters a token: what is further away than
# this can't reach the window and needn't be tokenized.
MAX_CHARS_PER_TOKEN = 32
ORDERS = ("auto", "spm", "psm")
# At most so many of the prefix's tokens are generated again.
MAX_HEALED = 4


@dataclass(frozen=True)
class Family:
    """The sentinel tokens of a FIM format, and what else its training fixed.

    ``spm``: the released models were trained on suffix-first prompts too ("variant 2":
    prefix and suffix sentinels, suffix, middle sentinel, prefix). ``ends``: tokens
    besides the tokenizer's end of text that end a middle. ``bos`` opens every prompt.
    """

    prefix: str
    suffix: str
    middle: str
    spm: bool = False
    ends: tuple[str, ...] = ()
    bos: str = ""

    @property
    def sentinels(self) -> tuple[str, ...]:
        """The tokens that stand between the parts of a prompt."""
        return (self.prefix, self.suffix, self.middle)


_UNDERSCORES = Family(
    "<fim_prefix>", "<fim_suffix>", "<fim_middle>", ends=("<fim_pad>", "<file_sep>", "<repo_name>")
)

# First match wins in `recognize`, so what has more of its own tokens stands first. Sources:
# santacoder: bigcode-project/Megatron-LM gpt_dataset.py; the rest: each model's card and tokenizer.
FAMILIES: dict[str, Family] = {
    "santacoder": Family("<fim-prefix>", "<fim-suffix>", "<fim-middle>", spm=True, ends=("<fim-pad>",)),
    "codegemma": Family(
        "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", ends=("<|file_separator|>",), bos="<bos>"
    ),
    "qwen2.5-coder": Family(
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        ends=("<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|im_start|>", "<|im_end|>", "<|cursor|>"),
    ),
    "deepseek-coder": Family(
        "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", ends=("<|EOT|>",), bos="<｜begin▁of▁sentence｜>"
    ),
    "codellama": Family("▁<PRE>", "▁<SUF>", "▁<MID>", ends=("▁<EOT>",), bos="<s>"),
    "starcoder2": _UNDERSCORES,
    "starcoder": _UNDERSCORES,
    "granite": _UNDERSCORES,
}
_END_TOKENS = ("<|endoftext|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<|end_of_text|>")
# Every control token of every family, as text.
ALL_TOKENS = frozenset(_END_TOKENS).union(
    *((*family.sentinels, *family.ends, *filter(None, [family.bos])) for family in FAMILIES.values())
)


@dataclass(frozen=True)
class Prompt:
    """Token ids for the model, the length still free for new tokens, and ``healed``:

    the ids that were taken off the prompt's end; their text must be generated again first. There is room for
    them too. ``segments``: the numbers of the document's segments that it has; the first, or the rest, may
    lack its beginning. ``below``: how many of the last ids are the suffix and what marks it; 0 where that
    doesn't stand last. ``stale``: it may be answered with a suffix that was read when so many of the prefix's
    tokens were others; 0: only exactly. ``cache_text``: the token ids that a cache model goes by; None: there
    is none. ``user``: whose it is, where several share the engine.
    """

    ids: tuple[int, ...]
    max_new_tokens: int
    healed: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    below: int = 0
    stale: int = 0
    cache_text: npt.NDArray[np.int32] | None = field(default=None, compare=False)
    user: str = ""


def recognize(tokenizer: CodeTokenizer) -> str:
    """The name of the first family whose every sentinel and bos is in the vocabulary, or "".

    StarCoder's and Granite's tokens are StarCoder2's, so their models go by that name: the format is one.
    """
    for name, family in FAMILIES.items():
        needed = [*family.sentinels, *([family.bos] if family.bos else [])]
        if all(tokenizer.id(token) is not None for token in needed):
            return name
    return ""


def end_ids(tokenizer: CodeTokenizer, family: Family | None, eos_ids: Sequence[int]) -> frozenset[int]:
    """The tokens at which a completion ends: the model's own ends and every sentinel."""
    ends = (*_END_TOKENS, *(family.sentinels + family.ends if family else ()))
    return frozenset(eos_ids) | tokenizer.ids_of(ends)


def fit(
    document: Document,
    tokenizer: CodeTokenizer,
    family: Family | None,
    window: int,
    max_new_tokens: int,
    order: str = "auto",
    heal: bool = True,
    keep: Sequence[str] = (),
) -> Prompt:
    """The prompt for the text at the document's cursor; with the new tokens at most ``window`` ids.

    Blank suffix or no family: left to right. Where it doesn't all fit, the prefix loses segments, or its
    beginning where it has none, and the suffix its end. The prefix's last token, or the last ones that a
    longer token begins with, are taken off and generated again (token healing): a cursor in mid-word, or
    after an indentation, cuts tokens as no training text does left to right, and few do for infilling. Not
    ``heal``: the prompt has them. ``keep``: texts of segments that an earlier prompt had, in their order.
    Where segments must be left out and these are there and fit, it has them and what comes after the last.
    """
    new = min(max_new_tokens, window // 2)
    prefix, suffix, kept = sides(document, tokenizer, family, window, max_new_tokens, keep)
    prefix, healed = _heal(tokenizer, prefix) if heal else (prefix, ())
    bos = _bos(tokenizer, family)
    if suffix is None or family is None:
        return Prompt(tuple(bos + prefix) or _fallback_start(tokenizer), new, healed, kept)
    pre, suf, mid = ([i] for i in _ids(tokenizer, family.sentinels))
    if order == "psm" or (order == "auto" and not family.spm):
        ids, below = tuple(bos + pre + prefix + suf + suffix + mid), len(suffix) + 2
        return Prompt(ids, new, healed, kept, below)
    return Prompt(tuple(bos + pre + suf + suffix + mid + prefix), new, healed, kept)


def sides(
    document: Document,
    tokenizer: CodeTokenizer,
    family: Family | None,
    window: int,
    max_new_tokens: int,
    keep: Sequence[str] = (),
) -> tuple[list[int], list[int] | None, tuple[int, ...]]:
    """The ids of what :func:`fit` takes of the prefix and the suffix, None where there is nothing to fill in;

    and the numbers of the prefix's segments.
    """
    new = min(max_new_tokens, window // 2)
    infill = family is not None and (document.infill or bool(document.suffix.strip()))
    room = window - new - len(_bos(tokenizer, family)) - (3 if infill else 0)
    segments = _Segments(document, tokenizer, room)
    suffix = _beginning(tokenizer, document.suffix, room) if infill else []
    suffix = _first(suffix, room, room - segments.length)
    prefix, kept = segments.within(room - len(suffix), keep)
    return prefix, suffix if infill else None, kept


class _Segments:
    """A document's prefix as its segments, and the rest that always stays; lengths in tokens.

    ``length`` is the whole's, counted no further than ``room``. Decisions are made in steps of the room.
    """

    def __init__(self, document: Document, tokenizer: CodeTokenizer, room: int) -> None:
        self._texts = document.segment_texts
        self._priorities = [segment.priority for segment in document.segments]
        self._tokenizer, self._room = tokenizer, room
        self._rest = document.prefix[sum(map(len, self._texts)) :]
        self._rest_ids = tokenizer.encode(_near_end(self._rest, room))
        self.length = len(self._rest_ids)
        for number in reversed(range(len(self._texts))):
            if self.length > room:
                break
            self.length += self._size(number)

    def within(self, room: int, keep: Sequence[str]) -> tuple[list[int], tuple[int, ...]]:
        """The ids of what of it ``room`` tokens hold, in the document's order, and its segments' numbers."""
        kept: Iterable[int] = range(len(self._texts))
        if self.length > room:
            left = max(0, room - len(self._rest_ids))
            step = max(1, int(room * CUT_SHARE))
            kept = self._again(keep, left) or self._best(left // step * step)
        numbers = tuple(sorted(kept))
        if not numbers:
            return _last(self._tokenizer, self._rest_ids, room), ()
        text = "".join(self._texts[number] for number in numbers) + self._rest
        return _last(self._tokenizer, self._tokenizer.encode(text), room), numbers

    def _again(self, texts: Sequence[str], room: int) -> set[int]:
        """The segments with these texts, and all after them; none where one isn't there, or no room."""
        kept, after = set[int](), 0
        for text in texts:
            try:
                after = self._texts.index(text, after) + 1
            except ValueError:
                return set()
            kept.add(after - 1)
        kept.update(range(after, len(self._texts)) if kept else ())
        return kept if sum(map(self._size, kept)) <= room else set()

    def _best(self, room: int) -> set[int]:
        """The nearest segments, up to their share; then by priority; of the same what is nearer first."""
        kept: set[int] = set()
        near, numbers = int(room * (1 - NEAR_SHARE)), [*reversed(range(len(self._texts)))]
        for number in numbers:
            if self._size(number) > room - near:
                break
            room -= self._size(number)
            kept.add(number)
        misses = 0
        for number in sorted(numbers[len(kept) :], key=lambda number: self._priorities[number]):
            if self._size(number) <= room:
                room -= self._size(number)
                kept.add(number)
            elif (misses := misses + 1) == MISSES:
                break
        return kept

    def _size(self, number: int) -> int:
        text = self._texts[number]
        too_long = len(text) > self._room * MAX_CHARS_PER_TOKEN
        return self._room + 1 if too_long else self._tokenizer.length(text)


def _near_end(text: str, room: int) -> str:
    """The text's end, from a line's start; far more than ``room`` tokens, cut in steps."""
    reach = room * MAX_CHARS_PER_TOKEN
    if len(text) <= reach:
        return text
    step = max(1, reach // 4)
    start = math.ceil((len(text) - reach) / step) * step
    return text[text.find("\n", start) + 1 or start :]


def _beginning(tokenizer: CodeTokenizer, text: str, room: int) -> list[int]:
    """The text's ids, or more of them than there is room for; what is further away isn't tokenized."""
    reach = 4 * max(1, room)
    while len(ids := tokenizer.encode(text[:reach])) <= room and reach < len(text):
        reach *= 2
    return ids


def _first(ids: list[int], room: int, left: int) -> list[int]:
    """The suffix's beginning, in what the prefix left of the room, a whole number of steps, or its share."""
    if len(ids) <= left:
        return ids
    step = max(1, int(room * CUT_SHARE))
    return ids[: max(int(room * SUFFIX_SHARE), left // step * step)]


def _last(tokenizer: CodeTokenizer, ids: list[int], room: int) -> list[int]:
    """The prefix's end, a whole number of steps taken off; then on to a line, after a blank one if any."""
    excess = len(ids) - room
    if excess <= 0:
        return ids
    step = max(1, int(room * CUT_SHARE))
    start = math.ceil(excess / step) * step
    places = range(start, min(start + step, len(ids)))
    # Two tokens: few tokenizers have one for two newlines. One that goes on with the indentation of the
    # next line is passed over, so that where it can the prompt begins with a statement of the top level.
    before = {at: tokenizer.decode(ids[max(0, at - 2) : at]) for at in places}
    borders = (at for end in ("\n\n", "\n") for at in places if before[at].endswith(end))
    return ids[next(borders, start) :]


def _heal(tokenizer: CodeTokenizer, prefix: list[int]) -> tuple[list[int], tuple[int, ...]]:
    """Take the last tokens off, as many as may have become one token with what follows.

    None if the last is half a character.
    """
    if "\ufffd" in tokenizer.decode(prefix[-1:]):
        return prefix, ()
    counts = range(min(MAX_HEALED, len(prefix) - 1), 0, -1)
    raw = [*map(tokenizer.raw, prefix[-MAX_HEALED:])]
    at = len(prefix) - next((n for n in counts if len(tokenizer.beginning_with("".join(raw[-n:])))), 0)
    return prefix[:at], tuple(prefix[at:])


def _fallback_start(tokenizer: CodeTokenizer) -> tuple[int, ...]:
    """An empty document still needs one token to start from: the end of the text before it."""
    ends = sorted(tokenizer.ids_of(_END_TOKENS))
    return tuple(ends[:1]) or (0,)


def _bos(tokenizer: CodeTokenizer, family: Family | None) -> list[int]:
    return _ids(tokenizer, (family.bos,)) if family and family.bos else []


def _ids(tokenizer: CodeTokenizer, tokens: Sequence[str]) -> list[int]:
    found = [tokenizer.id(token) for token in tokens]
    if None in found:
        raise ValueError(f"the tokenizer lacks {tokens[found.index(None)]!r} of its FIM family")
    return [i for i in found if i is not None]
