"""Places whose names only a kernel knows: that they are so, and that their code runs."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import pytest

from santajupyter.evaluation.engines import Configuration, asking
from santajupyter.evaluation.harness import Sample
from santajupyter.evaluation.main import main
from santajupyter.evaluation.tasks import fresh
from santajupyter.prompt.check import Check
from santajupyter.protocol import completion_request
from santajupyter.server.settings import Settings


@pytest.mark.parametrize("seed", [0, 1])
def test_names_stand_nowhere_in_the_text_and_the_kernel_has_them(seed: int) -> None:
    places = fresh.places(seed)
    assert len(places) >= 200
    for place, body in places.items():
        text = "\n".join(cell["source"] for cell in body["cells"])
        assert place.hidden not in fresh.NAME.findall(text)
        assert place.hidden in fresh.existing(place, body)
        source = body["cells"][place.cell]["source"]
        assert place.offset <= len(source)
    assert {place.kind for place in places} == {*fresh.KINDS, "key"}


@pytest.mark.parametrize("seed", [0, 1])
def test_no_right_name_is_held_to_be_broken(seed: int) -> None:
    """A column, key or attribute; who types may get no more than that of what follows it."""
    for place, fields in fresh.places(seed).items():
        check, name = Check(completion_request(fields)), place.hidden
        if place.kind != "keyword":
            assert check.sound(name, True)[0] == check.sound(name, False)[0] == name, place
            assert check.rounded(name) == check.rounded(name, balanced=True) == name, place


def test_every_line_runs() -> None:
    for source in fresh.sources(random.Random(0)):
        for line in source.lines:
            if "plt." not in line and ".plot" not in line and "boxplot" not in line:
                value = source.value.copy() if isinstance(source.value, pd.DataFrame) else source.value
                namespace = {**fresh._imported(), source.title: value}
                exec(f"import os\n{fresh.written(line, source.names)}", namespace)


def test_the_built_in_model_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fresh-data", "--places", "3", "--configurations", "full", "--out", str(tmp_path)])
    report = capsys.readouterr().out
    assert "| places | 3 |" in report or "| full" in report
    assert len((tmp_path / "samples.jsonl").read_text("utf-8").splitlines()) == 3


async def test_santa_mini_shows_a_name_that_exists() -> None:
    """Also where what it would write behind the name is broken, or loops."""
    places = {
        place: body
        for place, body in fresh.places(0).items()
        if place.kind in ("query", "keyword", "groupby") and place.offset == len(body["cells"][-1]["source"])
    }
    assert len(places) > 8
    async with asking(Settings("santa-mini", fallback_model=""), Configuration("full"), None) as (ask, _):
        for place, body in places.items():
            request = completion_request({**body, "trigger": "invoke"})
            [answer] = await ask(request, request)
            assert fresh.shown_name(answer.text, place) in fresh.existing(place, body), place


def test_the_table_counts_names() -> None:
    places = fresh.places(0)
    place, body = next(iter(places.items()))
    known = {place: fresh.existing(place, body)}
    other = next(name for name in known[place] if name != place.hidden)
    for text, shares in ((place.hidden, "100.0"), (f'{other}"]', "0.0"), ("", "0.0")):
        table = fresh.tables([Sample("", "full", 0, text, 1.0, place=place)], known)
        assert table.splitlines()[2].split("|")[6].strip().startswith(shares)
