"""Seeded choice of places in notebooks, and the request that a user's browser would send there. Pure.

line-end   after three characters or more of a line; the rest is hidden
mid-line   what is hidden has more of the line on its right: the rest of a bracket's inside, as
           an editor that closes brackets has it, or else a few words
new-line   the whole line is hidden, but for its indentation
member     the rest of a line after ``name.``, ``name["`` or ``name(``: where a kernel may know what
           can follow
cut        a few words and signs in the line, whatever they open and close; more of it is on the right

alike      the rest of a line from where the lines above it tell what it is (``prompt/alike.py``)

The last three are not among the kinds chosen by default.
"""

from __future__ import annotations

import random
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from ..prompt.alike import alike
from ..prompt.cursor import excerpt
from ..protocol import Cell

KINDS = ("line-end", "mid-line", "new-line")
MEMBER, CUT, ALIKE = "member", "cut", "alike"
ALL_KINDS = (*KINDS, MEMBER, CUT, ALIKE)
MIN_TYPED = 3
MIN_HIDDEN = 2
MAX_HIDDEN_TOKENS = 5
MAX_CUT_TOKENS = 10
MAX_NEW_TOKENS = 64
MOST_STARTS = 8
# Neither comments and magics nor lines of numbers, which nobody types, are worth completing.
SKIPPED = re.compile(r"\s*[#%!?]|[\W\d_]*$")
FOREIGN = re.compile(r"\s*%%")
TOKEN = re.compile(r"\s*(\w+|[^\w\s])")
MEMBERS = re.compile(r"""(?<![\w.])[^\W\d]\w*(?:\.|\[["']|\()(?=\w)""")
PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Notebook:
    """``cells`` as in POST complete, their outputs as in the file; ``name``: the path in its folder."""

    name: str
    path: Path
    cells: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Place:
    """``hidden`` stood at ``offset`` (code points) in the source of ``cells[cell]``."""

    notebook: str
    cell: int
    offset: int
    kind: str
    hidden: str


def read_folder(folder: Path) -> dict[str, Notebook]:
    """The Python notebooks under a folder, by name; unreadable ones are left out."""
    books = {}
    for path in sorted(folder.rglob("*.ipynb")):
        name = path.relative_to(folder).as_posix()
        if ".ipynb_checkpoints" not in path.parts and (cells := _cells(path)):
            books[name] = Notebook(name, path, cells)
    return books


def choose(
    books: Mapping[str, Notebook],
    count: int,
    seed: int,
    per_notebook: int = 5,
    kinds: Sequence[str] = KINDS,
) -> list[Place]:
    """``count`` places or as many as there are, at most ``per_notebook`` in one, in reading order.

    A notebook is as likely as it has lines, no line has two places, and there are about as many of each
    kind. Some in each of a few notebooks cost less than one in each of many: they share what the model
    has read.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    lines = {name: there for name, book in sorted(books.items()) if (there := list(_lines(book)))}
    found = Counter(dict.fromkeys(kinds, 0))
    places: list[Place] = []
    while lines and len(places) < count:
        name = rng.choices(list(lines), [len(there) for there in lines.values()])[0]
        wanted = min(per_notebook, count - len(places))
        for cell, begin in rng.sample(lines[name], len(lines[name])):
            rarest = sorted(rng.sample(kinds, len(kinds)), key=found.__getitem__)
            tries = (_place(books[name], cell, begin, kind, rng) for kind in rarest)
            place = next(filter(None, tries), None)
            if place and wanted:
                places.append(place)
                found[place.kind] += 1
                wanted -= 1
        del lines[name]
    return sorted(places, key=lambda place: (place.notebook, place.cell, place.offset))


def body(
    book: Notebook, place: Place, as_written: bool = False, out_of_order: bool = False
) -> dict[str, Any]:
    """A body of POST complete: the cells above have run, in order, the active one and those below not.

    ``as_written``: the rest of the active cell and the cells below are empty, as when the notebook was
    first written; else all stands there but what is hidden. ``out_of_order``: one of the cells that have
    run stands at the notebook's end.
    """
    cells, ran = [], 0
    for number, cell in enumerate(book.cells):
        cells.append({**cell, "id": f"cell-{number}", "execution_count": None})
        if number >= place.cell:
            cells[-1]["outputs"] = []
        elif cell["type"] == "code" and cell["source"].strip():
            cells[-1]["execution_count"] = ran = ran + 1
        if number > place.cell and as_written:
            cells[-1]["source"] = ""
    active = place.cell
    cells[active]["source"] = _source(book, place, as_written)
    if out_of_order and ran:
        rng = random.Random(f"{place.notebook} {place.cell} {place.offset}")  # noqa: S311
        cells.append(cells.pop(rng.choice([n for n, cell in enumerate(cells) if cell["execution_count"]])))
        active -= 1
    return {
        "cells": cells,
        "active": active,
        "offset": place.offset,
        "language": "python",
        "path": place.notebook,
        "trigger": "automatic",
        "mode": "line",
        "max_new_tokens": MAX_NEW_TOKENS,
    }


def _source(book: Notebook, place: Place, as_written: bool) -> str:
    """The active cell's, without what is hidden."""
    source: str = book.cells[place.cell]["source"]
    right = source[place.offset + len(place.hidden) :]
    if as_written:
        right = right.partition("\n")[0]
    return source[: place.offset] + right


def _cells(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old notebooks have cells without ids
            book = nbformat.reads(path.read_text("utf-8"), as_version=4)
        info, spec = (book.metadata.get(key, {}) for key in ("language_info", "kernelspec"))
        if (info.get("name") or spec.get("language") or "python") != "python":
            return ()
        return tuple(
            {"type": cell.cell_type, "source": cell.source, "outputs": _outputs(cell.get("outputs", []))}
            for cell in book.cells
        )
    except (OSError, ValueError, AttributeError, KeyError, nbformat.ValidationError):
        return ()


def _outputs(outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """As POST complete has them: what was shown as text, and errors."""
    found = []
    for output in outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain")
        if text:
            found.append({"type": "text", "text": text})
        elif output["output_type"] == "error":
            found.append({"type": "error", "name": output["ename"], "value": output["evalue"]})
    return found


def _lines(book: Notebook) -> Iterator[tuple[int, int]]:
    """The lines of code, each as its cell and where it begins there."""
    for number, cell in enumerate(book.cells):
        if cell["type"] == "code" and not FOREIGN.match(cell["source"]):
            for match in re.finditer(r"^.+$", cell["source"], re.MULTILINE):
                if not SKIPPED.match(match[0]):
                    yield number, match.start()


def _place(book: Notebook, cell: int, begin: int, kind: str, rng: random.Random) -> Place | None:
    """A place in the line that begins there, None where the one tried isn't good."""
    source = book.cells[cell]["source"]
    line = source[begin:].partition("\n")[0].rstrip()
    indent = len(line) - len(line.lstrip())
    if kind == "new-line":
        start, end = (indent, len(line)) if begin > 0 else (0, 0)
    elif kind == MEMBER:
        ends = [match.end() for match in MEMBERS.finditer(line)]
        start, end = (rng.choice(ends), len(line)) if ends else (0, 0)
    elif kind == ALIKE:
        starts = rng.sample(range(indent, len(line)), min(MOST_STARTS, len(line) - indent))
        start = next((at for at in starts if _is_told(book, cell, begin + at)), 0)
        end = len(line) if start else 0
    elif kind == CUT:
        ends = [match.end() for match in TOKEN.finditer(line)][:-1]
        first = rng.randrange(max(1, len(ends)))
        start, end = (ends[first], rng.choice(ends[first : first + MAX_CUT_TOKENS])) if ends else (0, 0)
    else:
        start = rng.randrange(indent, len(line))
        end = len(line) if kind == "line-end" else _middle(line, start, rng)
        if len(line[:start].strip()) < MIN_TYPED:
            return None
    hidden = line[start:end]
    if len(hidden.strip()) < MIN_HIDDEN:
        return None
    return Place(book.name, cell, begin + start, kind, hidden)


def _is_told(book: Notebook, cell: int, start: int) -> bool:
    """Whether what stands above tells how the line goes on there."""
    cells = [Cell(each["source"], each["type"]) for each in book.cells[:cell]]
    return alike(excerpt([*cells, Cell(book.cells[cell]["source"][:start])], cell, start)) is not None


def _middle(line: str, start: int, rng: random.Random) -> int:
    """Where the hidden part of a line ends that has more of it on the right; ``start``: nowhere."""
    end = _closer(line, start)
    if end is None:
        tokens = list(TOKEN.finditer(line, start))[:-1]
        end = tokens[rng.randrange(min(MAX_HIDDEN_TOKENS, len(tokens)))].end() if tokens else start
    return end


def _closer(line: str, start: int) -> int | None:
    """Where the innermost bracket that is open at ``start`` closes; None for none in this line."""
    open_at_start: Sequence[str] = ()
    stack: list[str] = []
    quote = ""
    for at, char in enumerate(line):
        if at == start:
            open_at_start = tuple(stack)
        if quote:
            quote = "" if char == quote and line[at - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in PAIRS:
            stack.append(PAIRS[char])
        elif stack and char == stack[-1]:
            stack.pop()
            if open_at_start and at >= start and len(stack) < len(open_at_start):
                return at
    return None
