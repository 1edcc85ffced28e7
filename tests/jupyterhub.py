"""A JupyterHub with its proxy, as deploy/jupyterhub has it, on free ports of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kernel.test_magics import free_port

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "deploy" / "jupyterhub" / "jupyterhub_config.py"
# Seconds, on a busy machine.
LIMIT = 200
ADMIN = "a-token-for-tests-of-the-hub-itself"
# What the deployed configuration doesn't have: ports that are free, somebody who may make users, and no
# more than is needed in users' servers.
EXTRA = """
import os
load_subconfig({config!r})
c.JupyterHub.hub_port, api = {ports!r}
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{{api}}"
c.JupyterHub.services[0]["environment"] = dict(os.environ)
c.JupyterHub.services[0]["command"] += ["--allow-root", "--HubAuth.cache_max_age=1"]
c.JupyterHub.services.append({{"name": "tests", "api_token": {admin!r}}})
scopes = ["admin:users", "admin:servers", "tokens", "access:servers", "read:users:activity"]
c.JupyterHub.load_roles.append({{"name": "tests", "services": ["tests"], "scopes": scopes}})
c.SimpleLocalProcessSpawner.home_dir_template = os.getcwd() + "/{{username}}"
c.Spawner.environment = {{
    **{{name: os.environ[name] for name in ("PYTHONPATH", "JUPYTER_CONFIG_PATH", "JUPYTER_PATH")}},
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "JUPYTERHUB_SINGLEUSER_LOAD_OTHER_EXTENSIONS": "0",
}}
c.Spawner.args += ["--allow-root", "--SantaApp.fallback_model="]
c.Spawner.args += ["--ServerApp.jpserver_extensions={{'santajupyter': True}}"]
"""


def missing() -> str:
    """What there has to be for it, and isn't."""
    if os.name == "nt":
        return "JupyterHub for Windows"
    names = ("jupyterhub", "configurable-http-proxy")
    return ", ".join(name for name in names if not shutil.which(name, path=_path()))


@dataclass
class Hub:
    """``proxy``: where users go; ``api``: the hub's own; ``service``: the model's. ``log``: of all these."""

    proxy: str
    api: str
    service: str
    log: Path

    def token(self, user: str, **options: Any) -> str:
        """A new one, which may do what its user may, or only what ``scopes`` say."""
        return str(self.admin(f"users/{user}/tokens", "POST", options)["token"])

    def admin(self, path: str, method: str = "GET", body: object = None) -> Any:
        """The hub's answer to somebody who may do anything."""
        status, answer = ask(f"{self.api}/{path}", ADMIN, body, method)
        assert status < 300, answer
        return answer

    def server_of(self, user: str) -> str:
        """Where the user's own server is once it is up, behind the proxy."""
        until(lambda: self.admin(f"users/{user}")["servers"].get("", {}).get("ready"))
        return f"{self.proxy}/user/{user}"


@contextmanager
def running(folder: Path, *users: str) -> Iterator[Hub]:
    """With a server for each of the users."""
    proxy, service, hub, api = (free_port() for _ in range(4))
    made = EXTRA.format(config=str(CONFIG), ports=(hub, api), admin=ADMIN)
    (folder / "jupyterhub_config.py").write_text(made)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "SANTA"))},
        "PATH": _path(),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_PATH": "",
        "JUPYTER_PATH": "",
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PROXY_URL": f"http://127.0.0.1:{proxy}",
        "SERVICE_URL": f"http://127.0.0.1:{service}",
    }
    found = Hub(
        f"http://127.0.0.1:{proxy}",
        f"http://127.0.0.1:{hub}/hub/api",
        f"http://127.0.0.1:{service}/services/santajupyter/santajupyter",
        folder / "log",
    )
    with found.log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            until(lambda: process.poll() is not None or ask(f"{found.api}/", "")[0] == 200)
            for user in users:
                found.admin(f"users/{user}", "POST")
                found.admin(f"users/{user}/server", "POST")
            token = found.token(users[0])
            until(lambda: ask(f"{found.service}/status", token)[1].get("state") == "ready")
            yield found
        except Exception:
            print(found.log.read_text("utf-8", "replace"))  # for pytest, which shows it
            raise
        finally:
            process.terminate()
            process.wait(LIMIT)


def ask(url: str, token: str, body: object = None, method: str = "") -> tuple[int, Any]:
    """(status, JSON) of an answer; (0, {}) where nobody is there."""
    headers = {"Authorization": f"token {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method or ("GET" if body is None else "POST"))
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return answer.status, _told(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _told(error) | {"headers": dict(error.headers)}
    except OSError:
        return 0, {}


def _told(answer: Any) -> Any:
    body = answer.read()
    return json.loads(body) if "json" in (answer.headers["Content-Type"] or "") else {}


def until(condition: Any) -> None:
    """Wait for it."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def _path() -> str:
    own = [str(Path(sys.executable).parent), str(ROOT / "node_modules" / ".bin")]
    return os.pathsep.join([*own, os.environ.get("PATH", os.defpath)])
