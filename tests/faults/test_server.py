"""A real server whose model's process, whose clients and which itself are killed, flooded or left hanging."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from ..kernel.test_magics import TOKEN, server, until
from ..server.test_engines import is_alive

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
# Tokens of some milliseconds each: it is at work until it is ended.
ENDLESS: dict[str, Any] = {"mode": "block", "max_new_tokens": 1000, "n": 8, "temperature": 1.0}
CLIENTS = 200


class Answer(NamedTuple):
    code: int
    body: str

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Running(NamedTuple):
    """A server with a model that costs nothing."""

    url: str
    process: psutil.Process
    pool: ThreadPoolExecutor

    def ask(self, path: str = "complete", **changes: Any) -> Answer:
        """The answer, whatever its status. A body without changes is that of a short completion."""
        body = {"cells": [{"source": "x = "}], "active": 0, "offset": 4, "max_new_tokens": 4, **changes}
        data = None if path == "status" else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, {"Authorization": f"token {TOKEN}"})
        try:
            with urllib.request.urlopen(asked, timeout=120) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def begin(self, path: str = "complete", **changes: Any) -> Future[Answer]:
        return self.pool.submit(self.ask, path, **changes)

    def workers(self) -> list[int]:
        return [child.pid for child in self.process.children()]

    def worker(self) -> int:
        until(lambda: len(self.workers()) == 1)
        return self.workers()[0]

    def connect(self, **changes: Any) -> socket.socket:
        """A connection on which a completion has been asked for, of which nothing is read."""
        body = {"cells": [{"source": "x = "}], "active": 0, "offset": 4, **changes}
        data = json.dumps(body).encode()
        return self.send(f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def send(self, end: bytes) -> socket.socket:
        """A connection on which a request has begun, with its last headers and its body in ``end``."""
        address = urlsplit(self.url)
        connection = socket.create_connection((address.hostname, address.port))
        head = f"POST {address.path}complete HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n"
        connection.sendall(head.encode() + end)
        return connection

    def at_work(self, count: int) -> bool:
        return bool(self.ask("status").json["busy"] == count)


@contextmanager
def running(tiny: Path, folder: Path, *options: str) -> Iterator[Running]:
    extensions = ("santajupyter", "tests.faults.tiny_model")
    with (
        server(tiny, folder, folder, *options, extensions=extensions) as (address, process),
        ThreadPoolExecutor(20) as pool,
    ):
        yield Running(f"{address}santajupyter/", psutil.Process(process.pid), pool)


@pytest.fixture(scope="module")
def one(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tiny, tmp_path_factory.mktemp("server")) as made:
        yield made


def error_in(stream: IO[bytes]) -> dict[str, Any]:
    """The event that ends the stream."""
    next(line for line in stream if line == b"event: error\n")
    return dict(json.loads(next(stream).removeprefix(b"data: ")))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_killed_when_idle(one: Running, how: signal.Signals) -> None:
    """Nobody notices. What Ctrl-C sends means the server alone."""
    assert one.ask().code == 200
    before = one.worker()
    os.kill(before, how)
    assert one.ask().code == 200
    assert (one.worker() == before) is (how == signal.SIGINT)


def test_killed_while_it_loads(one: Running) -> None:
    """What waits for the model is answered by the next process."""
    assert one.ask("unload").json["state"] == "unloaded"
    waiting = [one.begin() for _ in range(3)]
    os.kill(one.worker(), signal.SIGTERM)
    assert [asked.result().code for asked in waiting] == [200] * 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_at_work(one: Running, how: signal.Signals) -> None:
    """A 503, or an event where the answer has begun; the next request is answered."""
    assert one.ask().code == 200
    with one.connect(stream=True, **ENDLESS) as streaming, streaming.makefile("rb") as stream:
        next(line for line in stream if line.startswith(b"data: "))
        waiting = one.begin(**ENDLESS)
        until(lambda: one.at_work(2))
        os.kill(one.worker(), how)
        assert error_in(stream)["reason"] == "engine-died"
    answer = waiting.result()
    # It may not have had its turn; then the next process has answered it.
    assert (answer.code, answer.code == 200 or answer.json["reason"]) in [(503, "engine-died"), (200, True)]
    assert one.ask().code == 200


def test_killed_while_it_is_unloaded(one: Running) -> None:
    assert one.ask().code == 200
    worker = one.worker()
    os.kill(worker, signal.SIGSTOP)  # so that it doesn't end by itself before
    unloaded = one.begin("unload")
    os.kill(worker, signal.SIGKILL)
    assert unloaded.result().json["state"] == "unloaded"
    assert one.workers() == []
    assert one.ask().code == 200


def test_unloaded_in_a_stream(one: Running) -> None:
    with one.connect(stream=True, **ENDLESS) as streaming, streaming.makefile("rb") as stream:
        next(line for line in stream if line.startswith(b"data: "))
        assert one.ask("unload").json["state"] == "unloaded"
        assert error_in(stream)["reason"] == "unloaded"
    assert one.workers() == []


def test_many_clients_at_once(one: Running) -> None:
    """Each is answered, most with a 429 that says when to come again."""
    assert one.ask().code == 200
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [asked.result() for asked in [pool.submit(one.ask) for _ in range(CLIENTS)]]
    codes = Counter(answer.code for answer in answers)
    assert codes.keys() <= {200, 429}
    assert codes[200]
    assert one.ask().code == 200


def test_bodies_that_never_end(one: Running) -> None:
    """They hold no place in the queue, and no thread."""
    with ExitStack() as open_ones:
        for _ in range(CLIENTS):
            open_ones.enter_context(one.send(b'Content-Length: 1000\r\n\r\n{"cells": ['))
        assert one.at_work(0)
        assert one.ask().code == 200


@pytest.mark.parametrize("header", [("Authorization", "token wrong"), ("Host", "elsewhere.example")])
def test_who_is_not_let_in(one: Running, header: tuple[str, str]) -> None:
    """A wrong token; another name for this host, by which a page of another site would reach it."""
    headers = dict([("Authorization", f"token {TOKEN}"), header])
    for path in ("status", "complete", "load", "v1/completions"):
        asked = urllib.request.Request(one.url + path, None if path == "status" else b"{}", headers)
        with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(asked, timeout=120):
            pass
        with refused.value as answer:
            assert answer.code == 403


def test_streams_that_nobody_reads(one: Running) -> None:
    """They end by themselves or with their connection, and others have their turn meanwhile."""
    with ExitStack() as open_ones:
        for _ in range(8):
            open_ones.enter_context(one.connect(stream=True, **ENDLESS))
        until(lambda: not one.at_work(0))
        assert one.ask().code == 200
    until(lambda: one.at_work(0))


@pytest.mark.parametrize(("how", "stage"), [(signal.SIGKILL, "load"), (signal.SIGHUP, "stream")])
def test_the_server_is_killed(tiny: Path, tmp_path: Path, how: signal.Signals, stage: str) -> None:
    """Its model's process goes with it."""
    if signal.getsignal(how) == signal.SIG_IGN:
        pytest.skip("ignored, as below nohup")
    with running(tiny, tmp_path) as own, ExitStack() as open_ones:
        if stage == "load":
            own.ask("load")
        else:
            assert open_ones.enter_context(own.connect(stream=True, **ENDLESS)).recv(1)
        worker = own.worker()
        own.process.send_signal(how)
        until(lambda: not is_alive(worker))
