"""From the kernel to the page: what a button asks of the notebook it stands in.

The labextension answers (src/comm.ts). A kernel can't put text into cells once the cell it ran is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TARGET = "santajupyter"


class Bridge:
    """``present`` once the page has said that the labextension is there."""

    def __init__(self, shell: Any) -> None:
        self._kernel = getattr(shell, "kernel", None)
        self.present = False

    def hello(self) -> None:
        """Ask a page, if it is one that runs this cell, whether it has the labextension.

        The answer comes when this cell is over. Others, such as nbclient, would warn of an unknown comm.
        """
        if not self.cell():
            return

        def note(done: bool) -> None:
            self.present = done

        self.send({"action": "hello"}, note)

    def send(self, message: dict[str, Any], on_answer: Callable[[bool], None]) -> None:
        """``{action: hello | insert | replace | copy | automatic, …}``, see src/comm.ts.

        ``on_answer(done)`` on the kernel's main thread; never, where the page doesn't know comms.
        """
        if self._kernel is None:
            return
        from comm import create_comm

        channel = create_comm(target_name=TARGET, data=message)
        channel.on_close(lambda answer: on_answer(bool(answer["content"]["data"].get("done"))))

    def cell(self) -> str:
        """The id of the cell that is being run, or ""."""
        parent = self._kernel.get_parent() if self._kernel else {}
        return str(parent.get("metadata", {}).get("cellId", ""))
