"""What the text around the cursor adds to a model's probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.engine import openvino_causallm
from santajupyter.engine.cachemodel import BORDER, DOUBTS, cache_text, interpolated
from santajupyter.engine.generate import Result
from santajupyter.engine.work import Control
from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import Document, document
from santajupyter.prompt.fim import FAMILIES, fit
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell, Sampling

from ..checkpoint import make_tokenizer
from .helpers import completer

SIZE = 12


def probabilities(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def text_of(*ids: int) -> np.ndarray:
    return np.array(ids, np.int32)


def by_definition(before: np.ndarray, text: list[int]) -> np.ndarray:
    """Witten and Bell's recursion, spelled out."""
    result = before
    for length, doubt in enumerate(DOUBTS, 1):
        end = text[-length:]
        if len(end) < length or BORDER in end:
            break
        seen = [text[i + length] for i in range(len(text) - length) if text[i : i + length] == end]
        seen = [token for token in seen if token != BORDER]
        if seen:
            lost = doubt * len(set(seen))
            counts = np.bincount(seen, minlength=SIZE)
            result = (counts + lost * result) / (len(seen) + lost)
    return result


@given(
    st.lists(st.integers(BORDER, 4), max_size=60),
    st.lists(st.floats(-20, 20), min_size=SIZE, max_size=SIZE),
)
def test_the_mixture_is_what_witten_and_bell_say(text: list[int], logits: list[float]) -> None:
    row = np.array(logits)
    expected = by_definition(probabilities(row), text)
    np.testing.assert_allclose(probabilities(interpolated(row, text_of(*text))), expected, rtol=1e-9)


def test_what_is_impossible_and_never_followed_stays_so() -> None:
    row = np.where(np.arange(SIZE) < 6, 0.0, -np.inf)
    assert np.isinf(interpolated(row, text_of(1, 2, 1))[6:]).all()


def test_oftener_counts_more_and_a_border_is_no_neighbour() -> None:
    row = np.zeros(SIZE)
    once, twice = interpolated(row, text_of(1, 2, 1)), interpolated(row, text_of(1, 2, 1, 2, 1))
    assert probabilities(twice)[2] > probabilities(once)[2] > 1 / SIZE
    assert (interpolated(row, text_of(2, 1, BORDER, 1)) == row).all()


def test_what_the_model_made_is_context_and_no_precedent() -> None:
    row, text = np.zeros(SIZE), text_of(1, 2, 3)
    assert (interpolated(row, text, [4, 5, 4]) == row).all()
    assert interpolated(row, text, [1, 2]).argmax() == 3


@pytest.fixture(scope="module")
def tokenizer() -> CodeTokenizer:
    return CodeTokenizer.from_json(make_tokenizer().to_str())


def test_the_text_is_below_then_above_up_to_the_new_tokens(tokenizer: CodeTokenizer) -> None:
    cells = [Cell("import numpy"), Cell("return"), Cell("print(i, fib"), Cell("for i in range(10):")]
    here = document(excerpt(cells, 2, len("print(i, fib")))
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 200, 8)
    text = cache_text(here, tokenizer, prompt.healed)
    border = int(np.flatnonzero(text == BORDER)[0])
    assert tokenizer.decode(text[:border].tolist()) == here.suffix
    above = tokenizer.decode(text[border + 1 :].tolist())
    assert above + tokenizer.decode(prompt.healed) == here.prefix
    assert prompt.ids[-1] == text[-1]


@pytest.mark.parametrize("source", ["", "print("])
def test_it_ends_where_the_prompt_ends(tokenizer: CodeTokenizer, source: str) -> None:
    here = document(excerpt([Cell("import numpy"), Cell(source), Cell("return")], 1, len(source)))
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 200, 8)
    assert prompt.ids[-1] == cache_text(here, tokenizer, prompt.healed)[-1]


def complete(folder: Path, here: Document, lookup: int = 0) -> tuple[Result, Result]:
    """Greedily, without and with the cache model."""
    tokenizer = CodeTokenizer.from_folder(folder)
    engine = completer(openvino_causallm.load(folder, "float32", lookup), tokenizer, prompt_lookup=lookup)
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 150, 16)
    own = replace(prompt, cache_text=cache_text(here, tokenizer, prompt.healed))
    first, second = (engine.complete(p, Sampling(), Control(), lambda *_: None) for p in (prompt, own))
    return first, second


HERE = Document("wide = 1\n" * 40 + "import numpy as np\n" * 12 + "x = 1\n" * 60 + "import", "\nreturn")


def test_what_stands_beyond_the_window_is_copied(tiny: Path) -> None:
    """A model that knows nothing writes on what the notebook has, and is surer of it."""
    bare, own = complete(tiny, HERE)
    assert not bare.items[0].text.startswith(" numpy")
    assert own.items[0].text.startswith(" numpy as np")
    assert own.items[0].logprob < 0


@pytest.mark.parametrize("typed", ["import nu", "import num"])
@pytest.mark.parametrize("n", [1, 2])
def test_a_word_is_made_again_whole(tiny: Path, typed: str, n: int) -> None:
    """`` numpy`` is one token, and what was typed of it two or more."""
    tokenizer = CodeTokenizer.from_folder(tiny)
    assert len(tokenizer.encode(typed)) == len(typed) - len("import")
    here = Document("import numpy as np\n" * 12 + typed, "\nreturn")
    engine = completer(openvino_causallm.load(tiny, "float32"), tokenizer)
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 150, 16)
    prompt = replace(prompt, cache_text=cache_text(here, tokenizer, prompt.healed))
    result = engine.complete(prompt, Sampling(n, stop=(" ", "\n")), Control(), lambda *_: None)
    assert [item.text for item in result.items] == ["import numpy"[len(typed) :]] * n


def test_draft_tokens_change_nothing_of_the_mixture(tiny: Path) -> None:
    plain, guessed = complete(tiny, HERE)[1], complete(tiny, HERE, lookup=4)[1]
    assert plain.items[0].text == guessed.items[0].text
    assert plain.items[0].logprob == pytest.approx(guessed.items[0].logprob, abs=1e-4)
