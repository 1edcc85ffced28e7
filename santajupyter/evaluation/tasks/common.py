"""What several tasks share, most of all those with published figures."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..engines import Configuration
from ..harness import PLAIN, Figure, Judged, Question
from ..metrics import mean, pass_at_k
from ..programs import Verdict

T = TypeVar("T")
KS = (1, 10, 100)
# Of SantaCoder's protocol.
TOP_P, MAX_TOKENS = 0.95, 512
OWN_NOTE = (
    "These are the few items of our own that come with santajupyter, for trying it out: the values say "
    "nothing that could be held against a published one. `--data` takes the real set."
)


def add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data",
        default="",
        help=f"{what}: a file, a folder or a data set's hub id; without it a few of our own",
    )
    parser.add_argument("--limit", type=int, default=0, help="a seeded sample of so many items (all)")


def add_sampling(parser: argparse.ArgumentParser, samples: int, temperature: float, tokens: int) -> None:
    parser.add_argument("--samples", type=int, default=samples, help=f"texts for each item ({samples})")
    parser.add_argument("--temperature", type=float, default=temperature, help=f"({temperature})")
    parser.add_argument("--top-p", type=float, default=TOP_P, help=f"({TOP_P})")
    parser.add_argument("--max-new-tokens", type=int, default=tokens, help=f"({tokens})")


def chosen(args: argparse.Namespace, items: Sequence[T]) -> list[T]:
    """The sample of --limit, in the data's order."""
    if not args.limit or args.limit >= len(items):
        return [*items]
    numbers = sorted(random.Random(args.seed).sample(range(len(items)), args.limit))  # noqa: S311
    return [items[number] for number in numbers]


def plain(args: argparse.Namespace, questions: Sequence[Question]) -> Sequence[Configuration]:
    """The model itself, and nothing else."""
    return PLAIN


def no_settings(args: argparse.Namespace) -> Mapping[str, Any]:
    return {}


def runs_nothing(question: Question, completion: str, args: argparse.Namespace) -> Verdict:
    """The judge of a task whose texts are compared: the harness never asks it."""
    raise NotImplementedError("nothing is run")


def pass_rates(
    judged: Iterable[Judged], published: Mapping[int, float], temperature: float, name: str = ""
) -> Iterator[Figure]:
    """pass@k for each k that there are enough samples for; the published one where the temperature is its."""
    problems: dict[str, list[bool]] = {}
    for one in judged:
        passed = one.verdict is not None and one.verdict.passed
        problems.setdefault(one.question.task_id, []).append(passed)
    fewest = min(map(len, problems.values()), default=0)
    for k in (k for k in KS if k <= fewest):
        values = [pass_at_k(len(passed), sum(passed), k) for passed in problems.values()]
        is_its_own = temperature == (0.2 if k == 1 else 0.8)
        figure = published.get(k) if is_its_own else None
        yield Figure(f"{name}pass@{k}", mean(values, range(len(values))), len(values), figure)


def failures(judged: Sequence[Judged], most: int = 8) -> str:
    """Why texts failed, the commonest first."""
    reasons: dict[str, int] = {}
    for one in judged:
        if one.verdict and not one.verdict.passed:
            reason = one.verdict.why.partition(":")[0].strip() or "failed"
            reasons[reason] = reasons.get(reason, 0) + 1
    ordered = sorted(reasons.items(), key=lambda each: -each[1])[:most]
    return ", ".join(f"{reason} {count}" for reason, count in ordered)
