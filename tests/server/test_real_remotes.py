"""A model that a real vLLM or llama.cpp has, where `python3 dev.py remotes` has made them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from benchmarks.typing.peers import Missing, llama_tool, write_gguf
from santajupyter.engine import wire
from santajupyter.engine.process import EngineUnavailable, RequestFailed
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell, CompletionRequest, TextRequest, Variable
from santajupyter.server.engines import MODELS
from santajupyter.server.settings import BUILT_IN, Settings

from ..kernel.test_magics import free_port
from ..remote import KEY
from .test_remote import service, until

pytestmark = pytest.mark.skipif("SANTA_TEST_REMOTES" not in os.environ, reason="see dev.py remotes")

VLLM = Path(__file__).parents[2] / "build" / "vllm"
MODEL = MODELS / BUILT_IN
START_LIMIT = 300


@dataclass
class Server:
    """``command``: without the port. ``running``: what its metrics call the number of requests at work."""

    command: list[str]
    running: str
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
        command = [*self.command, "--host", "127.0.0.1", "--port", str(self.port), "--api-key", KEY]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_LIMIT
        while '"mini"' not in self.get("v1/models"):
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def kill(self) -> None:
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def at_work(self) -> int:
        found = re.search(rf"^{self.running}(?:{{.*}})? ([\d.]+)", self.get("metrics"), re.MULTILINE)
        return int(float(found[1])) if found else 0

    def get(self, path: str) -> str:
        headers = {"Authorization": f"Bearer {KEY}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


def vllm(folder: Path) -> Server:
    python = VLLM / "bin" / "python"
    if not python.is_file():
        pytest.skip("`python3 dev.py remotes vllm` makes it")
    model = folder / "model"
    shutil.copytree(MODEL, model)
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    options = ("--max-model-len", "512", "--enforce-eager", "--dtype", "float32")
    module = ("-m", "vllm.entrypoints.openai.api_server", "--served-model-name", "mini")
    command = [str(python), *module, "--model", str(model), *options]
    return Server(command, "vllm:num_requests_running", folder / "log.txt")


def llama_cpp(folder: Path) -> Server:
    try:
        program, model = llama_tool("llama-server"), folder / "F16.gguf"
        write_gguf(MODEL, model)
    except Missing:
        pytest.skip("`python3 dev.py remotes llama.cpp` makes it")
    options = ("--alias", "mini", "--ctx-size", "2048", "--parallel", "4", "--metrics")
    return Server(
        [program, "--model", str(model), *options], "llamacpp:requests_processing", folder / "log.txt"
    )


@pytest.fixture(scope="module", params=[vllm, llama_cpp])
def remote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server: Server = request.param(tmp_path_factory.mktemp("remote"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


def settings(remote: Server) -> Settings:
    at = wire.Remote(f"http://127.0.0.1:{remote.port}", KEY, str(MODEL))
    return Settings(model="mini", fallback_model="", remote=at)


def asked(source: str, *below: str, **changes: object) -> CompletionRequest:
    cells = (Cell("import numpy as np\nimport pandas as pd"), Cell(source), *map(Cell, below))
    request = CompletionRequest(cells=cells, active=1, offset=len(source), trigger="invoke")
    return replace(request, **changes)  # type: ignore[arg-type]


PLACE = asked("for i in range(")
TEXTS = [
    TextRequest("import numpy as np\nfor i in range(", max_tokens=12),
    TextRequest("import pandas as pd\ndf = pd.read_", "\ndf.head()", max_tokens=12),
    TextRequest("def mean(values):\n    return ", "\n\nmean([1, 2])", max_tokens=12),
    TextRequest("import numpy as np\nx = np.", "\nprint(x)", max_tokens=12),
    TextRequest("import matplotlib.pyplot as ", max_tokens=12),
]


async def test_it_says_what_our_own_engine_says(remote: Server) -> None:
    """With the same weights; but where the cursor cuts a token, which is healed only here."""
    async with service(Settings(model=BUILT_IN, fallback_model="")) as ours:
        expected = [(await ours.complete_text(text, None)).text for text in TEXTS]
    async with service(settings(remote)) as theirs:
        made = [(await theirs.complete_text(text, None)).text for text in TEXTS]
        assert theirs.status()["state"] == "ready"
    assert all(made)
    assert sum(text == other for text, other in zip(made, expected, strict=True)) >= 3, (made, expected)


async def test_what_a_user_writes_is_no_sentinel(remote: Server) -> None:
    text = "a = '<fim-suffix>'\nb = "
    spelt = len(CodeTokenizer.from_folder(MODEL).encode(text))
    async with service(settings(remote)) as ours:
        made = await ours.complete_text(TextRequest(text, max_tokens=1), None)
    assert spelt - 1 <= made.usage.prompt_tokens <= spelt  # its last token is written again
    assert spelt > 10


async def test_who_leaves_frees_it(remote: Server) -> None:
    long = asked("x = [", mode="block", max_new_tokens=400, n=4, temperature=1.5)
    async with service(settings(remote)) as ours:
        await ours.complete(PLACE, None)
        task = asyncio.create_task(ours.complete(long, None))
        await until(lambda: remote.at_work() > 0)
        task.cancel()
        await until(lambda: remote.at_work() == 0)


async def test_killed_while_it_answers_and_back(remote: Server) -> None:
    long = asked("x = [", mode="block", max_new_tokens=400, n=4, temperature=1.5)
    async with service(settings(remote)) as ours:
        expected = (await ours.complete(PLACE, None)).text
        task = asyncio.create_task(ours.complete(long, None))
        await until(lambda: remote.at_work() > 0)
        await asyncio.to_thread(remote.kill)
        with pytest.raises((RequestFailed, EngineUnavailable), match=r"broke|can't be reached"):
            await task
        with pytest.raises(EngineUnavailable, match="can't be reached"):
            await ours.complete(PLACE, None)
        await asyncio.to_thread(remote.start)
        ours.engines.primary._retry_at = 0.0  # it is looked for again after some seconds
        assert (await ours.complete(PLACE, None)).text == expected


async def test_names_of_the_kernel(remote: Server) -> None:
    """It is made to choose among them."""
    columns = (("harbour", "str"), ("cargo_tons", "float"))
    ships = Variable("ships", "DataFrame", "pandas", columns=columns, complete=frozenset({"columns"}))
    async with service(settings(remote)) as ours:
        made = await ours.complete(asked('ships.groupby("', variables=(ships,)), None)
        several = asked('ships.groupby("', variables=(ships,), n=2, temperature=0.8)
        others = (await ours.complete(several, None)).items
    begun = ('harbour"', 'cargo_tons"')
    assert made.text.startswith(begun)
    assert {item.text.startswith(begun) for item in others} == {True}
    assert len({item.text.partition('"')[0] for item in others}) == len(others)
