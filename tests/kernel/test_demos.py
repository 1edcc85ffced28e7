"""What the demo notebooks in binder/ promise, with the built-in model, cell by cell."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import nbformat
import pytest

from santajupyter.evaluation.kernel import facts
from santajupyter.evaluation.places import Notebook, Place
from santajupyter.protocol import completion_request
from santajupyter.server.service import CompletionService
from santajupyter.server.settings import BUILT_IN, Settings

from .test_magics_notebook import IS_SMALL, ROOT, named, run

__all__ = ["named"]

pytestmark = pytest.mark.skipif(not IS_SMALL, reason="the demos are about santa-mini")
BINDER = ROOT / "binder"


@dataclass(frozen=True)
class Typed:
    """A cell's text with what the notebook says to type into it up to the cursor ¦, and the ghost text then.

    ``asked``: after Alt+\\.
    """

    text: str
    ghost: str
    asked: bool = False


@dataclass(frozen=True)
class Magic:
    """What running the cell shows, or puts into a new one."""

    shows: str


Promise = Typed | Magic | None
# None: code that is run, or words about the demo.
PROMISES: dict[str, dict[str, Promise]] = {
    "demo.ipynb": {
        "data": None,
        "count": Typed("sizes = [len(w¦", "ord) for word in words]"),
        "mean": Typed("import numpy as n¦  # arrays", "p"),
        "asking-here": Typed("heads = [word[0] for word in ¦", "words]", asked=True),
        "status": Magic("santa-mini is"),
        "generate": Magic("capitals = [word.upper() for word in words]"),
    },
    "data.ipynb": {
        "import": None,
        "frame": None,
        "revenue": None,
        "by-product": Typed('by_product = sales.groupby("¦', 'region")["revenue"].sum()'),
        "free": Typed('sales["cost"] = sales["un¦', 'its"] * sales["price"]'),
    },
    "javascript.ipynb": {
        "data": None,
        "more": Typed("const squared = readings.¦", "map((value) =>"),
    },
    "magics.ipynb": {
        "load": Magic("santa-mini is"),
        "generate": Magic("import matplotlib.pyplot as plt"),
        "fill": Magic("+ import numpy as np"),
        "many": Magic("data = pd."),
        "prompt": Magic("santa-mini would see"),
        "panel": None,
    },
}


def read(name: str) -> Any:
    return nbformat.read(BINDER / name, 4)


def test_every_demo_and_cell_is_looked_at() -> None:
    assert PROMISES.keys() == {path.name for path in BINDER.glob("*.ipynb")}
    for name, promises in PROMISES.items():
        assert list(promises) == [cell.id for cell in read(name).cells if cell.cell_type == "code"]


TYPED = [
    (name, cell, promise)
    for name, promises in PROMISES.items()
    for cell, promise in promises.items()
    if isinstance(promise, Typed)
]


@pytest.mark.parametrize(("name", "cell", "promise"), TYPED)
async def test_what_is_typed_gets_its_ghost_text(name: str, cell: str, promise: Typed) -> None:
    notebook = read(name)
    left, right = promise.text.split("¦")
    active = next(number for number, other in enumerate(notebook.cells) if other.id == cell)
    source = notebook.cells[active].source
    assert left.startswith(source.removesuffix(right)[:3]) and source.endswith(right)
    cells = [{"type": c.cell_type, "source": c.source, "id": c.id} for c in notebook.cells]
    cells[active]["source"] = left + right
    body = {
        "cells": cells,
        "active": active,
        "offset": len(left),
        "language": notebook.metadata.language_info.name,
        "trigger": "invoke" if promise.asked else "automatic",
    }
    if body["language"] == "python":
        place = Place(name, active, len(left), "", "")
        # Only plain code is run.
        to_run = [c if PROMISES[name].get(c["id"], ...) is None else {**c, "source": ""} for c in cells]
        known = await facts(Notebook(name, BINDER / name, tuple(to_run)), {place: body})
        body |= known[place]
    assert await ghost(body) == promise.ghost


async def ghost(body: dict[str, Any]) -> str:
    async def forward(index: int, text: str) -> None:
        return None

    service = CompletionService(Settings(model=BUILT_IN), logging.getLogger("test"))
    try:
        return (await service.complete(completion_request(body), forward)).items[0].text
    finally:
        await service.close()


@pytest.mark.parametrize("name", ["demo.ipynb", "magics.ipynb"])
@pytest.mark.usefixtures("named")
def test_what_is_run_shows_what_it_promises(name: str) -> None:
    notebook = read(name)
    sources = {cell.id: cell.source for cell in notebook.cells}
    notebook.cells = [cell for cell in notebook.cells if not isinstance(PROMISES[name].get(cell.id), Typed)]
    for cell in notebook.cells:
        # What goes into a new cell is shown instead.
        cell.source = cell.source.replace("%%santa generate", "%%santa generate --show")
    ran = run(notebook)
    for cell, promise in PROMISES[name].items():
        if isinstance(promise, Magic):
            assert promise.shows in ran[sources[cell].replace("%%santa generate", "%%santa generate --show")]
