"""python -m santajupyter.evaluation replay | fresh | executed | infilling; see docs/evaluation.md."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..protocol import CompletionRequest, completion_request
from ..server.settings import BUILT_IN, Settings
from . import executed, fresh
from .infilling import outcomes, read_tasks, summary
from .kernel import facts
from .places import KINDS, MEMBER, Notebook, Place, body, choose, read_folder
from .replay import CONFIGURATIONS, LIMITS, Configuration, Result, replay, serving, usable
from .report import tables

# Room for what every configuration has read of a notebook, so that one doesn't push another's out.
CACHE_BYTES = 2**30
REQUEST_TIMEOUT = 300.0
PROGRESS_INTERVAL = 30.0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m santajupyter.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("replay", help="suggestions at places in notebooks")
    _add_model(command)
    _add_replay(command)
    command = commands.add_parser("fresh", help="names of tables that only a kernel knows")
    _add_model(command)
    _add_fresh(command)
    command = commands.add_parser("executed", help="tasks whose suggestion is run")
    _add_model(command)
    _add_executed(command)
    command = commands.add_parser("infilling", help="HumanEval single-line infilling")
    _add_model(command)
    _add_infilling(command)
    args = parser.parse_args(argv)
    protocols = {"replay": _replay, "fresh": _fresh, "executed": _executed, "infilling": _infilling}
    asyncio.run(protocols[args.command](args))


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=BUILT_IN, help=f"a folder or hub id ({BUILT_IN})")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path(os.devnull), help="for the results, a JSON line each"
    )


def _add_replay(parser: argparse.ArgumentParser) -> None:
    names = [configuration.name for configuration in CONFIGURATIONS]
    parser.add_argument("--folder", type=Path, required=True, help="where the notebooks lie")
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--per-notebook", type=int, default=5, help="at most so many places in one (5)")
    parser.add_argument("--kinds", nargs="+", choices=(*KINDS, MEMBER), default=KINDS, metavar="KIND")
    limits = [configuration.name for configuration in LIMITS]
    parser.add_argument(
        "--configurations",
        nargs="+",
        choices=[*names, *limits],
        default=["full"],
        metavar="NAME",
        help=f"those of --ablation, or {', '.join(limits)}: with that SantaApp.min_probability",
    )
    parser.add_argument("--ablation", action="store_true", help=f"all of {', '.join(names)}")
    parser.add_argument("--as-written", action="store_true", help="nothing stands below the cursor's line")
    parser.add_argument(
        "--out-of-order", action="store_true", help="one of the cells that ran stands below the cursor's"
    )
    parser.add_argument(
        "--execute",
        action="store_true",
        help="run the notebooks' code here, for what a kernel knows at each place",
    )


def _add_fresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--places", type=int, default=0, help="a sample of so many (all)")
    parser.add_argument("--trigger", choices=("automatic", "invoke"), default="invoke")
    names = ("full", "no-variables", "no-kernel-names")
    parser.add_argument("--configurations", nargs="+", choices=names, default=names, metavar="NAME")


def _add_executed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trigger", choices=("automatic", "invoke"), default="invoke")
    names = [configuration.name for configuration in CONFIGURATIONS]
    parser.add_argument("--configurations", nargs="+", choices=names, default=["full"], metavar="NAME")
    _add_consent(parser)


def _add_infilling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="HumanEval.jsonl.gz or HumanEval-SingleLineInfilling.jsonl.gz",
    )
    parser.add_argument("--tasks", type=int, default=0, help="a sample of so many (all)")
    _add_consent(parser)


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-generated-code",
        action="store_true",
        required=True,
        help="what the model writes is run here: say so",
    )


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        args.model,
        device=args.device,
        dtype=args.dtype,
        fallback_model="",
        cache_bytes=CACHE_BYTES,
        request_timeout=REQUEST_TIMEOUT,
    )


async def _replay(args: argparse.Namespace) -> None:
    books = read_folder(args.folder)
    places = choose(books, args.places, args.seed, args.per_notebook, args.kinds)
    if not places:
        raise SystemExit(f"--folder: no place to ask at in the notebooks of {args.folder}")
    requests = await _requests(args, books, places)
    chosen = [c for c in (*CONFIGURATIONS, *LIMITS) if c.name in args.configurations]
    wanted = CONFIGURATIONS if args.ablation else chosen
    configurations = list(usable(wanted, requests.values()))
    print(tables(await _results(args, configurations, requests, args.folder)))


async def _fresh(args: argparse.Namespace) -> None:
    bodies = fresh.places(args.seed)
    chosen = [*bodies]
    if args.places:
        chosen = random.Random(args.seed).sample(chosen, min(args.places, len(chosen)))  # noqa: S311
    requests = {place: completion_request({**bodies[place], "trigger": args.trigger}) for place in chosen}
    configurations = [each for each in CONFIGURATIONS if each.name in args.configurations]
    results = await _results(args, configurations, requests)
    print(fresh.tables(results, {place: fresh.existing(place, bodies[place]) for place in chosen}))


async def _executed(args: argparse.Namespace) -> None:
    tasks = {task.name: task for task in executed.runnable()}
    bodies = executed.places([*tasks.values()], args.trigger)
    requests = {place: completion_request(fields) for place, fields in bodies.items()}
    chosen = [each for each in CONFIGURATIONS if each.name in args.configurations]
    results = await _results(args, [*usable(chosen, requests.values())], requests)
    texts = dict.fromkeys((result.place.notebook, result.text) for result in results)
    passed = {(name, text): executed.passes(tasks[name], text) for name, text in texts}
    print(executed.tables(results, passed))


async def _results(
    args: argparse.Namespace,
    configurations: Sequence[Configuration],
    requests: Mapping[Place, CompletionRequest],
    root: Path | None = None,
) -> list[Result]:
    """All of them, also written to --out."""
    count = _Count(len(requests) * len(configurations))
    results = []
    with args.out.open("w", encoding="utf-8") as out:
        async for result in replay(_settings(args), configurations, requests, root):
            results.append(result)
            print(json.dumps(asdict(result), ensure_ascii=False), file=out, flush=True)
            count.one_more()
    return results


async def _requests(
    args: argparse.Namespace, books: Mapping[str, Notebook], places: Iterable[Place]
) -> dict[Place, CompletionRequest]:
    requests = {}
    for name, group in itertools.groupby(places, lambda place: place.notebook):
        book = books[name]
        bodies = {place: body(book, place, args.as_written, args.out_of_order) for place in group}
        known = await facts(book, bodies) if args.execute else {}
        for place, fields in bodies.items():
            requests[place] = completion_request({**fields, **known.get(place, {})})
    return requests


async def _infilling(args: argparse.Namespace) -> None:
    tasks = read_tasks(args.data)
    if args.tasks:
        tasks = random.Random(args.seed).sample(tasks, min(args.tasks, len(tasks)))  # noqa: S311
    count = _Count(len(tasks))
    found = []
    with args.out.open("w", encoding="utf-8") as out:
        async with serving(_settings(args)) as service:
            async for outcome in outcomes(service, tasks):
                found.append(outcome)
                print(json.dumps(asdict(outcome), ensure_ascii=False), file=out, flush=True)
                count.one_more()
    print(summary(found))


class _Count:
    """Progress on stderr, a line every half a minute."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._begun = self._said = time.monotonic()

    def one_more(self) -> None:
        self._done += 1
        now = time.monotonic()
        if self._done == self._total or now > self._said + PROGRESS_INTERVAL:
            self._said = now
            minutes = (now - self._begun) / 60
            left = minutes / self._done * (self._total - self._done)
            print(
                f"{self._done} of {self._total}, {minutes:.1f} min, {left:.0f} to go",
                file=sys.stderr,
                flush=True,
            )


if __name__ == "__main__":
    main()
