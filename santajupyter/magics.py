"""``%santa`` and ``%%santa generate``: the server's model, from a cell."""

from __future__ import annotations

from typing import Any, cast

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from . import client

COMMANDS = ("status", "generate")
OWN_LINES = ("%santa", "%%santa", "%load_ext santajupyter", "%reload_ext santajupyter")


@magics_class
class SantaMagics(Magics):
    """Registered by ``%load_ext santajupyter``."""

    @magic_arguments()
    @argument("command", nargs="?", default="status", choices=COMMANDS, help="What to do.")
    @argument("-m", "--max-new-tokens", type=int, default=128, help="The longest answer, in tokens (128).")
    @argument("-t", "--temperature", type=float, default=0.0, help="0 is greedy; higher is more varied (0).")
    @line_cell_magic
    def santa(self, line: str, cell: str | None = None) -> None:
        """Code completion by the model that the Jupyter server holds.

        ``%santa`` says which model that is and what it is doing. ``%%santa generate`` takes the
        cell's text (a comment, a signature, code) as the beginning of a program and puts it, with
        what the model adds, into a new cell below. Nothing is run.
        """
        arguments = parse_argstring(self.santa, line)
        if (arguments.command == "generate") != (cell is not None):
            raise UsageError("Use %santa for the status, and %%santa generate above a cell's text.")
        try:
            if cell is None:
                print(_status_text(client.status(client.find_server())))
            else:
                self._generate(cell, arguments)
        except client.SantaError as error:
            raise UsageError(str(error)) from None

    def _generate(self, cell: str, arguments: Any) -> None:
        prompt = cell.rstrip("\n")
        cells = [{"type": "code", "source": source} for source in [*self._earlier_inputs(), prompt]]
        body = {
            "cells": cells,
            "active": len(cells) - 1,
            "offset": len(prompt),
            "trigger": "invoke",
            "mode": "block",
            "max_new_tokens": arguments.max_new_tokens,
            "temperature": arguments.temperature,
        }
        answer = client.complete(client.find_server(), body)
        text = answer["items"][0]["text"]
        if not text:
            print(f"{answer['model']} has nothing to add here.")
            return
        shell = cast(Any, self.shell)
        shell.set_next_input(prompt + text, replace=False)

    def _earlier_inputs(self) -> list[str]:
        """What was run in this kernel before this cell, without the magics of this extension."""
        ran = cast(Any, self.shell).history_manager.input_hist_raw[:-1]
        return [source for source in ran if source.strip() and not source.lstrip().startswith(OWN_LINES)]


def _status_text(status: dict[str, Any]) -> str:
    lines = [status["message"]]
    serving = next(
        (
            s
            for s in (status, status["fallback"])
            if s and status["serving"] and s["model"] == status["serving"]
        ),
        None,
    )
    if serving:
        family = serving["family"] or "left to right"
        lines += [
            f"model   {serving['model']} ({family}, window {serving['window']} tokens)",
            f"device  {serving['device']}, {serving['dtype']}",
        ]
    return "\n".join(lines)
