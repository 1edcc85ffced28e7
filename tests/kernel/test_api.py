"""The functions for scripts, and how the server is found, at a real server."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import santajupyter
from santajupyter.engine.process import EngineUnavailable
from santajupyter.kernel import api, client, discovery, local, views
from santajupyter.kernel.client import NotYet, SantaError
from santajupyter.protocol import Completion, Item

from .test_magics import TOKEN, request, server, until

KERNEL_VARIABLES = ["JPY_PARENT_PID", "JUPYTER_SERVER_URL", "JUPYTERHUB_SERVICE_URL", "SANTAJUPYTER_URL"]


@pytest.fixture(scope="module")
def url(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with server(tiny, folder, folder) as (address, _):
        yield address


@pytest.fixture
def runtime(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder of our own, in which no server is known."""
    for name in KERNEL_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANTAJUPYTER_URL", url)
    monkeypatch.setenv("SANTAJUPYTER_TOKEN", TOKEN)


def known(runtime: Path, name: str, url: str, **fields: Any) -> None:
    """A server's info file, as jupyter_server writes it; this test's process runs for sure."""
    info = {"url": url, "token": TOKEN, "pid": os.getpid(), "root_dir": "", "base_url": "/", **fields}
    (runtime / f"jpserver-{name}.json").write_text(json.dumps({**info, "sock": "", "port": 1}))


@pytest.mark.usefixtures("named")
class TestFunctions:
    def test_complete(self) -> None:
        deltas: list[str] = []
        made = santajupyter.complete(
            "for i in",
            max_new_tokens=20,
            temperature=1.2,
            seed=1,
            on_delta=lambda _, text: deltas.append(text),
        )
        assert made.text == made.items[0].text and made.text.startswith("".join(deltas).rstrip()[:5])
        assert made.usage.completion_tokens > 0 and made.timings.decode_ms > 0
        several = santajupyter.complete("for i in", n=3, temperature=1.2, seed=1)
        assert len(several.items) == 3

    def test_fill(self) -> None:
        text = santajupyter.fill("a = <FILL>\nb = 2\n", max_new_tokens=8, temperature=1.2, seed=5)
        assert "<FILL>" not in text and text.endswith("\nb = 2\n")

    def test_fill_beside_other_text_is_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        at_cursor = client.at_cursor

        def note(*args: Any, **fields: Any) -> dict[str, Any]:
            asked.append(fields["mode"])
            return at_cursor(*args, **fields)

        monkeypatch.setattr(client, "at_cursor", note)
        santajupyter.fill("a = <FILL>\nif a:\n    <FILL>\nif b: <FILL>", max_new_tokens=1)
        assert asked == ["line", "block", "block"]

    def test_docstring(self) -> None:
        code = "def f(x):\n    return x\n"
        made = (
            santajupyter.docstring(code, max_new_tokens=12, temperature=1.0, seed=seed) for seed in range(30)
        )
        new = next(text for text in made if text != code)  # the random model mostly has no words
        assert new.startswith('def f(x):\n    """') and new.endswith("    return x\n")

    async def test_their_twins_run_in_any_loop(self) -> None:
        text, made = await asyncio.gather(
            santajupyter.fill_async("a = <FILL>", max_new_tokens=4), santajupyter.complete_async("b = ")
        )
        assert text.startswith("a = ") and made.model

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda: santajupyter.fill("none"), "Mark one hole or more with <FILL>."),
            (lambda: santajupyter.docstring("x = 1"), "There is no function without documentation here."),
            (lambda: santajupyter.docstring("def f(:"), "This isn't complete Python"),
            (lambda: santajupyter.docstring("", language="cobol"), "language: must be one of python, java"),
            (lambda: santajupyter.complete("x", n=2), "n: several candidates need a temperature above 0"),
            (lambda: santajupyter.complete("\ud800"), "The text has half of a surrogate pair"),
        ],
    )
    def test_errors_are_sentences(self, call: Any, said: str) -> None:
        with pytest.raises(SantaError) as error:
            call()
        assert str(error.value).startswith(said)

    def test_an_unknown_name(self) -> None:
        with pytest.raises(AttributeError):
            santajupyter.nonsense  # noqa: B018


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = "import sys, santajupyter; print({'torch', 'httpx', 'jupyter_server'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("state", "serving", "said"),
    [
        ("loading", "santa-mini", "Loading me/tiny."),
        ("ready", "me/tiny", "me/tiny is at work."),
        ("error", "santa-mini", "santa-mini is at work."),
        ("error", None, "Loading me/tiny."),
    ],
)
def test_what_a_caller_hears_while_it_waits(
    state: str, serving: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model had failed and the one that stands in was loading: "None is at work."."""
    monkeypatch.setattr(client, "REPORT_INTERVAL", 0.01)
    heard = threading.Event()
    words: list[str] = []

    class Slow:
        async def status(self) -> dict[str, Any]:
            return {"state": state, "serving": serving, "message": "Loading me/tiny.", "progress": None}

        async def complete(self, body: Any, on_delta: Any) -> Completion:
            await asyncio.to_thread(heard.wait, 10)
            return Completion((Item("x"),), "")

    def hear(status: dict[str, Any]) -> None:
        words.append(status["message"])
        heard.set()

    client.run(client.ask(Slow(), {}, on_wait=hear))  # type: ignore[arg-type]
    assert words[0] == said


@pytest.mark.skipif(os.name == "nt", reason="a signal to a thread")
def test_an_interrupt_cancels_the_work() -> None:
    """In a process of its own: pytest's, with the threads of all that was loaded there, once died of it."""
    code = """if True:
        import asyncio, os, signal, threading
        from santajupyter.kernel import client
        cancelled = threading.Event()
        async def work():
            # Not before it is waited for.
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
        # What a shell runs in the background begins with interrupts ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            client.run(work())
        except KeyboardInterrupt:
            print(cancelled.wait(10))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


class TestConnections:
    @pytest.fixture
    def server(self, url: str) -> client.Server:
        return client.Server(url, TOKEN)

    def test_they_are_kept_and_need_no_certificates(
        self, server: client.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each status read all certificates for a plain connection, 46 ms of 47."""
        opened: list[Any] = []
        connect = asyncio.BaseEventLoop.create_connection

        def count(*args: Any, **kwargs: Any) -> Any:
            opened.append(kwargs.get("ssl"))
            return connect(*args, **kwargs)

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("read the certificates")

        monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", count)
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", refuse)
        another = client.Server(server.url.replace("127.0.0.1", "localhost"), TOKEN)
        for _ in range(3):
            assert client.run(another.status())["state"]
        assert opened == [None]

    def test_a_server_that_has_restarted_is_asked_anew(self, stub: Stub) -> None:
        """The connection kept from before is of no use then."""
        stub.answers = [json.dumps({"state": "ready"})] * 2
        assert client.run(stub.server.status())["state"] == "ready"
        stub.restart()
        assert client.run(stub.server.status())["state"] == "ready"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    @pytest.mark.usefixtures("named")
    def test_a_forked_process_may_ask_too(self) -> None:
        """It waited for ever for its parent's event loop, whose thread it doesn't have."""
        santajupyter.complete("x = ", max_new_tokens=1)
        child = os.fork()
        if child == 0:
            threading.Timer(60, os._exit, (2,)).start()
            try:
                os._exit(0 if santajupyter.complete("x = ", max_new_tokens=1).model else 1)
            finally:
                os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Stub:
    """A server of another version than ours: answers each request with the next of ``answers``."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.status, self.headers = 200, dict[str, str]()
        self.pause: threading.Event | None = None  # what the end of an answer waits for
        self._start(0)

    @property
    def server(self) -> client.Server:
        return client.Server(f"http://127.0.0.1:{self._http.server_port}/", "")

    def restart(self) -> None:
        self.stop()
        self._start(self._http.server_port)

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _start(self, port: int) -> None:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = stub.answers.pop(0).encode()
                kind = (
                    "text/event-stream"
                    if body.startswith((b"data:", b"event:", b":"))
                    else "application/json"
                )
                self.send_response(stub.status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in stub.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[:-1])
                if stub.pause:
                    stub.pause.wait()
                self.wfile.write(body[-1:])

            do_GET = do_POST  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.stop()


FUTURE = {"future": {"a": [1]}}
ITEM = {"text": "x", "finish_reason": "stop", "logprob": -1.0}


async def test_an_unloaded_model_is_not_asked_for_again() -> None:
    """Whoever waited for it would have brought it back."""

    async def fail() -> None:
        raise EngineUnavailable("It was unloaded.", "unloaded", 1)

    with pytest.raises(SantaError, match="It was unloaded") as failed:
        await local._there(fail())
    assert not isinstance(failed.value, client.NotYet)


class TestOtherVersions:
    """A kernel's package may be older or newer than its server's."""

    def test_a_newer_servers_stream(self, stub: Stub) -> None:
        """Another field was a TypeError."""
        answer = {"items": [{**ITEM, **FUTURE}], "model": "m", "usage": FUTURE, "timings": FUTURE, **FUTURE}
        events = [
            ": hello",
            "event: heartbeat\ndata: {}",
            "retry: 3",
            "data: [1]",
            f"data: {json.dumps(FUTURE)}",
        ]
        events += [f"data: {json.dumps({'index': 0, 'text': 'x', **FUTURE})}", f"data: {json.dumps(answer)}"]
        stub.answers = ["\r\n\r\n".join(events).replace("\ndata", "\r\ndata") + "\r\n\r\n"]
        deltas: list[tuple[int, str]] = []
        made = client.run(client.ask(stub.server, {}, lambda *delta: deltas.append(delta)))
        assert (made.text, made.model, deltas) == ("x", "m", [(0, "x")])

    def test_a_newer_servers_status_and_prompt(self, stub: Stub) -> None:
        model = {"model": "m", "state": "ready", **FUTURE}
        stub.answers = [json.dumps({**model, "fallback": model, "stats": FUTURE, "serving": "m"})]
        status = client.run(stub.server.status())
        assert "future" not in json.dumps(status)
        assert "m (left to right, window 0 tokens)" in views.status(status, "here").text
        piece = {"name": "cell 1", "text": "x", "tokens": 1, "cached": 0, **FUTURE}
        stub.answers = [json.dumps({"model": "m", "window": 9, "pieces": [piece], **FUTURE})]
        assert "--- cell 1: 1 tokens" in views.prompt(client.run(stub.server.explain({}))).text

    @pytest.mark.parametrize("answer", ["{}", json.dumps({"state": "downloading", "progress": {"done": 3}})])
    def test_an_older_servers_status(self, stub: Stub, answer: str) -> None:
        stub.answers = [answer]
        status = client.run(stub.server.status())
        for view in (views.status(status, "here"), views.progress(status), views.models(status)):
            assert view.html

    def test_an_older_servers_completion(self, stub: Stub) -> None:
        stub.answers = [json.dumps({"items": [{"text": "x"}], "model": "m"})]
        made = client.run(client.ask(stub.server, {}))
        assert (made.text, views.summary(made)) == ("x", "m: 0 tokens, mean log-probability 0.00.")

    @pytest.mark.parametrize("body", ["data: {\n\n", "data: x", "event: error\ndata: 3\n\n", "data: {}\n\n"])
    def test_a_stream_that_breaks_off(self, stub: Stub, body: str) -> None:
        stub.answers = [body]
        with pytest.raises(SantaError, match="ended its answer early"):
            client.run(client.ask(stub.server, {}))

    @pytest.mark.parametrize("events", [True, False])
    def test_an_answer_without_end(self, stub: Stub, events: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "MAX_ANSWER", 1000)
        stub.answers = ["data: " * events + "x" * 2000]
        with pytest.raises(SantaError, match="longer than"):
            client.run(client.ask(stub.server, {}))

    def test_an_answer_that_is_never_whole(self, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "STREAM_TIMEOUT", 0.5)
        stub.pause = threading.Event()
        stub.answers = [": and so on"]
        with pytest.raises(SantaError, match="hasn't answered within"):
            client.run(client.ask(stub.server, {}))
        stub.pause.set()

    def test_an_answer_that_is_compressed(self, stub: Stub) -> None:
        stub.headers["Content-Encoding"] = "gzip"
        stub.answers = ["x"]
        with pytest.raises(SantaError, match="compressed"):
            client.run(client.ask(stub.server, {}))

    @pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "nan", "-1e999", "0", "1e999"])
    def test_any_retry_after(self, stub: Stub, value: str) -> None:
        stub.status, stub.headers["Retry-After"] = 503, value
        stub.answers = [json.dumps({"message": "Loading.", "reason": "loading"})]
        with pytest.raises(NotYet) as caught:
            client.run(stub.server.complete({}, lambda index, text: None))
        assert client.SHORTEST_WAIT <= caught.value.retry_after <= client.LONGEST_WAIT

    def test_candidates_that_were_not_asked_for(self, stub: Stub) -> None:
        stub.answers = [
            'data: {"index": 7, "text": "x"}\n\ndata: {"index": -1, "text": "x"}\n\n'
            'data: {"items": [], "model": "m"}\n\n'
        ]
        texts = [""]
        with pytest.raises(SantaError, match="early"):
            client.run(client.ask(stub.server, {}, lambda index, text: texts.insert(index, text)))
        assert texts == [""]

    def test_what_others_say_is_printable(self, stub: Stub) -> None:
        """A hub's error text could set a terminal's title."""
        stub.answers = [
            "event: error\ndata: " + json.dumps({"message": "no \x1b]0;x\x07", "reason": "error"}) + "\n\n"
        ]
        with pytest.raises(SantaError, match=r"^no �\]0;x�$"):
            client.run(client.ask(stub.server, {}))
        stub.answers = [json.dumps({"message": "no \x1b]0;x\x07 <b>", "progress": {"done": 1, "total": 2}})]
        progress = views.progress(client.run(stub.server.status()))
        assert progress.text == "no \ufffd]0;x\ufffd <b>"
        assert "&lt;b&gt;" in progress.html and "value='1' max='2'" in progress.html


def test_text_that_was_shown_does_not_come_again() -> None:
    """When the engine ended in mid-text, the request was made again, and what was shown was abcabc."""
    asked: list[Any] = []

    class Dying:
        async def complete(self, body: Any, on_delta: Callable[[int, str], None]) -> Completion:
            asked.append(body)
            if len(asked) > 1:  # the first has died before it looked at the request
                on_delta(0, "abc")
            raise NotYet("The model's process ended.", 0.0)

    shown: list[str] = []
    with pytest.raises(SantaError, match=r"The model's process ended\."):
        client.run(client.ask(Dying(), {}, lambda _, text: shown.append(text)))  # type: ignore[arg-type]
    assert (shown, len(asked)) == (["abc"], 2)


@pytest.mark.usefixtures("runtime")
class TestFindingTheServer:
    def test_none(self) -> None:
        with pytest.raises(
            SantaError, match=r"No Jupyter server runs on this host .*: start one with `santajupyter serve`"
        ):
            discovery.find_server()

    def test_the_only_one(self, runtime: Path, url: str) -> None:
        known(runtime, "1", url)
        assert discovery.find_server() == client.Server(url, TOKEN)

    @pytest.mark.parametrize("info", ["", "[]", "null", "{", "{}", '{"pid": "1"}', '{"url": 1, "pid": 1e30}'])
    def test_what_no_server_has_written(self, runtime: Path, url: str, info: str) -> None:
        known(runtime, "1", url)
        (runtime / "jpserver-2.json").write_text(info)
        (runtime / "jpserver-3.json").mkdir()
        if hasattr(os, "mkfifo"):
            os.mkfifo(runtime / "jpserver-4.json")
        assert discovery.find_server() == client.Server(url, TOKEN)

    def test_of_several_the_one_that_started_us(
        self, runtime: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known(runtime, "1", url)
        known(runtime, "2", "http://127.0.0.1:9/", pid=os.getppid())
        assert discovery.find_server().url == "http://127.0.0.1:9/"
        monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
        (runtime / "jpserver-2.json").unlink()
        known(runtime, "2", "http://127.0.0.1:9/", pid=1)
        assert discovery.find_server().url == url

    def test_of_several_the_terminals_own(
        self, runtime: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known(runtime, "1", url)
        known(runtime, "2", "http://127.0.0.1:9/")
        monkeypatch.setenv("JUPYTER_SERVER_URL", "http://127.0.0.1:9/")
        assert discovery.find_server().url == "http://127.0.0.1:9/"

    def test_of_several_the_one_that_knows_this_kernel(
        self, runtime: Path, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kernel = request(url + "api/kernels", {"name": "python3"})["id"]
        known(runtime, "1", "http://127.0.0.1:9/")
        known(runtime, "2", url)
        monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: f"/run/kernel-{kernel}.json")
        assert discovery.find_server().url == url

    def test_several_are_named(self, runtime: Path, url: str) -> None:
        known(runtime, "1", url)
        known(runtime, "2", "http://127.0.0.1:9/")
        with pytest.raises(SantaError, match="set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN") as error:
            discovery.find_server()
        assert url in str(error.value) and TOKEN not in str(error.value)

    def test_under_a_hub(self, runtime: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        port = url.split(":")[2].split("/")[0]
        monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", f"http://0.0.0.0:{port}/user/me/")
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
        found = discovery.find_server()
        assert found == client.Server(url, TOKEN)
        assert client.run(found.status())["state"]
        # A hub's own servers have no token in their info files.
        known(runtime, "1", url, token="")
        assert discovery.find_server() == client.Server(url, TOKEN)


def test_a_server_without_tokens(tiny: Path, tmp_path: Path) -> None:
    with server(tiny, tmp_path, tmp_path, token="") as (url, _):
        found = client.Server(url, "")
        made = client.run(client.ask(found, client.at_cursor("x = ", max_new_tokens=2)))
    assert made.items


class TestHere:
    @pytest.fixture
    def engine(self, tiny: Path, runtime: Path) -> Iterator[local.LocalEngine]:
        yield local.start(str(tiny))
        local.stop()
        assert local.current is None

    def test_it_is_asked_before_any_server(self, engine: local.LocalEngine, tiny: Path) -> None:
        said: list[str] = []
        status = client.run(client.loaded(engine, "", lambda status: said.append(status["state"])))
        assert (status["state"], said[0]) == ("ready", "loading")
        made = api.complete("for i in", max_new_tokens=4)
        assert made.model == str(tiny)
        assert client.run(engine.explain(client.at_cursor("x")))["window"] == 256
        assert client.run(engine.unload())["state"] == "unloaded"

    async def test_from_another_loop(self, engine: local.LocalEngine) -> None:
        assert (await api.complete_async("for i in", max_new_tokens=2)).model

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (client.at_cursor("x", max_new_tokens=0), "max_new_tokens: must be a whole number"),
            ({}, "cells: missing"),
        ],
    )
    def test_its_errors_are_the_servers(self, engine: local.LocalEngine, body: Any, said: str) -> None:
        with pytest.raises(SantaError, match=said):
            client.run(client.ask(engine, body))
        with pytest.raises(SantaError, match="is not one of SantaApp"):
            client.run(engine.load("me/other"))

    def test_what_is_not_wanted_any_more_is_cancelled(self, engine: local.LocalEngine) -> None:
        client.run(client.loaded(engine))
        body = client.at_cursor("x = (\n", mode="block", max_new_tokens=1000, n=8, temperature=1.0)
        future = client.submit(client.ask(engine, body))
        until(lambda: client.run(engine.status())["busy"] == 1 or future.done())
        future.cancel()
        until(lambda: client.run(engine.status())["busy"] == 0)
