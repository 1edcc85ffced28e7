"""Hide the rest of a line at places in notebooks, and ask the server's own path for it.

A configuration is one way of asking: the whole request, or with a piece of its context taken away,
or on a server that is set otherwise. All of them see the same places.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ...protocol import Cell, CompletionRequest, completion_request
from ...server.settings import Settings
from ..engines import Configuration
from ..harness import Judged, Part, Question, Sample
from ..kernel import facts
from ..metrics import MEASURES, Score, difference, estimate, score
from ..places import ALL_KINDS, KINDS, Notebook, Place, body, choose, read_folder
from ..report import percent, table
from .common import runs_nothing

TITLE = "Replay of notebooks"
ABOUT = (
    "The rest of a line is hidden at places in notebooks, and asked for as a browser does while somebody "
    "types. Keystrokes saved: of all hidden characters those that needn't be typed, one key counted for "
    "each suggestion that is accepted (Trnka and McCoy, ACL 2008). Configurations are ways of asking at the"
    " same places."
)
RUNS_CODE = False
judge = runs_nothing
INFILL = "llama.cpp /infill"
COMPARED = ("exact match", "edit similarity", "keystrokes saved", "right prefix")
# Room for what every configuration has read of a notebook, so that one doesn't push another's out.
CACHE_BYTES = 2**30

T = TypeVar("T", CompletionRequest, Cell)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [configuration.name for configuration in CONFIGURATIONS]
    limits = [configuration.name for configuration in LIMITS]
    parser.add_argument("--folder", type=Path, required=True, help="where the notebooks lie")
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--per-notebook", type=int, default=5, help="at most so many places in one (5)")
    parser.add_argument("--kinds", nargs="+", choices=ALL_KINDS, default=KINDS, metavar="KIND")
    parser.add_argument(
        "--configurations",
        nargs="+",
        choices=[*names, *limits],
        default=["full"],
        metavar="NAME",
        help=f"those of --ablation, or {', '.join(limits)}: with that SantaApp.min_probability",
    )
    parser.add_argument("--ablation", action="store_true", help=f"all of {', '.join(names)}")
    parser.add_argument("--infill-url", default="", help="a llama.cpp server to ask too")
    parser.add_argument("--as-written", action="store_true", help="nothing stands below the cursor's line")
    parser.add_argument(
        "--out-of-order", action="store_true", help="one of the cells that ran stands below the cursor's"
    )
    parser.add_argument(
        "--execute",
        action="store_true",
        help="run the notebooks' code here, with your rights, for what a kernel knows at each place",
    )


def settings(args: argparse.Namespace) -> Mapping[str, Any]:
    return {"cache_bytes": CACHE_BYTES}


async def questions(args: argparse.Namespace) -> list[Question]:
    books = read_folder(args.folder)
    places = choose(books, args.places, args.seed, args.per_notebook, args.kinds)
    if not places:
        raise SystemExit(f"--folder: no place to ask at in the notebooks of {args.folder}")
    requests = await _requests(args, books, places)
    return [question(place, request) for place, request in requests.items()]


def question(place: Place, request: CompletionRequest) -> Question:
    """One place's, also for the other tasks that have places."""
    task_id = f"{place.notebook}:{place.cell}:{place.offset}:{place.kind}:{place.hidden}"
    return Question(task_id, request, place.notebook, about=place)


async def _requests(
    args: argparse.Namespace, books: Mapping[str, Notebook], places: Iterable[Place]
) -> dict[Place, CompletionRequest]:
    requests = {}
    for name, group in itertools.groupby(places, lambda place: place.notebook):
        book = books[name]
        bodies = {place: body(book, place, args.as_written, args.out_of_order) for place in group}
        known = await facts(book, bodies) if args.execute else {}
        for place, asked in bodies.items():
            requests[place] = completion_request({**asked, **known.get(place, {})})
    return requests


def configurations(args: argparse.Namespace, questions: Sequence[Question]) -> Sequence[Configuration]:
    chosen = CONFIGURATIONS if args.ablation else named(args.configurations)
    infill = [Configuration(INFILL, infill=args.infill_url)] if args.infill_url else []
    return [*usable(chosen, [each.request for each in questions]), *infill]


def named(names: Collection[str]) -> list[Configuration]:
    return [each for each in (*CONFIGURATIONS, *LIMITS) if each.name in names]


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    return Part(tables=tables(one.sample for one in judged))


def cell_only(request: CompletionRequest) -> CompletionRequest:
    """As something asks that knows nothing of notebooks: the active cell, and nothing else."""
    alone = replace(request, cells=(request.cells[request.active],), active=0, path="")
    return no_variables(alone)


def no_suffix(request: CompletionRequest) -> CompletionRequest:
    """Without the cells below."""
    return replace(request, cells=request.cells[: request.active + 1])


def no_order(request: CompletionRequest) -> CompletionRequest:
    """Without what ran when."""
    return _each_cell_without(request, "execution_count")


def no_outputs(request: CompletionRequest) -> CompletionRequest:
    """Without what cells showed."""
    return _each_cell_without(request, "outputs")


def no_variables(request: CompletionRequest) -> CompletionRequest:
    """Without what the kernel knows."""
    return _without(request, "variables", "classes")


CONFIGURATIONS = (
    Configuration("full"),
    Configuration("cell-only", cell_only),
    Configuration("no-suffix", no_suffix),
    Configuration("no-order", no_order),
    Configuration("no-outputs", no_outputs),
    Configuration("no-variables", no_variables),
    Configuration("no-rules", rules=False),
    Configuration("no-kernel-names", settings={"kernel_names": False}),
    Configuration("no-check", settings={"check": False}),
    Configuration("no-alike-lines", settings={"alike_lines": False}),
    Configuration("no-cache-model", settings={"cache_model": False}),
    Configuration("cache-model", settings={"cache_model": True}),
)
# For the choice of SantaApp.min_probability.
LIMITS = tuple(
    Configuration(f"sure-{least:g}", settings={"min_probability": least})
    for least in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
)


def usable(configurations: Iterable[Configuration], requests: Collection[Any]) -> Iterator[Configuration]:
    """Those that can make a difference; a sentence on stderr for each other one."""
    known = {each.name for each in fields(Settings)}
    for configuration in configurations:
        missing = set(configuration.settings) - known
        plain = configuration.rules and not configuration.settings
        if missing:
            print(f"{configuration.name}: left out, SantaApp has no {', '.join(missing)}", file=sys.stderr)
        elif plain and configuration.name != "full" and all(configuration.change(r) == r for r in requests):
            print(
                f"{configuration.name}: left out, nothing at these places is changed by it", file=sys.stderr
            )
        else:
            yield configuration


def tables(results: Iterable[Sample]) -> str:
    """Each configuration at all its places; the first one less each other; each by kind of place."""
    by_name: dict[str, list[Sample]] = {}
    for result in results:
        by_name.setdefault(result.configuration, []).append(result)
    measured = table(
        ["configuration", "places", *MEASURES, "ms p50", "ms p95"],
        [
            [name, str(len(found)), *_values(found, MEASURES), *_times(found)]
            for name, found in by_name.items()
        ],
    )
    kinds = table(
        ["configuration", "kind", "places", *COMPARED],
        [
            [name, kind, str(len(some)), *_values(some, COMPARED)]
            for name, found in by_name.items()
            for kind in ALL_KINDS
            if (some := [result for result in found if _place(result).kind == kind])
        ],
    )
    first, *others = by_name
    compared = table(
        [f"{first} less", "places", "other text", *COMPARED],
        [[name, *_differences(by_name[first], by_name[name])] for name in others],
    )
    return "\n\n".join([measured, *([compared] if others else []), kinds])


def _values(results: Sequence[Sample], measures: Iterable[str]) -> list[str]:
    scores = [*map(_score, results)]
    groups = [_place(result).notebook for result in results]
    return [percent(estimate(measure, scores, groups)) for measure in measures]


def _score(result: Sample) -> Score:
    return score(result.completion, _place(result).hidden, result.broken)


def _differences(results: Sequence[Sample], others: Sequence[Sample]) -> list[str]:
    """At the places that both have."""
    there = {other.place: other for other in others}
    pairs = [(result, there[result.place]) for result in results if result.place in there]
    mine, theirs = ([_score(pair[side]) for pair in pairs] for side in (0, 1))
    groups = [_place(result).notebook for result, _ in pairs]
    changed = sum(result.completion.rstrip() != other.completion.rstrip() for result, other in pairs)
    points = [percent(difference(measure, mine, theirs, groups), "+.1f") for measure in COMPARED]
    return [str(len(pairs)), str(changed), *points]


def _times(results: Sequence[Sample]) -> list[str]:
    ordered = sorted(result.milliseconds for result in results)
    return [
        f"{statistics.median(ordered):.0f}",
        f"{ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]:.0f}",
    ]


def _place(sample: Sample) -> Place:
    assert sample.place is not None
    return sample.place


def _each_cell_without(request: CompletionRequest, name: str) -> CompletionRequest:
    return replace(request, cells=tuple(_without(cell, name) for cell in request.cells))


def _without(value: T, *names: str) -> T:
    """As if the fields hadn't been given; those that this version of the protocol lacks are none."""
    plain = Cell("") if isinstance(value, Cell) else CompletionRequest((), 0, 0)
    absent: dict[str, Any] = {name: getattr(plain, name) for name in names if hasattr(plain, name)}
    return replace(value, **absent)
