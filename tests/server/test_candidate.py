"""What is left of a candidate in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from santajupyter.prompt.check import Check
from santajupyter.prompt.document import Document
from santajupyter.prompt.place import Place
from santajupyter.protocol import Completion, Item, completion_request
from santajupyter.server.candidate import Candidate


async def call(function: Callable[..., Any], *args: object) -> Any:
    return function(*args)


@pytest.mark.parametrize(
    ("text", "left", "imports"),
    [
        ("np.zeros(3)", "np.zeros(3)", ["import numpy as np"]),
        ("[1]", "[1]", None),
        ("nowhere.zeros(3)", "", None),
    ],
)
def test_a_candidate_comes_with_what_has_to_be_imported(
    text: str, left: str, imports: list[str] | None
) -> None:
    check = Check(completion_request({"cells": [{"source": "x = "}], "active": 0, "offset": 4}))
    candidate = Candidate(Place.at(Document("x = ", "")), check, call)
    item = asyncio.run(candidate.end(Item(text)))
    assert Completion((item,), "").to_json()["items"][0].get("imports") == (imports and tuple(imports))
    assert item.text == left


def test_what_ran_out_of_tokens_asks_for_nothing_more() -> None:
    check = Check(completion_request({"cells": [{"source": "x = "}], "active": 0, "offset": 4}))
    candidate = Candidate(Place.at(Document("x = ", "")), check, call)
    assert asyncio.run(candidate.end(Item("[1] *", "length"))).text == "[1]"


def test_what_ran_out_of_tokens_within_a_word_is_shown_without_it() -> None:
    check = Check(completion_request({"cells": [{"source": "x = "}], "active": 0, "offset": 4}))
    candidate = Candidate(Place.at(Document("x = ", "")), check, call)
    item = asyncio.run(candidate.end(Item("sum([1]) + sta", "length")))
    assert item.text.strip() == "sum([1])" and item.reason is None


@pytest.mark.parametrize(
    ("pieces", "shown", "left", "reason"),
    [
        (["100000", " + 200000", " and"], ["", "", "100000 + 200000 "], "100000 + 200000 ", None),
        (["not"], [""], "", "unlikely"),
        # No bracket of its own is left open.
        (["load(1000000, ", "a"], ["load", "load"], "load", None),
        (["load(1000000, ", "a)", "."], ["load", *2 * ["load(1000000, a)"]], "load(1000000, a)", None),
    ],
)
def test_what_a_limit_ends_is_shown_as_far_as_it_could_end(
    pieces: list[str], shown: list[str], left: str, reason: str | None
) -> None:
    cells = [{"source": "def load(a): pass"}, {"source": "a = 1"}, {"source": "x = "}]
    check = Check(completion_request({"cells": cells, "active": 2, "offset": 4}))
    candidate = Candidate(Place.at(Document("x = ", "")), check, call, limit=0.1)
    seen = []
    for piece in pieces:
        candidate.add(piece)
        asyncio.run(candidate.show())
        seen.append(candidate.shown)
    item = asyncio.run(candidate.end(Item("".join(pieces))))
    assert (seen, item.text, item.reason) == (shown, left, reason)


@pytest.mark.parametrize(("text", "left"), [("", ""), ("nowhere(1)", ""), ("a = 1", "\n    a = 1")])
def test_a_line_that_was_given_for_nothing_is_nothing(text: str, left: str) -> None:
    """The newline behind a comment was shown to nobody."""
    where = "if x:\n    # set a to one"
    check = Check(completion_request({"cells": [{"source": where}], "active": 0, "offset": len(where)}))
    candidate = Candidate(Place.at(Document(where, ""), trigger="invoke"), check, call, "\n    ")
    seen = ""
    if candidate.add(text):
        seen = asyncio.run(candidate.show())
    item = asyncio.run(candidate.end(Item(text)))
    assert item.text == left and left.startswith(seen)
