"""What can stand behind ``%santa`` and ``%%santa``: one parser a command, and its tab completion."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from ..prompt.doccomments import LANGUAGES
from ..protocol import MAX_CANDIDATES

# Which commands stand above a cell's text; all others, and those in both, on a line of their own.
ON_CELLS = ("generate", "fill", "doc", "explain-prompt")
ON_LINES_TOO = ("explain-prompt",)
LANGUAGE_OPTION = "--lang"


def parse(line: str, cell: str | None) -> tuple[str, argparse.Namespace]:
    """The command's name and its arguments. Raises UsageError, with one sentence."""
    name, _, rest = line.strip().partition(" ")
    name = name or "status"
    if name in ("-h", "--help"):
        return "help", argparse.Namespace()
    parser = PARSERS.get(name)
    if parser is None:
        raise UsageError(f"There is no command {name}; there are {', '.join(PARSERS)}.")
    if rest.strip() in ("-h", "--help"):
        return "help", argparse.Namespace(help=parser.format_help())
    if cell is None and name in ON_CELLS and name not in ON_LINES_TOO:
        raise UsageError(f"Write `%%santa {name}` on the first line of a cell, above the text to use.")
    if cell is not None and name not in ON_CELLS:
        raise UsageError(f"Write `%santa {name}` on a line of its own, with one percent sign.")
    if name == "complete":  # an expression is no list of words
        if not rest.strip():
            raise UsageError("Say what to complete: %santa complete EXPR.")
        return name, argparse.Namespace(expression=rest.lstrip())
    try:
        return name, parser.parse_argstring(rest)
    except ValueError as error:
        raise UsageError(f"%santa {name}: {error}.") from None


def overview() -> str:
    """What ``%santa -h`` says."""
    width = max(map(len, PARSERS)) + len("%%santa ")
    lines = []
    for name, parser in PARSERS.items():
        escape = "%%" if name in ON_CELLS and name not in ON_LINES_TOO else "%"
        lines.append(f"  {f'{escape}santa {name}'.ljust(width)}  {parser.description}")
    return "\n".join(["Code completion by a model on this host. `%santa COMMAND -h` says more.", *lines])


def completions(text: str) -> list[str]:
    """What may stand at the end of a line that begins with %santa or %%santa."""
    words = text.split()
    last = "" if text[-1:].isspace() else words[-1]
    if len(words) - bool(last) == 1:
        is_cell = text.startswith("%%")
        names = [n for n in PARSERS if (n in ON_CELLS if is_cell else n not in ON_CELLS or n in ON_LINES_TOO)]
        return [name for name in names if name.startswith(last)]
    parser = PARSERS.get(words[1])
    if parser is None:
        return []
    if words[-1 if not last else -2] == LANGUAGE_OPTION:
        return [name for name in LANGUAGES if name.startswith(last)]
    options = [option for action in parser._actions for option in action.option_strings]
    return [option for option in options if option.startswith(last or "--")]


def _parser(name: str, description: str) -> MagicArgumentParser:
    parser = MagicArgumentParser(f"%santa {name}", description=description, add_help=False)
    if name in ON_CELLS and name not in ON_LINES_TOO:
        parser.prog = f"%%santa {name}"  # the formatter adds the first percent sign
    parser.prog = parser.prog.removeprefix("%")
    parser.add_argument("-h", "--help", action="store_true", help="Say this.")
    return parser


def _sampling(parser: argparse.ArgumentParser) -> None:
    """Without a value, what `%santa config` or the panel set counts."""
    parser.add_argument("-m", "--max-new-tokens", type=int, help="The longest answer, in tokens.")
    parser.add_argument("-t", "--temperature", type=float, help="0 is greedy; higher is more varied.")
    parser.add_argument("--top-p", type=float, help="Only the likeliest tokens that add up to this.")
    parser.add_argument("--seed", type=int, help="For the same answer again.")
    parser.add_argument(LANGUAGE_OPTION, choices=LANGUAGES, help="The cell's language.")


def _context(parser: argparse.ArgumentParser) -> None:
    context = parser.add_mutually_exclusive_group()
    help_text = "Whether the model sees what was run before; by default, if that was in the same language."
    context.add_argument("--with-context", dest="context", action="store_true", default=None, help=help_text)
    context.add_argument("--no-context", dest="context", action="store_false", default=None)


def _placing(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    for name, help_text in {
        "below": "Into a new cell below; never run by itself.",
        "replace": "In place of this cell.",
        "show": "Only shown.",
    }.items():
        where.add_argument(f"--{name}", dest="where", action="store_const", const=name, help=help_text)


def _parsers() -> dict[str, MagicArgumentParser]:
    descriptions: Sequence[tuple[str, str]] = (
        ("status", "The model, its state, device, memory and latency."),
        ("load", "Load the model, or switch to another that the server allows."),
        ("unload", "Free the model's memory."),
        ("models", "The models that the server allows."),
        ("config", "How completions are made from now on in this kernel, and where."),
        ("on", "Suggest code while typing."),
        ("off", "Suggest code only when asked."),
        ("license", "What to know about the model's licence and its output."),
        ("complete", "Complete the rest of the line: %santa complete EXPR."),
        ("fix", "Mend the line that raised the last error: the nearest name, a bracket, a quote."),
        ("pick", "Put a candidate of the last cell that made some into a new cell below."),
        ("panel", "Sliders, with a live preview."),
        ("explain-prompt", "Exactly what the model would see, in tokens."),
        ("generate", "Go on from the cell's comments, signatures or code."),
        ("fill", "Fill each <FILL> in the cell."),
        ("doc", "Write docstrings, Javadoc or JSDoc for the cell's functions."),
    )
    parsers = {name: _parser(name, description) for name, description in descriptions}
    parsers["load"].add_argument("model", nargs="?", default="", help="One of `%%santa models`.")
    parsers["load"].add_argument(
        "--here", action="store_true", help="In a process of this kernel's own, without a server."
    )
    parsers["pick"].add_argument("number", type=int, help="As shown.")
    for name in ("generate", "fill", "doc", "config"):
        _sampling(parsers[name])
    for name in ("generate", "fill", "doc"):
        _context(parsers[name])
    for name in ("fix", "generate", "fill", "doc"):
        _placing(parsers[name])
    counts = range(1, MAX_CANDIDATES + 1)
    parsers["generate"].add_argument(
        "-n", type=int, default=1, choices=counts, metavar="N", help=f"Candidates, up to {MAX_CANDIDATES}."
    )
    parsers["generate"].add_argument(
        "--shade",
        action="store_true",
        help="Show what is made, the darker the less sure the model was of it.",
    )
    return parsers


PARSERS = _parsers()
