"""A real server in its own process, and the magics in a real kernel that it started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

TOKEN = "a-test-token"


@dataclass
class Session:
    """A kernel of a running server."""

    url: str
    client: BlockingKernelClient

    def run(self, code: str) -> tuple[str, str, list[str]]:
        """(stdout, the error's last line, the texts of new cells)."""
        out: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                out.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=90, output_hook=collect, store_history=True)[
            "content"
        ]
        cells = [
            p["text"]
            for p in reply.get("payload", [])
            if p["source"] == "set_next_input" and not p["replace"]
        ]
        error = f"{reply['ename']}: {reply['evalue']}" if reply["status"] == "error" else ""
        return "".join(out), error, cells


@pytest.fixture(scope="module")
def session(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    runtime = tmp_path_factory.mktemp("runtime")
    with server(tiny, tmp_path_factory.mktemp("server"), runtime) as url:
        kernel = request(url + "api/kernels", {"name": "python3"})["id"]
        client = BlockingKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(60)
        yield Session(url, client)
        client.stop_channels()


@contextmanager
def server(model: Path, folder: Path, runtime: Path, *options: str) -> Iterator[str]:
    """The base URL of a Jupyter server in a process of its own."""
    port = free_port()
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime), "IPYTHONDIR": str(folder / "ipython")}
    arguments = ["--no-browser", "--allow-root", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    arguments += [f"--SantaApp.model={model}", "--SantaApp.fallback_model=", "--ServerApp.base_url=/user/me/"]
    arguments += ["--ServerApp.jpserver_extensions={'santajupyter': True}", f"--ServerApp.root_dir={folder}"]
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
            yield url
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    asked = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(asked, timeout=30) as response:
        return dict(json.load(response))


def until_up(url: str, log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{url}api", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_preload_needs_no_first_use(tiny: Path, tmp_path: Path) -> None:
    with server(tiny, tmp_path, tmp_path, "--SantaApp.preload=True") as url:
        for _ in range(300):
            state = request(url + "santajupyter/status")["state"]
            if state != "loading":
                break
            time.sleep(0.1)
    assert state == "ready"


def test_the_extension_loads_without_torch(session: Session) -> None:
    out, error, _ = session.run("%load_ext santajupyter\nimport sys\nprint('torch' in sys.modules)")
    assert (out, error) == ("False\n", "")


def test_status_before_and_after_the_first_use(session: Session, tiny: Path) -> None:
    session.run("%load_ext santajupyter")
    out, error, _ = session.run("%santa")
    assert (out, error) == (f"{tiny} is not loaded; it loads on first use.\n", "")
    session.run("%%santa generate -m 4\n# add two numbers")
    out, error, _ = session.run("%santa status")
    assert out.splitlines() == [
        f"{tiny} is ready on cpu.",
        f"model   {tiny} (santacoder, window 256 tokens)",
        "device  cpu, float32",
    ]


def test_generate_makes_a_new_cell_and_runs_nothing(session: Session) -> None:
    session.run("%load_ext santajupyter")
    out, error, cells = session.run(
        "%%santa generate -m 30 -t 1.2\nghost = 1\nfor i in {1, 2}:  # '%d' {braces}"
    )
    assert error == ""
    assert len(cells) == 1 or "has nothing to add" in out
    assert all(cell.startswith("ghost = 1\nfor i in {1, 2}:  # '%d' {braces}") for cell in cells)
    assert session.run("ghost")[1].startswith("NameError")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("%santa generate", "UsageError: Use %santa for the status"),
        ("%%santa status\nx", "UsageError: Use %santa for the status"),
        ("%santa nonsense", "UsageError: argument command: invalid choice: 'nonsense'"),
        ("%%santa generate -m 99999\nx", "UsageError: max_new_tokens: must be a whole number from 1 to 1024"),
    ],
)
def test_errors_are_one_sentence(session: Session, code: str, said: str) -> None:
    session.run("%load_ext santajupyter")
    assert session.run(code)[1].startswith(said)


def test_a_server_that_is_not_there(session: Session) -> None:
    session.run("%load_ext santajupyter")
    session.run("import os; os.environ['SANTAJUPYTER_URL'] = 'http://127.0.0.1:9/'")
    error = session.run("%santa")[1]
    session.run("del os.environ['SANTAJUPYTER_URL']")
    assert error.startswith("UsageError: The server at http://127.0.0.1:9/ doesn't answer")


def test_a_server_that_refuses(session: Session) -> None:
    session.run("%load_ext santajupyter")
    session.run(f"import os; os.environ['SANTAJUPYTER_URL'] = {session.url!r}")
    error = session.run("%santa")[1]
    session.run("del os.environ['SANTAJUPYTER_URL']")
    assert error.startswith("UsageError: The server refused this kernel's token")
