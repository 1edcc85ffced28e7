"""What a kernel knows at a place: the notebook is really executed up to there.

This runs the notebook's code on this machine, with the user's rights.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from jupyter_client.manager import start_new_async_kernel

from .places import Notebook, Place

# Seconds.
CELL_TIMEOUT = 60.0
NOTEBOOK_TIMEOUT = 300.0
START_TIMEOUT = 60.0

# What the frontend has the kernel evaluate; see kernelfacts.ts, whose numbers these are.
SOURCE = Path(__file__).parents[1] / "kernel" / "kernelfacts.py"
EXPRESSION = """(lambda own: (
    (lambda: 0).__globals__["__builtins__"].exec({source!r}, own),
    own["read"]((lambda: 0).__globals__, {used_names!r})
)[1])({{}})"""
ABOVE, BELOW = 5, 1
MAX_USED_NAMES = 500
NAME = re.compile(r"[^\W\d]\w*")
QUOTED = re.compile(r"""(["'])([^"'\n]+)\1""")


async def facts(
    book: Notebook, bodies: Mapping[Place, Mapping[str, Any]], cell_timeout: float = CELL_TIMEOUT
) -> dict[Place, dict[str, Any]]:
    """For each place of the notebook with its body of POST complete, what the frontend adds to that.

    The working folder is the notebook's. After a cell that fails, or takes longer than ``cell_timeout``
    seconds (all together: NOTEBOOK_TIMEOUT), nothing more is run, and the places below are missing in
    the result; a sentence on stderr says so. Raises SystemExit without the repository's ``src``.
    """
    if not SOURCE.is_file():
        raise SystemExit(f"what a kernel knows is read by {SOURCE}, which is only in the repository")
    source = SOURCE.read_text("utf-8")
    found: dict[Place, dict[str, Any]] = {}
    manager, client = await start_new_async_kernel(
        startup_timeout=START_TIMEOUT, cwd=str(book.path.parent), stdout=DEVNULL, stderr=DEVNULL
    )
    deadline = time.monotonic() + NOTEBOOK_TIMEOUT
    last = max(place.cell for place in bodies)
    try:
        for number, cell in enumerate(book.cells[: last + 1]):
            left = min(cell_timeout, deadline - time.monotonic())
            for place in (place for place in bodies if place.cell == number):
                found[place] = await _read(client, source, bodies[place], left)
            if cell["type"] == "code" and number < last:
                await _execute(client, cell["source"], left)
    except (TimeoutError, _Failed) as error:
        print(f"{book.name}, cell {number}: {error}; no facts further down", file=sys.stderr)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    return found


class _Failed(Exception):
    """A cell raised an error."""


async def _read(client: Any, source: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """What is known of the names around the cursor, as kernelfacts.ts picks it out."""
    expression = EXPRESSION.format(source=source, used_names=used_names(body))
    reply = await _execute(client, "", timeout, silent=True, user_expressions={"facts": expression})
    value = reply["user_expressions"]["facts"]
    if value["status"] != "ok":
        raise _Failed(f"the facts: {value.get('ename')}: {value.get('evalue')}")
    return near(json.loads(ast.literal_eval(value["data"]["text/plain"])), body)


def used_names(body: Mapping[str, Any]) -> list[str]:
    """What the kernel is asked for first."""
    code = _nearby(body)
    words = [*reversed(NAME.findall(code)), *(quoted for _, quoted in reversed(QUOTED.findall(code)))]
    return list(dict.fromkeys(words))[:MAX_USED_NAMES]


def near(known: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was read, what a request at the body's cursor has with it."""
    names = set(NAME.findall(_nearby(body)))
    variables = [variable for variable in known["variables"] if variable["name"] in names]
    types = {f"{variable.get('module')}.{variable['type']}" for variable in variables}
    classes = {name: inside for name, inside in known["classes"].items() if name in types}
    return {"variables": variables, "classes": classes, "names": known.get("names", [])}


def _nearby(body: Mapping[str, Any]) -> str:
    cells, active = body["cells"], body["active"]
    return "\n".join(cell["source"] for cell in cells[max(0, active - ABOVE) : active + BELOW + 1])


async def _execute(client: Any, source: str, timeout: float, **options: Any) -> dict[str, Any]:
    """The reply's content; what the code prints is dropped. Raises TimeoutError, _Failed."""
    reply = await client.execute_interactive(
        source, allow_stdin=False, timeout=max(0.1, timeout), output_hook=lambda message: None, **options
    )
    content: dict[str, Any] = reply["content"]
    if content["status"] != "ok":
        raise _Failed(f"{content.get('ename', 'aborted')}: {content.get('evalue', '')}"[:200])
    return content
