"""A real server in its own process, and the magics in a real kernel that it started."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.blocking.client import BlockingKernelClient

from santajupyter.kernel import views
from santajupyter.kernel.arguments import PARSERS

TOKEN = "a-test-token"
DOCS = (Path(__file__).parents[2] / "docs" / "magics.md").read_text("utf-8")


@dataclass
class Ran:
    """What became of a cell. ``text``: its output as a terminal shows it; ``cells``: texts of new cells."""

    text: str
    html: str
    error: str
    cells: list[str]
    replaced: list[str]
    messages: list[dict[str, Any]]


@dataclass
class Session:
    """A kernel of a running server."""

    url: str
    client: BlockingKernelClient
    server: subprocess.Popen[bytes]
    kernel: str

    def run(self, code: str) -> Ran:
        messages: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(
            code, timeout=90, output_hook=messages.append, store_history=True
        )["content"]
        payload = [p for p in reply.get("payload", []) if p["source"] == "set_next_input"]
        return Ran(
            *outputs(messages),
            error=f"{reply['ename']}: {reply['evalue']}" if reply["status"] == "error" else "",
            cells=[p["text"] for p in payload if not p["replace"]],
            replaced=[p["text"] for p in payload if p["replace"]],
            messages=messages,
        )

    def until_idle(self, asked: str) -> None:
        """Until the kernel is done with an execute request.

        ipykernel sends no reply to one whose interrupt comes just before the cell begins to run.
        """
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            idle = message["content"].get("execution_state") == "idle"
            if idle and message["parent_header"].get("msg_id") == asked:
                return

    def load(self) -> None:
        """%load_ext, as if anew, and with the model loaded."""
        request(self.url + "santajupyter/load", {})
        ran = self.run("%reload_ext santajupyter\n%santa load")
        assert ran.error == "" and "is ready on cpu" in ran.text

    @property
    def worker(self) -> psutil.Process:
        workers = psutil.Process(self.server.pid).children(recursive=True)
        return next(p for p in workers if "santajupyter.engine.worker" in p.cmdline())


def outputs(messages: list[dict[str, Any]]) -> tuple[str, str]:
    """The text and the HTML of all outputs, each as last updated."""
    shown: dict[str, Any] = {}
    for number, message in enumerate(messages):
        content = message["content"]
        if message["msg_type"] == "stream":
            shown[f"stream {number}"] = {"text/plain": content["text"]}
        elif message["msg_type"] in ("display_data", "update_display_data"):
            display = content["transient"].get("display_id", f"display {number}")
            # Frontends pass over an update of what was never displayed.
            if display in shown or message["msg_type"] == "display_data":
                shown[display] = content["data"]
    plain = [data["text/plain"].rstrip("\n") for data in shown.values()]
    return "\n".join(plain), "".join(data.get("text/html", "") for data in shown.values())


@pytest.fixture(scope="module")
def session(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    runtime = tmp_path_factory.mktemp("runtime")
    with server(tiny, tmp_path_factory.mktemp("server"), runtime) as (url, process):
        kernel = request(url + "api/kernels", {"name": "python3"})["id"]
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # on a busy machine a heartbeat comes late
        client.wait_for_ready(60)
        yield Session(url, client, process, kernel)
        client.stop_channels()


@contextmanager
def server(
    model: Path,
    folder: Path,
    runtime: Path,
    *options: str,
    token: str = TOKEN,
    extensions: Sequence[str] = ("santajupyter",),
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The base URL of a Jupyter server, and its process."""
    port = free_port()
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime), "IPYTHONDIR": str(folder / "ipython")}
    arguments = ["--no-browser", "--allow-root", f"--port={port}", f"--IdentityProvider.token={token}"]
    arguments += [f"--SantaApp.model={model}", "--SantaApp.fallback_model=", "--ServerApp.base_url=/user/me/"]
    arguments += [f"--ServerApp.jpserver_extensions={dict.fromkeys(extensions, True)}"]
    arguments += [f"--ServerApp.root_dir={folder}"]
    arguments += ["--SantaApp.check=False"]  # what a random model writes is no Python
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *arguments, *options],
            env=environment,
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}/user/me/"
        try:
            until_up(url, folder / "log")
            yield url, process
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    asked = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, headers)
    with urllib.request.urlopen(asked, timeout=120) as response:
        return dict(json.loads(response.read() or b"{}"))


def until_up(url: str, log: Path) -> None:
    for _ in range(900):
        try:
            with urllib.request.urlopen(f"{url}api", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_preload_needs_no_first_use(tiny: Path, tmp_path: Path) -> None:
    with server(tiny, tmp_path, tmp_path, "--SantaApp.preload=True") as (url, _):
        until(lambda: request(url + "santajupyter/status")["state"] != "loading")
        assert request(url + "santajupyter/status")["state"] == "ready"


def test_the_extension_loads_without_torch(session: Session) -> None:
    ran = session.run("%load_ext santajupyter\nimport sys\nprint('torch' in sys.modules)")
    assert (ran.text, ran.error) == ("False", "")


def test_status_before_and_after_the_first_use(session: Session, tiny: Path) -> None:
    session.load()
    session.run("%santa unload")
    ran = session.run("%santa")
    assert ran.text.splitlines()[0] == f"{tiny} is not loaded; it loads on first use."
    for _ in range(2):
        session.run("%%santa generate -m 4\n# add two numbers")
    ran = session.run("%santa status")
    lines = ran.text.splitlines()
    assert lines[:3] == [
        f"{tiny} is ready on cpu.",
        f"model        {tiny} (santacoder, window 256 tokens)",
        "device       cpu, float32",
    ]
    assert lines[3].startswith("main memory") and lines[4].startswith("latency")
    assert lines[5].startswith("asked at     http://") and lines[5].endswith("/user/me/")
    assert ran.html.startswith("<div") and "<table>" in ran.html
    assert TOKEN not in ran.text + ran.html


CODE = 'ghost = 1\nfor i in {1, 2}:  # \'%d\' {braces} $HOME """ <b> 🎅\n\tprint(i)\n'


def test_generate_makes_a_new_cell_and_runs_nothing(session: Session) -> None:
    session.load()
    ran = session.run("%%santa generate -m 30 -t 1.2 --seed 3 --no-context\n" + CODE)
    assert ran.error == ""
    assert len(ran.cells) == 1 and "mean log-probability" in ran.text
    assert ran.cells[0].startswith(CODE.rstrip("\n"))
    assert ran.cells[0] != CODE.rstrip("\n")
    assert session.run("ghost").error.startswith("NameError")


def test_where_the_result_goes(session: Session) -> None:
    session.load()
    cell = " -m 20 --seed 3 -t 1.2 --no-context\nx = 1"
    ran = session.run("%%santa generate --replace" + cell)
    assert len(ran.replaced) == 1 and not ran.cells
    ran = session.run("%%santa generate --show" + cell)
    assert not ran.replaced and not ran.cells
    assert "x = 1" in ran.text and "<pre" in ran.html


def test_earlier_cells_are_context_unless_told_otherwise(session: Session) -> None:
    session.load()
    session.run("reindeer = 9")
    before = request(session.url + "santajupyter/status")["stats"]["prompt_tokens"]
    for option in ("--with-context", "--no-context", "--lang java"):
        session.run(f"%%santa generate -m 1 {option}\nx")
        after = request(session.url + "santajupyter/status")["stats"]["prompt_tokens"]
        assert (after - before > 5) == (option == "--with-context")
        before = after


def test_doubt_is_shaded_on_wish(session: Session) -> None:
    session.load()
    cell = " -m 20 --seed 3 -t 1.2 --no-context\nx = '<b>🎅' "
    ran = session.run("%%santa generate --shade" + cell)
    assert "<span title='" in ran.html and "<b>" not in ran.html
    assert re.sub(r"<[^>]*>", "", ran.html).count("x = ") == 1 and len(ran.cells) == 1
    ran = session.run("%%santa generate -n 2 --shade --show" + cell)
    assert ran.html.count("<pre") == 2 and "<span title='" in ran.html
    assert "<span title='" not in session.run("%%santa generate --show" + cell).html


@given(
    st.lists(st.tuples(st.text("ab \n\r\t'\"#<é🦌(", min_size=1), st.floats(-9, 0)), max_size=8),
    st.text("a'#\n"),
)
def test_shaded_code_is_the_code(pieces: list[tuple[str, float]], given_text: str) -> None:
    text = given_text + "".join(piece for piece, _ in pieces)
    shaded, plain = (re.sub(r"<[^>]*>", "", views.code(text, "python", told)) for told in (pieces, ()))
    assert shaded == plain
    assert unescape(shaded) == text.replace("\r\n", "\n").replace("\r", "\n")


def test_candidates_to_pick(session: Session) -> None:
    session.load()
    ran = session.run("%%santa generate -n 3 -m 20 --seed 2 --no-context --below\nfor i in")
    assert [line[:3] for line in ran.text.splitlines() if line.startswith("[")] == ["[1]", "[2]", "[3]"]
    assert len(ran.cells) == 1
    second = session.run("%santa pick 2").cells
    assert len(second) == 1 and second != ran.cells and second[0].startswith("for i in")
    assert session.run("%santa pick 9").error == "UsageError: There are candidates 1 to 3."


def test_large_and_odd_cells(session: Session) -> None:
    session.load()
    for source in ("x = '🎅'  # {} %s\n" * 6000, "a = 1\r\nb = [\r\n", "\tif x:\n\t\ty = "):
        ran = session.run("%%santa generate -m 20 -t 1.2 --seed 1 --no-context\n" + source)
        assert ran.error == ""
        assert ran.cells or "has nothing to add" in ran.text


def test_fill_shows_a_diff_and_makes_a_cell(session: Session) -> None:
    session.load()
    ran = session.run("%%santa fill -m 12 -t 1.2 --seed 5 --no-context\na = <FILL>\nb = 2\nprint(a, <FILL>)")
    assert ran.error == ""
    assert "- a = <FILL>" in ran.text and "  b = 2" in ran.text
    assert "&lt;FILL&gt;" in ran.html and "<FILL>" not in ran.html
    assert "<FILL>" not in ran.cells[0] and ran.cells[0].splitlines()[1:2] == ["b = 2"]


FAILING = {
    "table = {'color': 1}\nfor _ in [1]:\n    print(table['colour'])": "    print(table['color'])",
    "mesure = [1]\nx = len(mesures)": "x = len(mesure)",
    "%time y = 1\nz = maxx(y, 2)": "z = max(y, 2)",
    "x = [1, 2\ny = 3": "x = [1, 2]",
    "def depth(a):\n    return a.uper()\ndepth('')": "    return a.upper()",
}


@pytest.mark.parametrize("source", FAILING)
def test_fix_mends_the_cell_that_failed(session: Session, source: str) -> None:
    session.run("%reload_ext santajupyter")
    assert session.run(source).error
    session.run("1")
    ran = session.run("%santa fix")
    assert ran.error == ""
    [new] = ran.cells
    assert FAILING[source] in new.split("\n") and f"+ {FAILING[source]}" in ran.text
    assert new.count("\n") == source.count("\n")
    [new] = session.run("%santa fix --replace").replaced
    assert FAILING[source] in new.split("\n")


def test_fix_says_why_it_has_nothing(session: Session) -> None:
    session.run("%reload_ext santajupyter")
    assert session.run("import no_such_package_here").error
    ran = session.run("%santa fix")
    assert (ran.error, ran.cells, ran.text) == ("", [], "Nothing near what is missing is there.")
    session.run("import sys; sys.last_value = None")
    assert session.run("%santa fix").text == "UsageError: No cell has failed in this kernel."


def test_doc_adds_documentation_alone(session: Session) -> None:
    session.load()

    def documented(options: str, source: str) -> str:
        """With the first seed for which the random model has words."""
        for seed in range(30):
            line = f"%%santa doc {options} -m 12 -t 1.0 --seed {seed} --no-context"
            ran = session.run(f"{line}\n{source}")
            assert ran.error == ""
            if ran.cells:
                return ran.cells[0]
            assert "no words for these functions" in ran.text
        raise AssertionError("never")

    new = documented("", "def f(x):\n    return x")
    assert new.startswith('def f(x):\n    """') and new.endswith('"""\n    return x')
    new = documented("--lang javascript", "function f(x) { return x }")
    assert new.startswith("/**\n * ") and new.endswith("*/\nfunction f(x) { return x }")


def test_complete_takes_the_line_as_it_is(session: Session) -> None:
    session.load()
    ran = session.run("x = 1\n%santa complete d = {x}  '$x' \"{")
    assert (ran.text.startswith("d = {x}  '$x' \"{"), ran.error) == (True, "")


def test_explain_prompt_shows_this_cell(session: Session) -> None:
    session.load()
    session.run("reindeer = 9")
    ran = session.run('%santa explain-prompt\nsleigh = "<b>" + "{}"')
    assert "left of the cursor: " in ran.text and "reindeer = 9" in ran.text
    assert 'sleigh = "<b>" + "{' in ran.text
    assert "%santa" not in ran.text and "<b>" not in ran.html
    ran = session.run("%%santa explain-prompt\na = <FILL>\nprint(a)")
    assert "right of the cursor: " in ran.text and "format: " in ran.text


def test_config_is_what_cells_do_by_default(session: Session) -> None:
    session.load()
    ran = session.run("%santa config -m 3 -t 0.5 --lang java")
    assert {"max_new_tokens  3", "temperature     0.5", "lang            java"} <= set(ran.text.splitlines())
    session.run("%%santa generate --seed 1 --no-context\nint x")
    usage = session.run("%santa config").text
    assert "max_new_tokens  3" in usage


def test_models_and_the_licence(session: Session, tiny: Path) -> None:
    session.load()
    assert f"{tiny}  answers now (configured)" in session.run("%santa models").text
    assert "OpenRAIL-M" in session.run("%santa license").text


@pytest.mark.parametrize("name", ["", *PARSERS])
def test_every_command_has_help_and_stands_in_the_docs(session: Session, name: str) -> None:
    session.load()
    ran = session.run(f"%santa {name} -h")
    assert ran.error == "" and f"%santa {name or 'config'}" in ran.text
    assert name in DOCS


def test_tab_completes_commands_and_options(session: Session) -> None:
    session.load()

    def matches(text: str) -> list[str]:
        reply = session.client.complete(text, reply=True, timeout=30)["content"]
        return list(reply["matches"])

    assert "status" in matches("%santa st")
    assert "generate" not in matches("%santa ge")
    assert "generate" in matches("%%santa ge")
    assert {"--top-p", "--temperature"} <= set(matches("%%santa fill --t"))
    assert "javascript" in matches("%%santa doc --lang java")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("%santa generate", "Write `%%santa generate` on the first line of a cell"),
        ("%%santa status\nx", "Write `%santa status` on a line of its own"),
        ("%santa nonsense", "There is no command nonsense; there are status, "),
        ("%%santa generate -m 99999\nx", "max_new_tokens: must be a whole number from 1 to 1024"),
        ("%%santa generate -m many\nx", "argument -m/--max-new-tokens: invalid int value: 'many'"),
        ("%%santa generate --lang cobol\nx", "argument --lang: invalid choice: 'cobol'"),
        ("%%santa generate -n 99\nx", "argument -n: invalid choice: 99"),
        ("%%santa generate 'x\nx", "%santa generate: No closing quotation"),
        ("%%santa fill\nx", "Mark one hole or more with <FILL>."),
        ("%%santa doc\nx = 1", "There is no function without documentation here."),
        ("%%santa doc\ndef f(:", "This isn't complete Python (line 1): mend it first."),
        ("%santa complete", "Say what to complete: %santa complete EXPR."),
        ("%santa pick 1", "There are no candidates: make some with `%%santa generate -n 3`."),
        ("%santa load me/other", "model: me/other is not one of SantaApp.allowed_models"),
        ("%santa off", "This kernel can't reach JupyterLab's ghost text"),
    ],
)
def test_errors_are_one_sentence(session: Session, code: str, said: str) -> None:
    session.load()
    error = session.run(code).error
    assert error.startswith(f"UsageError: {said}") and "\n" not in error


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("http://127.0.0.1:9/", "", "The server at http://127.0.0.1:9/ doesn't answer"),
        ("no url", "", "The server at no url/ doesn't answer"),
        ("OWN", "", "The server refused the token"),
        ("OWN", "wrong", "The server refused the token"),
        ("OWNapi/", TOKEN, "The server runs without santajupyter"),
    ],
)
def test_a_server_that_does_not_serve(session: Session, url: str, token: str, said: str) -> None:
    session.load()
    variables = {"SANTAJUPYTER_URL": url.replace("OWN", session.url), "SANTAJUPYTER_TOKEN": token}
    session.run(f"import os; os.environ.update({variables!r})")
    error = session.run("%santa").error
    session.run(f"for name in {list(variables)!r}: del os.environ[name]")
    assert error.startswith("UsageError: " + said)


def test_an_interrupt_frees_kernel_and_engine(session: Session) -> None:
    session.load()
    session.worker.suspend()  # a model that takes for ever
    session.client.execute("%%santa generate\nx = 1")
    until(lambda: request(session.url + "santajupyter/status")["busy"] == 1)
    request(f"{session.url}api/kernels/{session.kernel}/interrupt", {})
    assert session.run("1").error == ""
    until(lambda: request(session.url + "santajupyter/status")["busy"] == 0)
    session.worker.resume()
    assert session.run("%%santa generate -m 2\nx = 1").error == ""


def test_interrupts_at_any_time_leave_kernel_and_engine_clean(session: Session) -> None:
    session.load()
    cell = "%%santa generate -n 8 -t 2 -m 1000 --below --no-context --seed 1\n"
    begun = time.monotonic()
    session.run(cell + "x")
    whole = time.monotonic() - begun
    cancelled = request(session.url + "santajupyter/status")["stats"]["cancelled"]
    times = random.Random(6)
    for _ in range(12):
        asked = session.client.execute(cell + "x = (")
        time.sleep(times.uniform(0, whole))
        request(f"{session.url}api/kernels/{session.kernel}/interrupt", {})
        session.until_idle(asked)
        until(lambda: request(session.url + "santajupyter/status")["busy"] == 0)
        assert session.run("%santa complete x").error == ""
    assert request(session.url + "santajupyter/status")["stats"]["cancelled"] > cancelled


def until(holds: Callable[[], bool]) -> None:
    """Waits, as long as a busy machine may take."""
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("never")
