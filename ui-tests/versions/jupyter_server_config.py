"""An open JupyterLab, and beside it Notebook, of any version, with the built-in model."""

import os
import tempfile

from jupyterlab.galata import configure_jupyter_server

configure_jupyter_server(c)  # noqa: F821
c.LabApp.user_settings_dir = tempfile.mkdtemp()  # noqa: F821
c.ServerApp.port = int(os.environ["SANTA_TEST_PORT"])  # noqa: F821
c.ServerApp.allow_root = True  # noqa: F821
c.ServerApp.log_level = "ERROR"  # noqa: F821
c.LabApp.log_level = "ERROR"  # noqa: F821
c.SantaApp.model = "santa-mini"  # noqa: F821
