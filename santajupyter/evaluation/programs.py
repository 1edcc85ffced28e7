"""Whether a program passes its own tests, in the languages of the benchmarks; it runs in a sandbox."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .sandbox import Ended, Job, Limits, run

# Seconds: the limit of OpenAI's harness for a program, MultiPL-E's for one and for its compiler.
HUMAN_EVAL_SECONDS = 3.0
MULTIPL_E_SECONDS = 15.0
# What it takes to get there, on a busy machine.
START_SECONDS = 10.0
LINE = 300
# OpenAI's harness: the program is run by exec in an empty namespace, what it prints is thrown away, and any
# exception is a failure. What says that it came to its end is something that it doesn't know.
HUMAN_EVAL = """\
import io, os, signal, sys

def late(*_):
    raise TimeoutError("timed out")

program, out = open("program.py", encoding="utf-8").read(), sys.stdout
sys.stdin = sys.stdout = sys.stderr = io.StringIO()
signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, {seconds})
try:
    exec(program, {{}})
    answer = {end!r}
except BaseException as error:
    answer = f"{{type(error).__name__}}: {{error}}"
signal.setitimer(signal.ITIMER_REAL, 0)
print(answer, file=out, flush=True)
os._exit(0)  # whatever threads there are
"""
PYTHON_ENVIRONMENT = {
    "MPLBACKEND": "agg",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONSAFEPATH": "1",
}
# A line that names an error; the last line of a Java compiler that found some.
ERROR = re.compile(r"(Exception in thread \S+ )?[\w.]*(Error|Exception)\b")
COMPILER = re.compile(r"\d+ errors?")
# Small heaps and one compiler thread: it is started for every program.
JAVA = ("-XX:+UseSerialGC", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


@dataclass(frozen=True)
class Verdict:
    """``why``: it didn't pass, in a line."""

    passed: bool
    why: str = ""


@dataclass(frozen=True)
class Language:
    """``needs``: programs; ``stop``: where MultiPL-E ends a text if the data doesn't say."""

    name: str
    needs: tuple[str, ...]
    stop: tuple[str, ...]
    comment: str


LANGUAGES: Mapping[str, Language] = {
    "py": Language("Python", (), ("\ndef", "\n#", "\nif", "\nclass"), "#"),
    "java": Language("Java", ("javac", "java"), ("\n    }\n",), "//"),
    "js": Language("JavaScript", ("node",), ("\nfunction ", "\n/*", "\n//", "\nconsole.log"), "//"),
}


def missing(language: str) -> list[str]:
    """The programs that a language needs and that aren't here."""
    return [name for name in LANGUAGES[language].needs if not shutil.which(name)]


def passes_human_eval(
    program: str, unprotected: bool = False, seconds: float = HUMAN_EVAL_SECONDS
) -> Verdict:
    """As OpenAI's harness judges it."""
    end = secrets.token_hex(16)
    files = {"program.py": program, "run.py": HUMAN_EVAL.format(seconds=seconds, end=end)}
    limits = Limits(seconds + START_SECONDS)
    ended = run(python([sys.executable, "-I", "run.py"], files, limits), unprotected)
    said = ended.output.strip()
    return Verdict(True) if ended.good and said == end else _failed(ended, said)


def passes(language: str, program: str, classpath: Sequence[str] = (), unprotected: bool = False) -> Verdict:
    """As MultiPL-E judges it: by the exit status. ``classpath``: for Java."""
    makers = {"py": _python, "java": lambda text: _java(text, classpath), "js": _javascript}
    ended = run(makers[language](program), unprotected)
    return Verdict(True) if ended.good else _failed(ended, ended.output)


def python(command: Sequence[str], files: Mapping[str, str], limits: Limits, stdin: str = "") -> Job:
    """A job of this Python, with its packages."""
    return Job(command, files, stdin, _python_folders(), PYTHON_ENVIRONMENT, limits)


@cache
def _python_folders() -> tuple[str, ...]:
    return tuple(dict.fromkeys([sys.prefix, sys.base_prefix, *filter(_is_packages, sys.path)]))


def _is_packages(folder: str) -> bool:
    return Path(folder).name in ("site-packages", "dist-packages")


def _python(program: str) -> Job:
    limits = Limits(MULTIPL_E_SECONDS)
    return python([sys.executable, "-I", "program.py"], {"program.py": program}, limits)


def _java(program: str, classpath: Sequence[str]) -> Job:
    path = ":".join([".", *classpath])
    compiler = " ".join(f"-J{option}" for option in JAVA)
    script = (
        f"javac {compiler} -encoding UTF8 -cp '{path}' Problem.java && "
        f"exec java {' '.join(JAVA)} -ea -cp '{path}' Problem"
    )
    limits = Limits(2 * MULTIPL_E_SECONDS, address_space=0, processes=128)
    readable = [*_home("java"), *_home("javac"), *classpath]
    return Job(["sh", "-c", script], {"Problem.java": program}, readable=readable, limits=limits)


def _javascript(program: str) -> Job:
    limits = Limits(MULTIPL_E_SECONDS, address_space=0)
    node = shutil.which("node") or "node"
    return Job([node, "program.js"], {"program.js": program}, readable=_home("node"), limits=limits)


def _home(program: str) -> list[str]:
    """Where a program is installed, if that isn't the system's."""
    found = shutil.which(program)
    return [str(Path(found).resolve().parents[1]), str(Path(found).parent)] if found else []


def _failed(ended: Ended, said: str) -> Verdict:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    errors = [line for line in lines if ERROR.match(line)]
    if any(COMPILER.fullmatch(line) for line in lines):
        said = f"doesn't compile: {next((line for line in lines if ': error: ' in line), '')}"
    else:
        said = (errors or lines or [f"status {ended.status}"])[-1]
    return Verdict(False, f"took too much {ended.broke}" if ended.broke else said[:LINE])
