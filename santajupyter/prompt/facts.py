"""What the kernel's names stand for -> compact comments for the model.

``df: DataFrame 891x12 (age float64, sex str, …)``, ``load(path, sep=…)``, ``df["sex"]: 'female', 'male'``.
What the names come from is other people's text too: it is cut, and nothing in it can end the comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from ..protocol import Cell, Variable
from .cursor import Excerpt
from .names import imported

# The cells whose names get a line, besides the cursor's own, and of each so many characters or a third less.
ABOVE = 2
BELOW = 1
NEAR = 30_000
MAX_FACTS = 8
MAX_LENGTH = 200
MAX_DETAIL = 60

NAME = re.compile(r"[^\W\d]\w*")
DEFINED = re.compile(r"\b(?:class|def)\s+(\w+)")


def facts(variables: Sequence[Variable], where: Excerpt) -> tuple[str, ...]:
    """A line for each variable that the code around the cursor names, the last named one last.

    The word being typed isn't a name yet, so that the lines stay the same from key to key. What the
    cells say themselves (an import, a definition) isn't said again.
    """
    cells, active = where.cells, where.active
    if not variables or cells[active].type != "code":
        return ()
    above = _code(cells[max(0, active - ABOVE) : active])
    below = _code(cells[active + 1 : active + 1 + BELOW])
    near = [where.cursor.right[:NEAR], below[:NEAR], _ending(above), _ending(where.cursor.before_word)]
    names = dict.fromkeys(chain.from_iterable(map(NAME.findall, near)))
    said = frozenset(chain.from_iterable(map(DEFINED.findall, near)))
    said = said.union(*(imported(cell.source) for cell in cells if cell.type == "code"))
    known = {variable.name: variable for variable in variables}
    code = "\n".join(near)
    told = [known[name] for name in names if name in known and name not in said]
    lines = chain.from_iterable((line(variable), *_values(variable, code)) for variable in told)
    return tuple(filter(None, lines))[-MAX_FACTS:]


def _values(variable: Variable, near: str) -> Iterator[str]:
    """A line for each column or key that is named, with its values."""
    for name, values in variable.values:
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", near):
            shown = f"{variable.name}[{json.dumps(_printable(name), ensure_ascii=False)}]"
            yield f"{shown}: {_listed(values, MAX_LENGTH)}"


def _ending(text: str) -> str:
    """The text's end; it begins elsewhere only after many more characters."""
    step = NEAR // 3
    return text[max(0, (len(text) - NEAR) // step * step + step) if len(text) > NEAR else 0 :]


def files_line(files: Sequence[str]) -> tuple[str, ...]:
    """``files (ages.csv, data/rows.csv)``, as many as fit."""
    return ("files" + bracketed(files, MAX_LENGTH),) if files else ()


def line(variable: Variable) -> str:
    """The variable in a line of at most MAX_LENGTH characters; "" where there is nothing to say."""
    name, kind = variable.name, variable.type
    if kind in ("class", "function"):
        # What was imported is none of the user's own.
        signature = _printable(variable.signature)
        own = variable.module == "__main__"
        text = f"{'class ' if kind == 'class' else ''}{name}{signature}" if own else ""
    elif kind == "module":
        text = f"{name}: module {variable.module}"
    else:
        text = " ".join([f"{name}: {kind}", *_measures(variable)])
    text = _printable(text)[:MAX_LENGTH]
    details = [] if kind in ("class", "function", "module") else list(_details(variable))
    return text + bracketed(details, MAX_LENGTH - len(text)) if text else ""


def _measures(variable: Variable) -> Iterator[str]:
    if variable.shape is not None:
        lengths = list(map(str, variable.shape))
        if variable.type == "DataFrame":
            yield "x".join(lengths)
        elif variable.type in ("ndarray", "Tensor", "Parameter"):
            yield f"({', '.join(lengths)})"
        elif len(lengths) == 1:
            yield f"of {lengths[0]}"
    if variable.dtype:
        yield variable.dtype


def _details(variable: Variable) -> Iterable[str]:
    if variable.columns:
        return (f"{name} {dtype}".rstrip() for name, dtype in variable.columns)
    return variable.keys or variable.members


def bracketed(details: Iterable[str], room: int) -> str:
    """`` (a, b, …)``, as many as fit."""
    listed = _listed(details, room)
    return f" ({listed})" if listed else ""


def _listed(details: Iterable[str], room: int) -> str:
    kept: list[str] = []
    for detail in details:
        shown = _printable(detail)[:MAX_DETAIL]
        room -= len(shown) + 2
        if room < 4:
            kept.append("…")
            break
        kept.append(shown)
    return ", ".join(kept)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _code(cells: Iterable[Cell]) -> str:
    return "\n".join(cell.source for cell in cells if cell.type == "code")
