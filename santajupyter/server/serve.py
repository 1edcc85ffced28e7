"""``santajupyter serve``: the REST interface alone, without JupyterLab, notebooks or kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.manager import ContentsManager

from .settings import REMOTE_API_KEY, REMOTE_API_KEY_FILE, Settings

# Requests that may be at vLLM; it makes a step for all of them.
VLLM_QUEUE = 256


class CannotServe(Exception):
    """What stands in the way and what to do about it, in a plain sentence."""


class NoContents(ContentsManager):
    """No files: so nothing beside a notebook is read for a prompt either."""

    def get_extra_handlers(self) -> list[Any]:
        return []


class RestServer(ServerApp):
    """No contents, no kernels, no terminals: who has its token can complete code and nothing else.

    Whatever the configuration says, which was made for JupyterLab perhaps.
    """

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]

    def init_server_extensions(self) -> None:
        self._restrict()
        super().init_server_extensions()

    def init_configurables(self) -> None:
        self._restrict()  # again: what an extension loads may have set the configuration's values anew
        super().init_configurables()

    def init_webapp(self) -> None:
        self._restrict()
        super().init_webapp()

    def _restrict(self) -> None:
        self.jpserver_extensions = {"santajupyter": True}
        self.extra_services = []
        self.extra_static_paths = []
        self.extra_template_paths = []
        self.contents_manager_class = NoContents


@contextmanager
def options_of_model(model: str, vllm: str | None) -> Iterator[list[str]]:
    """Those that name the ``model``, "": the usual one; ``vllm``: options of one that has it from here on.

    Raises CannotServe.
    """
    if vllm is None:
        yield [f"--SantaApp.model={model}"] if model else []
        return
    from .vllm import NotInstalled, Vllm

    name = model or Settings.model
    try:
        process = Vllm(name, vllm)
    except NotInstalled as error:
        raise CannotServe(str(error)) from None
    os.environ[REMOTE_API_KEY] = process.key
    os.environ.pop(REMOTE_API_KEY_FILE, None)
    process.start()
    try:
        yield [
            "--SantaApp.engine=remote",
            f"--SantaApp.remote_url={process.url}",
            f"--SantaApp.remote_model={name}",
            f"--SantaApp.remote_api_key_env={REMOTE_API_KEY}",
            f"--SantaApp.max_queue={VLLM_QUEUE}",
        ]
    finally:
        process.stop()


def serve(options: Sequence[str], ip: str, port: int | None, hub: bool = False) -> None:
    """Serve until interrupted. ``options``: jupyter server's own. Raises CannotServe.

    ``ip`` "", ``port`` None: the usual ones, or with ``hub``, as a service of JupyterHub, those that it says.
    """
    server = RestServer.instance(
        open_browser=False,
        no_browser_open_file=True,
        answer_yes=True,
        allow_unauthenticated_access=False,
        default_url="/santajupyter/status",
        log_level="WARN",
    )
    # On the command line, so that a configuration made for JupyterLab doesn't open this server to others.
    own = {"ServerApp.ip": "127.0.0.1", "ServerApp.allow_unauthenticated_access": "False"}
    own |= hub_options() if hub else {}
    own |= {"ServerApp.ip": ip} if ip else {}
    own |= {"ServerApp.port": str(port)} if port else {}
    argv = [*(f"--{name}={value}" for name, value in own.items()), *options]
    server.initialize(argv=argv, find_extensions=False)
    identity = server.identity_provider
    if not identity.token and not hub:
        server.clear_instance()
        raise CannotServe("A server needs a token: set JUPYTER_TOKEN to one, or unset it and one is made.")
    if not server.allow_root and hasattr(os, "geteuid") and os.geteuid() == 0:
        server.clear_instance()
        raise CannotServe("Serving as root is better not done: use another account, or add --allow-root.")
    is_generated = identity.token_generated
    identity.token_generated = False  # we say it; or the server says it in an address for browsers

    def announce() -> None:
        print(f"Serving at {server.connection_url}santajupyter/ until Ctrl-C.", flush=True)
        if hub:
            print("JupyterHub's users need their own tokens there.", flush=True)
        elif is_generated:
            print(f"Kernels here find it by themselves; others need the token {identity.token}", flush=True)

    server.io_loop.add_callback(announce)  # after the one that binds the port, which ends all where it can't
    server.start()


def hub_options() -> dict[str, str]:
    """Those of a service of JupyterHub. Raises CannotServe."""
    try:
        from . import jupyterhub
    except ImportError:
        raise CannotServe("JupyterHub isn't installed here: pip install 'santajupyter[hub]'.") from None
    try:
        return jupyterhub.options()
    except KeyError as error:
        raise CannotServe(
            f"{error.args[0]} isn't set: JupyterHub sets it for a service that it starts, which has a `url`."
        ) from None
