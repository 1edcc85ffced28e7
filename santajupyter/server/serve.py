"""``santajupyter serve``: the REST interface alone, without JupyterLab, notebooks or kernels."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_server.serverapp import ServerApp

from ..kernel.client import SantaError


class RestServer(ServerApp):
    """No contents, no kernels, no terminals: who has its token can complete code and nothing else."""

    default_services = ("api", "auth", "security", "shutdown")  # type: ignore[assignment]


def serve(options: Sequence[str], ip: str, port: int | None) -> None:
    """Serve until interrupted. ``options``: jupyter server's own. Raises SantaError without a token."""
    server = RestServer.instance(
        jpserver_extensions={"santajupyter": True},
        open_browser=False,
        no_browser_open_file=True,
        answer_yes=True,
        allow_unauthenticated_access=False,
        default_url="/santajupyter/status",
        log_level="WARN",
    )
    # On the command line, so that a configuration made for JupyterLab doesn't open this server to others.
    own = [f"--ServerApp.ip={ip}", "--ServerApp.allow_unauthenticated_access=False"]
    own += [f"--ServerApp.port={port}"] if port else []
    server.initialize(argv=[*own, *options], find_extensions=False)
    identity = server.identity_provider
    if not identity.token:
        server.clear_instance()
        raise SantaError("A server needs a token: set JUPYTER_TOKEN to one, or unset it and one is made.")
    print(f"Serving at {server.connection_url}santajupyter/ until Ctrl-C.", flush=True)
    if identity.token_generated:
        print(f"Kernels here find it by themselves; others need the token {identity.token}", flush=True)
        identity.token_generated = False  # said; or the server says it in an address for browsers
    server.start()
