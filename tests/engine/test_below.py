"""A suffix that stands last in the prompt is read once, and moves along while the prefix is typed.

In a decoder of one layer keys and values are a token's and its position's alone, so there what was moved is
what would have been read. With more layers it is so nearly: no exact prompt may be answered with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from santajupyter.engine import openvino_causallm, promptcache
from santajupyter.engine.generate import Completer, Result
from santajupyter.engine.model import Model
from santajupyter.engine.rowskv import RowsKV
from santajupyter.engine.work import Cancelled, Control
from santajupyter.engine.worker import STALE
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

from ..checkpoint import make_like_llama
from .helpers import completer

PREFIX, SUFFIX = [(7 * i) % 300 for i in range(60)], [(11 * i + i * i) % 300 for i in range(50)]
MARK, END = 301, 302
TRACES = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=[1, 3], ids=["one layer", "three layers"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = make_like_llama(
        tmp_path_factory.mktemp("model") / "llama", "llama", num_hidden_layers=request.param
    )
    return openvino_causallm.load(folder, "float32")


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny)


def prompt(prefix: Sequence[int], suffix: Sequence[int], exact: bool, new: int = 6) -> Prompt:
    ids = (*prefix, MARK, *suffix, END)
    return Prompt(ids, new, below=len(suffix) + 2, stale=0 if exact else STALE)


def ask(generator: Completer, asked: Prompt, n: int = 1, control: Control | None = None) -> Result:
    sampling = Sampling(n=n, max_new_tokens=asked.max_new_tokens)
    return generator.complete(asked, sampling, control or Control(), lambda index, text: None)


def after(calls: int) -> Control:
    """Cancelled when it is looked at for the (calls + 1)th time."""
    answers = iter([False] * calls)
    return Control(cancelled=lambda: next(answers, True))


def is_one_layer(model: Model) -> bool:
    return len(rows(model.empty())) == 2


def rows(kv: object) -> list[np.ndarray]:
    assert isinstance(kv, RowsKV)
    return kv.rows()


def check_entries(generator: Completer, model: Model) -> None:
    """What other prompts may find was read as it stands."""
    for entry in generator.prompts._entries:
        assert entry.exact is None
        fresh = model.empty()
        model.step(fresh, [entry.ids])
        for kept, right in zip(rows(entry.kv), rows(fresh), strict=True):
            np.testing.assert_allclose(kept, right, atol=1e-4, rtol=1e-4)


EDITS = ["type", "type", "delete", "go elsewhere", "stay"]
EDITS_BELOW = ["change below", "close a bracket", "type over it", "delete below"]
steps = st.tuples(
    st.sampled_from(["automatic", "automatic", "automatic", "asked", "warm", "candidates", "cancel"]),
    st.sampled_from([*EDITS, *EDITS_BELOW]),
    st.integers(1, 12),
)


@TRACES
@given(trace=st.lists(steps, min_size=2, max_size=8))
def test_only_what_need_not_be_exact_is_answered_with_it(
    model: Model, tokenizer: CodeTokenizer, trace: list[tuple[str, str, int]]
) -> None:
    generator = completer(model, tokenizer)
    model.chunk = 8
    prefix, suffix = [*PREFIX], [*SUFFIX]
    for action, edit, amount in trace:
        if edit == "type":
            prefix += [(amount * i) % 300 for i in range(amount)]
        elif edit == "delete":
            del prefix[-amount:]
        elif edit == "go elsewhere":
            prefix, suffix = [*prefix[:-amount], 5, *prefix[-amount:]], suffix[amount % 3 :]
        elif edit == "close a bracket":
            prefix, suffix = [*prefix, 40], [41, *suffix]
        elif edit == "type over it":
            prefix, suffix = [*prefix, suffix[0]], suffix[1:]
        elif edit == "delete below":
            suffix = suffix[amount % 6 :]
        elif edit == "change below":
            suffix = [*suffix[: 3 * amount], amount, *suffix[3 * amount :]]
        asked = prompt(prefix, suffix, exact=action not in ("automatic", "candidates"))
        if action == "warm":
            generator.warm(asked, Control())
        elif action == "cancel":
            with pytest.raises(Cancelled):
                ask(generator, prompt(prefix, suffix, False, 40), control=after(amount))
        else:
            n = 3 if action == "candidates" else 1
            found, fresh = ask(generator, asked, n), ask(completer(model, tokenizer), asked, n)
            assert found.usage.prompt_tokens == len(asked.ids)
            if not asked.stale or is_one_layer(model):
                assert [item.text for item in found.items] == [item.text for item in fresh.items]
        check_entries(generator, model)


def test_another_work_does_not_find_it(model: Model, tokenizer: CodeTokenizer) -> None:
    """While a work goes on others see what it has read, but not what it moved."""
    generator, prefix = completer(model, tokenizer), [*PREFIX, 7, 8]
    ask(generator, prompt(PREFIX, SUFFIX, exact=True))
    automatic, exact = (prompt(prefix, SUFFIX, exact) for exact in (False, True))
    sampling = Sampling(max_new_tokens=6)
    work = generator.completing(automatic, sampling, Control(), lambda index, text: None)
    for _ in range(3):
        next(work)
    (entry,) = generator.prompts._entries
    assert entry.exact is not None and len(entry.ids) > len(automatic.ids)
    found, fresh = ask(generator, exact), ask(completer(model, tokenizer), exact)
    assert found.items[0].text == fresh.items[0].text
    assert found.items[0].logprob == pytest.approx(fresh.items[0].logprob, abs=1e-5)
    assert found.usage.cached_tokens <= len(prefix) + 1 + promptcache.RENEWED
    work.close()
    check_entries(generator, model)


def test_a_key_reads_what_was_typed_and_the_suffixs_beginning(model: Model, tokenizer: CodeTokenizer) -> None:
    generator, prefix = completer(model, tokenizer), [*PREFIX]
    ask(generator, prompt(prefix, SUFFIX, exact=False))
    for typed in ([7], [8, 9], [10]):
        prefix += typed
        usage = ask(generator, prompt(prefix, SUFFIX, exact=False)).usage
        assert usage.prompt_tokens - usage.cached_tokens <= len(typed) + promptcache.RENEWED + 1
    assert ask(generator, prompt(prefix, SUFFIX, exact=True)).usage.cached_tokens <= len(prefix) + 4
    assert len(generator.prompts._entries) == 1


def test_a_bracket_that_closes_by_itself_has_nothing_read_again(
    model: Model, tokenizer: CodeTokenizer
) -> None:
    generator, prefix = completer(model, tokenizer), [*PREFIX]
    ask(generator, prompt(prefix, SUFFIX, exact=False))
    for typed, suffix in ((40, [41, *SUFFIX]), (7, [41, *SUFFIX]), (41, SUFFIX), (8, SUFFIX)):
        prefix.append(typed)
        asked = prompt(prefix, suffix, exact=False)
        found, fresh = ask(generator, asked), ask(completer(model, tokenizer), asked)
        assert found.usage.prompt_tokens - found.usage.cached_tokens <= 1 + promptcache.RENEWED + 2
        assert found.items[0].text == fresh.items[0].text or not is_one_layer(model)


def unread(generator: Completer, asked: Prompt) -> int:
    """How many of its ids had to be read for the answer."""
    usage = ask(generator, asked).usage
    return usage.prompt_tokens - usage.cached_tokens


@pytest.mark.parametrize("is_kept", [True, False], ids=["typed over", "deleted"])
def test_what_comes_nearer_has_its_beginning_read_again(
    model: Model, tokenizer: CodeTokenizer, is_kept: bool
) -> None:
    generator, prefix, suffix = completer(model, tokenizer), [*PREFIX], [*SUFFIX]
    ask(generator, prompt(prefix, suffix, exact=False))
    for _ in range(8):
        prefix += [suffix[0]] * is_kept
        suffix = suffix[1:]
        asked = prompt(prefix, suffix, exact=False)
        # What was typed and the mark, three of the suffix, and the last mark.
        assert unread(generator, asked) == promptcache.RENEWED + 2 * is_kept
        fresh = ask(completer(model, tokenizer), asked)
        assert ask(generator, asked).items[0].text == fresh.items[0].text or not is_one_layer(model)


def test_what_was_read_at_rest_serves_after_a_bracket_too(model: Model, tokenizer: CodeTokenizer) -> None:
    """It was thrown away, for what was kept of the suffix had a token more."""
    generator, prefix = completer(model, tokenizer), [*PREFIX]
    ask(generator, prompt(prefix, SUFFIX, exact=False))
    for typed, suffix in ((7, SUFFIX), (40, [41, *SUFFIX]), (41, SUFFIX)):
        prefix.append(typed)
        ask(generator, prompt(prefix, suffix, exact=False))
    for _ in range(3):
        prefix += [(3 * key) % 300 for key in range(STALE // 2 + 4)]
        generator.warm(replace(prompt(prefix, SUFFIX, exact=False), stale=STALE // 2), Control())
        for key in range(STALE // 2 - 4):
            prefix.append(key)
            assert unread(generator, prompt(prefix, SUFFIX, exact=False)) < len(SUFFIX)


def test_two_places_both_stay_warm_while_something_is_typed(model: Model, tokenizer: CodeTokenizer) -> None:
    generator, prefix = completer(model, tokenizer), [*PREFIX]
    ask(generator, prompt(prefix, SUFFIX, exact=False))
    for key in (7, 8):
        prefix.append(key)
        ask(generator, prompt(prefix, SUFFIX, exact=False))
    for key in range(3):
        ask(generator, prompt([*prefix, *SUFFIX[:30], *range(key)], SUFFIX[30:], exact=False))
    assert unread(generator, prompt(prefix, SUFFIX, exact=False)) <= promptcache.RENEWED + 1


@pytest.mark.parametrize("count", [STALE - 1, STALE + 1])
def test_what_is_put_in_before_it_counts_as_changed(
    model: Model, tokenizer: CodeTokenizer, count: int
) -> None:
    generator, suffix = completer(model, tokenizer), [*SUFFIX, *SUFFIX[::-1]]
    for prefix in (PREFIX, [*PREFIX, 7]):
        ask(generator, prompt(prefix, suffix, exact=False))
    new = [*range(count)]
    is_read = unread(generator, prompt([*PREFIX, 7], [*new, *suffix], exact=False)) > count + len(SUFFIX)
    assert is_read == (count > STALE)


def test_what_was_read_until_the_next_key_is_not_lost(model: Model, tokenizer: CodeTokenizer) -> None:
    """Who types faster than a long suffix is read has it read piece by piece."""
    generator, prefix, suffix = completer(model, tokenizer), [*PREFIX], [*SUFFIX, *SUFFIX[::-1]]
    generator.warm(Prompt(tuple(prefix), 1), Control())
    model.chunk = 8
    for key in range(10):
        prefix.append(key)
        with pytest.raises(Cancelled):
            ask(generator, prompt(prefix, suffix, exact=False, new=40), control=after(4))
        check_entries(generator, model)
    found = ask(generator, prompt([*prefix, 5], suffix, exact=False))
    assert found.usage.prompt_tokens - found.usage.cached_tokens <= 2 + promptcache.RENEWED
    fresh = ask(completer(model, tokenizer), prompt([*prefix, 5], suffix, exact=False))
    assert found.items[0].text == fresh.items[0].text or not is_one_layer(model)
    (entry,) = generator.prompts._entries
    assert entry.kept and entry.kept.before == [*PREFIX, 0], "from then on changes count"


def test_back_at_the_prefix_it_was_begun_with_it_is_still_no_exact_one(
    model: Model, tokenizer: CodeTokenizer
) -> None:
    """Its end was read behind what had been moved."""
    generator, suffix = completer(model, tokenizer), [*SUFFIX, *SUFFIX[::-1]]
    model.chunk = 8
    with pytest.raises(Cancelled):
        ask(generator, prompt(PREFIX, suffix, exact=False), control=after(12))
    ask(generator, prompt([*PREFIX, 7, 8, 9], suffix, exact=False))
    (entry,) = generator.prompts._entries
    assert entry.kept and entry.kept.before == PREFIX and len(entry.kept.ids) > 90
    asked = prompt(PREFIX, suffix, exact=True)
    found, fresh = ask(generator, asked), ask(completer(model, tokenizer), asked)
    assert found.items[0].text == fresh.items[0].text
    assert found.items[0].logprob == pytest.approx(fresh.items[0].logprob, abs=1e-5)
    check_entries(generator, model)


def test_after_many_keys_it_is_read_again(model: Model, tokenizer: CodeTokenizer) -> None:
    generator, prefix, read = completer(model, tokenizer), [*PREFIX], []
    for key in range(3 * STALE):
        prefix.append(key % 300)
        usage = ask(generator, prompt(prefix, SUFFIX, exact=False, new=1)).usage
        read.append(usage.prompt_tokens - usage.cached_tokens > len(SUFFIX))
    assert read[0] and 2 <= sum(read[1:]) <= 3


def test_where_positions_are_learned_all_is_read(tiny: Path, tokenizer: CodeTokenizer) -> None:
    model = openvino_causallm.load(tiny, "float32")
    assert model.empty().part(0, 0) is None
    generator = completer(model, tokenizer)
    for prefix in (PREFIX, [*PREFIX, 5]):
        usage = ask(generator, prompt(prefix, SUFFIX, exact=False)).usage
    assert usage.cached_tokens == len(PREFIX)


def test_what_was_moved_back_is_what_it_was(model: Model) -> None:
    kv = model.empty()
    model.step(kv, [PREFIX])
    before = [layer.copy() for layer in rows(kv)]
    assert isinstance(kv, RowsKV)
    part = kv.part(20, 60)
    assert part
    kv.cut(20)
    kv.put(part, 37, gap=0)
    away = kv.part(20, 60)
    assert away
    kv.cut(20)
    kv.put(away, -37, gap=0)
    for moved, right in zip(rows(kv), before, strict=True):
        np.testing.assert_allclose(moved, right, atol=1e-5)
