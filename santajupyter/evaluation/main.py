"""``santajupyter eval TASK``: how good suggestions are, and published figures; see docs/evaluation.md."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..engine.wire import Remote
from ..server.settings import BUILT_IN, REMOTE_API_KEY, Settings
from .harness import Task, evaluate
from .sandbox import Unprotected
from .tasks import TASKS, load

REQUEST_TIMEOUT = 3600.0


def main(argv: Sequence[str] | None = None) -> None:
    task, args = _parsed(argv)
    try:
        print(asyncio.run(evaluate(task, args, _settings(task, args))), end="")
    except Unprotected as error:
        raise SystemExit(f"santajupyter: {error}") from None


def _parsed(argv: Sequence[str] | None) -> tuple[Task, argparse.Namespace]:
    parser = argparse.ArgumentParser(prog="santajupyter eval", description=__doc__)
    commands = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    tasks = {name: load(name) for name in TASKS}
    for name, task in tasks.items():
        command = commands.add_parser(name, help=task.TITLE, description=task.ABOUT)
        _add_engine(command)
        _add_run(command, task.RUNS_CODE)
        task.add_arguments(command)
    args = parser.parse_args(argv)
    args.out = args.out or Path("evaluation", f"{args.task}-{Path(args.model).name}")
    return tasks[args.task], args


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=BUILT_IN, help=f"a folder or hub id ({BUILT_IN})")
    parser.add_argument("--revision", default="", help="a branch, tag or commit of it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument(
        "--remote-url",
        default="",
        help=f"of a server that has the model: vLLM, llama.cpp, …; its key in {REMOTE_API_KEY}",
    )
    parser.add_argument("--remote-tokenizer", default="", help="its tokenizer's folder or hub id (the model)")


def _add_run(parser: argparse.ArgumentParser, runs_code: bool) -> None:
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for samples and report (evaluation/TASK-MODEL); what is there stays",
    )
    parser.add_argument("--parallel", type=_positive, default=1, help="requests at a time (1)")
    parser.add_argument("--batch", type=_positive, default=8, help="texts that one request asks for (8)")
    parser.set_defaults(unprotected=False, workers=0)
    if runs_code:
        parser.add_argument("--workers", type=_positive, default=0, help="programs at a time (the cores)")
        parser.add_argument(
            "--unprotected",
            action="store_true",
            help="run what the model wrote even where there is no sandbox, with your rights",
        )


def _settings(task: Task, args: argparse.Namespace) -> Settings:
    remote: dict[str, Any] = {}
    if args.remote_url:
        key = os.environ.get(REMOTE_API_KEY, "")
        remote = {"remote": Remote(args.remote_url, key, args.remote_tokenizer), "remote_values": True}
    return Settings(
        args.model,
        revision=args.revision,
        device=args.device,
        dtype=args.dtype,
        fallback_model="",
        request_timeout=REQUEST_TIMEOUT,
        max_queue=args.parallel + 1,
        **{**remote, **task.settings(args)},
    )


def _positive(text: str) -> int:
    if not text.isdigit() or text.strip("0") == "":
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)
