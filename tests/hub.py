"""A hub on this machine: the parts of the Hugging Face hub's API that a download uses."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789" * 4


@contextmanager
def hub_with(folder: Path, pause: float = 0.0) -> Iterator[str]:
    """A hub whose only model, me/tiny, is ``folder``; it rests ``pause`` seconds in the weights' middle."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("TinyHub", (_Hub,), {"folder": folder, "pause": pause})
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Hub(BaseHTTPRequestHandler):
    folder: Path
    pause: float

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        files = [file for file in sorted(self.folder.iterdir()) if file.is_file()]
        if path.startswith("/api/models/me/tiny/tree/"):
            self.answer(
                [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _digest(f)} for f in files]
            )
        elif path.startswith("/api/models/me/tiny"):
            self.answer({"id": "me/tiny", "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]})
        elif path.startswith("/me/tiny/resolve/") and (self.folder / path.rsplit("/", 1)[1]).is_file():
            file = self.folder / path.rsplit("/", 1)[1]
            self.answer(file.read_bytes(), {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def answer(self, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            time.sleep(self.pause if self.path.endswith(".safetensors") else 0)
            self.wfile.write(data[half:])

    def log_message(self, *args: Any) -> None:
        pass


def _digest(file: Path) -> str:
    """As git names a file's content."""
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
