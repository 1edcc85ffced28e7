"""HumanEval single-line infilling: a line of a solution is missing, and the tests say what fits.

Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (arXiv 2207.14255); data
by OpenAI, MIT. Each task is asked twice of the same engine: as a cell, through the whole path, and of
the bare model, prompt and suffix as they are, cut at the first newline.

This runs what the model wrote. Time and memory are limited, nothing else is: no sandbox.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..protocol import Cell, CompletionRequest, Sampling, TextRequest
from ..server.service import CompletionService

TIMEOUT = 5.0
MEMORY = 2 * 2**30
MAX_NEW_TOKENS = 64
# Windows has no such limits; there only the time is limited.
LIMITS = f"""\
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
    resource.setrlimit(resource.RLIMIT_CPU, ({TIMEOUT:.0f}, {TIMEOUT:.0f}))
    del resource
except ImportError:
    pass
"""


@dataclass(frozen=True)
class Task:
    """``prompt`` ends with a newline; ``hidden`` is one line, ``suffix`` what follows it."""

    id: str
    prompt: str
    suffix: str
    hidden: str
    test: str
    entry_point: str

    def program(self, middle: str) -> str:
        """What is run: it fails by an exception unless the text passes."""
        return f"{self.prompt}{middle}\n{self.suffix}\n\n{self.test}\n\ncheck({self.entry_point})\n"


@dataclass(frozen=True)
class Outcome:
    """A task's two answers, and whether the tests passed with each."""

    task: str
    hidden: str
    ours: str
    bare: str
    ours_passed: bool
    bare_passed: bool


def read_tasks(path: Path) -> list[Task]:
    """HumanEval-SingleLineInfilling.jsonl or HumanEval.jsonl, also gzipped.

    Of the second the tasks of the first are made: one for each line of a solution that isn't blank,
    1,033 in all. Raises SystemExit for another file.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        problems = [json.loads(line) for line in data.splitlines() if line.strip()]
        return [task for problem in problems for task in _tasks(problem)]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{path}: not a file of HumanEval problems ({type(error).__name__}: {error})"
        ) from None


def _tasks(problem: dict[str, str]) -> Iterator[Task]:
    solution, fixed = problem["canonical_solution"], (problem["test"], problem["entry_point"])
    if "suffix" in problem:
        yield Task(problem["task_id"], problem["prompt"], problem["suffix"], solution.rstrip("\n"), *fixed)
        return
    lines = solution.split("\n")
    for number, line in enumerate(lines):
        if line.strip():
            prompt = problem["prompt"] + "".join(above + "\n" for above in lines[:number])
            name = f"{problem['task_id']}/L{number}"
            yield Task(name, prompt, "\n".join(lines[number + 1 :]), line, *fixed)


class _Line(TextRequest):
    """The bare model looks for the likeliest whole line too, where it can."""

    @property
    def sampling(self) -> Sampling:
        return replace(super().sampling, search=True)


async def outcomes(service: CompletionService, tasks: Iterable[Task]) -> AsyncIterator[Outcome]:
    """Asks and runs the tests. Raises what CompletionService.complete raises."""
    for task in tasks:
        ours, bare = await ask(service, task), await ask_bare(service, task)
        ours_passed = passes(task.program(ours))
        bare_passed = ours_passed if bare == ours else passes(task.program(bare))
        yield Outcome(task.id, task.hidden, ours, bare, ours_passed, bare_passed)


async def ask(service: CompletionService, task: Task) -> str:
    """Our path: the program is a cell, the cursor on the blank line that is missing."""
    cell = Cell(f"{task.prompt}\n{task.suffix}")
    request = CompletionRequest(
        (cell,), 0, len(task.prompt), mode="line", trigger="invoke", max_new_tokens=MAX_NEW_TOKENS, stop="\n"
    )
    return (await service.complete(request, _ignore)).items[0].text


async def ask_bare(service: CompletionService, task: Task) -> str:
    """The line as the model writes it, without any rule."""
    request = _Line(task.prompt, task.suffix, max_tokens=MAX_NEW_TOKENS, stop="\n")
    return (await service.complete_text(request, _ignore)).items[0].text.partition("\n")[0]


def passes(program: str) -> bool:
    """Whether it runs to its end, in a process of its own, in an empty folder, with limits."""
    end = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            run = subprocess.run(
                [sys.executable, "-I", "-"],
                input=f"{LIMITS}{program}\nprint({end!r})\n",
                encoding="utf-8",
                cwd=folder,
                env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=TIMEOUT,
            )
        except (subprocess.TimeoutExpired, UnicodeDecodeError):
            return False
    return run.returncode == 0 and run.stdout.rstrip().endswith(end)


def summary(found: Sequence[Outcome]) -> str:
    """Pass rates as a Markdown table, and how often only one of the two passes."""
    rows = [
        ("our path", sum(one.ours_passed for one in found), sum(one.ours == one.hidden for one in found)),
        ("bare model", sum(one.bare_passed for one in found), sum(one.bare == one.hidden for one in found)),
    ]
    lines = [
        f"| {name} | {passed / len(found):.1%} | {exact / len(found):.1%} |" for name, passed, exact in rows
    ]
    ours = sum(one.ours_passed and not one.bare_passed for one in found)
    bare = sum(one.bare_passed and not one.ours_passed for one in found)
    head = f"| {len(found)} tasks | pass rate | exact match |\n| --- | --- | --- |\n"
    return (
        head + "\n".join(lines) + f"\n\nOnly our path passes {ours} times, only the bare model {bare} times."
    )


async def _ignore(index: int, text: str) -> None:
    return None
