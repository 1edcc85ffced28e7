"""The magics' widgets in a real kernel, played by the messages that a page would send."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest

from santajupyter.kernel.bridge import TARGET

from .test_magics import Ran, Session, request, session, until

__all__ = ["session"]

Message = dict[str, Any]


class Page:
    """What a page knows of a cell's widgets, and what a user does with them."""

    def __init__(self, session: Session, ran: Ran) -> None:
        self._session = session
        self.states: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.shown: list[dict[str, Any]] = []
        for message in ran.messages:
            self._see(message)

    def widget(self, model: str, **fields: Any) -> str:
        """The id of the first widget of that kind with such fields."""
        found = self.all(model, **fields)
        assert found, (model, fields)
        return found[0]

    def all(self, model: str, **fields: Any) -> list[str]:
        return [
            name
            for name, state in self.states.items()
            if state.get("_model_name") == model and fields.items() <= state.items()
        ]

    def says(self, words: str) -> bool:
        """Whether anything that was shown does; what a cell of an earlier test makes may come last."""
        return any(words in data["text/plain"] for data in self.shown)

    def texts(self) -> str:
        return "\n".join(self.states[name].get("value", "") for name in self.all("HTMLModel"))

    def click(self, description: str, number: int = 0) -> None:
        button = self.all("ButtonModel", description=description)[number]
        self._send("comm_msg", button, {"method": "custom", "content": {"event": "click"}})

    def set(self, widget: str, **state: Any) -> None:
        self._send("comm_msg", widget, {"method": "update", "state": state})

    def answer(self, asked: dict[str, Any], **said: Any) -> None:
        """As the labextension does."""
        self._send("comm_msg", asked["comm"], {"id": asked["id"], **said})

    def until(self, holds: Callable[[], bool]) -> None:
        """Look at what the kernel sends until that holds."""

        def seen() -> bool:
            while True:
                try:
                    message = self._session.client.get_iopub_msg(timeout=0.05)
                except Empty:
                    return holds()
                self._see(message)

        until(seen)

    def _send(self, kind: str, comm: str, data: Message) -> None:
        client = self._session.client
        message = client.session.msg(kind, {"comm_id": comm, "data": data})
        client.shell_channel.send(message)

    def _see(self, message: Message) -> None:
        content = message["content"]
        if str(content.get("comm_id", "")).startswith(TARGET):
            # A server that runs the cells would keep another kind of message as an output.
            assert message["msg_type"] == "comm_msg"
            self.asked.append({"comm": content["comm_id"], **content["data"]})
        elif message["msg_type"] == "comm_open":
            self.states[content["comm_id"]] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            # A widget of the test before may still change.
            if content["comm_id"] in self.states:
                self.states[content["comm_id"]].update(content["data"]["state"])
        elif message["msg_type"] in ("display_data", "update_display_data"):
            self.shown.append(content["data"])


def with_labextension(session: Session) -> None:
    session.load()
    page = Page(session, session.run("%reload_ext santajupyter"))
    [asked] = page.asked
    assert asked["action"] == "hello"
    page.answer(asked, done=True)


def run_as_cell(session: Session, code: str, cell: str) -> Ran:
    """As JupyterLab does, which tells the cell's id."""
    session.client.session.metadata = {"cellId": cell}
    ran = session.run(code)
    session.client.session.metadata = {}
    return ran


CHOOSE = "%%santa generate -n 2 -m 20 --seed 2 --no-context\nfor i in"


def made(page: Page) -> bool:
    return page.texts().count("mean log-probability") == 2


def test_candidates_are_made_after_the_cell(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run(CHOOSE))
    assert "application/vnd.jupyter.widget-view+json" in page.shown[0]
    page.until(lambda: made(page) and len(page.shown) > 1)
    assert "a second" in page.texts()
    assert page.shown[-1]["text/plain"].startswith("for i in")
    picked = session.run("%santa pick 1").cells
    assert picked[0] in page.shown[-1]["text/plain"]


@pytest.mark.parametrize(
    ("button", "action"), [("Insert below", "insert"), ("Replace", "replace"), ("Copy", "copy")]
)
def test_the_buttons_ask_the_page(session: Session, button: str, action: str) -> None:
    with_labextension(session)
    page = Page(session, run_as_cell(session, CHOOSE, "a-cell"))
    page.until(lambda: made(page) and len(page.shown) > 1)
    page.click(button, 1)
    page.until(lambda: len(page.asked) == 1)
    [asked] = page.asked
    assert (asked["action"], asked["cell"]) == (action, "a-cell")
    assert asked["client"] == session.client.session.session
    assert asked["text"] == session.run("%santa pick 2").cells[0]
    page.answer(asked, done=action != "replace")
    word = "couldn't do that" if action == "replace" else "Done."
    page.until(lambda: word in page.texts())


def test_the_buttons_ask_for_the_cell_that_a_page_has_found(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run(CHOOSE))
    [located] = page.asked
    assert (located["action"], located["code"]) == ("locate", CHOOSE)
    page.answer(located, done=True, cell="found", client="its page")
    page.until(lambda: made(page) and len(page.shown) > 1)
    page.click("Insert below")
    page.until(lambda: len(page.asked) == 2)
    asked = page.asked[1]
    assert (asked["action"], asked["cell"], asked["client"]) == ("insert", "found", "its page")


@pytest.mark.parametrize(("where", "action"), [("below", "insert"), ("replace", "replace")])
def test_a_page_that_found_the_cell_places_the_text(session: Session, where: str, action: str) -> None:
    with_labextension(session)
    ran = session.run(f"%%santa generate -m 20 --no-context --{where}\nfor i in")
    page = Page(session, ran)
    [located] = page.asked
    page.answer(located, done=True, cell="found")
    page.until(lambda: len(page.asked) == 2)
    placed = page.asked[1]
    assert (placed["action"], placed["cell"]) == (action, "found")
    assert placed["text"] in (ran.cells + ran.replaced)


def test_a_frontend_that_tells_the_cell_places_the_text_itself(session: Session) -> None:
    with_labextension(session)
    ran = run_as_cell(session, "%%santa generate -m 20 --no-context\nfor i in", "a-cell")
    assert ran.cells
    assert Page(session, ran).asked == []


def test_an_older_cells_candidates_are_not_picked(session: Session) -> None:
    with_labextension(session)
    assert session.run("%%santa generate -m 4 --no-context\nfor i in").cells
    session.worker.suspend()
    page = Page(session, session.run(CHOOSE))
    early = session.run("%santa pick 1")
    assert (early.cells, early.error) == ([], "UsageError: The candidates are still being made.")
    # The next cell's task is another one, and fails.
    failed = session.run("%%santa fill\nno hole")
    session.worker.resume()
    page.until(lambda: made(page) and len(page.shown) > 1)
    late = session.run("%santa pick 1")
    assert failed.error and late.error.startswith("UsageError: There are no candidates")


def test_doubt_is_shaded_on_wish(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run(CHOOSE))
    page.until(lambda: made(page))
    assert "rgba(230, 140, 0" not in page.texts()
    shade = page.widget("ToggleButtonModel", description="Shade")
    page.set(shade, value=True)
    page.until(lambda: "rgba(230, 140, 0" in page.texts())
    page.set(shade, value=False)
    page.until(lambda: "rgba(230, 140, 0" not in page.texts())
    page = Page(session, session.run(CHOOSE.replace("generate", "generate --shade")))
    page.until(lambda: made(page) and "rgba(230, 140, 0" in page.texts())


def test_of_several_pages_that_offer_one_is_told_to_do_it(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run("%santa off"))
    [asked] = page.asked
    page.answer(asked, offer="one page")
    page.answer(asked, offer="another page")
    page.until(lambda: len(page.asked) == 2)
    assert page.asked[1] == {"comm": asked["comm"], "id": asked["id"], "granted": "one page"}
    page.answer(asked, done=True)
    page.until(lambda: page.says("JupyterLab suggests code only when you ask"))
    page.answer(asked, offer="a third page")
    page.answer(asked, done=False)
    assert not Page(session, session.run("1")).asked
    assert not page.says("That failed")


def test_more_adds_candidates(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run(CHOOSE))
    page.until(lambda: made(page) and len(page.shown) > 1)
    page.click("More")
    page.until(lambda: page.texts().count("mean log-probability") == 4)
    page.until(lambda: len(page.shown) > 2)
    assert session.run("%santa pick 4").cells


def test_stop_frees_the_engine(session: Session) -> None:
    with_labextension(session)
    session.worker.suspend()
    page = Page(session, session.run(CHOOSE))
    until(lambda: request(session.url + "santajupyter/status")["busy"] == 1)
    page.click("Stop")
    until(lambda: request(session.url + "santajupyter/status")["busy"] == 0)
    page.until(lambda: "Stopped." in page.texts())
    session.worker.resume()


def test_a_bar_while_the_model_loads(session: Session) -> None:
    with_labextension(session)
    session.run("%santa unload")
    page = Page(session, session.run(CHOOSE))
    page.until(lambda: made(page))
    assert page.widget("FloatProgressModel")


def test_without_the_labextension_there_are_no_buttons_for_it(session: Session) -> None:
    session.load()
    page = Page(session, session.run(CHOOSE))
    page.until(lambda: made(page))
    assert not page.all("ButtonModel", description="Insert below")
    assert page.all("ButtonModel", description="Stop")


def test_a_diff_to_accept(session: Session) -> None:
    with_labextension(session)
    ran = session.run("%%santa fill -m 12 -t 1.2 --seed 5 --no-context\na = <FILL>\nb = 2")
    assert not ran.cells and not ran.error
    page = Page(session, ran)
    assert "- a = &lt;FILL&gt;" in page.texts()
    page.click("Accept")
    # The run tells no cell: where it is was asked first.
    page.until(lambda: len(page.asked) == 2)
    locate, asked = page.asked
    assert (locate["action"], asked["action"]) == ("locate", "replace")
    assert "<FILL>" not in asked["text"] and "b = 2" in asked["text"]


def test_a_server_that_runs_the_cells_keeps_no_output_but_the_last(session: Session) -> None:
    with_labextension(session)
    for code in ("%santa load", "%%santa generate -m 20 --no-context --show\nfor i in"):
        ran = session.run(code)
        kinds = [message["msg_type"] for message in ran.messages]
        assert "display_data" in kinds and "update_display_data" not in kinds
    assert not Page(session, run_as_cell(session, CHOOSE, "a-cell")).says("%santa pick 1")
    assert Page(session, session.run(CHOOSE)).says("%santa pick 1")


def test_the_run_tells_the_page_that_had_a_server_run_it(session: Session) -> None:
    with_labextension(session)
    ran = session.run("%santa off")
    [asked] = Page(session, ran).asked
    [number] = [
        message["content"]["execution_count"]
        for message in ran.messages
        if message["msg_type"] == "execute_input"
    ]
    assert (asked["code"], asked["count"]) == ("%santa off", number)
    # The page that sent a run itself is known by that.
    assert "code" not in Page(session, run_as_cell(session, "%santa off", "a-cell")).asked[0]


def test_ghost_text_is_switched_by_the_page(session: Session) -> None:
    with_labextension(session)
    page = Page(session, session.run("%santa off"))
    [asked] = page.asked
    assert (asked["action"], asked["value"]) == ("automatic", False)
    page.answer(asked, done=True)
    page.until(lambda: page.says("JupyterLab suggests code only when you ask"))


def test_the_panel_previews_and_sets_what_cells_do(session: Session) -> None:
    with_labextension(session)
    session.run("for i in range(3): pass")
    page = Page(session, session.run("%santa panel"))
    page.until(lambda: "mean log-probability" in page.texts())
    length = page.widget("IntSliderModel", description="max_new_tokens")
    before = request(session.url + "santajupyter/status")["stats"]["requests"]
    for value in (5, 6, 7):
        page.set(length, value=value)
    page.until(lambda: request(session.url + "santajupyter/status")["stats"]["requests"] > before)
    page.until(lambda: "mean log-probability" in page.texts())
    assert "max_new_tokens  7" in session.run("%santa config").text


def test_without_ipywidgets_it_is_text(session: Session) -> None:
    session.load()
    session.run(
        "import sys; sys.modules.pop('santajupyter.kernel.widgets', None); sys.modules['ipywidgets'] = None"
    )
    session.run("import santajupyter.kernel; vars(santajupyter.kernel).pop('widgets', None)")
    ran = session.run(CHOOSE)
    panel = session.run("%santa panel").error
    session.run("del sys.modules['ipywidgets']")
    assert (ran.error, len(ran.cells)) == ("", 1)
    assert "[2]" in ran.text
    assert panel.startswith("UsageError: The panel needs ipywidgets")
