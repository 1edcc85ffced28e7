"""What clients do to connections, and what handlers do then, at a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from santajupyter.server.handlers import PostHandler

Body = Callable[..., dict[str, Any]]
LIMIT = 100_000


@pytest.fixture
def santa_config() -> dict[str, Any]:
    return {"max_request_bytes": LIMIT}


class Connection:
    """HTTP by hand: requests may end, and connections break, anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    def begin(self, path: str, *headers: str) -> None:
        lines = [f"POST {self._head.format(path=path)}", *headers]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def post(self, path: str, body: object) -> None:
        data = json.dumps(body).encode()
        self.begin(path, f"Content-Length: {len(data)}")
        self._writer.write(data)

    async def answer(self) -> tuple[int, Any]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), json.loads(await self._reader.readexactly(length))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


Connect = Callable[[], Any]


@pytest.fixture
def connect(jp_serverapp: Any, jp_base_url: str, http_server_port: Any, jp_fetch: Any) -> Connect:
    # jp_fetch starts the server.
    token = jp_serverapp.identity_provider.token
    head = f"{jp_base_url}santajupyter/{{path}} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {token}"

    @asynccontextmanager
    async def connected() -> AsyncIterator[Connection]:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", http_server_port[-1]), head)
        yield connection
        await connection.close()

    return connected


def test_with_kernels_elsewhere_no_file_is_known(jp_serverapp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extension = jp_serverapp.extension_manager.extension_points["santajupyter"].app
    assert extension._root() is not None
    monkeypatch.setattr(jp_serverapp.gateway_config, "url", "http://127.0.0.1:1")
    assert extension._root() is None


@pytest.fixture
def service(jp_serverapp: Any) -> Any:
    return jp_serverapp.extension_manager.extension_points["santajupyter"].app.service


async def idle(service: Any) -> None:
    for _ in range(500):
        if not service.status()["busy"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("still busy")


@pytest.mark.parametrize("path", ["complete", "v1/completions", "unload"])
async def test_too_long_a_body_is_refused_before_it_comes(connect: Connect, path: str, body: Body) -> None:
    """100 MB were held in memory until their 413."""
    length = 100_000_000
    async with connect() as connection:
        connection.begin(path, f"Content-Length: {length}")
        code, answer = await connection.answer()
        assert (code, answer["reason"]) == (413, "too-large")
        assert str(LIMIT) in answer["message"]
        for _ in range(length // 1_000_000):
            await connection.send(b" " * 1_000_000)
        connection.post("complete", body())  # the connection is still good
        assert (await connection.answer())[0] == 200


async def test_a_body_of_unknown_length_is_refused_as_it_comes(connect: Connect, body: Body) -> None:
    piece = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    async with connect() as connection:
        connection.begin("complete", "Transfer-Encoding: chunked")
        for _ in range(LIMIT // 0x4000 + 1):
            await connection.send(piece)
        code, answer = await connection.answer()
        assert (code, answer["reason"]) == (413, "too-large")
        await connection.send(piece * 3 + b"0\r\n\r\n")
        connection.post("complete", body())
        assert (await connection.answer())[0] == 200


async def test_a_body_in_chunks_is_read(connect: Connect, body: Body) -> None:
    data = json.dumps(body()).encode()
    async with connect() as connection:
        connection.begin("complete", "Transfer-Encoding: chunked")
        for byte in data:
            await connection.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        await connection.send(b"0\r\n\r\n")
        assert (await connection.answer())[0] == 200


async def test_others_have_their_turn_while_a_body_comes(
    connect: Connect, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had come was read to its end; each part waited for the thread that decoded another body."""
    turns, seen = 0, []
    received = PostHandler.data_received

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def spied(self: PostHandler, chunk: bytes) -> None:
        seen.append(turns)
        await received(self, chunk)

    monkeypatch.setattr(PostHandler, "data_received", spied)
    task = asyncio.create_task(others())
    async with connect() as connection:
        connection.post("complete", body("x" * (LIMIT - 1000)))
        assert (await connection.answer())[0] == 200
    task.cancel()
    assert len(set(seen)) == len(seen) > 1


async def test_a_long_body_is_read_beside_the_event_loop(connect: Connect, body: Body) -> None:
    async with connect() as connection:
        connection.post("complete", body("x = 1\n" * (LIMIT // 9)))
        assert (await connection.answer())[0] == 200
        connection.post("complete", {"cells": ["x" * (LIMIT - 1000)]})
        code, answer = await connection.answer()
        assert (code, answer["message"]) == (400, "cells[0]: must be a JSON object")


async def test_clients_may_leave_at_any_moment(
    connect: Connect, body: Body, service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One in a thousand left a traceback in the server's log, and some an engine at work for nobody."""
    rng = random.Random(0)
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with connect() as connection:
        connection.post("warm", body())
        await connection.answer()
    long = body("x = (\n" * rng.randrange(1, 9), mode="block", max_new_tokens=1000, n=8, temperature=1.0)
    openai = {"prompt": "x = (\n", "max_tokens": 1000, "n": 8, "temperature": 1.0}

    async def come_and_go() -> None:
        async with connect() as connection:
            path, asked = rng.choice([("complete", long), ("v1/completions", openai), ("docstring", long)])
            connection.post(path, {**asked, "stream": rng.random() < 0.5, "client": str(rng.randrange(4))})
            await asyncio.sleep(rng.choice([0, 0, 0.001, rng.random() * 0.05]))

    with caplog.at_level(logging.WARNING):
        for _ in range(25):
            await asyncio.gather(*(come_and_go() for _ in range(8)))
        await idle(service)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert (said, unhandled) == ([], [])


@pytest.mark.parametrize("path", ["unload", "load"])
async def test_a_failure_is_answered_once(
    jp_fetch: Any, service: Any, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer's second end was another error."""

    async def fail(*args: Any) -> None:
        raise RuntimeError("of ours")

    monkeypatch.setattr(service.engines, path, fail)
    with pytest.raises(HTTPClientError) as failed:
        await jp_fetch("santajupyter", path, method="POST", body="{}")
    assert failed.value.code == 500
    assert failed.value.response
    answer = json.loads(failed.value.response.body)
    assert (answer["reason"], "log" in answer["message"]) == ("internal", True)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors[0].startswith("santajupyter: Traceback ") and errors[0].endswith("RuntimeError: of ours")
    assert not [said for said in errors if "Uncaught" in said]


async def test_what_the_servers_end_cuts_off_is_answered(jp_fetch: Any, body: Body, service: Any) -> None:
    """An empty answer with status 200 was no completion."""
    await jp_fetch("santajupyter", "warm", method="POST", body=json.dumps(body()))
    long = body("x = (\n", mode="block", max_new_tokens=1000, n=8, temperature=1.0)
    asked = asyncio.ensure_future(jp_fetch("santajupyter", "complete", method="POST", body=json.dumps(long)))
    while not service.status()["busy"]:
        await asyncio.sleep(0.005)
    await service.close()
    with pytest.raises(HTTPClientError) as failed:
        await asked
    assert failed.value.code == 503


async def test_others_control_characters_are_spelled_out(jp_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as failed:
        await jp_fetch("santajupyter", "load", method="POST", body=json.dumps({"model": "\x1b]0;x\x07"}))
    assert failed.value.response
    assert json.loads(failed.value.response.body)["message"].startswith("model: \ufffd]0;x\ufffd is not one")
