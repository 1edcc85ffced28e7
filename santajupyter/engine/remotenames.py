"""How a server is made to write what it has to; and which of the names that can come next it chooses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..prompt.choices import Choice
from ..protocol import MAX_CANDIDATES

# The server makes a grammar of the names, which takes it a moment for each: the ones that fit best.
MOST = 200
# So many are drawn, since how well they fit counts too, or as many as a server writes at once: llama.cpp's
# has four slots, or one.
DRAWN = (MAX_CANDIDATES, 4, 1)
# A name of more characters isn't looked for, nor one with a line's end.
LONGEST = 80


@dataclass(frozen=True)
class Constraint:
    """Fields of a request by which a server writes one of some texts, or what begins with a text."""

    among: Callable[[Sequence[str]], Mapping[str, Any]]
    beginning: Callable[[str], Mapping[str, Any]]


# The first one that works is kept.
# vLLM and `santajupyter serve`: https://docs.vllm.ai/en/latest/features/structured_outputs.html
# llama.cpp: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
CONSTRAINTS = (
    Constraint(
        lambda texts: {"structured_outputs": {"choice": [*texts]}},
        lambda text: {"structured_outputs": {"regex": rf"{re.escape(text)}[\s\S]*"}},
    ),
    Constraint(
        lambda texts: {"grammar": f"root ::= {' | '.join(map(_quoted, texts))}"},
        lambda text: {"grammar": f"root ::= {_quoted(text)} [^\\x00]*"},
    ),
)


@dataclass(frozen=True)
class RemoteName:
    """``text``: what of the name is still to be written. ``closing``: what has to follow, see ends.

    ``ending``: put there where the model doesn't. It isn't sent before: with the name's end alone the model
    writes the tokens that it knows, ``")`` for one.
    """

    text: str
    closing: str
    ending: str


def among(choice: Choice, stops: Sequence[str]) -> dict[str, float]:
    """The names to choose among, with how well they fit."""
    fit = sorted(zip(choice.rests, choice.weights, strict=True), key=lambda name: -name[1])
    return {
        rest: weight
        for rest, weight in fit[:MOST]
        if 0 < len(rest) <= LONGEST and rest.isprintable() and not any(stop in rest for stop in stops)
    }


def most_tokens(names: Mapping[str, float]) -> int:
    """No name has more tokens."""
    return max(len(name.encode()) for name in names) + 1


def best(
    drawn: Sequence[tuple[str, float]], names: Mapping[str, float], choice: Choice, right: str
) -> list[RemoteName]:
    """Of the texts that the server has drawn, with their log-probabilities, the names, the best first.

    ``right``: what stands right of the cursor.
    """
    scores = {text: names[text] + logprob for text, logprob in drawn if text in names}
    ending = choice.quote if choice.always and not right.startswith(choice.quote) else ""
    order = sorted(scores, key=lambda text: -scores[text])
    return [RemoteName(text, choice.quote, ending) for text in order]


def ends(closing: str, following: str) -> bool:
    """Whether a name that ``closing`` ends is over before this text; "": what is no part of a name."""
    return following.startswith(closing) if closing else not (following[0].isalnum() or following[0] == "_")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
