"""Text -> token ids and back, by a tokenizer.json; whatever the text spells, it stays text."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

# A word's raw tokens, and what may be one token with them on their left.
WORD = re.compile(r"\W?\w+", re.ASCII)
WORD_MARK = re.compile(r"\w", re.ASCII)
# From so many characters on a text is encoded in two parts, at the last line of which the regular expressions
# that cut texts into words see no more than its first character. In that line is where the user types.
LONG = 500
BORDER = re.compile(r"\A.*\S\n(?=[!-~])", re.DOTALL)
# Tokens that would reach across, as byte-level vocabularies and SentencePiece's spell them.
ACROSS = re.compile(r"Ċ[^ĊčĠĉ]|\n[^\s▁]")
# A space, as they spell it.
SPACES = " Ġ▁"


class CodeTokenizer:
    """A tokenizer.json whose ``encode`` treats every character as text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # SentencePiece vocabularies put a space before a text; one in the middle of a document has none.
        first = tokenizer.encode("☺", add_special_tokens=False).tokens[:1]
        self._anchor = "☺" if first and first[0].startswith("▁") else ""
        self._anchor_length = len(tokenizer.encode(self._anchor, add_special_tokens=False).ids)
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        self._sorted = sorted(vocabulary)
        self._numbers = np.array([vocabulary[token] for token in self._sorted], np.intp)
        self._has_borders = not any(map(ACROSS.search, vocabulary))
        self._beginning: dict[str, list[int]] = defaultdict(list)
        for token, number in vocabulary.items():
            self._beginning[token[:1]].append(number)
        self._decode_anchor = tokenizer.encode("a", add_special_tokens=False).ids
        # Of a notebook's segments few change from key to key; what is below the cursor is one long text.
        self.segment = lru_cache(maxsize=4096)(self._array)
        self.below = lru_cache(maxsize=8)(self._array)
        self._head = lru_cache(maxsize=16)(self._encoded)

    @classmethod
    def from_folder(cls, folder: Path) -> CodeTokenizer:
        """Raises FileNotFoundError where the model has no tokenizer.json."""
        return cls.from_json((folder / "tokenizer.json").read_text("utf-8"))

    @classmethod
    def from_json(cls, text: str) -> CodeTokenizer:
        """Only tokens marked special can be switched off, and some models leave FIM's unmarked."""
        config: dict[str, Any] = json.loads(text)
        for token in config.get("added_tokens") or ():
            token["special"] = token["special"] or not token["content"].isspace()
        config["truncation"] = config["padding"] = None
        tokenizer = Tokenizer.from_str(json.dumps(config))
        tokenizer.encode_special_tokens = True
        return cls(tokenizer)

    @property
    def size(self) -> int:
        """Ids in use; a model may have more rows than that."""
        size: int = self._tokenizer.get_vocab_size()
        return size

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text: no BOS, no sentinel, no dummy space.

        While a line is typed in a long text, what stands above it isn't encoded again.
        """
        if len(text) < LONG or not self._has_borders or not (head := BORDER.match(text)):
            return self._encoded(text)
        return [*self._head(head[0]), *self._encoded(text[head.end() :])]

    def _encoded(self, text: str) -> list[int]:
        if not text:
            return []
        ids: list[int] = self._tokenizer.encode(self._anchor + text, add_special_tokens=False).ids
        return ids[self._anchor_length :]

    def _array(self, text: str) -> npt.NDArray[np.int32]:
        return np.array(self.encode(text), np.int32)

    def length(self, text: str) -> int:
        """At most how many tokens a segment's text is in the middle of another."""
        return len(self.segment(text)) + 1

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids that continue some other text; U+FFFD for half a character."""
        decode = self._tokenizer.decode
        whole: str = decode([*self._decode_anchor, *ids], skip_special_tokens=False)
        return whole[len(decode(self._decode_anchor, skip_special_tokens=False)) :]

    def id(self, token: str) -> int | None:
        """The special token's id, None where the vocabulary lacks it."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def raw(self, token_id: int) -> str:
        """The token as the vocabulary spells it."""
        return str(self._tokenizer.id_to_token(token_id))

    def ids_of(self, tokens: Sequence[str]) -> frozenset[int]:
        """The ids of those that the vocabulary has."""
        return frozenset(found for token in tokens if (found := self.id(token)) is not None)

    def beginning_with(self, text: str) -> npt.NDArray[np.intp]:
        """Ids of the tokens that begin with the raw ``text``."""
        first = bisect_left(self._sorted, text)
        return self._numbers[first : bisect_left(self._sorted, text + chr(0x10FFFF))]

    def writing(self, text: str, character: str) -> npt.NDArray[np.intp]:
        """Ids of the tokens that begin with the raw ``text`` and the character, or a space between them."""
        return np.concatenate([self.beginning_with(text + space + character) for space in ("", *SPACES)])

    def ending(self, quote: str) -> npt.NDArray[np.intp]:
        """Ids of the tokens that end a name: those that begin with the ``quote``, or with no ASCII word."""
        marks = [quote] if quote else [mark for mark in self._beginning if not WORD_MARK.match(mark)]
        return np.array(sorted(chain.from_iterable(self._beginning.get(m, ()) for m in marks)), np.intp)

    def tokens_along(self, text: str, usual: int | None = None) -> npt.NDArray[np.intp]:
        """Ids of the tokens that begin with the raw ``text`` or are a beginning of it.

        Of a word's beginnings ``usual`` alone, if given: how white space and marks are cut into tokens
        depends on what follows them, but ``groupb`` is ``group`` and ``b`` in what the model has read.
        """
        if usual is not None and WORD.fullmatch(text):
            shorter = [usual]
        else:
            shorter = [*self.ids_of([text[:length] for length in range(1, len(text))])]
        return np.union1d(self.beginning_with(text), np.array(shorter, np.intp))
