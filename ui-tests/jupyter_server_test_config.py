"""The server of the browser tests: an open JupyterLab with the built-in model, on a port of its own."""

import os
import shutil
import tempfile
from pathlib import Path

from jupyterlab.galata import configure_jupyter_server

from santajupyter.server.engines import MODELS
from santajupyter.server.settings import BUILT_IN, SANTACODER

# More to switch to: one that nobody loads here, one that works and one that can't be loaded.
models = Path(tempfile.mkdtemp())
shutil.copytree(MODELS / "santa-mini", models / "twin")
(models / "broken").mkdir()

configure_jupyter_server(c)  # noqa: F821
c.ServerApp.port = int(os.environ["SANTA_TEST_PORT"])  # noqa: F821
c.ServerApp.allow_root = True  # noqa: F821
c.ServerApp.log_level = "ERROR"  # noqa: F821
c.LabApp.log_level = "ERROR"  # noqa: F821
c.SantaApp.model = BUILT_IN  # noqa: F821
c.SantaApp.allowed_models = [BUILT_IN, SANTACODER, str(models / "twin"), str(models / "broken")]  # noqa: F821
c.SantaApp.emit_events = True  # noqa: F821
