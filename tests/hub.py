"""A hub on this machine: the parts of the Hugging Face hub's API that a download uses."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789" * 4
# By a part of a path.
Answers = dict[str, tuple[int, dict[str, str], bytes]]


@contextmanager
def hub_with(
    folder: Path,
    pause: threading.Event | None = None,
    breaks: list[int] | None = None,
    ranges: list[str] | None = None,
    headers: dict[str, str] | None = None,
    commit: str = COMMIT,
    silent: str = "",
    instead: Answers | None = None,
    certificate: Path | None = None,
) -> Iterator[str]:
    """A hub whose only model, me/tiny, is ``folder``; it rests in the weights' middle until ``pause`` is set.

    ``breaks``: after so many bytes of what it was asked for it hangs up, each number once. ``ranges``
    notes which parts of the weights were asked for. ``headers`` go with every file and error, with the
    file's name for {name}; one that is "" is left out. It never answers where a path holds ``silent``, and
    answers with ``instead``'s status, headers and body where a path holds its key. ``certificate``: a file
    with one and its key; then it speaks TLS.
    """
    settings: dict[str, Any] = {
        "folder": folder,
        "pause": pause,
        "breaks": breaks,
        "ranges": ranges,
        "more": headers or {},
        "commit": commit,
        "silent": silent,
        "instead": instead or {},
        "ended": threading.Event(),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TinyHub", (_Hub,), settings))
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        settings["ended"].set()
        server.shutdown()
        server.server_close()


class _Hub(BaseHTTPRequestHandler):
    folder: Path
    pause: threading.Event | None
    breaks: list[int] | None
    ranges: list[str] | None
    more: dict[str, str]
    commit: str
    silent: str
    instead: Answers
    ended: threading.Event

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if self.silent and self.silent in path:
            self.ended.wait(60)
            return
        for part, (status, headers, body) in self.instead.items():
            if part in path:
                self.answer(body, headers, status)
                return
        files = [file for file in sorted(self.folder.iterdir()) if file.is_file()]
        if path.startswith("/api/models/me/tiny/tree/"):
            self.answer([_listed(file) for file in files])
        elif path.startswith("/api/models/me/tiny"):
            self.answer(
                {"id": "me/tiny", "sha": self.commit, "siblings": [{"rfilename": f.name} for f in files]}
            )
        elif path.startswith("/me/tiny/resolve/") and (self.folder / path.rsplit("/", 1)[1]).is_file():
            file = self.folder / path.rsplit("/", 1)[1]
            more = {name: value.replace("{name}", file.name) for name, value in self.more.items()}
            own = {"ETag": f'"{_digest(file)}"', "X-Repo-Commit": self.commit, **more}
            self.answer(file.read_bytes(), own)
        else:
            self.send_response(404)
            for name, value in {"X-Error-Code": "RepoNotFound", "Content-Length": "0", **self.more}.items():
                self.send_header(name, value)
            self.end_headers()

    def answer(self, body: Any, headers: dict[str, str] | None = None, status: int = 200) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        part = self.headers.get("Range", "")
        is_weights = self.command == "GET" and self.path.endswith(".safetensors")
        if is_weights and self.ranges is not None:
            self.ranges.append(part)
        start = int(part.removeprefix("bytes=").partition("-")[0] or 0)
        self.send_response(206 if part and status == 200 else status)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        data = data[start:]
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if is_weights and self.breaks:
            self.wfile.write(data[: self.breaks.pop(0)])
        elif self.command == "GET":
            half = len(data) // 2
            self.wfile.write(data[:half])
            self.wfile.flush()
            if self.path.endswith(".safetensors") and self.pause:
                self.pause.wait(60)
            self.wfile.write(data[half:])

    def log_message(self, *args: Any) -> None:
        pass


def _listed(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    large = {"lfs": {"oid": _digest(file), "size": size, "pointerSize": 134}} if _is_large(file) else {}
    return {"type": "file", "path": file.name, "size": size, "oid": _digest(file), **large}


def _is_large(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _digest(file: Path) -> str:
    """As Git LFS names a large file's content, and git another's."""
    data = file.read_bytes()
    if _is_large(file):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
