"""Canonical solutions pass in every language, broken ones don't; by the rules of each harness."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from santajupyter.evaluation.data import OWN
from santajupyter.evaluation.programs import LANGUAGES, missing, passes, passes_human_eval
from santajupyter.evaluation.tasks import humaneval, humaneval_infilling, multipl_e

from .test_sandbox import needs_sandbox

pytestmark = needs_sandbox
BROKEN = {"py": "\n    return 12345", "java": "\n        return null", "js": "\n  return;\n}"}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OWN / name).read_text("utf-8").splitlines()]


def test_canonical_solutions_of_humaneval_pass_and_others_do_not() -> None:
    problems = rows("humaneval.jsonl")[::3]
    solved = [humaneval.program(row, row["canonical_solution"]) for row in problems]
    broken = [humaneval.program(row, BROKEN["py"]) for row in problems]
    with ThreadPoolExecutor(2) as pool:
        assert [verdict.why for verdict in pool.map(passes_human_eval, solved)] == [""] * len(problems)
        verdicts = [*pool.map(passes_human_eval, broken)]
    assert not any(verdict.passed for verdict in verdicts)
    assert {verdict.why.partition(":")[0] for verdict in verdicts} == {"AssertionError"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_canonical_solutions_of_multipl_e_pass_and_others_do_not(language: str) -> None:
    if absent := missing(language):
        pytest.skip(f"{' and '.join(absent)} isn't installed")
    row = next(row for row in rows("multipl_e.jsonl") if row["language"] == language)
    right = passes(language, multipl_e.program(row, row["solution"]))
    assert right.passed, right.why
    wrong = passes(language, multipl_e.program(row, BROKEN[language]))
    assert not wrong.passed and (language != "java" or wrong.why.startswith("doesn't compile"))


def test_a_line_is_judged_in_its_place() -> None:
    hole = [*humaneval_infilling.holes(rows("humaneval.jsonl")[0])][1]
    assert hole.hidden == "    return max(left, 0)"
    assert passes_human_eval(hole.program(hole.hidden + "\n")).passed
    assert not passes_human_eval(hole.program("    return left\n")).passed


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(0)", "SystemExit"),
        ("import os; os._exit(0)", "status 0"),
        ("print('x' * 10**6); input()", "EOFError"),
        ("def f(", "SyntaxError"),
        ("while True: pass", "TimeoutError"),
        ("x = [0] * 10**10", "MemoryError"),
    ],
)
def test_what_does_not_come_to_its_end_does_not_pass(program: str, why: str) -> None:
    verdict = passes_human_eval(program, seconds=1.0)
    assert not verdict.passed and verdict.why.startswith(why)


def test_what_prints_much_and_leaves_threads_may_pass() -> None:
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
    assert passes_human_eval(threads + "print('x' * 10**7)\nassert __name__ != '__main__'").passed
