"""Single-line infilling by exact match: SantaCoder's fill-in-the-middle benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..data import Row, rows
from ..engines import Raw
from ..harness import Figure, Judged, Part, Question
from ..metrics import mean
from ..programs import LANGUAGES, Verdict
from .common import OWN_NOTE, add_data, add_sampling, chosen, plain

TITLE = "Single-line infilling, exact match"
ABOUT = (
    "A line is missing in a solution of a HumanEval problem, and the model fills it in: every line of the "
    "solution in turn that is neither blank nor a comment. What counts is that the text is the line, but "
    "for blanks at its ends. Protocol of SantaCoder's paper (arXiv 2301.03988): temperature 0.2, top-p "
    "0.95, 25 new tokens, prefix before suffix, cut at the end-of-text token and nowhere else, so a text "
    "that goes on below the line is wrong."
)
RUNS_CODE = False
TOKENS = 25
NEEDED = ("prompt",)
PUBLISHED = {"py": 0.44, "java": 0.62, "js": 0.60}

configurations = plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(
        parser, "santacoder-fim-task, or solutions to make it of (HumanEval's, MultiPL-E's fim-humaneval-*)"
    )
    add_sampling(parser, 1, 0.2, TOKENS)


def settings(args: argparse.Namespace) -> Mapping[str, Any]:
    return {"prompt_order": "psm"}


async def questions(args: argparse.Namespace) -> list[Question]:
    items = [item for row in rows(args.data, "fim.jsonl", NEEDED) for item in holes(row)]
    if not items:
        raise SystemExit(f"--data: {args.data} has no solution")
    return [_question(str(number), item, args) for number, item in chosen(args, [*enumerate(items)])]


def holes(row: Row) -> Iterator[Row]:
    """Items of the benchmark: the row itself, or one for each line of its solution."""
    told = str(row.get("language") or "py")
    language = {"python": "py", "javascript": "js"}.get(told, told)
    solution = row.get("canonical_solution")
    if "suffix" in row:
        yield {**row, "language": language}
        return
    lines = row["body"] if "body" in row else (solution or "").split("\n")
    for number, line in enumerate(lines):
        if line.strip() and not line.strip().startswith(LANGUAGES[language].comment):
            yield {
                "language": language,
                "prompt": row["prompt"] + "\n".join(lines[:number]),
                "suffix": "\n".join(lines[number + 1 :]),
                "canonical_solution": line,
                "problem": row.get("task_id", row.get("name", row["prompt"])),
            }


def _question(number: str, item: Row, args: argparse.Namespace) -> Question:
    request = Raw(
        item["prompt"],
        item["suffix"],
        max_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        infill=True,
    )
    task_id = f"{item['language']}/{number}"
    return Question(task_id, request, str(item.get("problem", task_id)), args.samples, item)


def judge(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    return Verdict(completion.strip() == question.about["canonical_solution"].strip())


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    figures = []
    for language in (name for name in LANGUAGES if any(q.about["language"] == name for q in questions)):
        own = [one for one in judged if one.question.about["language"] == language]
        hits = [judge(one.question, one.sample.completion, args).passed for one in own]
        groups = [one.question.group for one in own]
        published = PUBLISHED[language] if args.data else None
        figures.append(Figure(LANGUAGES[language].name, mean(hits, groups), len(own), published))
    return Part(figures, notes=[] if args.data else [OWN_NOTE])
