"""What a prompt is made of, by piece, with the real tokenizing and fitting."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, pairwise, product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document, render_cell
from santajupyter.prompt.explain import LEFT, OTHER, RIGHT, explain, locate_pieces
from santajupyter.prompt.fim import FAMILIES, fit
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell, Output

from ..checkpoint import make_tokenizer

TOKENIZER = CodeTokenizer.from_json(make_tokenizer().to_str())
SANTA = FAMILIES["santacoder"]
CELLS = [Cell("import numpy as np"), Cell("The 🦌", "markdown"), Cell("x = 1"), Cell("print(x)")]


def described(cells: list[Cell], active: int, offset: int, window: int = 256, cached: int = 0) -> Any:
    around = excerpt(cells, active, offset)
    where = document(around)
    prompt = fit(where, TOKENIZER, SANTA, window, 8)
    pieces = locate_pieces(where, around, cells)
    return explain(where, prompt, TOKENIZER, SANTA, pieces, cached), where, prompt


def test_the_pieces_are_the_prompt() -> None:
    answer, where, prompt = described(CELLS, 2, 4)
    names = [piece["name"] for piece in answer["pieces"]]
    assert names == ["format", RIGHT, "cell 4", "format", "cell 1", "cell 2", LEFT]
    assert sum(piece["tokens"] for piece in answer["pieces"]) == len(prompt.ids)
    texts = {piece["name"]: piece["text"] for piece in answer["pieces"]}
    assert texts["cell 1"] + texts["cell 2"] + texts[LEFT] + answer["healed"] == where.prefix
    assert texts[RIGHT] + texts["cell 4"] == where.suffix
    assert texts["cell 2"] == "\n\n# The 🦌"
    assert answer["pieces"][0]["text"] == "<fim-prefix><fim-suffix>"
    assert answer["left_out"] == []


@pytest.mark.parametrize("cached", [0, 3, 10, 10**6])
def test_cached_tokens_are_the_first(cached: int) -> None:
    answer, _, prompt = described(CELLS, 2, 4, cached=cached)
    counts = [(piece["tokens"], piece["cached"]) for piece in answer["pieces"]]
    assert sum(c for _, c in counts) == min(cached, len(prompt.ids))
    assert all(before[0] == before[1] for before, after in pairwise(counts) if after[1])


def test_what_is_too_long_is_left_out() -> None:
    cells = [Cell("# a\n" * 200), Cell("b = 2"), Cell("c = "), Cell("d = 4\n" * 200)]
    answer, where, _ = described(cells, 2, 4, window=128)
    left_out = {piece["name"]: piece["characters"] for piece in answer["left_out"]}
    assert left_out.keys() == {"cell 1", "cell 4"}
    shown = sum(len(piece["text"]) for piece in answer["pieces"] if piece["name"] != "format")
    blank = len(where.prefix) + len(where.suffix) - shown - sum(left_out.values())
    assert 0 <= blank <= 2 * len(cells)


def test_a_healed_token_is_named() -> None:
    answer, where, prompt = described([Cell("import numpy as n")], 0, 17)
    assert prompt.healed
    assert "".join(piece["text"] for piece in answer["pieces"]) + answer["healed"] == where.prefix


def test_what_is_no_cell_is_called_so() -> None:
    cells = [Cell("x = 1"), Cell("x = 1"), Cell("raw", "raw"), Cell("y = "), Cell("x")]
    around = excerpt(cells, 3, 4)
    where = document(around, facts=["df: a, b"])
    assert where.prefix == "x = 1\n\n# df: a, b\n\ny = "
    pieces = locate_pieces(where, around, cells)
    assert pieces["prefix"] == [("cell 2", 5), (OTHER, 19), (LEFT, 23)]
    assert pieces["suffix"] == [("cell 5", 3)]
    assert pieces["absent"] == [("cell 1", 5), ("cell 3", 3)]


def test_what_is_out_of_reach_counts_as_one() -> None:
    cells = [*(Cell(f"x = {n}") for n in range(10_000)), Cell("y"), *(Cell("z" * n) for n in range(5000))]
    around = excerpt(cells, 10_000, 1)
    pieces = locate_pieces(document(around), around, cells)
    names = [name for name, _ in pieces["absent"]]
    assert [name.startswith("cells ") for name in names] == [True, True]
    assert names[0] == f"cells 1 to {around.first}"
    texts = sum(len(cell.source) for cell in cells)
    document_has = sum(len(cell.source) for cell in around.cells)
    assert sum(length for _, length in pieces["absent"]) == texts - document_has


def test_cells_in_another_order_and_twice() -> None:
    cells = [Cell("b = 2", execution_count=2), Cell("x = 1"), Cell("x = 1"), Cell("p = \nprint(a)")]
    cells += [Cell("a = 1", execution_count=1)]
    answer, _, _ = described(cells, 3, 4)
    names = [piece["name"] for piece in answer["pieces"] if piece["name"] != "format"]
    assert names == [RIGHT, "cell 1", "cell 3", "cell 5", LEFT]
    assert answer["left_out"] == [{"name": "cell 2", "characters": 5}]


def test_parts_that_are_left_out_in_the_middle() -> None:
    cells = [Cell("tool = 1\n" + "# used\n" * 10)]
    cells += [Cell(f"other_{n} = {n}\n" + "# far\n" * 30) for n in range(4)]
    cells += [Cell("def f():\n    return tool\n\n\n\n\nx = f(")]
    answer, where, prompt = described(cells, 5, len(cells[5].source), window=200)
    texts = "".join(piece["text"] for piece in answer["pieces"]) + answer["healed"]
    assert sum(piece["tokens"] for piece in answer["pieces"]) == len(prompt.ids)
    lost = sum(piece["characters"] for piece in answer["left_out"])
    assert lost and abs(len(texts) + lost - len(where.prefix)) <= 2 * len(cells)  # blank lines
    assert TOKENIZER.decode(prompt.ids) + answer["healed"] == texts


SOURCES = ["", "x = 1", "x = 1\ny = 2", "y = 2", "# 🦌 <fim-prefix>", "x", "def f(a):\n    return a\n" * 20]
SOURCE = st.sampled_from(SOURCES) | st.text(st.sampled_from("xy =1\n#\t🦌é(<>"), max_size=40)
OUTPUT = st.builds(Output, st.just("text"), st.sampled_from(SOURCES)) | st.just(
    Output("error", name="KeyError", value="'x'", line="y = 2")
)
CELL = st.builds(
    Cell,
    SOURCE,
    st.sampled_from(["code", "code", "markdown", "raw"]),
    execution_count=st.none() | st.integers(1, 9),
    outputs=st.lists(OUTPUT, max_size=2).map(tuple),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(CELL, min_size=1, max_size=7),
    st.data(),
    st.sampled_from([64, 128, 256, 1024]),
    st.sampled_from(["spm", "psm", "none"]),
    st.sampled_from(["python", "javascript"]),
)
def test_the_pieces_are_the_prompt_whatever_the_notebook(
    cells: list[Cell], data: st.DataObject, window: int, order: str, language: str
) -> None:
    active = data.draw(st.integers(0, len(cells) - 1))
    offset = data.draw(st.integers(0, len(cells[active].source)))
    around = excerpt(cells, active, offset, language)
    where = document(around, language, ["df: DataFrame 3x2", "x"], ["a.py: def f(x)"])
    family = None if order == "none" else SANTA
    prompt = fit(where, TOKENIZER, family, window, 8, "auto" if order == "none" else order)
    pieces = locate_pieces(where, around, cells)
    for text, located in ((where.prefix, pieces["prefix"]), (where.suffix, pieces["suffix"])):
        ends = [end for _, end in located]
        assert ends == sorted(set(ends)) and ends[-1:] == ([len(text)] if text else [])
    described = explain(where, prompt, TOKENIZER, family, pieces, 10)
    at = 0
    for piece in described["pieces"]:
        ids = prompt.ids[at : at + piece["tokens"]]
        at += piece["tokens"]
        assert piece["cached"] == max(0, min(piece["tokens"], 10 - at + piece["tokens"]))
        if piece["name"] == "format":
            assert piece["text"] == "".join(map(TOKENIZER.raw, ids))
    assert at == len(prompt.ids)
    texts = [piece["text"] for piece in described["pieces"] if piece["name"] != "format"]
    sentinels = {TOKENIZER.id(token) for token in SANTA.sentinels}
    plain = [list(run) for is_format, run in groupby(prompt.ids, sentinels.__contains__) if not is_format]
    assert "".join(texts) == "".join(map(TOKENIZER.decode, plain))
    for piece in described["pieces"]:
        if piece["name"].startswith("cell "):
            cell = cells[int(piece["name"].removeprefix("cell ")) - 1]
            comment = replace(cell, type="markdown")
            kinds = product((cell, comment), (language, where.language), (8, 99))
            forms = [cell.source, *(render_cell(*kind) for kind in kinds)]
            assert any(piece["text"].strip("\n\t \ufffd") in form for form in forms)


async def test_the_route(jp_fetch: Any, body: Callable[..., dict[str, Any]]) -> None:
    async def ask(path: str) -> dict[str, Any]:
        sent = json.dumps(body("a = [1, 2]\nb = a["))
        return dict(json.loads((await jp_fetch("santajupyter", path, method="POST", body=sent)).body))

    cold = await ask("explain")
    assert cold["window"] == 256
    assert sum(piece["cached"] for piece in cold["pieces"]) == 0
    usage = (await ask("complete"))["usage"]
    warm = await ask("explain")
    assert sum(piece["tokens"] for piece in warm["pieces"]) == usage["prompt_tokens"]
    assert sum(piece["cached"] for piece in warm["pieces"]) == usage["prompt_tokens"] - 1
    status = json.loads((await jp_fetch("santajupyter", "status")).body)
    assert (status["stats"]["requests"], status["stats"]["completed"]) == (3, 3)


async def test_the_route_checks_its_body(jp_fetch: Any) -> None:
    from tornado.httpclient import HTTPClientError

    with pytest.raises(HTTPClientError) as error:
        await jp_fetch("santajupyter", "explain", method="POST", body="{}")
    assert error.value.code == 400
