"""Places where the name that comes next stands nowhere in the text: only the kernel can tell it.

A table of fresh_tables.py gets one of several names for each column, in its data and in the code alike, and
is made in a namespace, where kernelfacts.py reads it as in a kernel. Pure but for that.

A place's kind is what stands left of the cursor: ``df["`` bracket, ``groupby("``, ``loc``, ``by="``,
``x="``, ``query("``, ``agg({"``, ``df.`` attribute, a dict's key, a function's keyword. Right of it is the
rest of the line, or what an editor that closes brackets has put there, or nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from ...protocol import completion_request
from ..engines import Configuration
from ..harness import Judged, Part, Question, Sample
from ..kernel import SOURCE, near, used_names
from ..metrics import mean
from ..places import MAX_NEW_TOKENS, PAIRS, Place
from ..report import percent, table
from .common import no_settings, runs_nothing
from .fresh_tables import DICTS, FUNCTIONS, TABLES
from .replay import named, question

TITLE = "Fresh data"
ABOUT = (
    "Tables, dicts and functions are made here, with names that stand nowhere in the text: only the kernel "
    "can tell them. Of all places: where a name was shown, where that name exists, and where it is the "
    "right one. Many places have several right answers, so 100 can't be reached in the last column."
)
RUNS_CODE = False
judge, settings = runs_nothing, no_settings
ROWS = 60
HOLE = re.compile(r"\{(\w+)\}")
NAME = re.compile(r"[^\W\d]\w*")
# What stands left of a place, the first that fits.
KINDS: Mapping[str, str] = {
    "query": r"\.query\(\"$",
    "agg": r"\.(agg|rename)\((columns=)?\{[^}]*\"$",
    "groupby": r"\.groupby\(\[?([^)\]]*, )?\"$",
    "loc": r"\.loc\[[^]]*(, \[?|\])([^\]]*, )?\"$|\.loc\[:, \[?\"$",
    "by": r"\b(by|on|column|columns|index|values)=(\[[^]]*)?\"$",
    "x": r"\b[xy]=\"$",
    "method": r"\.\w+\((\w+, )?\[?([^)\]]*, )?\"$",
    "bracket": r"\w\[\[?([^]]*, )?\"$",
    "keyword": r"\w\([^\"']*[(,] ?$",
    "attribute": r"\w\.$",
}
IMPORTS = "import json\nimport os\n\nimport matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd"
VALUES = ("north", "south", "ok", "old", "new")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--places", type=int, default=0, help="a sample of so many (all)")
    parser.add_argument("--trigger", choices=("automatic", "invoke"), default="invoke")
    names = ("full", "no-variables", "no-kernel-names")
    parser.add_argument("--configurations", nargs="+", choices=names, default=names, metavar="NAME")


async def questions(args: argparse.Namespace) -> list[Question]:
    bodies = places(args.seed)
    chosen = [*bodies]
    if args.places:
        chosen = random.Random(args.seed).sample(chosen, min(args.places, len(chosen)))  # noqa: S311
    return [
        question(place, completion_request({**bodies[place], "trigger": args.trigger})) for place in chosen
    ]


def configurations(args: argparse.Namespace, questions: Sequence[Question]) -> Sequence[Configuration]:
    return named(args.configurations)


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    bodies = places(args.seed)
    known = {place: existing(place, fields) for place, fields in bodies.items()}
    return Part(tables=tables([one.sample for one in judged], known))


@dataclass(frozen=True)
class Source:
    """Where a variable's names are from: its ``title``, the ``load`` line, its value and its ``names``."""

    title: str
    load: str
    value: Any
    names: Mapping[str, str]
    lines: Sequence[str]
    is_dict: bool = False


def sources(rng: random.Random) -> Iterator[Source]:
    """All tables, dicts and functions, each with names drawn for it."""
    for title, columns, lines in TABLES:
        kinds, names = _drawn(columns, rng)
        frame = pd.DataFrame({names[key]: _column(kind, rng) for key, kind in kinds.items()})
        load = f'{title} = pd.read_parquet("{title}.parquet")\n{title}.head()'
        yield Source(title, load, frame, names, _lines(lines))
    for title, keys, lines in DICTS:
        kinds, names = _drawn(keys, rng)
        value = {names[key]: _column(kind, rng).tolist()[0] for key, kind in kinds.items()}
        load = f'with open("{title}.json") as file:\n    {title} = json.load(file)'
        yield Source(title, load, value, names, _lines(lines), is_dict=True)
    for title, parameters, lines in FUNCTIONS:
        kinds, names = _drawn(parameters, rng)
        inside: dict[str, Any] = {"__name__": "helpers"}
        exec(f"def {title}(data, {', '.join(f'{names[key]}=None' for key in kinds)}): pass", inside)  # noqa: S102
        yield Source(title, f"from helpers import {title}", inside[title], names, _lines(lines))


def places(seed: int) -> dict[Place, dict[str, Any]]:
    """The places with their bodies of POST complete, as those of evaluation's other places."""
    rng = random.Random(seed)  # noqa: S311  nothing secret
    found = {}
    for source in sources(rng):
        namespace = {**_imported(), source.title: source.value}
        for line in source.lines:
            for hole in HOLE.finditer(line):
                place, fields = _place(source, line, hole, rng)
                if place is not None:
                    found[place] = {**fields, **_known(namespace, fields)}
    return found


def existing(place: Place, body: Mapping[str, Any]) -> frozenset[str]:
    """All names that there are at the place."""
    variable = next(each for each in body["variables"] if each["name"] == place.notebook)
    columns = {name for name, _ in variable.get("columns", ())}
    if place.kind == "attribute":
        return frozenset(columns.union(body["classes"]["pandas.DataFrame"]))
    return frozenset(columns.union(variable.get("keys", ()), NAME.findall(variable.get("signature", ""))))


def written(line: str, names: Mapping[str, str]) -> str:
    """The line with its holes filled."""
    return HOLE.sub(lambda hole: names[hole[1]], line)


def tables(samples: Sequence[Sample], known: Mapping[Place, frozenset[str]]) -> str:
    """For each configuration, and each kind of place: names shown, those that exist, those that are right.

    ``known``: all names that exist at a place. The shares are of all places, in percent, with intervals.
    """
    rows = []
    for configuration in dict.fromkeys(sample.configuration for sample in samples):
        own = [sample for sample in samples if sample.configuration == configuration]
        for kind in ("all", *KINDS, "key"):
            some = [sample for sample in own if kind in ("all", sample.place and sample.place.kind)]
            if some:
                rows.append([configuration, kind, str(len(some)), *_shares(some, known)])
    return table(["configuration", "kind", "places", "shown", "exists", "right"], rows)


def shown_name(text: str, place: Place) -> str:
    """What of a suggestion is the name that it begins with."""
    if place.kind in ("attribute", "keyword", "query"):
        found = NAME.match(text)
        return found[0] if found else text.strip()
    return text.partition('"')[0]


def _shares(samples: Sequence[Sample], known: Mapping[Place, frozenset[str]]) -> list[str]:
    there = [
        (sample.place, shown_name(sample.completion, sample.place)) for sample in samples if sample.place
    ]
    hits = (
        [name != "" for _, name in there],
        [name in known[place] for place, name in there],
        [name == place.hidden for place, name in there],
    )
    return [percent(mean(each, [place.notebook for place, _ in there])) for each in hits]


def _place(
    source: Source, line: str, hole: re.Match[str], rng: random.Random
) -> tuple[Place | None, dict[str, Any]]:
    """None where the line says the name itself, left or right, or can't be written with these names."""
    left, right = written(line[: hole.start()], source.names), written(line[hole.end() :], source.names)
    right = rng.choice([right, right, _closing(left), ""])
    name = source.names[hole[1]]
    kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, left)), "bracket")
    kind = "key" if source.is_dict else kind
    if name in NAME.findall(left + " " + right):
        return None, {}
    cells = [*(_cell(text, at) for at, text in enumerate([IMPORTS, source.load], 1)), _cell(left + right)]
    place = Place(source.title, len(cells) - 1, len(left), kind, name)
    return place, {
        "cells": cells,
        "active": place.cell,
        "offset": place.offset,
        "path": f"{source.title}.ipynb",
        "trigger": "automatic",
        "max_new_tokens": MAX_NEW_TOKENS,
    }


def _known(namespace: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    exec(SOURCE.read_text("utf-8"), own)  # noqa: S102  as the frontend has the kernel do it
    return near(json.loads(own["read"](namespace, used_names(body))), body)


def _cell(source: str, count: int | None = None) -> dict[str, Any]:
    return {"type": "code", "source": source, "execution_count": count}


def _closing(left: str) -> str:
    """What an editor has closed of it."""
    closing = ""
    for char in left:
        if char == '"':
            closing = closing[1:] if closing.startswith('"') else '"' + closing
        elif char in PAIRS and not closing.startswith('"'):
            closing = PAIRS[char] + closing
        elif closing.startswith(char):
            closing = closing[1:]
    return closing


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def _drawn(columns: str, rng: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """The kind of each column, and the name that it gets; no two the same."""
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    for key, kind, *choices in map(str.split, _lines(columns)):
        kinds[key] = kind
        names[key] = rng.choice([name for name in choices if name not in names.values()])
    return kinds, names


def _column(kind: str, rng: random.Random) -> Any:
    values: dict[str, Any] = {
        "number": lambda: [round(rng.uniform(1, 900), 2) for _ in range(ROWS)],
        "whole": lambda: [rng.randrange(1, 90) for _ in range(ROWS)],
        "flag": lambda: [rng.random() < 0.5 for _ in range(ROWS)],
        "category": lambda: [rng.choice(VALUES) for _ in range(ROWS)],
        "text": lambda: [f"{rng.choice(VALUES)} {rng.randrange(40)}" for _ in range(ROWS)],
        "time": lambda: pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="D"),
    }
    return pd.Series(values[kind]())


def _imported() -> dict[str, Any]:
    return {"json": json, "np": np, "pd": pd}
