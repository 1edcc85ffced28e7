"""HumanEval: 164 functions to write from their signature and description, judged by tests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..data import Row, rows
from ..engines import Raw
from ..harness import Judged, Part, Question
from ..programs import LANGUAGES, Verdict, passes_human_eval
from .common import (
    MAX_TOKENS,
    OWN_NOTE,
    add_data,
    add_sampling,
    chosen,
    failures,
    no_settings,
    pass_rates,
    plain,
)

TITLE = "HumanEval"
ABOUT = (
    "The model reads a function's signature and description and writes its body; a text passes if the "
    "problem's tests do (Chen et al., arXiv 2107.03374). pass@k is how likely one of k texts passes, by the"
    " unbiased estimator. Protocol of SantaCoder's paper (arXiv 2301.03988): temperature 0.2 for pass@1, "
    "0.8 for pass@10 and pass@100, top-p 0.95, 200 texts of 512 tokens for each problem, the prompt without"
    " blanks at its ends. A program is the problem's prompt, the text, and the tests, run as OpenAI's "
    "harness does, 3 seconds long."
)
RUNS_CODE = True
NEEDED = ("task_id", "prompt", "test", "entry_point")
PUBLISHED = {1: 0.18, 10: 0.29, 100: 0.49}

settings, configurations = no_settings, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "HumanEval.jsonl.gz")
    add_sampling(parser, 200, 0.2, MAX_TOKENS)


async def questions(args: argparse.Namespace) -> list[Question]:
    return [_question(row, args) for row in chosen(args, rows(args.data, "humaneval.jsonl", NEEDED))]


def _question(row: Row, args: argparse.Namespace) -> Question:
    request = Raw(
        row["prompt"].strip(),
        max_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        stop=LANGUAGES["py"].stop,
    )
    return Question(row["task_id"], request, row["task_id"], args.samples, row)


def judge(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    return passes_human_eval(program(question.about, completion), args.unprotected)


def program(row: Row, completion: str) -> str:
    """What OpenAI's harness runs. The text begins with the newline that the prompt was stripped of."""
    return f"{row['prompt']}{completion}\n{row['test']}\ncheck({row['entry_point']})"


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    figures = [*pass_rates(judged, PUBLISHED if args.data else {}, args.temperature)]
    why = failures(judged)
    return Part(figures, notes=[*([] if args.data else [OWN_NOTE]), *([f"Failures: {why}."] if why else [])])
