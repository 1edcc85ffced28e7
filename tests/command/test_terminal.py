"""The magics in IPython in a terminal, without and with a server; and a notebook run by nbclient."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ..kernel.test_magics import TOKEN, server

fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")
fdpexpect = pytest.importorskip("pexpect.fdpexpect")


@pytest.fixture(scope="module")
def url(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with server(tiny, folder, folder) as (address, _):
        yield address


class Terminal:
    """IPython as one sees it, without its line editor."""

    def __init__(self, folder: Path, **variables: str) -> None:
        names = ("JPY_PARENT_PID", "JUPYTER_SERVER_URL", "SANTAJUPYTER_URL")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        folders = {"IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
        arguments = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
        # pexpect's own spawn runs Python between fork and exec, which crashes beside the threads of a model.
        self._terminal, other = os.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env={**environment, **folders, **variables, "PYTHONPATH": str(Path(__file__).parents[2])},
            start_new_session=True,
        )
        os.close(other)
        self._child = fdpexpect.fdspawn(self._terminal, encoding="utf-8", timeout=60)
        self._child.expect_exact("In [1]: ")
        self._prompts = 1
        self.run("%load_ext santajupyter")

    def run(self, code: str) -> str:
        """What stands between this input and the next prompt."""
        self._prompts += 1
        self._child.sendline(code)
        if code.startswith("%%"):
            self._child.send("\n\n")
        self._child.expect_exact(f"In [{self._prompts}]: ")
        return str(self._child.before).replace("\r\n", "\n")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


def test_without_a_server_the_model_can_be_here(tiny: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        said = terminal.run("%santa")
        assert "UsageError: No Jupyter server runs on this host" in said
        assert "start one with `santajupyter serve`" in said.replace("\n", " ")
        assert "Traceback" not in said
        assert "UsageError: me/none can't be used:" in terminal.run("%santa load --here me/none").replace(
            "\n", " "
        )
        said = terminal.run(f"%santa load --here {tiny}")
        assert f"{tiny} is ready on cpu." in said and "this process" in said
        assert "for i in" in terminal.run("%santa complete for i in")
        assert f"{tiny} is not loaded" in terminal.run("%santa unload")
        assert "No Jupyter server runs on this host" in terminal.run("%santa")
    finally:
        terminal.close()


def test_with_a_server(url: str, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, SANTAJUPYTER_URL=url, SANTAJUPYTER_TOKEN=TOKEN)
    try:
        said = terminal.run("%santa load")
        assert "is ready on cpu." in said and "<table>" not in said
        said = terminal.run("%%santa generate -m 12 -t 1.2 --seed 1 --no-context\nfor i in")
        assert "mean log-probability" in said and "<pre" not in said
        said = terminal.run("%%santa fill -m 8 -t 1.2 --seed 5 --no-context\na = <FILL>\nb = 2")
        assert "- a = <FILL>" in said and "  b = 2" in said
        assert "UsageError: The panel needs ipywidgets in a notebook" in terminal.run("%santa panel")
        assert "can't reach JupyterLab's ghost text" in terminal.run("%santa off")
        assert "2\n" in terminal.run("1 + 1")
    finally:
        terminal.close()


def test_a_notebook_run_from_end_to_end(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page made of it has text and HTML, whatever became of the widgets."""
    monkeypatch.setenv("SANTAJUPYTER_URL", url)
    monkeypatch.setenv("SANTAJUPYTER_TOKEN", TOKEN)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    sources = [
        "%load_ext santajupyter",
        "%santa load",
        "%%santa generate -n 2 -m 8 --seed 1 --no-context\nfor i in",
        "%%santa fill -m 8 -t 1.2 --seed 5 --no-context\na = <FILL>\nb = 2",
        "%santa explain-prompt\nx = 1",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=60).execute()
    outputs = [cell.outputs for cell in notebook.cells]
    assert "is ready on cpu" in outputs[1][-1].data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in outputs[2][-1].data
    assert "- a = <FILL>" in outputs[3][-1].data["text/plain"]
    assert "left of the cursor" in outputs[4][-1].data["text/html"]
