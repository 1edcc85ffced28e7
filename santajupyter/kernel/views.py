"""What the magics show, each as HTML for notebooks and as text for terminals. Everything is escaped here."""

from __future__ import annotations

import difflib
import io
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from ..printable import printable
from ..protocol import Completion, Item

Logprobs = Sequence[tuple[str, float]]

LICENCE = """\
SantaCoder's weights are under the CodeML OpenRAIL-M licence, which restricts some uses: read it at
https://huggingface.co/spaces/bigcode/license before you use what the model writes.
What it writes is machine-generated and may be wrong or insecure. It may repeat its training data word for
word, under a licence of that code's own: https://huggingface.co/spaces/bigcode/santacoder-search finds where.
santa-mini, the built-in model, comes with this package under the BSD 3-clause licence, as does its code.
Any other model has a licence of its own: see its page on the hub."""

ADDED, REMOVED = "rgba(46, 160, 67, .2)", "rgba(248, 81, 73, .2)"
PRE = "margin: 0; white-space: pre-wrap; tab-size: 4; font-family: var(--jp-code-font-family, monospace)"
FAINT = "opacity: .7"
# What a model had no idea of is as dark as DARKEST, what it was sure of not at all.
DOUBTED, DARKEST = "230, 140, 0", 0.6


@dataclass(frozen=True)
class View:
    """The same as ``text``, in which no control characters of others reach a terminal, and as ``html``."""

    text: str
    html: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text)


def sentence(text: str) -> View:
    """Plain words; line breaks stay."""
    return View(text, f"<div style='white-space: pre-line'>{escape(text)}</div>")


def table(title: str, rows: Mapping[str, str]) -> View:
    """A sentence and names with values."""
    width = max(map(len, rows), default=0)
    lines = [title, *(f"{name.ljust(width)}  {value}" for name, value in rows.items())]
    cells = "".join(
        f"<tr><th style='text-align: left'>{escape(name)}</th>"
        f"<td style='text-align: left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return View("\n".join(lines), f"<div>{escape(title)}</div><table>{cells}</table>")


def status(answer: Mapping[str, Any], where: str) -> View:
    """GET status's answer: what serves, on what, how fast."""
    return table(answer["message"], {**_serving(answer), "asked at": where})


def progress(answer: Mapping[str, Any]) -> View:
    """GET status's answer while a model is on its way."""
    done = answer["progress"] or {}
    known = ""
    if done.get("total"):
        known = f" value='{escape(str(done['done']))}' max='{escape(str(done['total']))}'"
    bar = f"<progress{known} style='width: 20em'></progress>"
    return View(answer["message"], f"<div>{escape(answer['message'])}</div>{bar}")


def needs_larger(answer: Mapping[str, Any]) -> str:
    """GET status's answer of a model that is good for lines alone: what it takes to have more."""
    name = answer["serving"] or answer["model"]
    larger = next((offer for offer in answer["models"] if offer["blocks"]), None)
    said = f"{name} completes the rest of a line. Several lines and documentation need a larger model"
    if larger is None:
        return f"{said}, which SantaApp.model names."
    size_known = f" ({size(larger['download'])} to download)" if larger["download"] else ""
    return f"{said}: `%santa load {larger['model']}`{size_known}."


def models(answer: Mapping[str, Any]) -> View:
    """GET status's answer: what may be loaded."""
    rows, offers = {}, {offer["model"]: offer for offer in answer["models"]}
    for model in answer["allowed_models"]:
        is_own = model == answer["model"]
        state = "answers now" if model == answer["serving"] else answer["state"] if is_own else "not loaded"
        rows[model] = ", ".join([state + (" (configured)" if is_own else ""), *_needs(offers.get(model))])
    return table("`%santa load MODEL` switches to one of these:", rows)


def code(text: str, language: str, logprobs: Logprobs = ()) -> str:
    """HTML; colours are JupyterLab's own where there are any. ``logprobs``: of its end, to be shaded."""
    formatter = HtmlFormatter(style=_style(), noclasses=True, nowrap=True)
    tokens = deque(get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(text))
    given = text[: len(text) - sum(len(piece) for piece, _ in logprobs)]
    html = _highlighted(_taken(tokens, given), formatter)
    for piece, logprob in logprobs:
        sure = math.exp(logprob)
        style = f"background: rgba({DOUBTED}, {DARKEST * (1 - sure):.2f})"
        inner = _highlighted(_taken(tokens, piece), formatter)
        html += f"<span title='{100 * sure:.0f} %' style='{style}'>{inner}</span>"
    return f"<pre style='{PRE}'>{html}{_highlighted(tokens, formatter)}</pre>"


def growing(texts: Sequence[str]) -> View:
    """Candidates while they are made."""
    shown = [text for text in texts if text]
    html = "<hr>".join(f"<pre style='{PRE}'>{escape(text)}</pre>" for text in shown)
    return View(shown[0] if shown else "", html)


def candidates(texts: Sequence[str], items: Sequence[Item], language: str) -> View:
    """Numbered, for `%santa pick`; shaded where the items have logprobs."""
    heads = [f"[{n}] {logprob(item)}" for n, item in enumerate(items, 1)]
    text = "\n\n".join(f"{head}\n{text}" for head, text in zip(heads, texts, strict=True))
    html = "".join(
        f"<div style='{FAINT}'>{escape(head)}</div>{code(text, language, item.logprobs or ())}"
        for head, text, item in zip(heads, texts, items, strict=True)
    )
    return View(text, html)


def summary(made: Completion) -> str:
    """One line: the model, tokens and their speed, how likely the first candidate is."""
    return f"{made.model}: {made.usage.completion_tokens} tokens{speed(made)}, {logprob(made.items[0])}."


def speed(made: Completion) -> str:
    """Of the tokens after each candidate's first, which comes with the reading."""
    tokens, seconds = made.usage.completion_tokens - len(made.items), made.timings.decode_ms / 1000
    return f", {tokens / seconds:.1f} a second" if tokens > 0 and seconds > 0 else ""


def logprob(item: Item) -> str:
    """An item's mean natural log-probability a token, in words."""
    return f"mean log-probability {item.logprob:.2f}"


def diff(before: str, after: str) -> View:
    """What a cell would change to."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    lines = [line for line in lines if not line.startswith("?")]
    colours = {"+": f"background: {ADDED}", "-": f"background: {REMOVED}"}
    html = "".join(f"<div style='{colours.get(line[0], '')}'>{escape(line)}</div>" for line in lines)
    return View("\n".join(lines), f"<pre style='{PRE}'>{html}</pre>")


def prompt(answer: Mapping[str, Any]) -> View:
    """POST explain's answer."""
    pieces = answer["pieces"]
    tokens, cached = (sum(piece[name] for piece in pieces) for name in ("tokens", "cached"))
    title = (
        f"{answer['model']} would see {tokens} tokens (its window has {answer['window']}), "
        f"{cached} of them in the prompt cache."
    )
    notes = [f"Taken off the end and generated again: {answer['healed']!r}."] if answer["healed"] else []
    notes += [f"Left out: {p['characters']} characters of {p['name']}." for p in answer["left_out"]]
    heads = [f"{p['name']}: {p['tokens']} tokens, {p['cached']} cached" for p in pieces]
    text = [f"--- {head}\n{p['text']}" for head, p in zip(heads, pieces, strict=True)]
    rows = "".join(
        f"<tr><td style='{FAINT}; text-align: left; vertical-align: top'>{escape(head)}</td>"
        f"<td style='text-align: left'><pre style='{PRE}'>{escape(p['text'])}</pre></td></tr>"
        for head, p in zip(heads, pieces, strict=True)
    )
    return View(
        "\n".join([title, *text, *([f"--- {' '.join(notes)}"] if notes else [])]),
        f"<div>{escape(title)}</div><table>{rows}</table>{_paragraphs(notes)}",
    )


def size(number: float) -> str:
    """Bytes in MB or GB, which are powers of ten."""
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _needs(offer: Mapping[str, Any] | None) -> list[str]:
    """In words, what is known of it."""
    if offer is None:
        return []
    download, memory = offer["download"], offer["memory"]
    return [
        *([f"{size(download)} to download once"] if download else []),
        *([f"about {size(memory)} of memory"] if memory else []),
        *([] if offer["blocks"] else ["for the rest of a line"]),
    ]


def _serving(answer: Mapping[str, Any]) -> dict[str, str]:
    known = (answer, answer["fallback"])
    serving = next((s for s in known if s and answer["serving"] and s["model"] == answer["serving"]), None)
    if not serving:
        return {}
    family = serving["family"] or "left to right"
    rows = {
        "model": f"{serving['model']} ({family}, window {serving['window']} tokens)",
        "device": f"{serving['device']}, {serving['dtype']}",
    }
    if answer["memory"]:
        rows["main memory"] = size(answer["memory"])
    latency = answer["stats"]["latency_ms"]
    if latency.get("p50") is not None:
        rows["latency"] = (
            f"{latency['p50']:.0f} ms median, 95 % within {latency['p95']:.0f} ms "
            f"(the last {latency['n']} completions)"
        )
    return rows


def _taken(tokens: deque[tuple[Any, str]], piece: str) -> list[tuple[Any, str]]:
    """Of the lexer's tokens those of the piece; the last may be cut. Lexers turn CRLF into LF."""
    found, length = [], len(piece.replace("\r", ""))
    while tokens and length:
        kind, value = tokens.popleft()
        found.append((kind, value[:length]))
        if value[length:]:
            tokens.appendleft((kind, value[length:]))
        length -= len(found[-1][1])
    return found


def _highlighted(tokens: Iterable[tuple[Any, str]], formatter: Any) -> str:
    """HTML. The formatter ends what it is given with a newline, whether it has one or not."""
    tokens, out = [*tokens], io.StringIO()
    formatter.format(tokens, out)
    ends_a_line = bool(tokens) and tokens[-1][1].endswith("\n")
    return out.getvalue() if ends_a_line else out.getvalue().removesuffix("\n")


def _style() -> Any:
    try:
        from jupyterlab_pygments import JupyterStyle
    except ImportError:
        return "default"
    return JupyterStyle


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<div>{escape(line)}</div>" for line in lines)
