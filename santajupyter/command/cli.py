"""The command ``santajupyter``. Each part imports what it needs: doctor runs when things are broken."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..printable import printable

if TYPE_CHECKING:
    from ..kernel.client import Engine
    from ..protocol import Completion

LANGUAGES = {".java": "java", ".js": "javascript", ".mjs": "javascript"}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 for what went wrong (said on stderr), 130 for Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    # All that stands behind eval is the evaluation's own.
    arguments, others = _parser().parse_known_args(argv[:1] if argv[:1] == ["eval"] else argv)
    if others and arguments.command != "serve":
        _parser().error(f"unrecognized arguments: {' '.join(others)}")
    arguments.others = argv[1:] if arguments.command == "eval" else others
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return int(arguments.run(arguments) or 0)
    except KeyboardInterrupt:
        return _fail("Stopped.", INTERRUPTED)
    except ImportError as error:
        return _fail(f"A package is missing or broken ({error}): `santajupyter doctor` says what to do.")
    except OSError as error:
        return _fail(f"{error.filename or 'The system'}: {error.strerror or error}.")
    except Exception as error:
        from ..kernel.client import SantaError

        if not isinstance(error, SantaError):
            raise
        return _fail(str(error))


def serve(arguments: argparse.Namespace) -> None:
    from ..kernel.client import SantaError
    from ..server import serve as server

    model, others = arguments.model, arguments.others
    try:
        with server.options_of_model(model, arguments.vllm) as options:
            server.serve([*options, *others], arguments.ip, arguments.port, arguments.hub)
    except server.CannotServe as error:
        raise SantaError(str(error)) from None


def status(arguments: argparse.Namespace) -> None:
    from ..kernel import client, discovery, views

    engine = discovery.find()
    answer = client.run(engine.status())
    print(json.dumps(answer) if arguments.json else printable(views.status(answer, engine.url).text))


def complete(arguments: argparse.Namespace) -> None:
    left, right = _at(arguments.place)
    language = LANGUAGES.get(Path(arguments.place.rsplit(":", 2)[0]).suffix, "python")
    made = _complete(arguments, _engine(arguments), left, right, language=language)
    if arguments.n > 1:
        _print_candidates([item.text for item in made.items])


def generate(arguments: argparse.Namespace) -> None:
    from ..kernel import api, client

    prompt = (arguments.prompt or sys.stdin.read()).rstrip("\r\n")
    if not prompt.strip():
        raise client.SantaError("There is nothing to go on from: name a text, or send one to stdin.")
    engine = _engine(arguments)
    mode = client.run(api.longest_mode(engine, api.asks_for_lines(prompt)))
    made = _complete(arguments, engine, prompt, "", before=prompt, language=arguments.lang, mode=mode)
    if arguments.n > 1:
        _print_candidates([prompt + item.text for item in made.items])


def download(arguments: argparse.Namespace) -> None:
    from . import download as hub

    # The hub's threads don't hear of an interrupt, and would be waited for.
    signal.signal(signal.SIGINT, lambda *_: os._exit(_fail("Stopped; what is here is kept.", INTERRUPTED)))
    print(printable(hub.download(arguments.model, arguments.revision)))


def bench(arguments: argparse.Namespace) -> None:
    from ..kernel import client
    from ..prompt import document

    lines = Path(document.__file__).read_text("utf-8").split("\n")
    engine = _engine(arguments)
    times, tokens, decode = [], 0, 0.0
    for number in range(arguments.n):
        at = 1 + number * len(lines) // arguments.n
        left, right = "\n".join(lines[:at]), "\n" + "\n".join(lines[at:])
        body = client.at_cursor(left, right, max_new_tokens=arguments.max_new_tokens, mode="line")
        begun = time.perf_counter()
        answer = client.run(client.ask(engine, body, on_wait=_Waiting().say))
        times.append(1000 * (time.perf_counter() - begun))
        tokens += answer.usage.completion_tokens - 1  # the first comes with the reading
        decode += answer.timings.decode_ms
        _line(f"{number + 1} of {arguments.n}")
    _line("")
    first, *rest = times
    rest = sorted(rest) or [first]
    name = printable(answer.model)
    print(f"{name}: {arguments.n} completions of a line in a file of {len(lines)} lines")
    print(f"first   {first:8.0f} ms")
    print(f"p50     {_percentile(rest, 50):8.0f} ms")
    print(f"p95     {_percentile(rest, 95):8.0f} ms")
    if tokens > 0:
        print(f"tokens  {1000 * tokens / decode:8.1f} a second")


def evaluate(arguments: argparse.Namespace) -> None:
    from ..evaluation import main

    main.main(arguments.others)


def doctor(arguments: argparse.Namespace) -> int:
    from . import doctor as checks

    return checks.report(arguments.model, arguments.clean)


def _complete(
    arguments: argparse.Namespace, engine: Engine, left: str, right: str, before: str = "", **fields: Any
) -> Completion:
    """One candidate is printed, in a terminal as it comes; ``before`` it, once there is an answer."""
    from ..kernel import client

    body = client.at_cursor(
        left,
        right,
        n=arguments.n,
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        **fields,
    )
    waiting = _Waiting()
    shown, said = "", arguments.n > 1

    def begin() -> None:
        nonlocal said
        if not said:
            said = True
            print(printable(before), end="", flush=True)

    def grow(index: int, text: str) -> None:
        nonlocal shown
        waiting.done()
        if arguments.n == 1 and sys.stdout.isatty():
            begin()
            shown += text
            print(printable(text), end="", flush=True)

    made = client.run(client.ask(engine, body, grow, waiting.say))
    waiting.done()
    begin()
    if not any(item.text for item in made.items):
        print(printable(f"{made.model} has nothing to add here."), file=sys.stderr)
    if arguments.n == 1:
        # A rule may have taken back the end of what was shown.
        print(printable(made.text[len(shown) :] if made.text.startswith(shown) else f"\n{made.text}"))
    return made


def _engine(arguments: argparse.Namespace) -> Engine:
    """What is to be asked. Raises SantaError."""
    from ..kernel import client, discovery, local

    if arguments.model and not arguments.here:
        raise client.SantaError("--model needs --here: a server's model is the one that it was started with.")
    return local.start(arguments.model) if arguments.here else discovery.find()


def _at(place: str) -> tuple[str, str]:
    """The text left and right of FILE:LINE:COL, counted from 1. Raises SantaError."""
    from ..kernel.client import SantaError

    name, *numbers = place.rsplit(":", 2)
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise SantaError(f"{place}: write the place as FILE:LINE:COL.")
    line, column = map(int, numbers)
    try:
        lines = Path(name).read_text("utf-8").split("\n")
    except UnicodeDecodeError:
        raise SantaError(f"{name} isn't a text in UTF-8.") from None
    if not 1 <= line <= len(lines):
        raise SantaError(f"{name} has no line {line}; it has {len(lines)}.")
    if not 1 <= column <= len(lines[line - 1]) + 1:
        raise SantaError(f"Line {line} of {name} has columns 1 to {len(lines[line - 1]) + 1}.")
    before, after = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    return "\n".join([*lines[: line - 1], before]), "\n".join([after, *lines[line:]])


class _Waiting:
    """A line on stderr while a model is on its way."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, status: dict[str, Any]) -> None:
        if status["message"] != self._said:
            self._said = status["message"]
            _line(self._said)

    def done(self) -> None:
        if self._said:
            self._said = ""
            _line("")


def _line(text: str) -> None:
    """In a terminal the line is written over; elsewhere there is one for each text."""
    text = printable(text)
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _print_candidates(texts: Sequence[str]) -> None:
    for number, text in enumerate(texts, 1):
        print(f"[{number}]\n{printable(text)}")


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def _fail(message: str, code: int = 1) -> int:
    print(f"santajupyter: {printable(message)}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="santajupyter",
        description="Code completion by a model on this host. Commands that complete ask the Jupyter server "
        "that runs here (or SANTAJUPYTER_URL with SANTAJUPYTER_TOKEN); with --here, a process of their own.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=description, description=description)
        added.set_defaults(run=run)
        return added

    added = command("serve", serve, "Serve the REST interface, without JupyterLab; a token is needed.")
    added.add_argument("--ip", default="", help="Where to listen (127.0.0.1).")
    added.add_argument("--port", type=int, help="The port (8888, or the next that is free).")
    added.add_argument(
        "--hub", action="store_true", help="As a service of JupyterHub, for its users with their tokens."
    )
    added.add_argument(
        "--vllm",
        nargs="?",
        const="",
        metavar="OPTIONS",
        help="For many users: vLLM, which has to be installed, has the model. OPTIONS are its own: "
        '--vllm="--max-model-len 2048".',
    )
    added.add_argument(
        "--model", default="", help="A hub id or a folder. Other options are jupyter server's."
    )
    added = command("status", status, "What the server's model is and does.")
    added.add_argument("--json", action="store_true", help="As the server says it.")
    added = command("complete", complete, "What would go in at a place in a file.")
    added.add_argument("place", metavar="FILE:LINE:COL", help="Counted from 1.")
    _sampling(added, 64)
    added = command("generate", generate, "Go on from a text.")
    added.add_argument("prompt", nargs="?", help="Without one, what comes on stdin.")
    added.add_argument("--lang", choices=("python", "java", "javascript"), default="python")
    _sampling(added, 128)
    added = command("download", download, "Download a model, or the rest of it, and check it.")
    added.add_argument("model", help="A hub id.")
    added.add_argument("--revision", default="", help="A branch, tag or commit.")
    added = command("bench", bench, "How fast completions are.")
    added.add_argument("-n", type=_positive, default=20, help="How many (20).")
    added.add_argument("-m", "--max-new-tokens", type=int, default=32, help="Tokens at most (32).")
    _here(added)
    added = command("eval", evaluate, "How good suggestions are, and the model's published figures.")
    added = command("doctor", doctor, "Check this installation, and say what to do.")
    added.add_argument("--model", default="", help="The model to check for; by default the configured one.")
    added.add_argument("--clean", action="store_true", help="Remove what is left of quantised copies.")
    return parser


def _sampling(parser: argparse.ArgumentParser, tokens: int) -> None:
    parser.add_argument("-n", type=_positive, default=1, help="How many candidates (1).")
    parser.add_argument(
        "-m", "--max-new-tokens", type=int, default=tokens, help=f"Tokens at most ({tokens})."
    )
    parser.add_argument("-t", "--temperature", type=float, default=0.0, help="0 is greedy (0).")
    parser.add_argument("--seed", type=int, help="For the same answer again.")
    _here(parser)


def _here(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--here", action="store_true", help="Without a server, in a process of its own.")
    parser.add_argument("--model", default="", help="With --here: a hub id or a folder.")


def _positive(text: str) -> int:
    if not text.isdigit() or text.strip("0") == "":
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
