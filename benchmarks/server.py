"""A real Jupyter server for the scripts that measure one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

TOKEN = "token"  # noqa: S105 - of a server that lives as long as the script
READY_LIMIT = 600.0
BODY = {"cells": [{"type": "code", "source": "x = "}], "active": 0, "offset": 4}


@asynccontextmanager
async def jupyter(
    model: str, folder: str, *extensions: str, timeout: float = 600
) -> AsyncIterator[tuple[httpx.AsyncClient, int]]:
    """A client for its address, and its process's id, once the model answers, and nothing stands in for it.

    ``extensions``: of the server, beside ours. ``timeout``: of a request, in seconds.
    """
    port = _free_port()
    chosen = dict.fromkeys(("santajupyter", *extensions), True)
    server = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--port={port}"),
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={folder}",
            f"--SantaApp.model={model}",
            f"--ServerApp.jpserver_extensions={chosen}",
            "--log-level=ERROR",
        ],
        cwd=Path(__file__).parents[1],
    )
    headers = {"Authorization": f"token {TOKEN}"}
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, trust_env=False
        ) as client:
            await asyncio.wait_for(_ready(client), READY_LIMIT)
            yield client, server.pid
    finally:
        server.terminate()
        server.wait()


async def _ready(client: httpx.AsyncClient) -> None:
    while True:
        try:
            if (await client.post("/santajupyter/complete", json=BODY)).status_code == 200:
                status = (await client.get("/santajupyter/status")).json()
                if status["state"] == "ready" and not status["fallback"]:
                    return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
