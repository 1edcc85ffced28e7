"""Which of the names that can come next: the model's opinion of each, together with how well it fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..prompt.choices import Choice
from ..prompt.fim import Prompt
from ..prompt.tokenizer import CodeTokenizer
from .model import KV, Logits, Model, Row
from .sampling import log_total
from .work import Control, Work

# Names that are read in one step, each a text of its own; and of how many a step finds the tokens.
ROWS = 8
ENCODED = 200
# Of more names than these the model reads none: those that begin likeliest are enough. How they begin is
# looked at in so many steps at most: after a dot all may have their first token in common.
MOST_READ = 32
MOST_LOOKS = 16
# No name is less likely to end than this.
LEAST = 1e-6

# The model's logits [rows] after these tokens of its own, as they count.
Scores = Callable[[Logits, Sequence[int]], Row]


@dataclass(frozen=True)
class Name:
    """``rest``: what of it is still to be written; ``ids``: the prompt's healed tokens' text, and that.

    ``logprob``: among all names that can come.
    """

    rest: str
    ids: tuple[int, ...]
    logprob: float


@dataclass
class _Ranked:
    """``score``: at most so much, as the first ``known`` ids tell, until ``is_read``."""

    rest: str
    ids: tuple[int, ...]
    weight: float
    score: float
    known: int = 1
    is_read: bool = False

    @property
    def told(self) -> tuple[bool, tuple[int, ...]]:
        """What of it the score is of: all, or the ids that are known."""
        return self.is_read, self.ids if self.is_read else self.ids[: self.known]


class Naming:
    """Ranks the names of one place. ``trust``: what the model's opinion of a name counts."""

    def __init__(
        self,
        model: Model,
        tokenizer: CodeTokenizer,
        prompt: Prompt,
        scores: Scores,
        trust: float,
        control: Control,
    ) -> None:
        self._model, self._tokenizer, self._prompt = model, tokenizer, prompt
        self._scores, self._trust, self._control = scores, trust, control

    def best(self, kv: KV, logits: Logits, choice: Choice, most: int) -> Work[list[Name]]:
        """The ``most`` best ones, the best first; none that is too long for the prompt's room.

        ``kv`` holds the prompt and stays as it is; ``logits`` [1, n, vocabulary], the last ones after it.
        In each step a few names are read, until no other can be better. Raises Cancelled.
        """
        first = self._logprobs(logits[0, -1], ())
        names = yield from self._begun(choice, first)
        if len(names) > 1:
            yield from self._read(kv, names, choice, first, most)
        names.sort(key=lambda name: -name.score)
        # Together those that begin alike are no likelier than their beginning, which is all that is known.
        likeliest = {name.told: name.score for name in reversed(names)}
        total = float(np.logaddexp.reduce([*likeliest.values()])) if names else 0.0
        return [Name(name.rest, name.ids, name.score - total) for name in names[:most]]

    def _begun(self, choice: Choice, first: Row) -> Work[list[_Ranked]]:
        """All names with their first token's score, which the prompt has told."""
        healed = self._tokenizer.decode(self._prompt.healed)
        room = self._prompt.max_new_tokens + len(self._prompt.healed)
        names = []
        for number, (rest, weight) in enumerate(zip(choice.rests, choice.weights, strict=True), 1):
            ids = tuple(self._tokenizer.encode(healed + rest))
            if 0 < len(ids) <= room:
                score = weight + self._trust * float(first[ids[0]])
                names.append(_Ranked(rest, ids, weight, score))
            if number % ENCODED == 0:
                yield
                self._control.check()
        return names

    def _read(self, kv: KV, names: list[_Ranked], choice: Choice, first: Row, most: int) -> Work[None]:
        """Have the model read those that may be among the ``most`` best."""
        closing = self._tokenizer.ending(choice.quote)
        read = looks = 0
        while read < max(MOST_READ, most):
            names.sort(key=lambda name: -name.score)
            unread = [name for name in names if not name.is_read]
            if not unread or all(name.is_read for name in names[:most]):
                return
            alike = [name for name in unread if _begins_as(name, unread[0])]
            if len(alike) > ROWS and looks < MOST_LOOKS:
                self._look(kv, alike)
                looks += 1
            else:
                self._rows(kv, unread[:ROWS], closing, first)
                read += ROWS
            yield
            self._control.check()

    def _look(self, kv: KV, alike: Sequence[_Ranked]) -> None:
        """Have the model read what these names have in common, for what it says of each one's next token."""
        begun = alike[0].ids[: alike[0].known]
        following = self._logprobs(self._model.step(kv.picked([0]), [[*begun]], 1)[0, -1], begun)
        for name in alike:
            name.score += self._trust * float(following[name.ids[name.known]])
            name.known += 1

    def _rows(self, kv: KV, names: Sequence[_Ranked], closing: npt.NDArray[np.intp], first: Row) -> None:
        longest = max(len(name.ids) for name in names)
        rows = [[*name.ids, *name.ids[-1:] * (longest - len(name.ids))] for name in names]
        logits = self._model.step(kv.picked([0] * len(names)), rows, longest)
        for name, row in zip(names, logits, strict=True):
            ids = name.ids
            following = [first, *(self._logprobs(row[at], ids[: at + 1]) for at in range(len(ids)))]
            logprob = sum(float(scores[token]) for scores, token in zip(following, ids, strict=False))
            ends = float(np.log(np.exp(following[-1][closing]).sum() + LEAST))
            name.score, name.is_read = name.weight + self._trust * (logprob + ends), True

    def _logprobs(self, row: Logits, made: Sequence[int]) -> Row:
        scores = np.maximum(self._scores(row, made), -1e9)
        return scores - log_total(scores)


def _begins_as(name: _Ranked, other: _Ranked) -> bool:
    """Whether the same ids are known of it, and one more is to come."""
    return name.told == other.told and name.known < len(name.ids)
