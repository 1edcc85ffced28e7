"""JupyterHub on one machine, with one model for all its users.

    pip install 'santajupyter[hub]' jupyterhub-idle-culler
    npm install -g configurable-http-proxy
    jupyterhub -f jupyterhub_config.py

Anybody can sign in at http://127.0.0.1:8000 by any name: choose an authenticator and a spawner of your own
before others can reach it. The rest is what santajupyter needs.
"""

import os
import sys

c = get_config()  # noqa: F821  # JupyterHub has it

# Yours to change. The model is a hub id or a folder; santa-mini needs no download, and is small.
c.JupyterHub.bind_url = os.environ.get("PROXY_URL", "http://127.0.0.1:8000")
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
model = os.environ.get("MODEL", "santa-mini")
service_url = os.environ.get("SERVICE_URL", "http://127.0.0.1:8010")

# The model: a service of the hub's, which asks the hub whose token it is that a request has.
c.JupyterHub.services = [
    {
        "name": "santajupyter",
        "url": service_url,
        "command": [
            *(sys.executable, "-m", "santajupyter.command.cli", "serve", "--hub", f"--model={model}"),
            "--SantaApp.preload=True",
            # What users' servers send is a prompt of some thousand tokens.
            "--SantaApp.max_request_bytes=200000",
            "--SantaApp.max_user_queue=6",
        ],
        "display": False,
    },
    {
        "name": "culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"],
    },
]

# Who may use it: every user; and a user's server with the token that it has of the hub, which no other has.
use_model = "access:services!service=santajupyter"
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", use_model]},
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    },
]
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", use_model]

# Users' servers: the prompt is made there, with the user's files and kernel; the model is the service's.
c.Spawner.args = [
    "--SantaApp.engine=remote",
    f"--SantaApp.remote_url={service_url}/services/santajupyter/santajupyter/v1",
    f"--SantaApp.remote_model={model}",
    "--SantaApp.remote_api_key_env=JUPYTERHUB_API_TOKEN",
]
