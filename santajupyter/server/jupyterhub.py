"""A service of JupyterHub: who asks is one of its users, by a token that the hub vouches for.

https://jupyterhub.readthedocs.io/en/stable/howto/services.html
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.auth import IdentityProvider, User
from jupyterhub.services.auth import HubAuth
from tornado import web
from traitlets import Integer


class _Hub(HubAuth):  # type: ignore[misc]
    cache_max_age = Integer(
        30,
        help="Seconds for which the hub isn't asked again about a token: so long a revoked one still works.",
    ).tag(config=True)


class HubIdentity(IdentityProvider):
    """No cookies, no passwords, no token of its own: nothing is open without one of the hub's tokens.

    It has to have the scope access:services for this service, as its user must.
    """

    token = ""
    need_token = False
    login_available = False
    logout_available = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._hub = _Hub(parent=self)

    async def get_user(self, handler: web.RequestHandler) -> User:
        """Raises web.HTTPError with a sentence for whoever may not be here."""
        token = self._hub.get_token(handler, in_cookie=False)
        if not token:
            raise _Refusal("no-token", "A token of JupyterHub is needed here: Authorization: Bearer …")
        try:
            found = await self._hub.user_for_token(token, sync=False)
        except web.HTTPError:
            handler.set_header("Retry-After", "5")
            raise _Refusal("hub-away", "JupyterHub can't be asked whose token this is; try again.") from None
        if not found:
            raise _Refusal("bad-token", "JupyterHub doesn't know this token: it has expired, or was revoked.")
        if not self._hub.check_scopes(self._hub.access_scopes, found):
            scopes = " or ".join(sorted(self._hub.access_scopes))
            raise _Refusal("no-scope", f"This token, or its user, lacks the scope of this service: {scopes}.")
        handler._token_authenticated = True  # type: ignore[attr-defined]  # what is_token_authenticated reads
        return User(f"{found['kind']} {found['name']}", found["name"])


def options() -> dict[str, str]:
    """Options of jupyter server, for a service that the hub has started, or that has the same environment.

    Raises KeyError for what isn't there of that.
    """
    at = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    return {
        "ServerApp.identity_provider_class": "santajupyter.server.jupyterhub.HubIdentity",
        "ServerApp.base_url": os.environ["JUPYTERHUB_SERVICE_PREFIX"],
        "ServerApp.ip": at.hostname or "127.0.0.1",
        "ServerApp.port": str(at.port or 80),
        "ServerApp.port_retries": "0",
        # The proxy asks by the hub's name; no page of another site has a token.
        "ServerApp.allow_remote_access": "True",
        "SantaApp.shared": "True",
    }


class _Refusal(web.HTTPError):
    """Becomes ``{message, reason}``, see docs/rest.md."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(503 if reason == "hub-away" else 403, sentence, reason=reason)
