from __future__ import annotations

import pytest

from santajupyter.engine.lookup import PromptLookup
from santajupyter.engine.model import RunsAhead
from santajupyter.engine.work import Control
from santajupyter.protocol import Sampling

from .helpers import Engine, completer, prompt_of


def test_a_draft_is_what_followed_the_last_tokens_before() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 9, 2, 3, 5], 2)
    assert lookup.draft([1, 2, 3, 4, 9, 2, 3, 5, 7, 1, 2, 3]) == [4, 9]  # three tokens before two
    assert lookup.draft([1, 2, 3, 4, 9, 2, 3, 5, 7, 1, 2, 3, 8, 2, 3]) == [8, 2]  # the last place
    assert lookup.draft([1, 2, 3, 4, 9, 2, 3, 5, 7, 1, 2, 3, 8, 2, 3, 6, 6]) == []
    assert PromptLookup([1, 2, 1, 2], 0).draft([1, 2, 1, 2]) == []


def test_draft_tokens_change_nothing(engine: Engine) -> None:
    """Greedy decoding with prompt lookup gives what it gives without, in fewer steps where text repeats."""
    model, tokenizer = engine[0]._model, engine[1]
    steps = {0: 0, 4: 0}
    for text in ("for i in range(10):\n    print(i)\n" * 3, "x = (", "import numpy as np\n" * 5):
        found = []
        for lookup in steps:
            fresh = completer(model, tokenizer, prompt_lookup=lookup)
            work = fresh.completing(prompt_of(engine, text, 60), Sampling(), Control(), lambda i, t: None)
            while True:
                try:
                    next(work)
                    steps[lookup] += 1
                except StopIteration as done:
                    found.append(done.value)
                    break
            assert fresh.prompts._entries[0].kv.length == len(fresh.prompts._entries[0].ids)
        plain, guessed = found
        assert guessed.items[0].text == plain.items[0].text
        assert guessed.items[0].logprob == pytest.approx(plain.items[0].logprob, abs=1e-4)
        assert guessed.usage.completion_tokens == plain.usage.completion_tokens
    assert steps[4] < steps[0] or isinstance(model, RunsAhead)  # which guesses nothing
