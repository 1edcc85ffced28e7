"""The server of the browser tests: an open JupyterLab with the built-in model, on a port of its own."""

import os

from jupyterlab.galata import configure_jupyter_server

configure_jupyter_server(c)  # noqa: F821
c.ServerApp.port = int(os.environ["SANTA_TEST_PORT"])  # noqa: F821
c.ServerApp.allow_root = True  # noqa: F821
c.ServerApp.log_level = "ERROR"  # noqa: F821
c.LabApp.log_level = "ERROR"  # noqa: F821
c.SantaApp.model = "santa-mini"  # noqa: F821
