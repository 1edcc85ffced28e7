"""Beam search on a tiny checkpoint, against a sum over all texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from santajupyter.engine.model import Model
from santajupyter.engine.work import Cancelled, Control
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

from .helpers import Engine, completer, prompt_of, run

LINE = Sampling(stop=("\n", "i"), search=True)


@pytest.mark.parametrize("typed", ["", "num", " fib"])
def test_a_search_finds_the_likeliest_of_all_texts(engine: Engine, typed: str) -> None:
    """With beams for every beginning, against a sum over every pair of tokens."""
    model, tokenizer = engine[0]._model, engine[1]
    wide = completer(model, tokenizer, beams=tokenizer.size)
    differs = 0
    for text in ("def fibonacci(n):\n    if", "import", "for i in range(10):\n    print(i"):
        prompt = Prompt(tuple(tokenizer.encode(text)), 2, tuple(tokenizer.encode(typed))[:1])
        found, greedy = run((wide, tokenizer), prompt, LINE), run(engine, prompt, LINE)
        totals = totals_by_text(model, tokenizer, prompt)
        assert sum(totals.values()) == pytest.approx(1)
        assert found.items[0].text == max(totals, key=totals.__getitem__).rstrip("\ufffd")
        differs += found.items[0].text != greedy.items[0].text
    assert differs or typed


def totals_by_text(model: Model, tokenizer: CodeTokenizer, prompt: Prompt) -> dict[str, float]:
    """The probability of each text of two new tokens, or one that ends it, by trying all of them."""
    skip = len(tokenizer.decode(prompt.healed))
    kv, steps = model.empty(), 2 + len(prompt.healed)
    rows: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    logits = model.step(kv, [prompt.ids])
    totals: dict[str, float] = {}
    pending = "".join(map(tokenizer.raw, prompt.healed))
    for _ in range(steps):
        following = []
        for row, ((ids, probability), scores) in enumerate(zip(rows, logits[:, -1], strict=True)):
            weights = np.exp(scores[: tokenizer.size].astype(np.float64))
            if not ids and pending:
                allowed = tokenizer.tokens_along(pending, prompt.healed[0])
                weights[[i for i in range(len(weights)) if i not in set(allowed)]] = 0
            for token in np.flatnonzero(weights).tolist():
                made = (*ids, token)
                share = probability * float(weights[token] / weights.sum())
                text = tokenizer.decode(made)[skip:]
                new = len(made) - (pending != "" and made[:1] == prompt.healed)
                end = min((at for stop in LINE.stop if (at := text.find(stop)) >= 0), default=len(text))
                if end < len(text) or new == 2:
                    totals[text[:end]] = totals.get(text[:end], 0.0) + share
                else:
                    following.append((row, made, share))
        if not following:
            break
        kv = kv.picked([row for row, _, _ in following])
        rows = [(made, share) for _, made, share in following]
        logits = model.step(kv, [made[-1:] for made, _ in rows])
    return totals


def test_a_search_can_be_cancelled_and_leaves_the_prompt_cached(engine: Engine) -> None:
    model, tokenizer = engine[0]._model, engine[1]
    searching = completer(model, tokenizer, beams=3)
    prompt = prompt_of(engine, "import numpy as np\nx = (", 8)
    free = run((searching, tokenizer), prompt, LINE)
    assert free.usage.prompt_tokens == len(prompt.ids) == len(searching.prompts._entries[0].ids)
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        run((searching, tokenizer), prompt, LINE, Control(cancelled=lambda: next(answers)))
    sent: list[str] = []
    again = searching.complete(prompt, LINE, Control(), lambda _, text: sent.append(text))
    assert "".join(sent) == again.items[0].text == free.items[0].text


def test_only_a_line_that_was_asked_for_is_searched(engine: Engine) -> None:
    """Whatever the stops are; nor are several candidates, or the sure beginning of a line."""
    model, tokenizer = engine[0]._model, engine[1]
    searching = completer(model, tokenizer, beams=3), tokenizer
    prompt = prompt_of(engine, "for i in range(10):\n    print(i", 8)
    others = [
        replace(LINE, search=False),
        replace(LINE, n=2, temperature=1.0, seed=1),
        replace(LINE, min_probability=1e-9),
    ]
    for sampling in others:
        found, greedy = run(searching, prompt, sampling), run(engine, prompt, sampling)
        assert [item.text for item in found.items] == [item.text for item in greedy.items]
