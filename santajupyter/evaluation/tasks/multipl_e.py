"""MultiPL-E: HumanEval and MBPP in other languages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..data import Row, rows
from ..engines import Raw
from ..harness import Figure, Judged, Part, Question
from ..programs import LANGUAGES, Verdict, missing, passes
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

TITLE = "MultiPL-E"
ABOUT = (
    "Functions to write from their signature and description, in Python, Java and JavaScript: HumanEval and"
    " MBPP as MultiPL-E translates them (Cassano et al., arXiv 2208.08227). A text ends at the problem's "
    "stop tokens and passes if the program of prompt, text and tests ends with status 0 within 15 seconds. "
    "pass@k is how likely one of k texts passes, by the unbiased estimator. Protocol of SantaCoder's paper "
    "(arXiv 2301.03988): temperature 0.2 for pass@1, 0.8 for pass@10 and pass@100, top-p 0.95, 200 texts of"
    " 512 tokens for each problem, the prompt without blanks at its ends."
)
RUNS_CODE = True
# MultiPL-E's prompts in Java begin with an import of it.
TUPLES = "org.javatuples"
NEEDED = ("name", "language", "prompt", "tests")
PUBLISHED = {
    ("HumanEval", "py"): {1: 0.18, 10: 0.29, 100: 0.49},
    ("HumanEval", "java"): {1: 0.15, 10: 0.26, 100: 0.41},
    ("HumanEval", "js"): {1: 0.16, 10: 0.27, 100: 0.47},
    ("MBPP", "py"): {1: 0.35, 10: 0.58, 100: 0.77},
    ("MBPP", "java"): {1: 0.28, 10: 0.44, 100: 0.59},
    ("MBPP", "js"): {1: 0.28, 10: 0.51, 100: 0.70},
}

settings, configurations = no_settings, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "MultiPL-E's prompts (jsonl)")
    add_sampling(parser, 200, 0.2, MAX_TOKENS)
    parser.add_argument(
        "--languages", nargs="+", choices=[*LANGUAGES], default=[*LANGUAGES], metavar="LANGUAGE"
    )
    parser.add_argument(
        "--classpath", nargs="*", default=[], metavar="JAR", help="for Java: javatuples-1.2.jar"
    )


async def questions(args: argparse.Namespace) -> list[Question]:
    found = [row for row in rows(args.data, "multipl_e.jsonl", NEEDED) if row["language"] in args.languages]
    for language in dict.fromkeys(row["language"] for row in found):
        if absent := missing(language):
            names = " and ".join(absent)
            print(f"{LANGUAGES[language].name}: left out, {names} isn't installed", file=sys.stderr)
            found = [row for row in found if row["language"] != language]
    if not found:
        raise SystemExit("--data: no problem in a language that can be run here")
    if not args.classpath and any(TUPLES in row["prompt"] for row in found):
        raise SystemExit(
            f"--classpath: Java's problems import {TUPLES}, without which none can be compiled: name "
            "javatuples-1.2.jar (org.javatuples:javatuples:1.2 at Maven Central), or other --languages"
        )
    return [_question(row, args) for row in chosen(args, found)]


def _question(row: Row, args: argparse.Namespace) -> Question:
    request = Raw(
        row["prompt"].strip(),
        max_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        stop=tuple(row.get("stop_tokens") or LANGUAGES[row["language"]].stop),
    )
    task_id = f"{row['language']}/{row['name']}"
    return Question(task_id, request, task_id, args.samples, row)


def judge(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    row = question.about
    return passes(row["language"], program(row, completion), args.classpath, args.unprotected)


def program(row: Row, completion: str) -> str:
    """What MultiPL-E runs. The text begins with the newline that the prompt was stripped of."""
    return f"{row['prompt']}{completion}\n{row['tests']}"


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    kinds = dict.fromkeys(_kind(question) for question in questions)
    figures: list[Figure] = []
    for benchmark, language in kinds:
        own = [one for one in judged if _kind(one.question) == (benchmark, language)]
        published = PUBLISHED.get((benchmark, language), {})
        name = f"{benchmark}, {LANGUAGES[language].name}: "
        figures += pass_rates(own, published, args.temperature, name)
    why = failures(judged)
    notes = [] if args.data else [OWN_NOTE]
    return Part(figures, notes=[*notes, *([f"Failures: {why}."] if why else [])])


def _kind(question: Question) -> tuple[str, str]:
    name = question.about["name"].partition("_")[0]
    return {"mbpp": "MBPP"}.get(name, name), question.about["language"]
