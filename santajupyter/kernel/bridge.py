"""From the kernel to the page: what a button asks of the notebook it stands in.

The labextension answers (src/commands/bridge.ts). A kernel can't put text into cells once the cell it ran is
over. A page gives a kernel's comms to one of its connections, which may be a console's; so requests go out as
updates of a display that nobody has: every connection sees them, and other frontends pass over them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REQUEST = "application/vnd.santajupyter.request+json"
TARGET = "santajupyter"

OnAnswer = Callable[[bool], None]


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
        # The comm that pages answer to. It is never opened in them.
        self._comm = uuid.uuid4().hex
        self.present = False

    def hello(self) -> None:
        """Ask whether a page has the labextension. The answer comes when the cell that runs now is over."""
        if self._kernel is None:
            return
        self._listen()

        def note(done: bool) -> None:
            self.present = done

        self.send({"action": "hello"}, note)

    def place(self) -> dict[str, str]:
        """Of the cell that is being run its id and the connection that sent it, "" where that isn't known."""
        parent = self._kernel.get_parent() if self._kernel else {}
        cell, client = parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("session")
        return {"cell": str(cell or ""), "client": str(client or "")}

    def send(self, request: dict[str, Any], on_answer: OnAnswer) -> None:
        """``{action: hello | insert | replace | copy | automatic, …}``, see src/commands/bridge.ts.

        ``on_answer(done)`` on the kernel's main thread; never, where no page has the labextension.
        """
        if self._kernel is None:
            return
        name = uuid.uuid4().hex
        self._asked[name] = _Asked(on_answer)
        self._tell({"id": name, "comm": self._comm, **request})

    def _listen(self) -> None:
        from comm import create_comm, get_comm_manager

        channel = create_comm(target_name=TARGET, comm_id=self._comm, primary=False)
        channel.on_msg(lambda message: self._hear(message["content"]["data"]))
        get_comm_manager().register_comm(channel)

    def _hear(self, answer: dict[str, Any]) -> None:
        """``{id, done}``, or ``{id, offer}`` of a page that didn't send what led to the request.

        Of several that offer only the first is told to do it, so that it is done once.
        """
        asked = self._asked.get(answer.get("id", ""))
        if asked is None:
            return
        if "offer" not in answer:
            del self._asked[answer["id"]]
            asked.on_answer(bool(answer.get("done")))
        elif not asked.is_granted:
            asked.is_granted = True
            self._tell({"id": answer["id"], "granted": answer["offer"]})

    def _tell(self, message: dict[str, Any]) -> None:
        transient = {"display_id": f"{TARGET}-{message['id']}"}
        self._shell.display_pub.publish({REQUEST: message}, transient=transient, update=True)
