"""From the kernel to the page: what a button asks of the notebook it stands in.

The labextension answers (src/commands/bridge.ts). A kernel can't put text into cells once the cell it ran is
over. A page gives a kernel's comms to one of its connections, which may be a console's; but all of them see
the messages of a comm that no page has opened, and other frontends pass over them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TARGET = "santajupyter"

OnAnswer = Callable[[dict[str, Any]], None]


@dataclass
class _Asked:
    on_answer: OnAnswer
    is_granted: bool = False


class Bridge:
    """``present`` once a page has said that the labextension is there."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._kernel = getattr(shell, "kernel", None)
        self._asked: dict[str, _Asked] = {}
        # Never opened in a page, and known here once there is one to hear.
        self._comm: Any = None
        self.present = False

    def hello(self) -> None:
        """Ask whether a page has the labextension. The answer comes when the cell that runs now is over."""

        def note(done: bool) -> None:
            self.present = done

        self.send({"action": "hello"}, note)

    def place(self, on_found: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Of the cell that is being run its id and the connection that sent it, "" where that isn't known.

        A server that runs the cells itself (jupyter-server-documents) tells no id. A page that has the cell
        is asked for it then; when it answers, the id is written into what was returned.
        """
        parent = self._parent()
        cell, client = parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("session")
        place = {"cell": str(cell or ""), "client": str(client or "")}

        def found(answer: dict[str, Any]) -> None:
            place.update({name: str(answer[name]) for name in place if name in answer})
            on_found()

        if self.is_run_by_server:
            self._ask({"action": "locate", **self._run()}, found)
        return place

    def switch(self, automatic: bool, on_answer: Callable[[bool], None]) -> None:
        """Have the page that had this cell run suggest code while its user types, or no longer."""
        run = self._run() if self.is_run_by_server else {}
        self.send({"action": "automatic", "value": automatic, **run}, on_answer)

    @property
    def is_run_by_server(self) -> bool:
        """Whether a server sent the cell that is being run, for a page that has the labextension.

        It tells no cell's id, keeps every display of the run as one more output, and none after the run.
        """
        return self.present and not self._parent().get("metadata", {}).get("cellId")

    def send(self, request: dict[str, Any], on_answer: Callable[[bool], None]) -> None:
        """``{action: hello | insert | replace | copy | automatic, …}``, see src/commands/bridge.ts.

        ``on_answer(done)`` on the kernel's main thread; never, where no page has the labextension.
        """
        self._ask(request, lambda answer: on_answer(bool(answer.get("done"))))

    def _ask(self, request: dict[str, Any], on_answer: OnAnswer) -> None:
        if self._kernel is None:
            return
        if self._comm is None:
            self._comm = self._registered()
        name = uuid.uuid4().hex
        self._asked[name] = _Asked(on_answer)
        self._comm.send({"id": name, **request})

    def _parent(self) -> dict[str, Any]:
        return self._kernel.get_parent() if self._kernel else {}

    def _run(self) -> dict[str, Any]:
        """By what a page knows a run again that a server had begun for it."""
        code = str(self._parent().get("content", {}).get("code", ""))
        # The shell's own counter is one ahead in newer releases of IPython.
        return {"code": code, "count": len(self._shell.history_manager.input_hist_parsed) - 1}

    def _registered(self) -> Any:
        from comm import create_comm, get_comm_manager

        channel = create_comm(target_name=TARGET, comm_id=f"{TARGET}-{uuid.uuid4().hex}", primary=False)
        channel.on_msg(lambda message: self._hear(message["content"]["data"]))
        get_comm_manager().register_comm(channel)
        return channel

    def _hear(self, answer: dict[str, Any]) -> None:
        """``{id, done, …}``, or ``{id, offer}`` of a page that didn't send what led to the request.

        Of several that offer only the first is told to do it, so that it is done once.
        """
        asked = self._asked.get(answer.get("id", ""))
        if asked is None:
            return
        if "offer" not in answer:
            del self._asked[answer["id"]]
            asked.on_answer(answer)
        elif not asked.is_granted:
            asked.is_granted = True
            self._comm.send({"id": answer["id"], "granted": answer["offer"]})
