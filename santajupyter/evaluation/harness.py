"""One way through every task: ask, judge, report. What is done already is in the folder of the run.

samples.jsonl   a line for each text, in human-eval's format and more
verdicts.jsonl  what came of running a text, for each that is different
run.json        what the samples depend on
report.json, report.md
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from tqdm import tqdm

from ..protocol import CompletionRequest
from ..server.settings import Settings
from . import sandbox
from .engines import Answer, Ask, Configuration, Request, asking
from .places import Place
from .programs import Verdict
from .report import Figure, Part, Run, machine, to_json, to_markdown

PLAIN = (Configuration("bare"),)
# Options that change no text.
BESIDE = {"out", "parallel", "workers", "unprotected", "classpath", "remote_url", "remote_tokenizer"}
ENGINE = ("model", "device", "dtype", "window")


@dataclass(frozen=True)
class Question:
    """``task_id`` is the only one. Those of a ``group`` are alike. ``about``: what the task knows of it.

    A configuration may have a request of its own in ``requests``. ``after`` goes behind each text.
    """

    task_id: str
    request: Request
    group: str = ""
    samples: int = 1
    about: Any = None
    requests: Mapping[str, Request] = field(default_factory=dict)
    after: str = ""

    def asked(self, configuration: Configuration) -> Request:
        request = self.requests.get(configuration.name, self.request)
        return configuration.change(request) if isinstance(request, CompletionRequest) else request


@dataclass(frozen=True)
class Sample:
    """One text, by its number. The tokens and the milliseconds are those of the request that brought it."""

    task_id: str
    configuration: str
    sample: int
    completion: str
    milliseconds: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    broken: bool = False
    place: Place | None = None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Sample:
        """A line of samples.jsonl."""
        place = fields.get("place")
        return cls(**{**fields, "place": Place(**place) if place else None})


class Task(Protocol):
    """What a module of tasks/ has. ``ABOUT`` says in a few sentences what is measured and how."""

    @property
    def TITLE(self) -> str: ...  # noqa: N802  a module's constants

    @property
    def ABOUT(self) -> str: ...  # noqa: N802

    @property
    def RUNS_CODE(self) -> bool: ...  # noqa: N802

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def settings(self, args: argparse.Namespace) -> Mapping[str, Any]:
        """What the server has set otherwise than the defaults."""
        ...

    async def questions(self, args: argparse.Namespace) -> list[Question]: ...

    def configurations(
        self, args: argparse.Namespace, questions: Sequence[Question]
    ) -> Sequence[Configuration]: ...

    def judge(self, question: Question, completion: str, args: argparse.Namespace) -> Verdict:
        """Run it; only where the task RUNS_CODE."""
        ...

    def report(
        self, args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]
    ) -> Part: ...


@dataclass(frozen=True)
class Judged:
    """``verdict`` is None for a task that runs nothing."""

    question: Question
    sample: Sample
    verdict: Verdict | None = None


async def evaluate(task: Task, args: argparse.Namespace, settings: Settings) -> str:
    """The report as Markdown. Raises SystemExit for what the user must change, and sandbox.Unprotected."""
    protection = sandbox.protection(args.unprotected) if task.RUNS_CODE else ""
    questions = await task.questions(args)
    configurations = task.configurations(args, questions)
    folder: Path = args.out
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run.json"
    before = _before(run, _told(args))
    status = await _ask_all(args, settings, questions, configurations, folder / "samples.jsonl") or before
    run.write_text(json.dumps({"settings": _told(args), "engine": status}, indent=1), "utf-8")
    samples = _wanted(questions, configurations, _read_samples(folder / "samples.jsonl"))
    judged = _judge_all(task, args, questions, samples, folder / "verdicts.jsonl")
    part = task.report(args, questions, judged)
    told = {"settings": _told(args), "engine": status, "machine": machine()}
    about = Run(task.TITLE, task.ABOUT, len(questions), len(samples), protection, **told)
    (folder / "report.json").write_text(to_json(about, part), "utf-8")
    text = to_markdown(about, part)
    (folder / "report.md").write_text(text, "utf-8")
    return text


def _told(args: argparse.Namespace) -> dict[str, Any]:
    """What the samples depend on."""
    return {name: _plain(value) for name, value in vars(args).items() if name not in BESIDE}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else [*value] if isinstance(value, tuple) else value


def _before(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """The engine of a run that goes on. Raises SystemExit where that was another one."""
    if not path.exists():
        path.write_text(json.dumps({"settings": told, "engine": {}}, indent=1), "utf-8")
    run = json.loads(path.read_text("utf-8"))
    before, engine = run["settings"], run["engine"]
    other = sorted(name for name in told.keys() | before.keys() if told.get(name) != before.get(name))
    if other:
        names = ", ".join(f"{name} {before.get(name)!r}" for name in other)
        raise SystemExit(f"--out: {path.parent} has samples of another run ({names}): name another folder")
    return dict(engine)


async def _ask_all(
    args: argparse.Namespace,
    settings: Settings,
    questions: Sequence[Question],
    configurations: Sequence[Configuration],
    path: Path,
) -> dict[str, Any]:
    """Ask what isn't there yet; the status of the first engine that was needed for that."""
    there = {(s.task_id, s.configuration, s.sample) for s in _read_samples(path)}
    total = sum(question.samples for question in questions) * len(configurations)
    status: dict[str, Any] = {}
    with (
        path.open("a", encoding="utf-8") as out,
        tqdm(total=total, initial=len(there), unit="text", smoothing=0.05) as bar,
    ):
        for server in dict.fromkeys(each.server for each in configurations):
            same = [each for each in configurations if each.server == server]
            asked = [((n, q), [c for c in same if _numbers(q, c, there)]) for n, q in enumerate(questions)]
            asked = [(question, left) for question, left in asked if left]
            if not asked:
                continue
            root = getattr(args, "folder", None)
            async with asking(settings, same[0], root) as (ask, found):
                status = status or _status(found, settings.model, settings.revision)
                gate = asyncio.Semaphore(args.parallel)
                works = (_one(gate, ask, args, number, left, there, out, bar) for number, left in asked)
                await asyncio.gather(*works)
    return status


def _status(found: Mapping[str, Any], model: str, revision: str) -> dict[str, Any]:
    """What is known of an engine; of a model from the hub the commit too."""
    told = {name: found[name] for name in ENGINE if found.get(name)}
    with suppress(HFValidationError):  # a folder
        config = try_to_load_from_cache(model, "config.json", revision=revision or None)
        if isinstance(config, str):
            told["commit"] = Path(config).parent.name
    return told


async def _one(
    gate: asyncio.Semaphore,
    ask: Ask,
    args: argparse.Namespace,
    numbered: tuple[int, Question],
    configurations: Sequence[Configuration],
    there: set[tuple[str, str, int]],
    out: IO[str],
    bar: tqdm[Any],
) -> None:
    async with gate:
        for sample in await _ask(ask, args, *numbered, configurations, there):
            print(json.dumps(asdict(sample), ensure_ascii=False), file=out, flush=True)
            bar.update()


def _numbers(question: Question, configuration: Configuration, there: set[tuple[str, str, int]]) -> list[int]:
    """The samples that are missing."""
    key = question.task_id, configuration.name
    return [number for number in range(question.samples) if (*key, number) not in there]


async def _ask(
    ask: Ask,
    args: argparse.Namespace,
    number: int,
    question: Question,
    configurations: Sequence[Configuration],
    there: set[tuple[str, str, int]],
) -> list[Sample]:
    """All configurations at one question: they share what the model has read, and nothing is asked twice."""
    found: list[Sample] = []
    known: dict[str, Sequence[Answer]] = {}
    place = question.about if isinstance(question.about, Place) else None
    for configuration in configurations:
        request = question.asked(configuration)
        for batch in _batches(_numbers(question, configuration, there), args.batch):
            # The seed says which question and which samples, so that a stopped run goes on as it was.
            seeded = replace(request, n=len(batch), seed=_seed(args.seed, number, batch[0]))
            if repr(seeded) not in known:
                known[repr(seeded)] = await ask(seeded, question.request)
            for index, answer in zip(batch, known[repr(seeded)], strict=False):
                text = answer.text + question.after
                fields = question.task_id, configuration.name, index, text, answer.milliseconds
                more = answer.prompt_tokens, answer.cached_tokens, answer.broken
                found.append(Sample(*fields, *more, place))
    return found


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for begin in range(0, len(numbers), size):
        yield numbers[begin : begin + size]


def _seed(seed: int, number: int, first: int) -> int:
    return (seed * 1_000_003 + number) * 100_003 + first


def _read_samples(path: Path) -> list[Sample]:
    return [Sample.from_json(fields) for fields in _lines(path)]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; one that was stopped may have half a line at its end."""
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def _wanted(
    questions: Sequence[Question], configurations: Sequence[Configuration], samples: Iterable[Sample]
) -> list[Sample]:
    """In the order of the questions."""
    there = {(s.task_id, s.configuration, s.sample): s for s in samples}
    keys = ((q.task_id, c.name, n) for c in configurations for q in questions for n in range(q.samples))
    return [there[key] for key in keys if key in there]


def _judge_all(
    task: Task,
    args: argparse.Namespace,
    questions: Sequence[Question],
    samples: Sequence[Sample],
    path: Path,
) -> list[Judged]:
    by_id = {question.task_id: question for question in questions}
    if not task.RUNS_CODE:
        return [Judged(by_id[sample.task_id], sample) for sample in samples]
    known = {
        (line["task_id"], line["completion"]): Verdict(line["passed"], line["why"]) for line in _lines(path)
    }
    left = [key for key in dict.fromkeys((s.task_id, s.completion) for s in samples) if key not in known]
    with (
        path.open("a", encoding="utf-8") as out,
        ThreadPoolExecutor(args.workers or os.cpu_count() or 1) as pool,
        tqdm(total=len(left), unit="program", disable=not left) as bar,
    ):
        verdicts = pool.map(lambda key: task.judge(by_id[key[0]], key[1], args), left)
        for key, verdict in zip(left, verdicts, strict=True):
            known[key] = verdict
            line = {"task_id": key[0], "completion": key[1], **asdict(verdict)}
            print(json.dumps(line, ensure_ascii=False), file=out, flush=True)
            bar.update()
    return [Judged(by_id[s.task_id], s, known[s.task_id, s.completion]) for s in samples]


def by_configuration(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        found[one.sample.configuration].append(one)
    return found


__all__ = ["PLAIN", "Figure", "Judged", "Part", "Question", "Sample", "Task", "by_configuration", "evaluate"]
