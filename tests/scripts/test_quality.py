"""llama.cpp's side of the comparison: what it is sent, and what becomes of its answer."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from benchmarks import quality
from santajupyter.evaluation.places import MAX_NEW_TOKENS, choose, read_folder

from ..notebooks import write_two

client = httpx.Client


def test_the_whole_notebook_is_sent_and_its_results_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_two(tmp_path / "notebooks")
    places = choose(read_folder(folder), 5, 0)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        place = places[len(asked) - 1]
        return httpx.Response(
            200, json={"content": place.hidden + "\nmore", "tokens_evaluated": 9, "timings": {}}
        )

    monkeypatch.setattr(
        httpx, "Client", lambda **options: client(transport=httpx.MockTransport(answer), **options)
    )
    results = tmp_path / "results.jsonl"
    ours = (
        {"place": vars(place), "configuration": "full", "text": "", "milliseconds": 1.0} for place in places
    )
    results.write_text("".join(json.dumps(one) + "\n" for one in ours), "utf-8")
    monkeypatch.setattr("sys.argv", ["quality", str(results), "--folder", str(folder)])

    quality.main()
    assert "| llama.cpp /infill | 5 | 100.0 [100.0, 100.0] |" in capsys.readouterr().out
    assert len(results.read_text("utf-8").splitlines()) == 10
    assert {one["n_predict"] for one in asked} == {MAX_NEW_TOKENS}
    for place, one in zip(places, asked, strict=True):
        cells = [cell["source"] for cell in read_folder(folder)[place.notebook].cells]
        cells[0] = "# # Title"
        assert one["input_prefix"] + place.hidden + one["input_suffix"] == "\n\n".join(cells)
