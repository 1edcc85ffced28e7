"""When the model is asked once more."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from santajupyter.engine.wire import Done
from santajupyter.prompt.document import Document
from santajupyter.prompt.place import Place
from santajupyter.protocol import Item, Sampling, Usage
from santajupyter.server.completing import MORE_TOKENS, _again, _Answer, _Asked
from santajupyter.server.engines import Engine


@pytest.mark.parametrize(
    ("text", "finish_reason", "automatic", "again"),
    [
        (
            *('"""What it\n    does,', "length", True),
            ('def f():\n    """What it\n    does,', True, MORE_TOKENS, False),
        ),
        ('"""What it does."""\n    x', "length", True, None),
        ('"""What it\n    does,', "stop", True, None),
        ("          ", "length", False, ("def f():\n    ", False, 8, False)),
        ("          ", "length", True, None),
        # who asks hears what the model would say if it had to
        ("          ", "stop", False, ("def f():\n    ", True, 8, True)),
        ("", "stop", False, ("def f():\n    ", True, 8, True)),
        ("          ", "stop", True, None),
        ("return 1", "stop", False, None),
        ("return 1", "length", False, None),
    ],
)
def test_where_all_tokens_went_into_words_or_blanks(
    text: str, finish_reason: str, automatic: bool, again: tuple[str, bool, int, bool] | None
) -> None:
    document = Document("def f():\n    ", "")
    asked = _Asked(document, Sampling(1, 8), 0, Place.at(document), automatic=automatic)
    done = Done(1, (Item(text, finish_reason),), Usage())
    made = _again(asked, _answer(done))
    sampling = made and made.sampling
    assert (
        made
        and sampling
        and (made.document.prefix, sampling.heal, sampling.max_new_tokens, sampling.says_more)
    ) == again
    if made:
        nothing = Done(1, (Item("", "stop"),), Usage())
        assert (
            _again(replace(made, sampling=replace(made.sampling, says_more=True)), _answer(nothing)) is None
        )


def _answer(done: Done) -> _Answer:
    return _Answer(cast(Engine, None), 0.0, [], 0.0, done)
