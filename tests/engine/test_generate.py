"""The decode loop on a tiny checkpoint, against transformers' own generate."""

from __future__ import annotations

import math
import string
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from santajupyter.engine import transformers_causallm
from santajupyter.engine.continuation import Decoding, may_end
from santajupyter.engine.work import Cancelled, Control
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import FAMILIES, end_ids, fit
from santajupyter.protocol import Sampling

from .helpers import Engine, completer, prompt_of, run


def test_greedy_equals_transformers(engine: Engine, tiny: Path) -> None:
    prompt = prompt_of(engine, "def fibonacci(n):\n    if")
    model = transformers_causallm.load(tiny, "cpu", "float32").module
    ids = torch.tensor([prompt.ids])
    logits_end = engine[1].size
    expected: list[int] = []
    for _ in range(12):
        logits = model(input_ids=ids).logits[0, -1, :logits_end]
        expected.append(int(logits.argmax()))
        ids = torch.cat([ids, ids.new_tensor([[expected[-1]]])], dim=1)
    assert len(set(expected)) > 3  # or the weights would make this test a formality
    assert run(engine, prompt, Sampling()).items[0].text == engine[1].decode(expected).rstrip("\ufffd")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from("abn =(1\n🦌"), min_size=1, max_size=30), min_size=1, max_size=5))
def test_cached_equals_uncached(engine: Engine, texts: list[str]) -> None:
    """Whatever was asked before, the same prompt gives the same text and the same probability."""
    tokenizer = engine[1]
    for text in texts:
        fresh = completer(engine[0]._model, tokenizer)
        prompt = fit(
            Document("import numpy as np\n" + text, "\nx"), tokenizer, FAMILIES["santacoder"], 200, 6
        )
        cached, uncached = run(engine, prompt, Sampling()), run((fresh, tokenizer), prompt, Sampling())
        assert cached.items[0].text == uncached.items[0].text
        assert cached.items[0].logprob == pytest.approx(uncached.items[0].logprob, abs=1e-4)


def test_typing_computes_only_what_is_new(engine: Engine) -> None:
    run(engine, prompt_of(engine, "import numpy as np\nx = np."), Sampling())
    usage = run(engine, prompt_of(engine, "import numpy as np\nx = np.a"), Sampling()).usage
    assert usage.prompt_tokens - usage.cached_tokens <= 2


def test_streamed_pieces_are_the_text(engine: Engine) -> None:
    pieces: list[str] = []
    for seed in range(5):
        pieces.clear()
        result = engine[0].complete(
            prompt_of(engine, "print(", 40),
            Sampling(temperature=1.5, seed=seed),
            Control(),
            lambda index, text: pieces.append(text),
        )
        assert "".join(pieces) == result.items[0].text
        assert all(not piece.endswith("\ufffd") for piece in pieces)


def test_each_token_has_its_log_probability(engine: Engine, tiny: Path) -> None:
    model = transformers_causallm.load(tiny, "cpu", "float32").module
    compared = 0
    for text in ("def fibonacci(n):\n    if", "import numpy", "for i in", "print("):
        prompt = prompt_of(engine, text, 6)
        pieces = run(engine, prompt, Sampling(logprobs=True)).items[0].logprobs
        ids = [*prompt.ids]
        for piece, logprob in pieces or ():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1, : engine[1].size].detach()
            ids.append(int(logits.argmax()))
            token = engine[1].decode(ids[-1:])
            if "\ufffd" in token:  # a piece of more than one token
                break
            assert piece == token and logprob == pytest.approx(float(logits.log_softmax(0).max()), abs=1e-3)
            compared += 1
    assert compared > 3
    assert run(engine, prompt, Sampling()).items[0].logprobs is None


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("heal", ["", "num"])
def test_the_pieces_are_the_text_and_their_log_probabilities_the_mean(
    engine: Engine, n: int, heal: str
) -> None:
    """With characters of several tokens, a healed token, and ends within a token and a character."""
    tokenizer = engine[1]
    texts = set()
    for seed in range(12):
        sampling = Sampling(n, 40, temperature=0.1 + seed / 6, seed=seed, stop=("i", "=="), logprobs=True)
        prompt = fit(Document("日本語 🦌" + heal, ""), tokenizer, None, 200, 8 + seed)
        for item in run(engine, prompt, replace(sampling, stop=() if seed % 2 else sampling.stop)).items:
            assert item.logprobs is not None
            assert "".join(piece for piece, _ in item.logprobs) == item.text
            assert all(piece and logprob <= 0 for piece, logprob in item.logprobs)
            texts.add(item.text)
            for end in range(len(item.text) + 1):
                cut = item.cut(item.text[:end])
                assert "".join(piece for piece, _ in cut.logprobs or ()) == cut.text == item.text[:end]
    assert len(texts) > 5


@pytest.mark.parametrize("heal", ["", "num"])
def test_it_ends_before_the_word_that_makes_all_of_it_too_unlikely(engine: Engine, heal: str) -> None:
    """For each piece of a text a limit that only the ones before it reach."""
    prompt = fit(Document("日本語 🦌" + heal, ""), engine[1], None, 200, 20)
    streamed: list[str] = []
    within_words = 0
    for seed in range(8):
        sampling = Sampling(temperature=0.1 + seed / 6, seed=seed, stop=("i", "=="), logprobs=True)
        whole = run(engine, prompt, sampling).items[0]
        pieces = whole.logprobs or ()
        ends = [0, *accumulate(len(piece) for piece, _ in pieces)]
        sums = [0.0, *accumulate(logprob for _, logprob in pieces)]
        for at, (piece, _) in enumerate(pieces):
            if not piece[0].isascii():  # half a character may or may not go on with the word
                continue
            limited = replace(sampling, min_probability=math.exp((sums[at] + sums[at + 1]) / 2))
            streamed.clear()
            result = engine[0].complete(prompt, limited, Control(), lambda _, text: streamed.append(text))
            words = [end for end in ends[: at + 1] if may_end(whole.text, end)]
            sure = whole.text[: words[-1]]
            expected = sure if len(sure.strip()) > 1 else ""
            assert result.items[0].text == expected == "".join(streamed)
            within_words += words[-1] < ends[at]
    assert within_words > 1


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("x", True),
        ("f(", True),
        ('f("', False),
        ('f("a"', True),
        ("x = f'", False),
        ("it's", True),
        ('["', False),
        ("x[1].", False),
        ("1 ...", True),
    ],
)
def test_no_suggestion_ends_with_a_dot_or_the_quote_that_begins_a_string(text: str, may: bool) -> None:
    assert may_end(text + " more", len(text)) is may


@pytest.mark.parametrize(
    ("certain", "rest", "probability", "text"),
    [
        ("x.fun", "())", 0.9, "x.fun())"),
        ("x['ab", "']", 0.9, "x['ab']"),
        ("x[fun", "()]", 0.4, "x[fun"),
        ("xy", " + y", 0.9, "xy"),
        ("xy", "(", 0.9, "xy"),
    ],
)
def test_what_only_finishes_it_makes_nothing_too_unlikely(
    engine: Engine, certain: str, rest: str, probability: float, text: str
) -> None:
    prompt = fit(Document("y = ", ""), engine[1], None, 200, 20, heal=False)
    sampling = Sampling(min_probability=0.95)
    decoding = Decoding(engine[1], frozenset(), prompt, sampling, Control(), lambda *_: None)
    made = decoding.begin()
    for part, each in ((certain, 1.0), (rest, probability), (" + 2", probability)):
        for token in engine[1].encode(part) if not made.finish_reason else ():
            decoding.extend(made, token, math.log(each))
    assert made.text == text


def test_stop_is_not_part_of_the_text(engine: Engine) -> None:
    prompt = prompt_of(engine, "import numpy")
    text = run(engine, prompt, Sampling()).items[0].text
    assert text.startswith("as")
    item = run(engine, prompt, Sampling(stop=("never", "s"))).items[0]
    assert (item.text, item.finish_reason) == ("a", "stop")


def test_the_models_end_tokens_end_the_text(engine: Engine) -> None:
    """Every sentinel ends a completion, and none is ever part of it."""
    tokenizer = engine[1]
    ends = end_ids(tokenizer, FAMILIES["santacoder"], [])
    assert {tokenizer.id(token) for token in ("<fim-pad>", "<|endoftext|>", "<fim-middle>")} <= ends
    at_once = completer(engine[0]._model, tokenizer, ends=frozenset(range(tokenizer.size)))
    result = run((at_once, tokenizer), prompt_of(engine, "x = 1"), Sampling())
    assert (result.items[0].text, result.items[0].finish_reason) == ("", "stop")


@pytest.mark.parametrize("text", ["x = 1", "def f(", "import num"])
def test_what_is_avoided_isnt_the_first_character(engine: Engine, text: str) -> None:
    """Blanks aside, and behind the tokens that are made again."""
    prompt = fit(Document(text, ""), engine[1], None, 200, 12)
    avoided = string.digits + string.punctuation + "p"

    def first(avoid: str) -> set[str]:
        drawn = Sampling(n=40, temperature=1.0, seed=0, avoid=avoid)
        return {item.text.strip()[:1] for item in run(engine, prompt, drawn).items}

    assert first("") & {*avoided} and not first(avoided) & {*avoided}


@pytest.mark.parametrize("text", ["x = 1", "def f(", "print(x"])
def test_a_text_that_has_to_say_something_doesnt_end_before(engine: Engine, text: str) -> None:
    completer_, tokenizer = engine
    prompt = prompt_of(engine, text)
    usual = run(engine, prompt, Sampling()).items[0].text
    # Ends whatever comes first.
    ends = [number for number in range(tokenizer.size) if usual.startswith(tokenizer.decode([number]) or "?")]
    ending = completer(completer_._model, tokenizer, ends=frozenset(ends))
    assert ends and run((ending, tokenizer), prompt, Sampling()).items[0].text == ""
    assert run((ending, tokenizer), prompt, Sampling(says_more=True)).items[0].text.strip()


def test_healing_regenerates_the_cut_token(engine: Engine) -> None:
    tokenizer = engine[1]
    prompt = fit(Document("import num", ""), tokenizer, None, 200, 8)
    assert prompt.healed
    seen = tokenizer.decode(list(prompt.ids)) + tokenizer.decode(tokenizer.encode("num"))
    assert seen.endswith("num")
    result = run(engine, prompt, Sampling())
    assert result.usage.completion_tokens == 8
    whole = tokenizer.decode(prompt.ids) + tokenizer.decode(prompt.healed) + result.items[0].text
    assert whole.startswith("import num")


def test_candidates_share_one_prefill(engine: Engine) -> None:
    result = run(engine, prompt_of(engine, "print("), Sampling(n=3, temperature=1.0, seed=3))
    again = run(engine, prompt_of(engine, "print("), Sampling(n=3, temperature=1.0, seed=3))
    assert len({item.text for item in result.items}) > 1
    assert [i.text for i in result.items] == [i.text for i in again.items]
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


def test_cancel_takes_effect_within_one_step(engine: Engine) -> None:
    steps: list[str] = []
    control = Control(cancelled=lambda: len(steps) >= 3)
    with pytest.raises(Cancelled):
        engine[0].complete(prompt_of(engine, "x = (", 100), Sampling(), control, lambda i, t: steps.append(t))
    assert len(steps) == 3


def test_a_cancelled_prefill_keeps_what_it_computed(engine: Engine) -> None:
    calls = iter([False, True])
    prompt = prompt_of(engine, "q1w2e3" * 30)
    with pytest.raises(Cancelled):
        run(engine, prompt, Sampling(), Control(cancelled=lambda: next(calls)))
    assert run(engine, prompt, Sampling(max_new_tokens=1)).usage.cached_tokens >= 128


def test_finish_keeps_the_text(engine: Engine) -> None:
    steps: list[str] = []
    control = Control(finished=lambda: len(steps) >= 3)
    result = engine[0].complete(
        prompt_of(engine, "x = (", 100), Sampling(), control, lambda i, t: steps.append(t)
    )
    assert result.items[0].finish_reason == "stop"
    assert result.items[0].text == "".join(steps)


def test_a_failed_step_leaves_no_half_cache(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = prompt_of(engine, "zzz = 1")
    expected = run(engine, prompt, Sampling()).items[0].text
    with monkeypatch.context() as patch:
        patch.setattr(engine[0]._model, "step", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(engine, prompt_of(engine, "yyy = 2"), Sampling())
    assert run(engine, prompt, Sampling()).items[0].text == expected
