"""The command line as a user runs it, with real servers, a real hub, and installations that are broken."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import psutil
import pytest

from santajupyter import __version__
from santajupyter.command import cli, doctor
from santajupyter.engine import quantised
from santajupyter.kernel import client
from santajupyter.server.serve import CannotServe, hub_options

from ..checkpoint import make_checkpoint
from ..hub import COMMIT, hub_with
from ..kernel.test_magics import TOKEN, free_port, request, server, until

ROOT = Path(__file__).parents[2]
# A configuration that opens whatever a Jupyter server has.
OPEN = """
import os
c.ServerApp.jpserver_extensions = {"jupyter_server_terminals": True, "jupyterlab": True}
c.ServerApp.extra_services = [f"jupyter_server.services.{name}.handlers" for name in ("contents", "kernels")]
c.ServerApp.extra_static_paths = [os.getcwd()]
c.ServerApp.terminals_enabled = True
c.ServerApp.allow_unauthenticated_access = True
"""
DOCS = (ROOT / "docs" / "cli.md").read_text("utf-8")
# It says what it was told.
VLLM = """#!{python}
import os, sys, time
sys.path.insert(0, "{tests}")
from pathlib import Path
from tests.remote import Remote, serving
from santajupyter.prompt.tokenizer import CodeTokenizer
command, model, _, _, _, port, _, name, *options = sys.argv[1:]
pieces = ((" ".join(options), -0.1),)
tokenizer = CodeTokenizer.from_folder(Path(model))
remote = Remote(tokenizer, name, pieces=pieces, key=os.environ["VLLM_API_KEY"])
with serving(remote, int(port)):
    while True:
        time.sleep(60)
"""
COMMANDS = ("serve", "status", "complete", "generate", "download", "bench", "eval", "doctor")


@pytest.fixture(scope="module")
def environment(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of a shell on a host with one server."""
    folder = tmp_path_factory.mktemp("server")
    with server(tiny, folder, folder):
        names = (
            "JPY_PARENT_PID",
            "JUPYTER_SERVER_URL",
            "SANTAJUPYTER_URL",
            "HF_HUB_OFFLINE",
            "JUPYTER_TOKEN",
        )
        yield {
            **{name: value for name, value in os.environ.items() if name not in names},
            "JUPYTER_RUNTIME_DIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }


def run(environment: dict[str, str], *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "santajupyter.command.cli", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=110,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`{name}" in DOCS
    if name != "eval":
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        for option in re.findall(r"(?<!\S)--[a-z-]+", capsys.readouterr().out):
            assert option == "--help" or option in DOCS


def test_status(environment: dict[str, str], tiny: Path) -> None:
    code, out, _ = run(environment, "status")
    assert (code, out.splitlines()[0]) == (0, f"{tiny} is not loaded; it loads on first use.")
    assert json.loads(run(environment, "status", "--json")[1])["model"] == str(tiny)


def test_complete_at_a_place(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "a:b.py"
    file.write_text("x = '🎅'\nfor i in\n")
    options = ("-m", "12", "-t", "1.2", "--seed", "1")
    code, out, _ = run(environment, "complete", f"{file}:2:9", *options)
    assert code == 0 and out.strip()
    assert run(environment, "complete", f"{file}:2:9", *options)[1] == out
    assert run(environment, "complete", f"{file}:2:9", *options, "-n", "2")[1].startswith("[1]\n")


def test_escapes_reach_no_terminal(environment: dict[str, str]) -> None:
    code, out, err = run(environment, "generate", "-m", "2", "x = '\x1b]0;mine\x07\x9b31m'")
    assert code == 0 and "x = '" in out and not set("\x1b\x07\x9b") & set(out + err)


def test_generate_from_stdin(environment: dict[str, str]) -> None:
    code, out, _ = run(environment, "generate", "-m", "8", "-t", "1.2", "--seed", "1", stdin="for i in\n")
    assert code == 0 and out.startswith("for i in") and len(out) > len("for i in\n")


def test_bench(environment: dict[str, str]) -> None:
    code, out, err = run(environment, "bench", "-n", "4", "-m", "4")
    assert code == 0 and re.search(r"^p50 +\d+ ms\np95 +\d+ ms$", out, re.MULTILINE)
    assert "4 of 4" in err


def test_without_a_server(environment: dict[str, str], tmp_path: Path, tiny: Path) -> None:
    alone = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    code, out, err = run(alone, "complete", f"{__file__}:1:1")
    assert (code, out) == (1, "") and "start one with `santajupyter serve`" in err
    code, out, err = run(alone, "generate", "--here", "--model", str(tiny), "-m", "2", "x =")
    assert code == 0 and out.startswith("x =")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["complete", "x"], "x: write the place as "),
        (["complete", "\x1b]0;a\x07:1:1"], "\ufffd]0;a\ufffd: No such file or directory."),
        (["generate", "  "], "There is nothing to go on from: name a text, or send one to stdin."),
        (["generate", "--model", "me/other", "x"], "--model needs --here: a server's model is "),
        (["complete", "FOLDER:1:1"], "FOLDER: Is a directory."),
        (["complete", "none.py:1:1"], "none.py: No such file or directory."),
        (["complete", "FILE:99:1"], "FILE has no line 99; it has 2."),
        (["complete", "FILE:1:9"], "Line 1 of FILE has columns 1 to 3."),
        (["complete", "BINARY:1:1"], "BINARY isn't a text in UTF-8."),
        (["download", "FOLDER"], "FOLDER is a folder: there is nothing to download."),
        (["download", "no-id"], "no-id can't be had: no-id is neither a folder nor a hub id"),
    ],
)
def test_errors_are_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.py").write_text("ab\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    places = {"FILE": tmp_path / "file.py", "BINARY": tmp_path / "binary", "FOLDER": tmp_path}
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
        said = said.replace(name, str(path))
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"santajupyter: {said}") and captured.err.count("\n") == 1


def test_eval_hands_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    monkeypatch.setattr("santajupyter.evaluation.main.main", seen.append)
    assert cli.main(["eval", "replay", "--fast", "-h"]) == 0
    assert seen == [["replay", "--fast", "-h"]]


def test_a_missing_package_leads_to_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "santajupyter.kernel.views", None)
    monkeypatch.delattr("santajupyter.kernel.views", raising=False)
    assert cli.main(["status"]) == 1
    assert "`santajupyter doctor` says what to do" in capsys.readouterr().err


class TestServe:
    def start(
        self, environment: dict[str, str], *options: str, cwd: Path | None = None
    ) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-m", "santajupyter.command.cli", "serve", "--allow-root", *options]
        return subprocess.Popen(
            arguments, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can try")
    def test_root_is_told_how(self, environment: dict[str, str], tmp_path: Path) -> None:
        code, out, err = run({**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path)}, "serve")
        assert (code, out) == (1, "") and "add --allow-root" in err

    def test_it_serves_completions_and_nothing_else(
        self, environment: dict[str, str], tiny: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "jupyter_server_config.py").write_text(OPEN)
        (tmp_path / "secret.py").write_text("def hidden(): ...")
        alone = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
        options = ("--ServerApp.jpserver_extensions={'jupyter_server_terminals': True}",)
        process = self.start(alone, "--port", str(free_port()), "--model", str(tiny), *options, cwd=tmp_path)
        try:
            assert process.stdout
            first, second = process.stdout.readline(), process.stdout.readline()
            url = first.split()[2].removesuffix("santajupyter/")
            token = second.split()[-1]
            assert "127.0.0.1" in url or "localhost" in url
            assert len(token) > 20
            assert run(alone, "generate", "-m", "2", "x =")[0] == 0
            for path, sent, code in (
                ("santajupyter/status", "", 403),
                ("santajupyter/status", token, 200),
                ("api/contents", token, 404),
                ("api/kernels", token, 404),
                ("api/terminals", token, 404),
                ("api/sessions", token, 404),
                ("terminals/1", token, 404),
                ("static/secret.py", token, 404),
                ("files/secret.py", token, 404),
                ("lab", token, 404),
            ):
                headers = {"Authorization": f"token {sent}"} if sent else {}
                try:
                    with urllib.request.urlopen(urllib.request.Request(url + path, None, headers)) as answer:
                        got = answer.status
                except urllib.error.HTTPError as error:
                    got = error.code
                    error.close()
                assert (path, got) == (path, code)
            body = client.at_cursor("import secret\nopen('", path="a.ipynb")
            explained = client.run(client.Server(url, token).explain(body))
            assert "secret.py" not in str(explained) and "hidden" not in str(explained)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)

    @pytest.mark.skipif(sys.platform != "linux", reason="vLLM needs Linux")
    def test_vllm_lives_as_long_as_it_serves(
        self, environment: dict[str, str], tiny: Path, tmp_path: Path
    ) -> None:
        program = tmp_path / "vllm"
        program.write_text(VLLM.format(python=sys.executable, tests=Path(__file__).parents[2]))
        program.chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{environment.get('PATH', '')}"
        alone = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_TOKEN": TOKEN, "PATH": path}
        port = free_port()
        options = ("--vllm=--max-model-len 512", "--model", str(tiny), "--SantaApp.fallback_model=")
        process = self.start(alone, "--port", str(port), *options, cwd=tmp_path)

        def served() -> list[psutil.Process]:
            return [p for p in psutil.Process(process.pid).children(recursive=True) if "vllm" in p.name()]

        def answer() -> str:
            asked = {"prompt": "x =", "max_tokens": 4}
            try:
                made = request(f"http://127.0.0.1:{port}/santajupyter/v1/completions", asked)
            except OSError:
                return ""
            return str(made["choices"][0]["text"])

        try:
            until(lambda: answer() == "--max-model-len 512")
            [first] = served()
            first.kill()
            until(lambda: [p.pid for p in served()] not in ([], [first.pid]))
            [second] = served()
        finally:
            process.kill()
            process.communicate(timeout=30)
        second.wait(30)

    def test_where_there_is_no_vllm(self, environment: dict[str, str]) -> None:
        code, out, err = run({**environment, "PATH": ""}, "serve", "--vllm")
        assert (code, out) == (1, "") and "santajupyter: vLLM isn't installed here: pip install vllm" in err

    def test_it_refuses_to_serve_without_a_token(self, environment: dict[str, str], tmp_path: Path) -> None:
        alone = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path)}
        process = self.start(alone, "--IdentityProvider.token=")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (1, "")
        assert "santajupyter: A server needs a token: set JUPYTER_TOKEN" in err

    def test_it_is_no_service_where_no_hub_has_started_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JUPYTERHUB_SERVICE_URL", raising=False)
        with pytest.raises(CannotServe, match=r"JUPYTERHUB_SERVICE_URL isn't set: JupyterHub sets it for"):
            hub_options()

    def test_a_configuration_for_jupyterlab_does_not_open_it(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "jupyter_server_config.py").write_text("c.ServerApp.ip = '0.0.0.0'\n")
        alone = {**environment, "JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
        alone["JUPYTER_TOKEN"] = TOKEN
        process = self.start(alone, "--port", str(free_port()), "--model", "santa-mini")
        try:
            assert process.stdout and process.stdout.readline().startswith("Serving at ")
            until(lambda: run(alone, "status")[0] == 0)  # it says so, and has a file, before it answers
            info = json.loads(next(tmp_path.glob("jpserver-*.json")).read_text())
            assert info["hostname"] == "127.0.0.1"
            assert request(info["url"] + "santajupyter/status")["model"] == "santa-mini"
        finally:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
            assert TOKEN not in out


class TestDownload:
    @pytest.fixture
    def hub(self, environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
        (tmp_path / "tiny").mkdir()
        with hub_with(make_checkpoint(tmp_path / "tiny")) as url:
            yield {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}

    def test_it_downloads_and_checks(self, hub: dict[str, str], tmp_path: Path) -> None:
        code, out, err = run(hub, "download", "me/tiny")
        assert (code, err.count("Traceback")) == (0, 0)
        assert re.search(r"the checksums of its \d+ files are right\.", out)
        weights = next((tmp_path / "home").rglob("model.safetensors"))
        assert COMMIT in str(weights)
        weights.resolve().write_bytes(b"x" * weights.stat().st_size)
        code, _, err = run(hub, "download", "me/tiny")
        assert code == 1 and "model.safetensors was damaged and is deleted: run this again." in err
        code, out, _ = run(hub, "download", "me/tiny")
        assert code == 0 and "are right" in out

    def test_a_broken_connection_is_taken_up_where_it_broke(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        broken = [12_000_000, 11_000_000]
        ranges: list[str] = []
        with hub_with(self.large(tmp_path), breaks=broken, ranges=ranges) as url:
            own = {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
            code, out, err = run(own, "download", "me/tiny")
            assert code == 0 and "are right" in out, err
            assert ranges == ["", "bytes=12000000-", "bytes=23000000-"]

    def test_a_connection_that_breaks_again_and_again(self, hub: dict[str, str], tmp_path: Path) -> None:
        with hub_with(tmp_path / "tiny", breaks=[10] * 6) as url:
            code, _, err = run({**hub, "HF_ENDPOINT": url}, "download", "me/tiny")
        assert code == 1 and "me/tiny can't be had: it can't be downloaded from the hub: " in err
        assert "Traceback" not in err

    def test_a_model_that_is_not_there(self, hub: dict[str, str]) -> None:
        code, _, err = run(hub, "download", "me/other")
        assert code == 1 and "me/other can't be had: it can't be downloaded from the hub:" in err

    @pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
    def test_stopped_and_the_rest_later(
        self, sign: signal.Signals, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """What a stopped download had of a file was thrown away."""
        large = self.large(tmp_path)
        ranges: list[str] = []
        go_on = threading.Event()
        with hub_with(large, pause=go_on, ranges=ranges) as url:
            own = {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
            process = self.start(own)
            until(lambda: self.downloaded(tmp_path) >= 12_500_000)
            process.send_signal(sign)
            _, err = process.communicate(timeout=60)
            go_on.set()
            if sign == signal.SIGINT:
                assert process.returncode == 130 and "santajupyter: Stopped; what is here is kept.\n" in err
            else:
                assert process.returncode == -sign
            assert not list((tmp_path / "home").rglob("model.safetensors"))
            code, out, err = run(own, "download", "me/tiny")
        assert code == 0 and "are right" in out, err
        assert ranges[0] == "" and re.fullmatch(r"bytes=\d{8}-", ranges[1])
        assert not list((tmp_path / "home").rglob("*.part"))

    def test_two_at_once_are_one_download(self, environment: dict[str, str], tmp_path: Path) -> None:
        ranges: list[str] = []
        go_on, said = threading.Event(), tmp_path / "said.txt"
        with hub_with(self.large(tmp_path), pause=go_on, ranges=ranges) as url:
            own = {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
            first = self.start(own)
            until(lambda: self.downloaded(tmp_path) > 0)
            with said.open("w") as stream:
                second = self.start(own, stream)
            # Of what the first one has by then.
            until(lambda: re.search(r"\b[1-9]\d?%", said.read_text()) is not None)
            go_on.set()
            first.communicate(timeout=60)
            second.wait(timeout=60)
        assert (first.returncode, second.returncode, ranges) == (0, 0, [""])

    @pytest.mark.parametrize(("more", "asked"), [(0, []), (1, [""])])
    def test_a_part_as_long_as_the_file_or_longer(
        self, more: int, asked: list[str], environment: dict[str, str], tmp_path: Path
    ) -> None:
        """Every try asked for what comes after the file's end, and failed."""
        large = self.large(tmp_path)
        weights = (large / "model.safetensors").read_bytes()
        blobs = tmp_path / "home" / "hub" / "models--me--tiny" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{hashlib.sha256(weights).hexdigest()}.part").write_bytes(weights + bytes(more))
        ranges: list[str] = []
        with hub_with(large, ranges=ranges) as url:
            own = {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
            code, out, err = run(own, "download", "me/tiny")
        assert code == 0 and "are right" in out, err
        assert ranges == asked

    def test_what_is_not_what_the_hub_has(self, environment: dict[str, str], tmp_path: Path) -> None:
        """The part of an earlier try may have been damaged since."""
        go_on = threading.Event()
        with hub_with(self.large(tmp_path), pause=go_on) as url:
            own = {**environment, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")}
            process = self.start(own)
            until(lambda: self.downloaded(tmp_path) > 0)
            process.kill()
            process.communicate(timeout=60)
            go_on.set()
            [part] = (tmp_path / "home").rglob("*.part")
            part.write_bytes(b"x" * part.stat().st_size)
            code, _, err = run(own, "download", "me/tiny")
            assert code == 1 and "was damaged; it is deleted: try again" in err
            code, out, _ = run(own, "download", "me/tiny")
            assert code == 0 and "are right" in out

    @staticmethod
    def large(tmp_path: Path) -> Path:
        (tmp_path / "large").mkdir()
        folder = make_checkpoint(tmp_path / "large")
        (folder / "model.safetensors").write_bytes(random.Random(0).randbytes(25_000_000))
        return folder

    @staticmethod
    def start(environment: dict[str, str], stderr: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-m", "santajupyter.command.cli", "download", "me/tiny"]
        return subprocess.Popen(arguments, env=environment, stderr=stderr, text=True)

    @staticmethod
    def downloaded(tmp_path: Path) -> int:
        return sum(part.stat().st_size for part in (tmp_path / "home").rglob("*.part"))


class TestDoctor:
    def test_a_good_installation(self, environment: dict[str, str], tiny: Path, tmp_path: Path) -> None:
        own = {**environment, "XDG_CACHE_HOME": str(tmp_path)}
        # The model is the server's, which was named as it was started.
        code, out, _ = run(own, "doctor", "--clean")
        lines = out.splitlines()
        assert code == 0, out
        assert "FAIL" not in out
        assert any(line.startswith("ok   engine: santa-mini completed") for line in lines)
        assert any(line.startswith(f"ok   model: {tiny} is here") for line in lines)
        assert any(line.startswith("ok   server: http://") for line in lines)
        assert "ok   copies: nothing is left over" in lines

    def test_what_is_left_of_quantised_copies_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path)
        half, other = tmp_path / "int8-0123.part", tmp_path / "other"
        for folder in (half, other):
            folder.mkdir()
            (folder / "model.bin").write_bytes(bytes(10_000_000))
        (said,) = doctor.copies(clean=False)
        assert said.what == f"0.01 GB of quantised copies are left over: {half}"
        assert "doctor --clean" in said.remedy
        assert half.exists()
        (said,) = doctor.copies(clean=True)
        assert said.what == f"removed {half}, 0.01 GB"
        assert [*tmp_path.iterdir()] == [other]

    def test_a_broken_one(self, environment: dict[str, str], tmp_path: Path) -> None:
        """A package that can't be imported, torch too; nothing of Jupyter's set up; no hub, no server."""
        for name in ("tokenizers", "torch"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("raise ImportError('its library is missing')")
        broken = {
            **environment,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "home"),
            "JUPYTER_RUNTIME_DIR": str(tmp_path),
        }
        code, out, err = run(broken, "doctor")
        assert (code, err) == (1, "")
        assert "FAIL GPU: torch can't be imported: ImportError: its library is missing" in out
        assert "FAIL engine: can't be checked: " in out
        assert all(
            following.startswith("     -> ")
            for line, following in zip(out.splitlines(), out.splitlines()[1:], strict=False)
            if line.startswith(("FAIL", "note"))
        )

    def test_a_wrong_token_no_hub_and_no_memory(self, environment: dict[str, str], tmp_path: Path) -> None:
        [info] = Path(environment["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json")
        broken = {
            **environment,
            "SANTAJUPYTER_URL": json.loads(info.read_text())["url"],
            "SANTAJUPYTER_TOKEN": "wrong",
            "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}",
            "HF_HOME": str(tmp_path / "home"),
        }
        code, out, err = run(broken, "doctor", "--model", "me/none")
        assert (code, err) == (0, "")
        assert "note model: me/none is not here, and the hub doesn't give it: " in out
        assert "Check the name, the network and the proxy" in out
        assert (
            "note server: The server refused the token: set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN." in out
        )

    def test_a_gpu_without_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "_seen_by_torch", lambda: {"gpus": [["A100", 10**9, 2 * 10**9]]})
        assert next(doctor.gpu()).what == "A100, 1.0 of 2.0 GB are free"
        assert next(doctor._memory(10**9)).what == "1.0 GB are free on the A100, about 1.2 are needed"
        assert "A100" not in next(doctor._memory(10**8)).what

    def test_versions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "importlib.metadata.requires",
            lambda name: ["nowhere-to-be-found>=1", "numpy<1", "tornado>=6", "x; extra == 'test'"],
        )
        said = [(finding.what, finding.fatal) for finding in doctor.versions()][1:]
        assert said[0] == ("nowhere-to-be-found is missing", True)
        assert said[1][0].startswith("numpy is ") and said[1][1]
        assert said[2] == ("1 required packages are there", False)

    def test_the_labextension(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        folder = tmp_path / "labextensions" / "santajupyter"
        package = {"name": "santajupyter", "jupyterlab": {"_build": {"load": "x"}}}
        monkeypatch.setattr(
            "jupyter_core.paths.jupyter_path", lambda *names: [str(tmp_path.joinpath(*names))]
        )
        assert next(doctor.labextension()).what == "JupyterLab has no santajupyter"
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({**package, "version": "0.0.1"}))
        assert "is version 0.0.1, the package is" in next(doctor.labextension()).what
        (folder / "package.json").write_text(json.dumps({**package, "version": __version__}))
        assert not next(doctor.labextension()).remedy
        config = {"disabledExtensions": {"santajupyter": True}}
        monkeypatch.setattr("jupyterlab_server.config.get_page_config", lambda folders: config)
        assert next(doctor.labextension()).what == "it is disabled"

    def test_the_server_extension(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("jupyter_core.paths.jupyter_config_path", lambda: [str(tmp_path)])
        assert next(doctor.server_extension()).what == "not enabled"
        config = {"ServerApp": {"jpserver_extensions": {"santajupyter": True}}}
        (tmp_path / "jupyter_server_config.json").write_text(json.dumps(config))
        assert next(doctor.server_extension()).what == "enabled"

    def test_room_for_the_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**9))
        assert "are needed" in next(doctor._disk(2 * 10**9)).what
        assert not next(doctor._disk(10**8)).remedy
        assert "about" in next(doctor._memory(10**15)).what

    def test_an_incomplete_folder(self, tmp_path: Path) -> None:
        finding = next(doctor.chosen_model(str(tmp_path)))
        assert finding.fatal and "has no config.json" in finding.what

    def test_the_configured_model(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
        (tmp_path / "jupyter_server_config.py").write_text(
            "c.SantaApp.model = 'me/own'\nc.SantaApp.revision = 'v2'\n"
        )
        assert doctor.configured_model() == ("me/own", "v2")
