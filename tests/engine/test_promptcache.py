"""The prompt cache never changes what comes out; it only says how much had to be computed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    GPTBigCodeConfig,
    GPTBigCodeForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from santajupyter.engine import cuda_causallm, generate, openvino_causallm
from santajupyter.engine.generate import Completer
from santajupyter.engine.model import Model
from santajupyter.engine.promptcache import Entry, PromptCache
from santajupyter.engine.rowskv import RowsKV
from santajupyter.engine.transformers_causallm import CausalLM, LayersKV
from santajupyter.engine.work import Cancelled, Control, Work
from santajupyter.engine.work import run as finish
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

from .helpers import completer

# Bytes a token in `multi_query`: 2 layers, keys and values, one head of 8, float32.
TOKEN_BYTES = 2 * 2 * 8 * 4
TRACES = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def multi_query() -> CausalLM:
    sizes: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
    config = GPTBigCodeConfig(vocab_size=400, initializer_range=0.4, tie_word_embeddings=False, **sizes)
    torch.manual_seed(0)
    model = GPTBigCodeForCausalLM(config)
    model.eval()
    return CausalLM(model)


def by_openvino() -> openvino_causallm.CausalLM:
    with tempfile.TemporaryDirectory() as folder:
        multi_query().module.save_pretrained(folder)
        return openvino_causallm.load(Path(folder), "float32")


def by_torch() -> cuda_causallm.CausalLM:
    """What runs on a GPU, on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        multi_query().module.save_pretrained(folder)
        return cuda_causallm.load(Path(folder), "cpu", "float32")


def sliding_window() -> CausalLM:
    """A full layer, then one that forgets all but the last 39 tokens: half of it could be cropped."""
    sizes: dict[str, Any] = {
        "vocab_size": 400,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.4,
        "use_sliding_window": True,
        "sliding_window": 40,
        "max_window_layers": 1,
    }
    config = Qwen2Config(**sizes)
    assert config.layer_types == ["full_attention", "sliding_attention"]
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    model.eval()
    return CausalLM(model)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Completer.__init__

    def init(self: Completer, model: Model, *args: Any, **options: Any) -> None:
        original(self, model, *args, **options)
        model.chunk = 8

    monkeypatch.setattr(Completer, "__init__", init)


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny)


@pytest.fixture(scope="module", params=[multi_query, by_openvino, by_torch, sliding_window])
def model(request: pytest.FixtureRequest) -> Model:
    built: Model = request.param()
    return built


@pytest.fixture
def generator(tokenizer: CodeTokenizer) -> Completer:
    return completer(multi_query(), tokenizer)


def run(
    generator: Completer,
    ids: list[int],
    new: int = 5,
    control: Control | None = None,
    n: int = 1,
    healed: Sequence[int] = (),
) -> generate.Result:
    prompt, sampling = Prompt(tuple(ids), new, tuple(healed)), Sampling(n=n)
    return generator.complete(prompt, sampling, control or Control(), lambda index, text: None)


def cached(generator: Completer, ids: list[int]) -> int:
    return generator.warm(Prompt(tuple(ids), 1), Control()).cached_tokens


def after(calls: int) -> Control:
    """Cancelled when it is looked at for the (calls + 1)th time."""
    answers: Iterator[bool] = iter([False] * calls)
    return Control(cancelled=lambda: next(answers, True))


def document(number: int, length: int = 80) -> list[int]:
    """Ids that depend on the document, after ten that all share."""
    return [*range(10), *((number * 37 + i * i) % 300 for i in range(length - 10))]


def entries(generator: Completer) -> list[Entry]:
    return generator.prompts._entries


def check_entries(generator: Completer) -> None:
    """Each entry's keys and values are those of its ids, computed in one go."""
    model = generator._model
    for entry in entries(generator):
        fresh = model.empty()
        model.step(fresh, [entry.ids])
        assert entry.kv.length == len(entry.ids)
        for kept, right in zip(layers(entry.kv), layers(fresh), strict=True):
            torch.testing.assert_close(kept, right, atol=1e-4, rtol=1e-4)


def layers(kv: Any) -> list[torch.Tensor]:
    if isinstance(kv, RowsKV):
        return [torch.from_numpy(rows) for rows in kv.rows()]
    if isinstance(kv, cuda_causallm.TensorKV):
        return list(kv.filled(kv.length))
    return [tensor for layer in kv.layers for tensor in layer[:2]]


step = st.tuples(
    st.sampled_from(["complete", "complete", "heal", "warm", "candidates", "cancel", "fail"]),
    st.integers(0, 2),  # which document
    st.sampled_from(["type", "accept", "delete", "delete many", "jump", "stay"]),
    st.integers(0, 60),
)


@TRACES
@given(trace=st.lists(step, min_size=1, max_size=8), budget=st.sampled_from([0, 20_000, 2**28]))
def test_nothing_changes_what_comes_out(
    model: Model, tokenizer: CodeTokenizer, trace: list[tuple[str, int, str, int]], budget: int
) -> None:
    generator = completer(model, tokenizer, cache_bytes=budget)
    documents = [document(number, 20 + 30 * number) for number in range(3)]
    offered: list[int] = []
    for action, number, edit, amount in trace:
        ids = edited(documents[number], edit, amount, offered)
        if edit != "jump":  # the next edit is where this one was, unless only the cursor moved
            documents[number] = ids
        if action == "warm":
            assert cached(generator, ids) < len(ids)
        elif action == "cancel":
            with pytest.raises(Cancelled):
                run(generator, ids, new=40, control=after(amount % 12))
        elif action == "fail":
            fail(generator, ids, after_steps=amount % 8)
        else:
            fresh = completer(model, tokenizer)
            n, healed = 3 if action == "candidates" else 1, (amount, 7) if action == "heal" else ()
            result, expected = (run(each, ids, n=n, healed=healed) for each in (generator, fresh))
            for item, right in zip(result.items, expected.items, strict=True):
                assert item.text == right.text
                assert item.logprob == pytest.approx(right.logprob, abs=1e-4)
            assert result.usage.prompt_tokens == len(ids)
            offered = tokenizer.encode(result.items[0].text)
        check_entries(generator)


def test_healed_tokens_are_read_with_the_prompt_and_change_nothing(
    model: Model, tokenizer: CodeTokenizer
) -> None:
    """Of one candidate; of more they are made step by step."""
    texts = set()
    for typed in (" n", " nu", " num", " fibo", "(i, fi"):
        for length in (1, 20, 35, 36, 37, 38, 39, 60):
            generator, healed = completer(model, tokenizer), tokenizer.encode(typed)
            ids = document(1, 60)[:length]
            alone, two = (run(generator, ids, n=n, healed=healed) for n in (1, 2))
            assert alone.items[0].text == two.items[0].text == two.items[1].text
            assert alone.items[0].logprob == pytest.approx(two.items[1].logprob, abs=1e-4)
            check_entries(generator)
            texts.add(alone.items[0].text)
    assert len(texts) > 10


def test_guesses_end_where_a_sliding_window_gets_full(tokenizer: CodeTokenizer) -> None:
    """A bug: a guess that was wrong there couldn't be taken back, and the request failed."""
    model = sliding_window()
    for length in range(20, 45):
        ids = [5, 6, 7, 8, 9] * 9
        guessing, plain = (completer(model, tokenizer, prompt_lookup=lookup) for lookup in (4, 0))
        result, expected = (run(completer, ids[:length], new=20) for completer in (guessing, plain))
        assert result.items[0].text == expected.items[0].text


def edited(ids: list[int], edit: str, amount: int, offered: list[int]) -> list[int]:
    if edit == "type":
        return [*ids, *range(amount % 3 + 1)]
    if edit == "accept":
        return [*ids, *offered]
    if edit in ("delete", "delete many"):
        return ids[: max(1, len(ids) - (amount if edit == "delete many" else amount % 3))]
    if edit == "jump":
        at = min(amount, len(ids) - 1)
        return [*ids[:at], 399, *ids[at:], 398]
    return ids


def fail(generator: Completer, ids: list[int], after_steps: int) -> None:
    with failing(generator._model, after_steps), pytest.raises(MemoryError):
        run(generator, ids, new=40)


@contextmanager
def failing(model: Model, after_steps: int = 0) -> Iterator[None]:
    """The forward pass runs a few times, then fails with the first layer done and the second not."""
    count = 0

    def hook(*_: object) -> None:
        nonlocal count
        count += 1
        if count > after_steps:
            raise MemoryError

    if isinstance(model, CausalLM):
        second = next(m for m in model.module.modules() if isinstance(m, torch.nn.ModuleList))[1]
        undo = second.register_forward_pre_hook(hook).remove
    elif isinstance(model, cuda_causallm.CausalLM):
        norm = model._norm

        def failing_norm(x: Any, by: Any) -> torch.Tensor:
            if by is model._layers[1].attention_norm:
                hook()
            return norm(x, by)

        def undo() -> None:
            del model._norm  # the class's own is behind it

        model._norm = failing_norm  # type: ignore[method-assign]
    else:
        assert isinstance(model, openvino_causallm.CausalLM)
        infer = model._infer

        def failing_infer(inputs: Any) -> Any:
            hook()
            return infer(inputs)

        def undo() -> None:
            del model._infer  # the class's own is behind it

        model._infer = failing_infer  # type: ignore[method-assign]
    try:
        yield
    finally:
        undo()


def test_two_notebooks_in_turn_both_stay_warm(generator: Completer) -> None:
    first, second = document(1), document(2)
    assert cached(generator, first) == 0
    assert cached(generator, second) == 10
    assert cached(generator, first) == len(first) - 1
    assert run(generator, [*second, 5]).usage.cached_tokens == len(second)
    assert run(generator, [*first, 5]).usage.cached_tokens == len(first)
    assert len(entries(generator)) == 2


def test_two_places_in_a_notebook_both_stay_warm(generator: Completer) -> None:
    """The suffix last, as most models want it."""
    text = document(1, 200)
    places = [[*text[:50], 301, *text[50:], 302], [*text[:150], 301, *text[150:], 302]]
    for place in places:
        cached(generator, place)
    assert [cached(generator, place) for place in places] == [len(place) - 1 for place in places]


@pytest.mark.parametrize("suffix", [0, 120])
def test_typing_and_deleting_go_on_in_one_entry(generator: Completer, suffix: int) -> None:
    """Also where a suffix after the cursor is most of the prompt."""
    end = document(3, suffix) if suffix else []
    text = document(1)
    run(generator, text + end)
    for ids in ([*text, 7], [*text, 7, 8, 9], [*text, 7], text[:-3]):
        assert run(generator, ids + end).usage.cached_tokens >= min(len(ids) - 3, len(text) - 3)
    assert len(entries(generator)) == 1


def test_what_was_generated_needs_no_computing(generator: Completer) -> None:
    text = document(1)
    run(generator, text, new=20)
    made = entries(generator)[0].ids[len(text) :]
    assert len(made) >= 19
    assert cached(generator, [*text, *made, 4]) == len(text) + len(made)


def test_a_long_deletion_can_be_undone(generator: Completer) -> None:
    text = document(1)
    cached(generator, text)
    assert cached(generator, text[:40]) == 39
    assert cached(generator, text) == len(text) - 1


def test_the_least_recently_used_go_first(tokenizer: CodeTokenizer) -> None:
    texts = [[number] * 100 for number in range(4)]
    generator = completer(multi_query(), tokenizer, cache_bytes=320 * TOKEN_BYTES)
    for text in texts[:3]:
        cached(generator, text)
    cached(generator, texts[0])
    cached(generator, texts[3])
    assert [entry.ids[0] for entry in entries(generator)] == [2, 0, 3]
    assert sum(entry.size for entry in entries(generator)) == pytest.approx(300 * TOKEN_BYTES, rel=0.01)


def test_the_newest_is_kept_whatever_it_takes(tokenizer: CodeTokenizer) -> None:
    generator = completer(multi_query(), tokenizer, cache_bytes=0)
    for number in (1, 2):
        run(generator, document(number))
        assert len(entries(generator)) == 1
        assert cached(generator, document(number)) == 79


def test_a_failed_step_costs_only_its_own_entry(generator: Completer) -> None:
    first, second = document(1), document(2)
    cached(generator, first)
    cached(generator, second)
    fail(generator, [*second, 5], after_steps=0)
    assert cached(generator, first) == len(first) - 1
    assert cached(generator, second) == 10


def test_a_full_sliding_window_is_only_continued(tokenizer: CodeTokenizer) -> None:
    generator = completer(sliding_window(), tokenizer)
    text = document(1)
    assert cached(generator, text) == 0
    assert cached(generator, [*text, 5]) == len(text)
    assert cached(generator, text) == 0


def test_other_layers_are_counted_and_never_cut() -> None:
    """Layers of a recurrent model keep their states in dicts and have no positions."""
    model = multi_query()
    kv, cache = model.empty(), PromptCache(model.empty, 100)
    assert isinstance(kv, LayersKV)
    each: list[Any] = kv.layers.layers
    each[:] = [SimpleNamespace(states={0: torch.zeros(10), 1: None}, get_seq_length=lambda: 3)]
    with cache.using(Prompt((1, 2, 3), 1)) as entry:
        entry.kv, entry.ids = kv, [1, 2, 3]
    assert entry.size == 40
    with cache.using(Prompt((1, 2, 4), 1)) as other:
        assert other is not entry
    with cache.using(Prompt((1, 2, 3, 4), 1)) as other:
        assert other is entry


@dataclass
class Running:
    """A work in progress. ``known``: what of its prompt it holds or has computed so far."""

    text: int
    ids: list[int]
    kind: str
    work: Work[Any]
    known: list[int]
    cached: int
    cancelled: bool = False


class Turns:
    """Works of one completer in any order of steps, with what each has to have found in the cache.

    Its three texts begin alike and are only typed on, so that no edit takes away what was computed.
    """

    def __init__(self, model: Model, tokenizer: CodeTokenizer, budget: int) -> None:
        self._model, self._tokenizer, self._budget = model, tokenizer, budget
        self.generator = completer(model, tokenizer, cache_bytes=budget)
        base = document(0, 40)
        self._texts = [base, [*base[:25], *document(1, 50)], [*base[:33], *document(2, 60)]]
        self.running: list[Running] = []
        self._done: list[list[int]] = []

    def start(self, text: int, typed: int, kind: str) -> None:
        if len(self.running) == 3:
            return
        ids = self._texts[text] = [*self._texts[text], *range(50, 50 + typed)]
        found = max((common(ids, known) for known in self._known()), default=0)
        control = Control(cancelled=lambda: running.cancelled)
        work = self._work(self.generator, ids, kind, control)
        running = Running(text, ids, kind, work, ids[:found], found)
        self.running.append(running)
        self._step(running)  # the cache is looked at in the first step

    def step(self, which: int, times: int) -> None:
        for running in self.running[which : which + 1] * times:
            if running in self.running:
                self._step(running)

    def cancel(self, which: int) -> None:
        for running in self.running[which : which + 1]:
            running.cancelled = True
            # What has done its last step is over instead.
            with pytest.raises((Cancelled, StopIteration)):
                next(running.work)
            self._end(running)

    def fail(self, which: int) -> None:
        for running in self.running[which : which + 1]:
            with failing(self._model):
                try:
                    self._step(running)
                except MemoryError:
                    self.running.remove(running)
                    self._done.clear()  # what it went on from may have been one of them

    def check(self) -> None:
        check_entries(self.generator)
        all_entries = entries(self.generator)
        assert sum(entry.in_use for entry in all_entries) == len(self.running)
        if not self.running and len(all_entries) > 1:
            assert sum(entry.kv.size for entry in all_entries) <= self._budget

    def _step(self, running: Running) -> None:
        fed: list[int] = []
        step = type(self._model).step

        def counting(kv: Any, rows: Any, keep: int = 1) -> Any:
            logits = step(self._model, kv, rows, keep)
            fed.append(len(rows[0]))
            return logits

        self._model.step = counting  # type: ignore[method-assign]
        try:
            next(running.work)
        except StopIteration as done:
            self._compare(running, done.value)
            self._end(running)
        else:
            running.known = running.ids[: len(running.known) + sum(fed)]
        finally:
            del self._model.step

    def _compare(self, running: Running, result: Any) -> None:
        fresh = completer(self._model, self._tokenizer)
        expected = finish(self._work(fresh, running.ids, running.kind, Control()))
        usage = result if running.kind == "warm" else result.usage
        if running.kind != "warm":
            for item, right in zip(result.items, expected.items, strict=True):
                assert item.text == right.text
                assert item.logprob == pytest.approx(right.logprob, abs=1e-4)
        if self._budget >= 2**28 and self.generator._model.empty().can_be_cut(200):
            assert running.cached <= usage.cached_tokens < usage.prompt_tokens == len(running.ids)

    def _end(self, running: Running) -> None:
        self.running.remove(running)
        self._done.append(running.known)

    def _known(self) -> list[list[int]]:
        return [*self._done, *(running.known for running in self.running)]

    def _work(self, generator: Completer, ids: list[int], kind: str, control: Control) -> Work[Any]:
        prompt = Prompt(tuple(ids), 5, (60, 61) if kind == "heal" else ())
        if kind == "warm":
            return generator.warming(prompt, control)
        sampling = Sampling(n=3 if kind == "candidates" else 1)
        return generator.completing(prompt, sampling, control, lambda index, text: None)


def common(ids: list[int], known: list[int]) -> int:
    """How many first ids they have in common, but never all of ``ids``: the last is always computed."""
    length = 0
    while length < min(len(ids) - 1, len(known)) and ids[length] == known[length]:
        length += 1
    return length


starts = st.tuples(
    st.just("start"),
    st.integers(0, 2),
    st.integers(0, 9),
    st.sampled_from(["complete", "warm", "heal", "candidates"]),
)
others = st.sampled_from(["step", "step", "step", "cancel", "fail"])
turns = st.tuples(others, st.integers(0, 2), st.integers(1, 9))


@TRACES
@given(
    trace=st.lists(st.one_of(starts, turns), min_size=2, max_size=14),
    budget=st.sampled_from([0, 20_000, 2**28, 2**28]),
)
def test_works_in_turn_share_what_is_computed_and_change_nothing_of_another(
    model: Model, tokenizer: CodeTokenizer, trace: list[tuple[Any, ...]], budget: int
) -> None:
    """Whatever is started, stepped, cancelled and fails in between."""
    turns = Turns(model, tokenizer, budget)
    for action, number, amount, *kind in trace:
        if action == "start":
            turns.start(number, amount, kind[0])
        elif action == "step":
            turns.step(number, amount)
        elif action == "cancel":
            turns.cancel(number)
        else:
            turns.fail(number)
        turns.check()
    while turns.running:
        turns.step(0, 1)
        turns.check()


def computed(generator: Completer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each step that follows, how many tokens it reads."""
    fed: list[int] = []
    step = generator._model.step

    def counting(kv: Any, rows: Any, keep: int = 1) -> Any:
        fed.append(len(rows[0]))
        return step(kv, rows, keep)

    monkeypatch.setattr(generator._model, "step", counting)
    return fed


@pytest.mark.parametrize("cancelled", [False, True])
def test_reading_ahead_that_gave_way_is_continued(
    generator: Completer, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    """By the completion that it made way for; what that has read it needn't read itself."""
    fed, ids = computed(generator, monkeypatch), document(1)
    stop = Control(cancelled=lambda: cancelled and bool(fed[4:]))
    warming = generator.warming(Prompt(tuple(ids), 1), stop)
    for _ in range(4):
        next(warming)
    usage = run(generator, [*ids, 5]).usage
    assert usage.cached_tokens == sum(fed[:4]) == 32
    if cancelled:
        with pytest.raises(Cancelled):
            next(warming)
    else:
        fed.clear()
        assert finish(warming).cached_tokens == len(ids) - 32 - 1  # what it read itself doesn't count
        assert fed == [1]
    assert len(entries(generator)) == 1  # the completion's has all of it


def test_two_works_in_turn_read_a_prompt_once(generator: Completer, monkeypatch: pytest.MonkeyPatch) -> None:
    fed, ids = computed(generator, monkeypatch), document(1)
    works = [generator.warming(Prompt((*ids, *typed), 1), Control()) for typed in ([], [5])]
    while works:
        for work in [*works]:
            try:
                next(work)
            except StopIteration:
                works.remove(work)
    assert sum(fed) <= len(ids) + 2


def test_what_is_in_use_counts_and_stays(tokenizer: CodeTokenizer) -> None:
    generator = completer(multi_query(), tokenizer, cache_bytes=200 * TOKEN_BYTES)
    texts = [[number] * 90 for number in range(4)]
    cached(generator, texts[0])
    cached(generator, texts[1])
    working = generator.warming(Prompt(tuple(texts[2]), 1), Control())
    for _ in range(8):
        next(working)
    cached(generator, texts[3])
    assert [(entry.ids[0], entry.in_use) for entry in entries(generator)] == [(2, True), (3, False)]
    finish(working)
    assert [entry.ids[0] for entry in entries(generator)] == [3, 2]


def test_an_abandoned_work_leaves_what_it_has_read(generator: Completer) -> None:
    ids = document(1)
    working = generator.warming(Prompt(tuple(ids), 1), Control())
    next(working)
    working.close()
    assert not entries(generator)[0].in_use
    assert cached(generator, ids) == 8


def test_a_request_cancelled_before_its_first_step_costs_nothing(
    generator: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = computed(generator, monkeypatch)
    with pytest.raises(Cancelled):
        run(generator, document(1), control=after(0))
    assert fed == [] and entries(generator) == []
