"""The REST contract (docs/rest.md) on a real Jupyter server with a real worker."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from santajupyter.engine import process

from ..checkpoint import make_checkpoint
from ..hub import hub_with
from ..kernel.test_magics import TOKEN, server

Body = Callable[..., dict[str, Any]]
Answer = tuple[int, dict[str, Any]]
MODELS = Path(__file__).parents[2] / "santajupyter" / "models"


@pytest.fixture(scope="module")
def url(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with server(tiny, folder, folder, "--SantaApp.min_probability=0") as (address, _):
        yield f"{address}santajupyter/"


@pytest.fixture
def fetch(url: str, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """The response to a request to the server that tests share which neither end its model nor count."""

    async def fetch(path: str, body: object) -> Any:
        headers = {"Authorization": f"token {TOKEN}"}
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        client = AsyncHTTPClient()
        return await client.fetch(
            url + path, method="POST", body=data, headers=headers, request_timeout=60, raise_error=False
        )

    return fetch


@pytest.fixture
def shared(fetch: Any) -> Callable[..., Any]:
    """As ``ask``, of the server that tests share."""

    async def ask(path: str, body: object) -> Answer:
        response = await fetch(path, body)
        return response.code, json.loads(response.body)

    return ask


@pytest.fixture
def ask(jp_fetch: Any) -> Callable[..., Any]:
    """(status, JSON) of a request to a server of the test's own, whatever the status."""

    async def fetch(path: str, body: object = None, **kwargs: Any) -> Answer:
        method = "GET" if body is None else "POST"
        data = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        try:
            response = await jp_fetch("santajupyter", *path.split("/"), method=method, body=data, **kwargs)
        except HTTPClientError as error:
            response = error.response
        return response.code, json.loads(response.body)

    return fetch


def engines_of(jp_serverapp: Any) -> Any:
    return jp_serverapp.extension_manager.extension_points["santajupyter"].app.service.engines


def engine_pid(jp_serverapp: Any) -> int:
    return int(engines_of(jp_serverapp).primary.pid)


async def ready(ask: Any) -> dict[str, Any]:
    for _ in range(2400):
        _, status = await ask("status")
        if status["state"] not in ("loading", "downloading"):
            return dict(status)
        await asyncio.sleep(0.05)
    raise AssertionError("never ready")


async def busy(ask: Any, count: int) -> dict[str, Any]:
    """The status once so many requests are in work."""
    for _ in range(1000):
        _, status = await ask("status")
        if status["busy"] == count:
            return dict(status)
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {count} at work")


async def test_complete(shared: Any, body: Body) -> None:
    code, answer = await shared("complete", body("x = 1\nif x:\n    ", mode="block"))
    assert code == 200
    assert set(answer) == {"items", "model", "usage", "timings"}
    asked = {"text", "finish_reason", "logprob"}
    [item] = answer["items"]
    assert set(item) == (asked if item["text"] else asked | {"reason"})  # no more than was asked for
    assert answer["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("mode", ["line", "block"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_pieces_of_a_text_and_their_log_probabilities(
    fetch: Any, body: Body, mode: str, stream: bool
) -> None:
    """Joined they are the text, also where a rule has cut that."""
    was_cut = False
    for seed in range(6):
        asked = body(
            "日本語 = [\nif x:\n    y = (", mode=mode, n=2, temperature=1.3, seed=seed, max_new_tokens=30
        )
        response = await fetch("complete", {**asked, "logprobs": True, "stream": stream})
        answer = json.loads(response.body.decode().rpartition("data: ")[2])
        for item in answer["items"]:
            assert "".join(piece for piece, _ in item["logprobs"]) == item["text"]
            assert all(logprob <= 0 for _, logprob in item["logprobs"])
            was_cut = was_cut or 0 < len(item["logprobs"]) < answer["usage"]["completion_tokens"] / 2
    assert was_cut


async def test_the_status_tells_the_life_of_a_model(ask: Any, body: Body, tiny: Path) -> None:
    _, before = await ask("status")
    assert (before["state"], before["message"]) == (
        "unloaded",
        f"{tiny} is not loaded; it loads on first use.",
    )
    await ask("complete", body())
    _, after = await ask("status")
    assert (after["state"], after["serving"], after["family"]) == ("ready", str(tiny), "santacoder")
    assert after["stats"]["completed"] == 1
    code, unloaded = await ask("unload", {})
    assert (code, unloaded["state"]) == (200, "unloaded")
    assert (await ask("complete", body()))[0] == 200


async def test_the_second_request_finds_the_prompt_cached(shared: Any, body: Body) -> None:
    await shared("warm", body("import numpy as np\nx = np."))
    _, answer = await shared("complete", body("import numpy as np\nx = np.a"))
    assert answer["usage"]["prompt_tokens"] - answer["usage"]["cached_tokens"] <= 2


async def test_documentation_for_the_function_around_the_cursor(shared: Any, body: Body) -> None:
    source = "hat = '🎅'\ndef add(a, b):\n    return a + b\n"
    asked = body(source, cells=[{"source": "import os"}, {"source": source}], active=1, offset=20)
    answers = []
    for seed in range(40):  # the random model mostly has no words
        code, answer = await shared("docstring", {**asked, "temperature": 1.0, "seed": seed})
        assert (code, answer["name"]) == (200, "add")
        answers.append(answer)
        if answer["text"]:
            break
    assert all(answer["message"] == "The model has no words for add." for answer in answers[:-1])
    assert source[: answer["at"]] == "hat = '🎅'\ndef add(a, b):\n"
    assert answer["text"].startswith('    """') and answer["text"].endswith('"""\n')
    code, answer = await shared("docstring", {**asked, "offset": 3})
    assert (code, answer["text"]) == (200, "")
    assert answer["message"] == "The cursor is in no function."


def failed(source: str, name: str, value: str, line: str = "", **fields: Any) -> dict[str, Any]:
    """The body of a fix: of a cell whose run ended with this error."""
    error = {"type": "error", "name": name, "value": value, "line": line or source}
    cell = {"source": source, "execution_count": 1, "outputs": [error]}
    return {"cells": [cell], "active": 0, "offset": 0, **fields}


async def test_an_error_is_mended_by_a_rule_or_by_the_model(shared: Any) -> None:
    asked = failed("hat = '🎅'; df['fibonaci']", "KeyError", "'fibonaci'", variables=[DF])
    code, answer = await shared("fix", asked)
    assert (code, answer["by"], answer["words"]) == (200, "rule", ["fibonaci", "fibonacci"])
    assert answer["edits"] == [{"start": 15, "end": 23, "text": "fibonacci"}]
    code, answer = await shared("fix", failed("x = 1 / 0", "ZeroDivisionError", "division by zero"))
    assert (code, answer["by"]) in [(200, None), (200, "model")]


async def test_rules_need_no_model(ask: Any, jp_serverapp: Any) -> None:
    await ask("unload", {})
    code, answer = await ask("fix", failed("pirnt(1)", "NameError", "name 'pirnt' is not defined"))
    assert (code, answer["edits"]) == (200, [{"start": 0, "end": 5, "text": "print"}])
    code, answer = await ask("fix", failed("x = 1 / 0", "ZeroDivisionError", "division by zero"))
    assert (code, answer["edits"], answer["reason"]) == (200, [], "nothing")


async def test_warm_generates_nothing(shared: Any, body: Body) -> None:
    code, answer = await shared("warm", body())
    assert (code, answer["items"], answer["usage"]["completion_tokens"]) == (200, [], 0)


DF = {
    "name": "df",
    "type": "DataFrame",
    "module": "pandas",
    "shape": [9, 2],
    "columns": [["fibonacci", "int64"], ["deux mots", "str"]],
    "complete": ["members", "columns"],
}
CLASSES = {"pandas.DataFrame": ["print", "numpy"]}


async def test_the_kernels_facts_are_part_of_the_prompt(shared: Any, body: Body) -> None:
    request = body("df.head()\nx = ", variables=[DF])
    tokens = []
    for path, asked in (("complete", {**request, "variables": []}), ("complete", request), ("warm", request)):
        code, answer = await shared(path, asked)
        assert code == 200, answer
        tokens.append(answer["usage"]["prompt_tokens"])
    assert tokens[0] < tokens[1] == tokens[2]


KNOWN = {
    "x = df.": ("print", "numpy", "fibonacci"),
    "x = df['": ("fibonacci", "deux mots"),
    "x = df[['fibonacci', '": ("fibonacci", "deux mots"),
}


async def texts_at(ask: Any, body: Body, source: str, **changes: Any) -> list[str]:
    """What random weights write there, where they write something."""
    request = body(source, classes=CLASSES, n=8, temperature=2.0, max_new_tokens=20, mode="line")
    texts = []
    for seed in range(4):
        code, answer = await ask("complete", {**request, **changes, "seed": seed})
        assert code == 200, answer
        texts += [item["text"] for item in answer["items"] if item["text"]]
    return texts


@pytest.mark.parametrize("source", KNOWN)
async def test_what_the_kernel_knows_is_what_comes(shared: Any, body: Body, source: str) -> None:
    """Each candidate begins with another name, and there are no more candidates than names."""
    free, named = [await texts_at(shared, body, source, variables=known) for known in ([], [DF])]
    assert not all(text.startswith(KNOWN[source]) for text in free)
    assert named and all(text.startswith(KNOWN[source]) for text in named)
    assert len(set(named)) > 1


class TestNoNames:
    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"kernel_names": False}

    async def test_it_can_be_switched_off(self, ask: Any, body: Body) -> None:
        texts = await texts_at(ask, body, "x = df.", variables=[DF])
        assert not all(text.startswith(KNOWN["x = df."]) for text in texts)


async def test_stream(fetch: Any, body: Body) -> None:
    """What comes in pieces is the text that comes at the end, or its beginning, but for what a rule cut."""
    for seed in range(10):
        asked = body("x = (\n", stream=True, mode="block", temperature=1.2, seed=seed, max_new_tokens=30)
        response = await fetch("complete", asked)
        assert response.headers["Content-Type"] == "text/event-stream"
        lines = response.body.decode().splitlines()
        *deltas, last = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        text, streamed = last["items"][0]["text"], "".join(delta["text"] for delta in deltas)
        if len(deltas) > 2 and len(text) > 2:
            break
    assert len(deltas) > 2
    assert min(len(text), len(streamed)) > 2
    assert text.startswith(streamed) or streamed.startswith(text)


async def test_emoji_before_the_cursor(shared: Any) -> None:
    """Offset is in code points: 5 of them lie before the cursor, in 7 UTF-16 units."""
    cells = [{"source": "x = '🦌🦌'"}]
    assert (await shared("complete", {"cells": cells, "active": 0, "offset": 8, "max_new_tokens": 2}))[
        0
    ] == 200
    assert (await shared("complete", {"cells": cells, "active": 0, "offset": 9}))[0] == 400


async def test_bad_bodies_get_400_and_harm_nothing(shared: Any, body: Body) -> None:
    """Five hundred of them, mutated from a good one or not JSON at all."""
    rng = random.Random(0)
    good = json.dumps(body())
    wrong: list[Any] = [None, True, -1, 1e99, "x" * 5000, [], {}, [[]], {"source": 1}, "\ud83e"]
    for _ in range(500):
        kind = rng.randrange(3)
        if kind == 0:
            data: Any = good[: rng.randrange(1, len(good) - 1)]
        elif kind == 1:
            field = rng.choice(["cells", "active", "offset"])
            data = json.dumps({**body(), field: rng.choice(wrong)})
            if json.loads(data)[field] is True:
                data = "[" * 100_000
        else:
            data = bytes(rng.randrange(256) for _ in range(20))
        path = rng.choice(["complete", "warm", "v1/completions", *([] if kind == 1 else ["load"])])
        code, answer = await shared(path, data)
        assert code == 400, (path, data, answer)
        assert answer["message"]
        assert answer["reason"] == "bad-request"
    assert (await shared("complete", body()))[0] == 200


@pytest.mark.parametrize("path", ["complete", "warm", "load", "unload", "v1/completions"])
async def test_who_has_no_token_is_refused(
    path: str, jp_base_url: str, http_server_port: Any, jp_fetch: Any
) -> None:
    url = f"http://127.0.0.1:{http_server_port[-1]}{jp_base_url}santajupyter/{path}"
    with pytest.raises(HTTPClientError) as refused:
        await AsyncHTTPClient().fetch(url, method="POST", body="{}")
    assert refused.value.code == 403


@pytest.mark.parametrize("path", ["status", "v1/models"])
async def test_who_has_no_token_may_not_look(
    path: str, jp_base_url: str, http_server_port: Any, jp_fetch: Any
) -> None:
    url = f"http://127.0.0.1:{http_server_port[-1]}{jp_base_url}santajupyter/{path}"
    with pytest.raises(HTTPClientError) as refused:
        await AsyncHTTPClient().fetch(url)
    assert refused.value.code == 403


async def test_a_cookie_alone_needs_the_xsrf_token(
    jp_serverapp: Any, jp_base_url: str, http_server_port: Any, jp_fetch: Any
) -> None:
    """Another site's page can make a browser send its cookie, but doesn't know the XSRF token."""
    server = f"http://127.0.0.1:{http_server_port[-1]}{jp_base_url}"
    token = jp_serverapp.identity_provider.token
    login = await AsyncHTTPClient().fetch(
        f"{server}lab?token={token}", follow_redirects=False, raise_error=False
    )
    cookie = "; ".join(header.split(";")[0] for header in login.headers.get_list("Set-Cookie"))
    status = await AsyncHTTPClient().fetch(f"{server}santajupyter/status", headers={"Cookie": cookie})
    assert status.code == 200
    for path in ("complete", "unload"):
        with pytest.raises(HTTPClientError) as refused:
            await AsyncHTTPClient().fetch(
                f"{server}santajupyter/{path}", method="POST", body="{}", headers={"Cookie": cookie}
            )
        assert refused.value.code == 403


class TestAuthorizer:
    """Every verb asks the server's authorizer, under the resource santajupyter."""

    @pytest.fixture
    def jp_server_authorizer(self) -> Any:
        from jupyter_server.auth import Authorizer

        class Reader(Authorizer):
            def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
                return not (resource == "santajupyter" and action == "write")

        return Reader

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any], jp_server_authorizer: Any) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = jp_server_authorizer
        return jp_server_config

    async def test_a_reader_may_look_but_not_use(self, ask: Any, body: Body) -> None:
        assert (await ask("status"))[0] == 200
        for path in ("complete", "docstring", "fix", "warm", "explain", "load", "unload", "v1/completions"):
            assert (await ask(path, body()))[0] == 403


async def test_the_newest_request_of_a_client_wins(ask: Any, body: Body, jp_serverapp: Any) -> None:
    await ask("warm", body())
    long = body("x = (\n", mode="block", max_new_tokens=120, client="tab", temperature=1.0, seed=1)
    worker = psutil.Process(engine_pid(jp_serverapp))
    worker.suspend()  # it must not be done before the second request comes
    first = asyncio.create_task(ask("complete", long))
    await busy(ask, 1)
    second = asyncio.create_task(ask("complete", body(client="tab")))
    code, answer = await first
    assert (code, answer["reason"]) == (409, "superseded")
    worker.resume()
    assert (await second)[0] == 200


async def test_a_request_that_was_overtaken_on_its_way_ends_nothing(
    ask: Any, body: Body, jp_serverapp: Any
) -> None:
    """Those that a page gave up come when they come."""
    await ask("warm", body())
    worker = psutil.Process(engine_pid(jp_serverapp))
    worker.suspend()
    newest = asyncio.create_task(ask("complete", body(client="tab", sequence=8)))
    await busy(ask, 1)
    code, answer = await ask("complete", body(client="tab", sequence=7))
    assert (code, answer["reason"]) == (409, "superseded")
    others = asyncio.create_task(ask("complete", body(client="others", sequence=1)))
    await busy(ask, 2)
    worker.resume()
    assert [(await newest)[0], (await others)[0]] == [200, 200]
    assert (await ask("complete", body(client="tab", sequence=7)))[0] == 200  # nothing that it would end


async def test_what_is_fetched_ahead_costs_nobody_anything(ask: Any, body: Body, jp_serverapp: Any) -> None:
    ahead = {"mode": "block", "max_new_tokens": 120, "temperature": 1.0, "seed": 1, "prefetch": True}
    code, answer = await ask("complete", body("x = (\n", **ahead))
    assert (code, answer["reason"]) == (429, "queue-full")  # no model is loaded for it
    await ask("warm", body())
    worker = psutil.Process(engine_pid(jp_serverapp))
    worker.suspend()
    first = asyncio.create_task(ask("complete", body("x = (\n", client="tab", **ahead)))
    await busy(ask, 1)
    others = asyncio.create_task(ask("complete", body("x = 1", client="others")))
    await busy(ask, 2)
    code, answer = await ask("complete", body("x = (\n", client="third", **ahead))
    assert (code, answer["reason"]) == (429, "queue-full")
    own = asyncio.create_task(ask("complete", body(client="tab")))
    code, answer = await first
    assert (code, answer["reason"]) == (409, "superseded")
    worker.resume()
    assert [(await others)[0], (await own)[0]] == [200, 200]
    latencies = (await ask("status"))[1]["stats"]["latency_ms"]["n"]
    assert (await ask("complete", body("x = (\n", client="tab", **ahead)))[0] == 200
    assert (await ask("status"))[1]["stats"]["latency_ms"]["n"] == latencies  # nobody waited


async def test_a_client_that_goes_away_cancels_its_request(
    ask: Any, body: Body, jp_serverapp: Any, jp_base_url: str, http_server_port: Any
) -> None:
    await ask("warm", body())
    data = json.dumps(body("x = (\n", mode="block", max_new_tokens=1000, stream=True)).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", http_server_port[-1])
    token = jp_serverapp.identity_provider.token
    head = (
        f"POST {jp_base_url}santajupyter/complete HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {token}"
    )
    writer.write(f"{head}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    await reader.readline()
    worker = psutil.Process(engine_pid(jp_serverapp))
    worker.suspend()  # it must not be done before
    writer.close()
    assert (await busy(ask, 0))["stats"]["cancelled"] == 1
    worker.resume()


async def test_a_dead_worker_takes_nothing_with_it(
    ask: Any, body: Body, jp_serverapp: Any, jp_fetch: Any
) -> None:
    await ask("warm", body())
    endless = body("x = (\n", mode="block", max_new_tokens=1000, n=8, temperature=1.0)
    long = asyncio.create_task(ask("complete", endless))
    process = engines_of(jp_serverapp).primary.process
    while not any(call.started for call in process._calls.values()):
        await asyncio.sleep(0.001)
    os.kill(engine_pid(jp_serverapp), getattr(signal, "SIGKILL", signal.SIGTERM))
    contents = await jp_fetch("api", "contents")
    assert contents.code == 200
    code, answer = await long
    assert (code, answer["reason"]) == (503, "engine-died")
    code, answer = await ask("complete", body())
    assert code == 200, answer


async def test_a_request_to_a_worker_just_killed_is_answered(ask: Any, body: Body, jp_serverapp: Any) -> None:
    """Between a worker's death and the server's noticing, requests got the dead one's 503."""
    await ask("warm", body())
    os.kill(engine_pid(jp_serverapp), getattr(signal, "SIGKILL", signal.SIGTERM))
    code, answer = await ask("complete", body())
    assert code == 200, answer


async def test_load_only_what_is_allowed(ask: Any, tiny: Path) -> None:
    code, answer = await ask("load", {"model": "/etc"})
    assert (code, answer["reason"]) == (403, "not-allowed")
    assert str(tiny) in answer["message"]
    assert (await ask("load", {"model": str(tiny)}))[0] == 200
    assert (await ready(ask))["state"] == "ready"


async def test_openai_clients_are_served(ask: Any, tiny: Path) -> None:
    _, models = await ask("v1/models")
    assert models["data"][0]["id"] == str(tiny)
    request = {"model": str(tiny), "prompt": "def f(", "suffix": "\n    return 1", "max_tokens": 5}
    code, answer = await ask("v1/completions", request)
    assert (code, answer["object"]) == (200, "text_completion")
    assert answer["usage"]["completion_tokens"] <= 5
    code, answer = await ask("v1/completions", {**request, "model": "gpt-4"})
    assert (code, answer["error"]["type"]) == (404, "unknown-model")


async def test_openais_logprobs(shared: Any) -> None:
    asked = {"prompt": "日本語 for i in", "max_tokens": 12, "temperature": 1.3, "seed": 3}
    _, answer = await shared("v1/completions", {**asked, "logprobs": 1})
    [choice] = answer["choices"]
    told = choice["logprobs"]
    assert "".join(told["tokens"]) == choice["text"] and len(told["token_logprobs"]) == len(told["tokens"])
    assert [choice["text"][at] for at in told["text_offset"]] == [token[0] for token in told["tokens"]]
    assert (await shared("v1/completions", asked))[1]["choices"][0]["logprobs"] is None
    code, answer = await shared("v1/completions", {**asked, "logprobs": 5})
    assert code == 400 and answer["message"].startswith("logprobs: those of other tokens")


async def test_openai_clients_can_have_one_of_some_texts(shared: Any) -> None:
    among = ["alpha", "beta", "gamma ray"]
    asked = {"prompt": "x = ", "max_tokens": 8, "structured_outputs": {"choice": among}}
    code, answer = await shared("v1/completions", {**asked, "n": 3, "temperature": 1.0, "logprobs": 0})
    assert code == 200
    assert sorted(choice["text"] for choice in answer["choices"]) == among
    logprobs = [sum(choice["logprobs"]["token_logprobs"]) for choice in answer["choices"]]
    assert logprobs == sorted(logprobs, reverse=True)
    code, answer = await shared("v1/completions", {**asked, "structured_outputs": {"choice": [""]}})
    assert code == 400 and answer["message"].startswith("structured_outputs.choice")


async def test_openai_stream(fetch: Any) -> None:
    response = await fetch("v1/completions", {"prompt": "def f(", "max_tokens": 5, "stream": True})
    events = [line[6:] for line in response.body.decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] in ("stop", "length")


async def test_status_is_no_activity(ask: Any, jp_serverapp: Any) -> None:
    """Polled by every open page, it would have kept an idle server from being culled."""
    await ask("status")
    assert "api_last_activity" not in jp_serverapp.web_app.settings


class TestLimits:
    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"max_request_bytes": 1000, "max_queue": 1, "request_timeout": 1.0, "idle_unload": 1.0}

    async def test_a_long_body(self, ask: Any, body: Body) -> None:
        code, answer = await ask("complete", body("x" * 2000))
        assert (code, answer["reason"]) == (413, "too-large")

    async def test_a_full_queue(self, ask: Any, body: Body, jp_serverapp: Any) -> None:
        await ask("load", {})
        assert (await ready(ask))["state"] == "ready"
        worker = psutil.Process(engine_pid(jp_serverapp))
        worker.suspend()
        first = asyncio.create_task(ask("complete", body(client="a")))
        await busy(ask, 1)
        code, answer = await ask("complete", body(client="b"))
        assert (code, answer["reason"]) == (429, "queue-full")
        worker.resume()
        assert (await first)[0] in (200, 503)  # in time or not

    async def test_what_is_fetched_ahead_takes_no_place(
        self, ask: Any, body: Body, jp_serverapp: Any
    ) -> None:
        await ask("load", {})
        assert (await ready(ask))["state"] == "ready"
        worker = psutil.Process(engine_pid(jp_serverapp))
        worker.suspend()
        ahead = asyncio.create_task(ask("complete", body(client="a", prefetch=True)))
        await busy(ask, 1)
        other = asyncio.create_task(ask("complete", body(client="b")))
        await busy(ask, 2)
        worker.resume()
        assert (await other)[0] in (200, 503)
        assert (await ahead)[0] in (200, 503)

    async def test_idle_models_are_unloaded(self, ask: Any) -> None:
        await ask("load", {})
        assert (await ready(ask))["state"] == "ready"
        begun = time.monotonic()
        while (await ask("status"))[1]["state"] == "ready":
            assert time.monotonic() - begun < 100
            await asyncio.sleep(0.1)


class TestDoubt:
    """A model may say how likely a suggestion must be to be worth interrupting anyone."""

    @pytest.fixture
    def santa_config(self, tmp_path: Path) -> dict[str, Any]:
        model = make_checkpoint(tmp_path / "shy", min_probability=0.99)
        return {"model": str(model), "min_probability": None}

    async def test_what_is_doubted_comes_only_when_asked_for(self, ask: Any, body: Body) -> None:
        _, unasked = await ask("complete", body("x = (\n", mode="block", trigger="automatic"))
        _, asked = await ask("complete", body("x = (\n", mode="block", trigger="invoke"))
        assert (unasked["items"][0]["text"], asked["items"][0]["text"] != "") == ("", True)

    async def test_a_request_cannot_ask_for_less(self, ask: Any, body: Body) -> None:
        lax = body("x = (\n", mode="block", trigger="automatic", min_probability=0.01)
        assert (await ask("complete", lax))[1]["items"][0]["text"] == ""


class TestNoDoubt:
    """The server's own setting comes before the model's."""

    @pytest.fixture
    def santa_config(self, tmp_path: Path) -> dict[str, Any]:
        return {"model": str(make_checkpoint(tmp_path / "shy", min_probability=0.99))}

    async def test_it_comes_unasked(self, ask: Any, body: Body) -> None:
        _, unasked = await ask("complete", body("x = (\n", mode="block", trigger="automatic"))
        assert unasked["items"][0]["text"]

    async def test_a_request_may_ask_for_more(self, ask: Any, body: Body) -> None:
        doubting = body("x = (\n", mode="block", trigger="automatic", min_probability=0.99)
        _, answer = await ask("complete", doubting)
        assert answer["items"][0]["text"] == ""
        _, invoked = await ask("complete", {**doubting, "trigger": "invoke"})
        assert invoked["items"][0]["text"]
        code, _ = await ask("complete", {**doubting, "min_probability": 1.5})
        assert code == 400


@pytest.mark.parametrize("least", [None, 0.0])
class TestLimitOfLines:
    """A line that nobody asked for has to be likely, where neither model nor server is set otherwise."""

    @pytest.fixture
    def santa_config(self, least: float | None) -> dict[str, Any]:
        return {"min_probability": least}

    @pytest.mark.parametrize("code", ["x = [1]\n", "x = [1]\nx"])
    @pytest.mark.parametrize("mode", ["line", "block"])
    async def test_it_ends_where_the_model_doubts(
        self, ask: Any, body: Body, least: float | None, code: str, mode: str
    ) -> None:
        texts = {}
        for trigger in ("automatic", "invoke"):
            _, answer = await ask("complete", body(code, mode=mode, trigger=trigger))
            texts[trigger] = answer["items"][0]["text"]
        assert texts["invoke"].startswith(texts["automatic"])
        assert (texts["invoke"] != texts["automatic"]) == (mode == "line" and least is None)


class TestNoModel:
    """Nothing can be had: every answer says so and what would help."""

    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"model": "nobody/nothing"}

    async def test_complete(self, ask: Any, body: Body) -> None:
        code, answer = await ask("complete", body())
        assert (code, answer["reason"]) == (503, "error")
        assert answer["message"].startswith(
            "nobody/nothing can't be used: it can't be downloaded from the hub"
        )

    async def test_load_tries_again_at_once(self, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a machine that had just started, the clock's zero was taken for a failure a moment ago."""
        clock = SimpleNamespace(monotonic=lambda: 5.0, perf_counter=time.perf_counter)
        monkeypatch.setattr("santajupyter.server.engines.time", clock)
        for _ in range(2):
            assert (await ask("load", {}))[1]["state"] == "loading"
            assert (await ready(ask))["state"] == "error"


class TestDownload:
    """From a hub to the first answer, with the bytes counted on the way."""

    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"model": "me/tiny"}

    async def test_progress(self, slow_hub: threading.Event, ask: Any, body: Body, tiny: Path) -> None:
        answer = asyncio.create_task(ask("complete", body()))
        seen = []
        while not answer.done():
            _, status = await ask("status")
            seen.append((status["state"], status["progress"], status["message"]))
            if status["state"] == "downloading" and status["progress"]["done"]:
                slow_hub.set()
            await asyncio.sleep(0.05)
        assert (await answer)[0] == 200
        progress = [progress for state, progress, _ in seen if state == "downloading"]
        size = sum((tiny / name).stat().st_size for name in tiny_files(tiny))
        assert {p["total"] for p in progress} == {size}
        assert 0 <= progress[0]["done"] < size
        assert any(message.startswith("Downloading me/tiny: ") for _, _, message in seen)


@pytest.fixture
def slow_hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What ends the rest that it takes in the middle of the weights."""
    go_on = threading.Event()
    with hub_with(tiny, pause=go_on) as endpoint:
        for name, value in {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        yield go_on


class TestStandIn:
    """Until the model is there the built-in one answers, but for blocks, which are beyond it."""

    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"model": "me/tiny", "fallback_model": "santa-mini"}

    async def test_blocks_wait(self, slow_hub: threading.Event, ask: Any, body: Body) -> None:
        """`%%santa generate`, and docstrings, were santa-mini's nonsense while the model was on its way."""
        whole = body("def mean(x):\n    return x", mode="block", trigger="invoke")
        code, answer = await ask("complete", body("import numpy as n"))
        assert (code, answer["model"]) == (200, "santa-mini")
        for path in ("complete", "docstring"):
            code, answer = await ask(path, whole)
            assert (code, answer["reason"]) == (503, "loading")
            assert answer["message"].startswith("Downloading me/tiny: ")
        code, answer = await ask("complete", {**whole, "trigger": "automatic"})
        assert (code, answer["model"]) == (200, "santa-mini")
        slow_hub.set()
        assert (await ready(ask))["state"] == "ready"
        code, answer = await ask("complete", whole)
        assert (code, answer["model"]) == (200, "me/tiny")


class TestMeanwhile:
    """While one model reads a long prompt another one suggests something, to who wants that."""

    @pytest.fixture
    def santa_config(self, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        other = make_checkpoint(tmp_path / "other", min_probability=1e-9)
        monkeypatch.setattr(process, "WORKER", "tests.server.tiny_worker")
        monkeypatch.setenv("TINY_SLOW", str(tiny))
        return {"fallback_model": str(other)}

    @pytest.mark.parametrize("wanted", [False, True])
    async def test_it_is_an_event_of_its_own(
        self, ask: Any, jp_fetch: Any, jp_serverapp: Any, body: Body, wanted: bool
    ) -> None:
        await ready(ask)
        await ask("complete", body())
        while engines_of(jp_serverapp).meanwhile is None:
            await asyncio.sleep(0.01)
        code = "x = [1, 2, 3]\nfor y in x:\n    print(" * 6
        asked = body(code, stream=True, meanwhile=wanted, max_new_tokens=6)
        response = await jp_fetch("santajupyter", "complete", method="POST", body=json.dumps(asked))
        events = response.body.decode().split("\n\n")
        others = [event for event in events if event.startswith("event:")]
        *_, last = [json.loads(event[6:]) for event in events if event.startswith("data: ")]
        made = {"text": last["items"][0]["text"], "imports": []}
        assert made["text"]
        assert others == ([f"event: meanwhile\ndata: {json.dumps(made)}"] if wanted else [])
        assert not wanted or events[0] == others[0]


def tiny_files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.suffix in (".json", ".safetensors")]


@pytest.mark.skipif(not (MODELS / "santa-mini").is_dir(), reason="santa-mini is not built yet")
class TestBuiltInModel:
    """It stands in for a model that can't be had, and says so."""

    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"model": "nobody/nothing", "fallback_model": "santa-mini"}

    async def test_it_answers_instead(self, ask: Any, body: Body) -> None:
        code, answer = await ask("complete", body("import numpy as n"))
        assert (code, answer["model"], answer["items"][0]["text"]) == (200, "santa-mini", "p")
        status = await ready(ask)
        assert status["state"] == "error"
        assert status["serving"] == "santa-mini"
        assert status["message"].endswith("The built-in model santa-mini answers instead.")

    async def test_who_asks_gets_the_next_best(self, ask: Any, body: Body) -> None:
        """Where the likeliest text would only say the line above again."""
        code = "df = df.dropna()\ndf = df."
        _, invoked = await ask("complete", body(code, trigger="invoke"))
        assert invoked["items"][0]["text"] not in ("", "dropna()")
        _, automatic = await ask("complete", body(code, trigger="automatic"))
        assert (automatic["items"][0]["text"], automatic["items"][0]["reason"]) == ("", "repeats-above")

    async def test_it_does_not_for_blocks(self, ask: Any, body: Body) -> None:
        whole = body("def mean(x):\n    return x", mode="block", trigger="invoke")
        for path in ("complete", "docstring"):
            code, answer = await ask(path, whole)
            assert (code, answer["reason"]) == (503, "error")
        status = await ready(ask)
        assert (status["blocks"], status["serving"]) == (False, "santa-mini")
        assert [offer["blocks"] for offer in status["models"]] == [True, False]

    async def test_a_text_in_three_quotes_is_written_to_its_end(self, ask: Any, body: Body) -> None:
        """Half of it would make all that follows a string."""
        told = 'about = """Some words about it,\nand then some more,\nuntil the end."""'
        cells = [{"source": told, "execution_count": n} for n in (1, 2, 3)] + [{"source": told[:8]}]
        asked = body(cells=cells, active=3, offset=8, trigger="invoke", max_new_tokens=12)
        code, answer = await ask("complete", asked)
        assert (code, told[:8] + answer["items"][0]["text"]) == (200, told)


@pytest.mark.skipif(not (MODELS / "santa-mini").is_dir(), reason="santa-mini is not built yet")
class TestChecked:
    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"model": "santa-mini", "check": True}

    async def test_a_name_that_nobody_has_gives_way_to_one_that_somebody_has(
        self, ask: Any, body: Body
    ) -> None:
        code = "def scale(values, factor=2):\n    return [v * factor for v in values]\n"
        code += "heights = [1, 2]\nlimit = 3\nscale("
        _, answer = await ask("complete", body(code, trigger="invoke"))
        assert answer["items"][0]["text"].startswith(("heights", "limit"))

    @pytest.mark.parametrize("trigger", ["automatic", "invoke"])
    async def test_what_is_broken_behind_a_name_takes_no_name_away(
        self, ask: Any, body: Body, trigger: str
    ) -> None:
        """It goes on as the cell above did, with a bracket too many."""
        load = (
            'import pandas as pd\nships = pd.read_csv("ships.csv", parse_dates=["sailed_on"])\nships.head(2)'
        )
        ships = {
            "name": "ships",
            "type": "DataFrame",
            "module": "pandas",
            "columns": [["port", "str"], ["sailed_on", "datetime64[us]"], ["cargo_t", "int64"]],
            "complete": ["columns"],
        }
        for code in ('x = ships["', 'ships.groupby("'):
            cells = [{"source": load, "execution_count": 1}, {"source": code}]
            _, answer = await ask(
                "complete",
                body(cells=cells, active=1, offset=len(code), variables=[ships], trigger=trigger),
            )
            assert answer["items"][0]["text"].partition('"')[0] in ("port", "sailed_on", "cargo_t")


async def test_opentelemetry_hears_of_requests_and_their_stages(
    ask: Any, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("santajupyter.server.spans.trace.get_tracer", provider.get_tracer)
    assert (await ask("complete", body("kanarienvogel = (")))[0] == 200
    assert (await ask("complete", body(offset="kanarienvogel")))[0] == 400
    found = [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
    assert "kanarienvogel" not in str(found)
    *stages, whole, wrong = found
    names = [span["name"].removeprefix("santajupyter ") for span in found]
    assert names == ["prompt", "queue", "prefill", "decode", "complete", "complete"]
    assert {span["parent_id"] for span in stages} == {whole["context"]["span_id"]}
    begun = [whole["start_time"], *(span["start_time"] for span in stages)]
    assert begun == sorted(begun)
    assert whole["attributes"]["outcome"] == "ok" and whole["attributes"]["prompt_tokens"] > 0
    assert wrong["attributes"] == {"outcome": "bad-request"}
