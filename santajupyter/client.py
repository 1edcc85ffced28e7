"""The kernel's side: finds the Jupyter server it runs under and asks the model that the server holds."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

# How long a caller waits in all for a model that is being downloaded or loaded.
DEADLINE = 300.0
CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 120.0


class SantaError(Exception):
    """What went wrong and what to do about it, in a plain sentence."""


@dataclass(frozen=True)
class Server:
    """A Jupyter server's base URL and token. ``local``: on this host, so never through a proxy."""

    url: str
    token: str
    local: bool = True


def find_server() -> Server:
    """The server that started this kernel, or the one that SANTAJUPYTER_URL and _TOKEN name.

    Raises SantaError when there is none, or several to choose from.
    """
    url = os.environ.get("SANTAJUPYTER_URL")
    if url:
        return Server(url.rstrip("/") + "/", os.environ.get("SANTAJUPYTER_TOKEN", ""), local=False)
    # Imported here: it takes a while, and a kernel that never asks needn't wait.
    from jupyter_server.serverapp import list_running_servers

    running = list(list_running_servers())
    own = [info for info in running if info["pid"] in _parents()] or running
    if len(own) == 1:
        return Server(own[0]["url"], own[0]["token"])
    remedy = "start `jupyter lab`, or set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN to the one to use."
    if not own:
        raise SantaError(f"No Jupyter server runs here; {remedy}")
    raise SantaError(f"Several Jupyter servers run here and none of them started this kernel; {remedy}")


def status(server: Server) -> dict[str, Any]:
    """GET status. Raises SantaError."""
    return _json(_request(server, "GET", "status"))


def complete(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    """POST complete; waits while the model loads. Raises SantaError."""
    body = {"client": f"kernel {uuid.uuid4().hex}", **body}
    deadline = time.monotonic() + DEADLINE
    while True:
        response = _request(server, "POST", "complete", body)
        retry_after = float(response.headers.get("Retry-After", 0))
        loading = response.status_code in (429, 503) and response.json().get("reason") != "error"
        if not loading or time.monotonic() + retry_after > deadline:
            return _json(response)
        time.sleep(retry_after)


def _request(server: Server, method: str, path: str, body: Any = None) -> httpx.Response:
    try:
        return httpx.request(
            method,
            f"{server.url}santajupyter/{path}",
            json=body,
            headers={"Authorization": f"token {server.token}"} if server.token else {},
            timeout=httpx.Timeout(REQUEST_TIMEOUT, connect=CONNECT_TIMEOUT),
            trust_env=not server.local,
        )
    except httpx.HTTPError as error:
        raise SantaError(
            f"The server at {server.url} doesn't answer: {error or type(error).__name__}."
        ) from error


def _json(response: httpx.Response) -> dict[str, Any]:
    """The body of a good answer; the error's own sentence otherwise."""
    if response.status_code == 404:
        raise SantaError(
            "The server runs without santajupyter: check `jupyter server extension list`, then restart it."
        )
    if response.status_code in (401, 403):
        raise SantaError("The server refused this kernel's token; set SANTAJUPYTER_URL and _TOKEN.")
    try:
        answer: dict[str, Any] = response.json()
    except ValueError as error:
        raise SantaError(f"The server answered with status {response.status_code} and no JSON.") from error
    if response.is_error:
        raise SantaError(str(answer.get("message") or f"status {response.status_code}"))
    return answer


def _parents() -> set[int]:
    """Process ids that may be this kernel's server's (on Windows JPY_PARENT_PID is a handle)."""
    told = os.environ.get("JPY_PARENT_PID", "")
    return {os.getppid(), *([int(told)] if told.isdigit() else [])}
