"""CodeXGLUE's code-to-text in Python: a function's documentation from its signature, by smoothed BLEU-4."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ..data import Row, rows
from ..engines import Raw
from ..harness import Figure, Judged, Part, Question
from ..metrics import mean, smoothed_bleu
from .common import OWN_NOTE, add_data, add_sampling, chosen, no_settings, plain, runs_nothing

TITLE = "CodeXGLUE code-to-text, Python"
ABOUT = (
    "The model reads a function's signature and the three quotes of its documentation, and writes the first"
    " line of that; it is held against the documentation of its author (Lu et al., arXiv 2102.04664; the "
    "signature alone as Fried et al. have it, arXiv 2204.05999). The value is the mean of each text's "
    "smoothed BLEU-4, in lower case, with CodeXGLUE's smoothing and brevity penalty. Greedy, no examples."
)
RUNS_CODE = False
judge = runs_nothing
NEEDED = ("code", "docstring", "docstring_tokens")
PUBLISHED = 0.1813
QUOTES = ('"""', "'''")
QUOTE_AT_END = re.compile(r"""[^'"]['"]\s*$""")

settings, configurations = no_settings, plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser, "CodeXGLUE's test.jsonl for Python")
    add_sampling(parser, 1, 0.0, 128)


async def questions(args: argparse.Namespace) -> list[Question]:
    found = [row for row in rows(args.data, "code_to_text.jsonl", NEEDED) if row["docstring"] in row["code"]]
    return [_question(number, row, args) for number, row in chosen(args, [*enumerate(found)])]


def _question(number: int, row: Row, args: argparse.Namespace) -> Question:
    request = Raw(
        prompt(row),
        max_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        stop=QUOTES,
    )
    return Question(str(number), request, str(number), args.samples, reference(row))


def prompt(row: Row) -> str:
    """The code above the documentation, with three quotes of one kind."""
    head = row["code"][: row["code"].index(row["docstring"])]
    for quotes in QUOTES:
        if quotes in head:
            head = head[: head.index(quotes)]
            break
    # Documentation in single quotes; the character before it goes too, as in the original.
    for _ in QUOTES:
        head = QUOTE_AT_END.sub("", head)
    return f'{head}"""'


def reference(row: Row) -> str:
    """Of raw strings the tokens begin with an r; as in the original every first r is taken off."""
    text = " ".join(row["docstring_tokens"]).replace("\n", "")
    return text.removeprefix("r")


def first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


def report(args: argparse.Namespace, questions: Sequence[Question], judged: Sequence[Judged]) -> Part:
    scores = [smoothed_bleu(first_line(one.sample.completion), one.question.about) for one in judged]
    groups = [one.question.group for one in judged]
    published = PUBLISHED if args.data else None
    figure = Figure("BLEU", mean(scores, groups), len(scores), published)
    return Part([figure], notes=[] if args.data else [OWN_NOTE])
