"""Steps counted on paper: those that the engine takes, and what guesses spare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import draft
from santajupyter.evaluation.harness import Sample
from santajupyter.evaluation.places import Place, choose, read_folder

from ..notebooks import write_two


def test_a_step_has_its_guesses_and_right_ones_spare_steps() -> None:
    ids = [5, 6, 7, 8, 9]
    assert draft.widths(ids, []) == [1, 1, 1, 1, 1]
    assert draft.widths(ids, [lambda made: ids[made : made + 2]]) == [1, 3, 2]
    assert draft.widths(ids, [lambda made: ids[made : made + 2]], early=True) == [3, 3]
    assert draft.widths(ids, [lambda made: [], lambda made: [ids[made], 0]]) == [1, 3, 3]
    assert draft.widths(ids, [lambda made: [0, 0], lambda made: ids[made:]]) == [1, 3, 3, 3, 3]


def test_a_table_of_ways_to_guess(tiny: Path, tmp_path: Path) -> None:
    """In a process of its own: once its models are in one, what that one forks dies before it begins."""
    folder = write_two(tmp_path / "notebooks")
    results = tmp_path / "results.jsonl"
    places = choose(read_folder(folder), 4, 0)
    found = [_sample(place, "no-rules", place.hidden) for place in places]
    others = [_sample(place, "full", "") for place in places]
    results.write_text("".join(json.dumps(asdict(one)) + "\n" for one in [*found, *others]), "utf-8")
    of, timed = ["--of", str(results), str(folder)], ["--timed", str(tiny), "int8"]
    command = [sys.executable, "-m", "benchmarks.draft", str(tiny), *of, *timed, "--step", "10"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    out = subprocess.check_output(command, text=True, cwd=Path(__file__).parents[2], env=environment)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if "|" in line]
    by_way = {(row[0], row[1]): row for row in rows[2:]}
    assert len(by_way) == len(draft.WAYS)
    assert "4 lines" in out
    plain, looked = by_way["no guesses", "0"], by_way["lookup", "4"]
    steps = float(plain[2].split(" / ")[0])
    assert plain[3:5] == ["0.00", "0.0"]
    assert int(plain[6].split(" / ")[0]) == round(10 * steps)
    assert float(looked[2].split(" / ")[0]) < steps
    asked = by_way["draft again", "4"]
    assert float(asked[3]) >= 1
    assert float(asked[4]) > 0


def _sample(place: Place, configuration: str, text: str) -> Sample:
    return Sample("", configuration, 0, text, 1.0, place=place)
