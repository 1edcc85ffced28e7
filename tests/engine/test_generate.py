"""The decode loop on a tiny checkpoint, against transformers' own generate."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from santajupyter.engine import cuda_bigcode, openvino_bigcode, transformers_causallm
from santajupyter.engine.generate import Cancelled, Completer, Control, Result, _Picker
from santajupyter.engine.model import Model, RunsAhead
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import FAMILIES, CodeTokenizer, Prompt, end_ids, fit
from santajupyter.protocol import Sampling

Engine = tuple[Completer, CodeTokenizer]
WITHIN_WORD = re.compile(r"(?<=\w)\w")


LOADERS: dict[str, Callable[[Path], Model]] = {
    "transformers": lambda folder: transformers_causallm.load(folder, "cpu", "float32"),
    "openvino": lambda folder: openvino_bigcode.load(folder, "float32"),
    "torch": lambda folder: cuda_bigcode.load(folder, "cpu", "float32"),
}


@pytest.fixture(scope="module", params=LOADERS)
def engine(tiny: Path, request: pytest.FixtureRequest) -> Engine:
    tokenizer = CodeTokenizer.from_folder(tiny)
    return Completer(LOADERS[request.param](tiny), tokenizer, frozenset()), tokenizer


def run(engine: Engine, prompt: Prompt, sampling: Sampling, control: Control | None = None) -> Result:
    return engine[0].complete(prompt, sampling, control or Control(), lambda index, text: None)


def prompt_of(engine: Engine, text: str, new: int = 12) -> Prompt:
    return Prompt(tuple(engine[1].encode(text)), new)


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
        fresh = Completer(engine[0]._model, tokenizer, frozenset())
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
            words = [end for end in ends[: at + 1] if not WITHIN_WORD.match(whole.text, end)]
            sure = whole.text[: words[-1]]
            expected = sure if len(sure.strip()) > 1 else ""
            assert result.items[0].text == expected == "".join(streamed)
            within_words += words[-1] < ends[at]
    assert within_words > 1


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
    at_once = Completer(engine[0]._model, tokenizer, frozenset(range(tokenizer.size)))
    result = run((at_once, tokenizer), prompt_of(engine, "x = 1"), Sampling())
    assert (result.items[0].text, result.items[0].finish_reason) == ("", "stop")


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


LINE = Sampling(stop=("\n", "i"))


@pytest.mark.parametrize("typed", ["", "num", " fib"])
def test_a_search_finds_the_likeliest_of_all_texts(engine: Engine, typed: str) -> None:
    """With beams for every beginning, against a sum over every pair of tokens."""
    model, tokenizer = engine[0]._model, engine[1]
    wide = Completer(model, tokenizer, frozenset(), beams=tokenizer.size)
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


def test_a_search_can_be_steered_cancelled_and_leaves_the_prompt_cached(engine: Engine) -> None:
    model, tokenizer = engine[0]._model, engine[1]
    searching = Completer(model, tokenizer, frozenset(), beams=3)
    prompt = prompt_of(engine, "import numpy as np\nx = (", 8)
    free = run((searching, tokenizer), prompt, LINE)
    assert free.usage.prompt_tokens == len(prompt.ids) == len(searching.prompts._entries[0].ids)
    first = free.items[0].text[:1]
    steered = run((searching, tokenizer), prompt, LINE, Control(refuses=lambda text: text.startswith(first)))
    assert first and not steered.items[0].text.startswith(first)
    assert steered.usage.cached_tokens == len(prompt.ids) - 1
    assert run((searching, tokenizer), prompt, LINE, Control(refuses=bool)).items[0].text == ""
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        run((searching, tokenizer), prompt, LINE, Control(cancelled=lambda: next(answers)))
    sent: list[str] = []
    again = searching.complete(prompt, LINE, Control(), lambda _, text: sent.append(text))
    assert "".join(sent) == again.items[0].text == free.items[0].text


def test_guessing_changes_nothing(engine: Engine) -> None:
    """Greedy decoding with prompt lookup gives what it gives without, in fewer steps where text repeats."""
    model, tokenizer = engine[0]._model, engine[1]
    steps = {0: 0, 4: 0}
    for text in ("for i in range(10):\n    print(i)\n" * 3, "x = (", "import numpy as np\n" * 5):
        found = []
        for lookup in steps:
            fresh = Completer(model, tokenizer, frozenset(), lookup=lookup)
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


def test_top_p_and_temperature_sample_as_they_say() -> None:
    """Frequencies of 4,000 draws; only the likeliest two of three are within top_p."""
    pick = _Picker(Sampling(temperature=0.5, top_p=0.9, seed=1))
    logits = np.log(np.array([0.1, 0.4, 0.5]))
    drawn = [pick(logits) for _ in range(4000)]
    shares = [sum(token == i for token, _ in drawn) / 4000 for i in range(3)]
    assert shares == pytest.approx([0, 16 / 41, 25 / 41], abs=0.03)
    assert drawn[0][1] == pytest.approx(np.log([0.1, 0.4, 0.5][drawn[0][0]]))


def only(wanted: str) -> Control:
    """Lets nothing come but ``wanted``, and after that what will."""

    return Control(refuses=lambda text: text[: len(wanted)] != wanted[: len(text)])


@pytest.mark.parametrize("source", ["import numpy", "x = fibonacci(1) + fi", "x = "])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(n=2, temperature=1.0, seed=1)])
def test_refused_texts_are_passed_over(engine: Engine, source: str, sampling: Sampling) -> None:
    """With token healing and without, in mid-word too."""
    for prompt in (prompt_of(engine, source, 20), fit(Document(source, ""), engine[1], None, 200, 20)):
        free = run(engine, prompt, sampling)
        for wanted in ("bonacci(", "qqq"):
            steered = run(engine, prompt, sampling, only(wanted))
            assert all(item.text.startswith(wanted) for item in steered.items)
            assert steered.items[0].logprob < free.items[0].logprob


def test_where_all_is_refused_it_ends(engine: Engine) -> None:
    prompt = prompt_of(engine, "import numpy")
    asked: list[str] = []

    def refuses(text: str) -> bool:
        asked.append(text)
        return len(text) > 2

    item = run(engine, prompt, Sampling(), Control(refuses=refuses)).items[0]
    assert (len(item.text), item.finish_reason) == (2, "stop")
    assert len(asked) < 3 * engine[1].size


def has_twice(letter: str, text: str) -> bool:
    return text.count(letter) > 1


def test_every_engine_passes_over_the_same(engine: Engine, tiny: Path) -> None:
    """One that runs ahead of what is looked at too: it is called back."""
    plain = Completer(LOADERS["transformers"](tiny), engine[1], frozenset(), lookup=0)
    prompt = prompt_of(engine, "def fibonacci(n):\n    if", 20)
    free = run(engine, prompt, Sampling()).items[0].text
    for letter in sorted(set(free)):
        control = Control(refuses=functools.partial(has_twice, letter))
        steered = run(engine, prompt, Sampling(), control)
        expected = run((plain, engine[1]), prompt, Sampling(), control)
        assert steered.items[0].text == expected.items[0].text
        assert steered.items[0].logprob == pytest.approx(expected.items[0].logprob, abs=1e-3)
        assert steered.usage.completion_tokens == expected.usage.completion_tokens
        entry = engine[0].prompts._entries[-1]
        assert entry.kv.length == len(entry.ids)
