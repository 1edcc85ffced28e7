"""vLLM in a process of its own, for ``santajupyter serve --vllm``: it has the model, for many at a time."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

# Seconds before it is started again, each time twice as long up to MAX_DELAY; from so long a life on anew.
FIRST_DELAY, MAX_DELAY = 1.0, 60.0
STABLE = 300.0
STOP_TIMEOUT = 10.0
# It ends with this process, however that ends: what it starts itself ends with it.
BOUND = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class NotInstalled(Exception):
    """There is no vLLM here."""


class Vllm:
    """Serves ``model``, a hub id or a folder, at ``url``, from ``start`` to ``stop``, however often it ends.

    ``options``: its own. Raises NotInstalled.
    """

    def __init__(self, model: str, options: str) -> None:
        port = _free_port()
        self.url, self.key = f"http://127.0.0.1:{port}/v1", secrets.token_urlsafe()
        at = ("--host", "127.0.0.1", "--port", str(port), "--served-model-name", model)
        self._command = [*_program(model), *at, *shlex.split(options)]
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # It is bound to the thread that starts it, which therefore lives as long as it shall.
        self._thread = threading.Thread(target=self._run, name="santajupyter-vllm", daemon=True)

    def start(self) -> None:
        """Begin; it takes a minute or more until it answers."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and all that it has started."""
        self._over.set()
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._over.is_set():
            begun = time.monotonic()
            code = self._life()
            if self._over.is_set():
                return
            delay = FIRST_DELAY if time.monotonic() - begun > STABLE else delay
            print(f"vLLM ended (exit code {code}); it is started again in {delay:.0f} s.", file=sys.stderr)
            self._over.wait(delay)
            delay = min(MAX_DELAY, 2 * delay)

    def _life(self) -> int:
        """From its beginning to its end; the exit code."""
        environment = {**os.environ, "VLLM_API_KEY": self.key}
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", BOUND, *self._command], env=environment, start_new_session=True
        )
        while process.poll() is None and not self._over.wait(0.2):
            pass
        _end(process)
        return process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and its children, which have their group, also where it has ended before them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_TIMEOUT / 2)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _program(model: str) -> Sequence[str]:
    """vLLM's command: this Python's own, or the one on the path."""
    if importlib.util.find_spec("vllm"):
        return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    if found := shutil.which("vllm"):
        return [found, "serve", model]
    raise NotInstalled("vLLM isn't installed here: pip install vllm (it needs Linux), or leave --vllm out.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
