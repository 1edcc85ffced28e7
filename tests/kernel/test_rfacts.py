"""What kernel/rfacts.R reads from a real R kernel, where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

SOURCE = (Path(__file__).parents[2] / "santajupyter" / "kernel" / "rfacts.R").read_text("utf-8")
# With time enough also on a busy machine.
SLOW = SOURCE.replace("seconds <- 0.1", "seconds <- 20")
TIMEOUT = 60
CODE = """
ships <- data.frame(depth = c(1, 2), flag = c("a", "b"), `cargo tons` = 1:2, check.names = FALSE)
my.list <- list(rate = 1, "größe" = 2)
f <- function(x, y = 2) x
makeActiveBinding("act", function() stop("was run"), globalenv())
odd <- structure(list(1), class = "odd")
length.odd <- names.odd <- print.odd <- function(x) stop("was run")
c <- function(...) stop("was run")
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    r = shutil.which("R")
    has = r and subprocess.run([r, "-s", "-e", "library(IRkernel)"], capture_output=True).returncode == 0
    if not has:
        pytest.skip("has no IRkernel")
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "ir").mkdir()
    argv = [r, "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"]
    spec = {"argv": argv, "display_name": "R", "language": "R"}
    (folder / "ir" / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[str(folder)])
    manager = KernelManager(kernel_name="ir", kernel_spec_manager=specs)
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(TIMEOUT)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str, **options: Any) -> list[dict[str, Any]]:
    published: list[dict[str, Any]] = []
    reply = client.execute_interactive(code, timeout=TIMEOUT, output_hook=published.append, **options)
    assert reply["content"]["status"] == "ok", reply["content"]
    return published


def test_reads_columns_keys_and_parameters_and_leaves_no_trace(client: BlockingKernelClient) -> None:
    run(client, CODE)
    shown = [
        message["content"]["data"]
        for message in run(client, SLOW, silent=True, store_history=False)
        if message["msg_type"] == "display_data"
    ]
    assert [*shown[0]] == ["application/vnd.santajupyter"]
    found = json.loads(shown[0]["application/vnd.santajupyter"])
    facts = {variable["name"]: variable for variable in found["variables"]}
    columns = [["depth", "double"], ["flag", "character"], ["cargo tons", "integer"]]
    assert (facts["ships"]["columns"], facts["ships"]["shape"]) == (columns, [2, 3])
    assert facts["my.list"]["keys"] == ["rate", "größe"]
    assert facts["f"]["signature"] == "(x, y)"
    assert facts["odd"]["type"] == "odd"
    assert "act" not in facts
    assert "act" in found["names"]
    left = run(client, "cat(ls())")
    [text] = [message["content"]["text"] for message in left if message["msg_type"] == "stream"]
    assert set(text.split()) == {*found["names"]}
