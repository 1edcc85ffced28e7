"""Names that the kernel knows, ranked by a model with random weights, in every engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from santajupyter.engine.cachemodel import cache_text
from santajupyter.engine.naming import ROWS
from santajupyter.engine.work import Cancelled, Control
from santajupyter.prompt.choices import Choice
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import FAMILIES, Prompt, fit
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

from .helpers import LOADERS, Engine, completer

NAMES = ("fibonacci", "numpy array", "größe", "年齢", "it's", "", "n")
CHOICE = Choice(NAMES, (0.0,) * len(NAMES), '"')


def prompt_at(tokenizer: CodeTokenizer, code: str = 'x = df["', new: int = 24) -> Prompt:
    return fit(Document(code, "\nreturn"), tokenizer, FAMILIES["santacoder"], 200, new)


def texts(
    engine: Engine, choice: Choice, sampling: Sampling | None = None, control: Control | None = None
) -> list[str]:
    sent: dict[int, str] = {}
    result = engine[0].complete(
        prompt_at(engine[1]),
        sampling or Sampling(),
        control or Control(),
        lambda index, text: sent.update({index: sent.get(index, "") + text}),
        choice,
    )
    found = [item.text for item in result.items]
    assert [sent.get(index, "") for index in range(len(found))] == found
    return found


@pytest.mark.parametrize("code", ['x = df["', "x = df.gro", "import numpy as np\nx = np."])
def test_every_engine_ranks_alike(tiny: Path, code: str) -> None:
    tokenizer = CodeTokenizer.from_folder(tiny)
    found = []
    for load in LOADERS.values():
        engine = completer(load(tiny), tokenizer)
        result = engine.complete(
            prompt_at(tokenizer, code), Sampling(n=4, temperature=1.0), Control(), lambda *_: None, CHOICE
        )
        found.append([item.text for item in result.items])
    assert found[0] == found[1] == found[2]
    assert len({*found[0]}) == 4


def test_a_weight_decides_against_the_model(engine: Engine) -> None:
    for number, name in enumerate(NAMES):
        weights = tuple(100.0 * (at == number) for at in range(len(NAMES)))
        [text] = texts(engine, replace(CHOICE, weights=weights))
        assert text.startswith(name)
        assert text == name or text[len(name)] == '"'


def test_each_candidate_is_another_name(engine: Engine) -> None:
    found = texts(
        engine, replace(CHOICE, rests=NAMES[:3], weights=(0.0, -1.0, -2.0)), Sampling(8, temperature=0.8)
    )
    assert len(found) == 3
    assert all(any(text.startswith(name) for text in found) for name in NAMES[:3])


def test_after_an_attribute_no_letter_comes(engine: Engine) -> None:
    choice = Choice(("head", "groupby"), (0.0, 0.0), always=False)
    [text] = texts(engine, choice)
    rest = text.removeprefix("head").removeprefix("groupby")
    assert rest != text and not rest[:1].isalnum()


def test_nothing_comes_after_a_name_that_is_closed_already(engine: Engine) -> None:
    [text] = texts(engine, replace(CHOICE, alone=True))
    assert text in NAMES


def test_what_is_always_worth_showing_is_shown_alone(engine: Engine) -> None:
    sure = Sampling(min_probability=0.99)
    [text] = texts(engine, CHOICE, sure)
    name, _, closers = text.partition(CHOICE.quote)
    assert name in NAMES and not closers.strip(")]}\"':")
    assert texts(engine, replace(CHOICE, always=False), sure) == [""]


def test_with_a_cache_model_and_a_search(tiny: Path) -> None:
    tokenizer = CodeTokenizer.from_folder(tiny)
    engine = completer(LOADERS["openvino"](tiny), tokenizer, beams=3)
    here = Document('y = df["größe"]\n' * 30 + 'x = df["', "\nreturn")
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 200, 24)
    prompt = replace(prompt, cache_text=cache_text(here, tokenizer, prompt.healed))
    item = engine.complete(
        prompt, Sampling(search=True, stop=("\n",)), Control(), lambda *_: None, CHOICE
    ).items[0]
    assert item.text.startswith('größe"]')


def test_thousands_of_names_are_read_in_small_steps(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a request is cancelled between two of them."""
    model, rows = engine[0]._model, [0]
    step = model.step

    def counted(kv: object, texts: list[list[int]], keep: int = 1) -> object:
        rows.append(len(texts))
        return step(kv, texts, keep)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "step", counted)
    names = tuple(f"column {number}" for number in range(2000))
    choice = Choice(names, (0.0,) * len(names), '"', alone=True)
    [text] = texts(engine, choice)
    assert text in names
    assert max(rows) == ROWS and sum(rows) < 60
    looks = iter([False] * 4 + [True] * 9)
    with pytest.raises(Cancelled):
        texts(engine, choice, control=Control(cancelled=lambda: next(looks)))


@pytest.mark.parametrize("name", ["column 1734", "total", "it's 17"])
def test_of_many_that_begin_alike_the_likeliest_is_found(tiny: Path, name: str) -> None:
    """Wherever it stands among them, and however many tokens they have in common."""
    tokenizer = CodeTokenizer.from_folder(tiny)
    engine = completer(LOADERS["openvino"](tiny), tokenizer)
    here = Document(f'y = df["{name}"]\n' * 30 + 'x = df["', "\nreturn")
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 200, 24)
    prompt = replace(prompt, cache_text=cache_text(here, tokenizer, prompt.healed))
    others = [f"column {number}" for number in range(2000)] + [f"it's {number}" for number in range(20)]
    names = tuple(dict.fromkeys([*others, name]))
    choice = Choice(names, (0.0,) * len(names), '"', alone=True)
    [item] = engine.complete(prompt, Sampling(), Control(), lambda *_: None, choice).items
    assert item.text == name


def test_a_name_is_no_less_likely_for_many_others_that_begin_alike(tiny: Path) -> None:
    """What they have in common counts once."""
    tokenizer = CodeTokenizer.from_folder(tiny)
    engine = completer(LOADERS["openvino"](tiny), tokenizer)
    here = Document('y = df["total"]\ny = df["total"]\ny = df["column 17"]\n' * 30 + 'x = df["', "\nreturn")
    prompt = fit(here, tokenizer, FAMILIES["santacoder"], 200, 24)
    prompt = replace(prompt, cache_text=cache_text(here, tokenizer, prompt.healed))
    names = ("total", *(f"column {number}" for number in range(2000)))
    choice = Choice(names, (0.0,) * len(names), '"', always=False, alone=True)
    sure = Sampling(min_probability=0.4)
    [item] = engine.complete(prompt, sure, Control(), lambda *_: None, choice).items
    assert item.text == "total"


def test_names_without_room_are_left_out(engine: Engine) -> None:
    long = Choice(("a long name " * 40, "n"), (100.0, 0.0), '"')
    [text] = texts(engine, long)
    assert text.startswith("n")
    [text] = texts(engine, Choice(("a long name " * 40,), (0.0,), '"'))
    assert not text.startswith("a long name a long name")
