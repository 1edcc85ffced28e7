"""The error that ended a cell of this kernel last, as the body of POST fix has it."""

from __future__ import annotations

import json
import linecache
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

from . import kernelfacts

WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Failed:
    """The cell's ``source`` as it was typed, the ``error``, and the ``line`` of the cell that raised it."""

    source: str
    error: BaseException
    line: str


def last(shell: Any) -> Failed | None:
    """None where no cell has failed, or the error came of none."""
    error = getattr(sys, "last_value", None)
    if error is None or isinstance(error, UsageError):
        return None
    places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno or 0))
    cells = {file: _typed(shell, file) for file, _ in places}
    file = next((file for file, _ in places if cells[file]), None)
    if file is None:
        return None
    number = next(number for name, number in reversed(places) if name == file)
    lines = cells[file].split("\n")
    return Failed(cells[file], error, lines[number - 1].strip() if number <= len(lines) else "")


def body(shell: Any, failed: Failed, earlier: Sequence[str]) -> dict[str, Any]:
    """What POST fix takes; ``earlier``: the sources of the cells that were run."""
    others = [source for source in earlier if source != failed.source]
    error = {"type": "error", "name": type(failed.error).__name__, "value": str(failed.error)}
    cells = [
        *({"source": source, "execution_count": n} for n, source in enumerate(others, 1)),
        {"source": failed.source, "execution_count": 0, "outputs": [{**error, "line": failed.line}]},
    ]
    used = [*dict.fromkeys(WORD.findall(failed.source))]
    facts = json.loads(kernelfacts.read(shell.user_ns, used))
    known = {name: facts[name] for name in ("variables", "classes", "names")}
    return {"cells": cells, "active": len(others), "offset": 0, **known}


def _typed(shell: Any, file: str) -> str:
    """The cell that IPython compiled under this name, "" for none."""
    code = "".join(linecache.getlines(file)).rstrip()
    history = shell.history_manager
    inputs = zip(reversed(history.input_hist_parsed), reversed(history.input_hist_raw), strict=False)
    return next((str(raw) for parsed, raw in inputs if code and parsed.rstrip() == code), "")
