"""Finds what holds the model: this process itself, or a Jupyter server on this host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil
from jupyter_core.paths import jupyter_runtime_dir

from . import local
from .client import Engine, SantaError, Server, credentials, trusted

# What is asked of each of several servers to see which one started this kernel.
PROBE_TIMEOUT = 2.0
START = (
    "start one with `santajupyter serve`, or do without: `%santa load --here` in a kernel, or option `--here`"
)
NOWHERE = "No Jupyter server runs on this host (a kernel's may be another than JupyterLab's)"
CHOOSE = "set SANTAJUPYTER_URL and SANTAJUPYTER_TOKEN to the one to use"


def find() -> Engine:
    """The engine that this process holds, if it does (``%santa load --here``); else the server.

    Raises SantaError.
    """
    return local.held() or find_server()


def find_server() -> Server:
    """The server that SANTAJUPYTER_URL and _TOKEN name, the one that started this kernel, or the only one.

    Raises SantaError when there is none, or several to choose from.
    """
    url = os.environ.get("SANTAJUPYTER_URL")
    if url:
        return Server(url.rstrip("/") + "/", os.environ.get("SANTAJUPYTER_TOKEN", ""), local=False)
    running = [*_running_servers()]
    own = _own(running)
    if len(own) == 1:
        return Server(own[0].url, own[0].token or os.environ.get("JUPYTERHUB_API_TOKEN", ""))
    if url := _hub_url():
        return Server(url, os.environ.get("JUPYTERHUB_API_TOKEN", ""))
    if not own:
        raise SantaError(f"{NOWHERE}: {START}.")
    urls = ", ".join(info.url for info in own)
    raise SantaError(
        f"Several Jupyter servers run here and none of them started this kernel: {CHOOSE} ({urls})."
    )


class _Info(msgspec.Struct):
    """Of what a Jupyter server writes of itself, what is needed here; others may have written anything."""

    url: str
    pid: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    token: str = ""


def _running_servers() -> Iterator[_Info]:
    """What the Jupyter servers of this user and host have written of themselves.

    As jupyter_server's list_running_servers does it, whose import alone takes three seconds.
    """
    for path in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        with contextlib.suppress(OSError, ValueError):  # its server is writing or has just ended
            info = msgspec.json.decode(path.read_bytes() if path.is_file() else b"", type=_Info)
            if psutil.pid_exists(info.pid):
                yield info


def _own(running: Sequence[_Info]) -> Sequence[_Info]:
    """Of the servers that run here: the one that is ours, by the surest sign there is; else all."""
    own_terminals = os.environ.get("JUPYTER_SERVER_URL", "")
    parents = _parents()
    signs: Iterable[Callable[[_Info], bool]] = (
        lambda info: info.pid in parents,
        lambda info: bool(own_terminals) and urlsplit(info.url)[1:3] == urlsplit(own_terminals)[1:3],
        _knows_this_kernel,
    )
    for sign in signs:
        if len(running) > 1 and (own := [info for info in running if sign(info)]):
            return own
    return running


def _parents() -> set[int]:
    """Process ids that may be this kernel's server's (on Windows JPY_PARENT_PID is a handle)."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    return {os.getppid(), *([int(parent)] if parent.isdecimal() else [])}


def _knows_this_kernel(info: _Info) -> bool:
    """Whether the server runs the kernel with this process's connection file."""
    try:
        from ipykernel.connect import get_connection_file

        kernel = os.path.basename(get_connection_file())[len("kernel-") : -len(".json")]  # noqa: PTH119
        url = f"{info.url}api/kernels/{kernel}"
        answer = httpx.get(
            url,
            headers=credentials(info.token),
            timeout=PROBE_TIMEOUT,
            trust_env=False,
            verify=trusted(url.startswith("https:"), local=True),
        )
    except (ImportError, RuntimeError, httpx.HTTPError):
        return False
    return answer.status_code == 200


def _hub_url() -> str:
    """Where JupyterHub told this user's server to listen, or ""."""
    address = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    try:
        if not address.port:
            return ""
    except ValueError:  # no number
        return ""
    host = address.hostname if address.hostname not in (None, "", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", address.path).rstrip("/")
    return f"{address.scheme}://{host}:{address.port}{prefix}/"
