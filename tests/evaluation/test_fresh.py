"""Places whose names only a kernel knows: that they are so, and that their code runs."""

from __future__ import annotations

import random
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]
import pytest

from santajupyter.evaluation.harness import Sample
from santajupyter.evaluation.main import main
from santajupyter.evaluation.tasks import fresh


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


def test_the_table_counts_names() -> None:
    places = fresh.places(0)
    place, body = next(iter(places.items()))
    known = {place: fresh.existing(place, body)}
    other = next(name for name in known[place] if name != place.hidden)
    for text, shares in ((place.hidden, "100.0"), (f'{other}"]', "0.0"), ("", "0.0")):
        table = fresh.tables([Sample("", "full", 0, text, 1.0, place=place)], known)
        assert table.splitlines()[2].split("|")[6].strip().startswith(shares)
