"""A notebook as the engine shows it with a kernel at hand, as far as the saved file tells what it held.

The engine puts what the kernel knows of the names around the cursor right above its cell
(``santajupyter.prompt.facts``). No notebook is run here: types come from what is assigned, columns from the
tables that the notebook shows. What can't be told so isn't told.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import SEPARATOR, render_cell
from santajupyter.prompt.facts import facts
from santajupyter.protocol import Cell, Variable

# One in so many cells gets its facts.
EVERY = 3
MAGIC = re.compile(r"^\s*[%!?].*$", re.MULTILINE)
TABLE = re.compile(r'<table[^>]*class="dataframe">\s*<thead>(.*?)</thead>\s*<tbody>(.*?)</tbody>', re.DOTALL)
ROW, HEAD, VALUE = (re.compile(rf"<{tag}[^>]*>(.*?)</{tag}>", re.DOTALL) for tag in ("tr", "th", "td"))
SIZE = re.compile(r"<p>(\d+) rows × (\d+) columns</p>")
DTYPES = (
    ("int64", re.compile(r"-?\d+")),
    ("float64", re.compile(r"-?\d*\.?\d+(e[+-]\d+)?|NaN|-?inf")),
    ("bool", re.compile(r"True|False")),
    ("datetime64[ns]", re.compile(r"\d{4}-\d\d-\d\d( [\d:.]+)?|NaT")),
)
PARTS_OF_A_FRAME = ("head", "tail", "sample")


def render_with_facts(cells: Sequence[Cell]) -> str:
    """``santajupyter.prompt.document.render``, with the facts above one code cell in ``EVERY``."""
    known: dict[str, Variable | None] = {}
    parts = []
    for at, cell in enumerate(cells):
        lines: tuple[str, ...] = ()
        if at % EVERY == 0:
            lines = facts([variable for variable in known.values() if variable], excerpt(cells, at, 0))
        text = render_cell(cell)
        if text:
            parts.append(
                "".join(f"# {' '.join(line.split())}\n" for line in lines) + "\n" * bool(lines) + text
            )
        known.update(variables(cell))
    return SEPARATOR.join(parts)


def variables(cell: Cell) -> Iterator[tuple[str, Variable | None]]:
    """What a run of the cell leaves in its names; None where that can't be told."""
    if cell.type != "code":
        return
    try:
        body = ast.parse(MAGIC.sub("", cell.source)).body
    except (SyntaxError, ValueError):
        return
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            yield node.name, Variable(node.name, "function", "__main__", signature=_signature(node.args))
        elif isinstance(node, ast.ClassDef) and not node.bases:
            made = [n.args for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            signature = _signature(made[0], 1) if made else ""
            yield node.name, Variable(node.name, "class", "__main__", signature=signature)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for name in (n.id for n in ast.walk(target) if isinstance(n, ast.Name)):
                    yield name, _assigned(name, node.value) if isinstance(target, ast.Name) else None
    if body and isinstance(body[-1], ast.Expr):
        yield from _table(body[-1].value, cell)


def _assigned(name: str, value: ast.expr) -> Variable | None:
    if isinstance(value, ast.Constant):
        return Variable(name, type(value.value).__name__)
    if isinstance(value, ast.List | ast.Tuple):
        if any(isinstance(item, ast.Starred) for item in value.elts):
            return None
        kinds = {type(item.value).__name__ if isinstance(item, ast.Constant) else "" for item in value.elts}
        kind = "list" if isinstance(value, ast.List) else "tuple"
        return Variable(name, kind, shape=(len(value.elts),), dtype=kinds.pop() if len(kinds) == 1 else "")
    if isinstance(value, ast.Dict):
        keys = tuple(str(key.value) for key in value.keys if isinstance(key, ast.Constant))
        return Variable(name, "dict", shape=(len(keys),), keys=keys) if len(keys) == len(value.keys) else None
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func).rpartition(".")[2]
        if called[:1].isupper() and called.isidentifier() and called not in ("DataFrame", "Series"):
            return Variable(name, called)
    return None


def _table(shown: ast.expr, cell: Cell) -> Iterator[tuple[str, Variable]]:
    """The frame that the cell's last line shows, whole (``df``) or its first lines (``df.head()``)."""
    part = isinstance(shown, ast.Call) and isinstance(shown.func, ast.Attribute)
    if part:
        shown = shown.func.value if shown.func.attr in PARTS_OF_A_FRAME else shown  # type: ignore[attr-defined]
    page = "\n".join(output.text for output in cell.outputs if output.type == "html")  # type: ignore[comparison-overlap]
    table = TABLE.search(page)
    if not isinstance(shown, ast.Name) or not table:
        return
    heads, *more = ROW.findall(table[1])
    names = [html.unescape(name).strip() for name in HEAD.findall(heads)][1:]
    rows = [VALUE.findall(row) for row in ROW.findall(table[2])]
    if more or not rows or len(names) != len(rows[0]):
        return
    columns = zip(names, zip_longest(*rows, fillvalue=""), strict=True)
    size = SIZE.search(page) if not part else None
    yield (
        shown.id,
        Variable(
            shown.id,
            "DataFrame",
            shape=(int(size[1]), int(size[2])) if size else None,
            columns=tuple((column, _dtype(values)) for column, values in columns if column != "..."),
        ),
    )


def _dtype(values: Sequence[str]) -> str:
    return next((name for name, form in DTYPES if all(map(form.fullmatch, values))), "str")


def _signature(given: ast.arguments, skip: int = 0) -> str:
    """As ``santajupyter/kernel/kernelfacts.py`` writes it: defaults are values, and not told."""
    names = [arg.arg for arg in (*given.posonlyargs, *given.args)]
    optional = len(names) - len(given.defaults)
    parts = [name + ("=…" if at >= optional else "") for at, name in enumerate(names)]
    if len(given.posonlyargs) > skip:
        parts.insert(len(given.posonlyargs), "/")
    if given.vararg:
        parts.append("*" + given.vararg.arg)
    elif given.kwonlyargs:
        parts.append("*")
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parts.append(arg.arg + ("=…" if default else ""))
    if given.kwarg:
        parts.append("**" + given.kwarg.arg)
    return "(" + ", ".join(parts[skip:]) + ")"
