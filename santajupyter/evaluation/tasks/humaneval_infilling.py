"""HumanEval single-line infilling: a line of a solution is missing, and the tests say what fits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...protocol import Cell, CompletionRequest
from ..data import Row, rows
from ..engines import Configuration, Line
from ..harness import Figure, Judged, Part, Question, by_configuration
from ..metrics import mean
from ..programs import Verdict, passes_human_eval
from .common import OWN_NOTE, add_data, chosen, failures, no_settings

TITLE = "HumanEval single-line infilling"
ABOUT = (
    "A line is missing in a solution of a HumanEval problem; a text passes if the problem's tests do with "
    "it in that place, run as OpenAI's harness does (Bavarian et al., arXiv 2207.14255), 3 seconds long. "
    "Each is asked twice: as a notebook's cell with the cursor on the blank line, as ghost text is (our "
    "path), and of the bare model, with prompt and suffix as they are, cut at the first newline. Greedy, 64"
    " new tokens."
)
RUNS_CODE = True
NEEDED = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
MAX_NEW_TOKENS = 64
OURS, BARE, INFILL = "our path", "bare model", "llama.cpp /infill"

settings = no_settings


@dataclass(frozen=True)
class Hole:
    """``prompt`` ends with a newline; ``hidden`` is one line, ``suffix`` what follows it."""

    task_id: str
    prompt: str
    suffix: str
    hidden: str
    test: str
    entry_point: str

    def program(self, completion: str) -> str:
        """What OpenAI's harness runs; the text is a whole line."""
        return f"{self.prompt}{completion}{self.suffix}\n{self.test}\ncheck({self.entry_point})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "HumanEval-SingleLineInfilling.jsonl.gz, or HumanEval.jsonl.gz to make it of")
    parser.add_argument("--infill-url", default="", help="a llama.cpp server to ask too")


async def questions(args: argparse.Namespace) -> list[Question]:
    found = [hole for row in rows(args.data, "humaneval.jsonl", NEEDED) for hole in holes(row)]
    return [_question(hole) for hole in chosen(args, found)]


def holes(row: Row) -> Iterator[Hole]:
    """The row as it is, or one for each line of its solution that isn't blank: 1,033 of HumanEval."""
    solution, fixed = row["canonical_solution"], (row["test"], row["entry_point"])
    if "suffix" in row:
        yield Hole(row["task_id"], row["prompt"], row["suffix"], solution.rstrip("\n"), *fixed)
        return
    lines = solution.split("\n")
    for number, line in enumerate(lines):
        if line.strip():
            # In the original a blank line stands above the first one.
            prompt = row["prompt"] + "\n".join(lines[:number]) + "\n"
            task_id = f"SingleLineInfilling/{row['task_id']}/L{number}"
            yield Hole(task_id, prompt, "\n".join(lines[number + 1 :]), line, *fixed)


def _question(hole: Hole) -> Question:
    cell = Cell(f"{hole.prompt}\n{hole.suffix}")
    ours = CompletionRequest(
        (cell,), 0, len(hole.prompt), mode="line", trigger="invoke", max_new_tokens=MAX_NEW_TOKENS, stop="\n"
    )
    bare = Line(hole.prompt, hole.suffix, max_tokens=MAX_NEW_TOKENS, stop="\n")
    return Question(
        hole.task_id, bare, hole.task_id.rpartition("/L")[0], about=hole, requests={OURS: ours}, after="\n"
    )


def configurations(args: argparse.Namespace, questions: Sequence[Question]) -> Sequence[Configuration]:
    infill = [Configuration(INFILL, infill=args.infill_url)] if args.infill_url else []
    return [Configuration(OURS), Configuration(BARE), *infill]


def judge(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    return passes_human_eval(question.about.program(completion), args.unprotected)


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    figures, passed = [], {}
    for name, own in by_configuration(judged).items():
        groups = [one.question.group for one in own]
        hits = [one.verdict is not None and one.verdict.passed for one in own]
        exact = [one.sample.completion.rstrip("\n") == one.question.about.hidden for one in own]
        figures.append(Figure(f"{name}, pass rate", mean(hits, groups), len(own)))
        figures.append(Figure(f"{name}, exact match", mean(exact, groups), len(own)))
        passed[name] = {one.question.task_id for one, hit in zip(own, hits, strict=True) if hit}
    ours, bare = passed.get(OURS, set()), passed.get(BARE, set())
    notes = [f"Only our path passes {len(ours - bare)} times, only the bare model {len(bare - ours)} times."]
    why = failures(judged)
    notes += [f"Failures: {why}."] if why else []
    return Part(figures, notes=[*notes, *([] if args.data else [OWN_NOTE])])
