"""What whoever runs a server sees of it: metrics, the last errors, logs; and that no code is in there."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.traces import trace

from ..kernel.test_magics import TOKEN, request, server
from ..remote import KEY, Remote, serving

ADMIN = (Path(__file__).parents[2] / "docs" / "admin.md").read_text("utf-8")
CANARY = "kanarienvogel"
# In everything that a request may have text in.
HERE: dict[str, Any] = {
    "cells": [
        {"type": "markdown", "source": f"# {CANARY}"},
        {
            "type": "code",
            "source": f"def {CANARY}(x):\n    return {CANARY}_x",
            "outputs": [{"type": "error", "name": "NameError", "value": CANARY, "line": f"{CANARY}_x"}],
        },
    ],
    "active": 1,
    "offset": 20,
    "path": f"{CANARY}/{CANARY}.ipynb",
    "client": CANARY,
    "variables": [{"name": CANARY, "type": "DataFrame", "columns": [[CANARY, "int64"]]}],
    "names": [CANARY],
}
TEXT = {"prompt": f"{CANARY} = ", "suffix": CANARY, "max_tokens": 2}
MAX_BYTES = 5000


class Seen(NamedTuple):
    """Of a server at its most talkative, once it was asked all that it can be."""

    metrics: str
    status: dict[str, Any]
    log: str
    answers: dict[str, str]


def post(url: str, body: object) -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Authorization": f"token {TOKEN}"})
    try:
        with urllib.request.urlopen(asked, timeout=100) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


@pytest.fixture(scope="module")
def seen(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("server")
    remote = Remote(CodeTokenizer.from_folder(tiny), forms=("text",))
    with pytest.MonkeyPatch.context() as patch, serving(remote):
        patch.setitem(os.environ, "SANTAJUPYTER_REMOTE_API_KEY", KEY)
        options = [
            "--debug",
            "--SantaApp.engine=remote",
            f"--SantaApp.remote_url={remote.url}",
            f"--SantaApp.remote_model={remote.model}",
            f"--SantaApp.remote_tokenizer={tiny}",
            f"--SantaApp.max_request_bytes={MAX_BYTES}",
            "--SantaApp.emit_events=True",
        ]
        with server(tiny, folder, folder, *options) as (base, _):
            url = f"{base}santajupyter/"
            answers = {"works": post(f"{url}complete", HERE)}
            for path in ("docstring", "fix", "warm", "explain"):
                answers[path] = post(url + path, HERE)
            answers["text"] = post(f"{url}v1/completions", TEXT)
            answers["stream"] = post(f"{url}complete", {**HERE, "stream": True})
            for how in ("echo", "html", "odd", "break"):
                remote.answers = [how]
                answers[how] = post(f"{url}complete", HERE)
            for wrong in ({**HERE, "offset": CANARY}, {**HERE, "cells": CANARY}, [CANARY]):
                answers["wrong"] = post(f"{url}complete", wrong)
            answers["no JSON"] = post(f"{url}complete", f'{{"cells": {CANARY}'.encode())
            answers["too long"] = post(f"{url}complete", {**HERE, "names": [CANARY * 1000]})
            answers["no model"] = post(f"{url}load", {"model": CANARY})
            event: dict[str, Any] = {
                "action": "shown",
                "trigger": "automatic",
                "mode": "auto",
                "model": "tiny",
            }
            event |= {"language": "python", "characters": 1, "lines": 1, "milliseconds": 1}
            schema = "https://schema.jupyter.org/santajupyter/suggestion/v1"
            post(f"{base}api/events", {"schema_id": schema, "version": "1", "data": event})
            asked = urllib.request.Request(f"{base}metrics", headers={"Authorization": f"token {TOKEN}"})
            with urllib.request.urlopen(asked) as answer:
                metrics = answer.read().decode()
            status = request(f"{url}status")
        yield Seen(metrics, status, (folder / "log").read_text("utf-8"), answers)


def test_no_word_of_code_is_in_a_log_a_metric_or_the_status(seen: Seen) -> None:
    # A server that says what it was sent tells it the user; and the log tells what kind of thing happened.
    assert CANARY in json.loads(seen.answers["echo"])["message"]
    assert "answers 422" in seen.log
    assert "[D " in seen.log  # it was at its most talkative
    assert CANARY not in seen.log
    assert CANARY not in json.dumps(seen.status)
    assert CANARY not in seen.metrics


def test_the_last_errors_are_in_the_status(seen: Seen) -> None:
    """Not those of the client's."""
    errors = seen.status["errors"]
    assert [(error["operation"], error["reason"]) for error in errors] == [("complete", "engine")] * 4
    assert all(error["at"].endswith("+00:00") for error in errors)
    assert {error["message"] for error in errors} == {
        "The completion failed; the server's log has the reason."
    }


def test_the_metrics(seen: Seen) -> None:
    families = {family.name: family for family in text_string_to_metric_families(seen.metrics)}

    def value(name: str, **labels: str) -> float:
        family = families[name.removesuffix("_total").removesuffix("_count")]
        return sum(s.value for s in family.samples if s.name == name and labels.items() <= s.labels.items())

    requests = "santajupyter_requests_total"
    assert value(requests, operation="complete", outcome="ok") == 2
    assert value(requests, operation="complete", outcome="engine") == 4
    assert value(requests, operation="complete", outcome="bad-request") == 4
    assert value(requests, operation="complete", outcome="too-large") == 1
    assert value(requests, operation="load", outcome="not-allowed") == 1
    assert value(requests, operation="v1/completions", outcome="ok") == 1
    for stage in ("prompt", "queue", "prefill", "decode"):
        assert value("santajupyter_stage_seconds_count", stage=stage) > 0
    assert value("santajupyter_request_seconds_count", operation="complete") == 2
    assert value("santajupyter_prompt_tokens_total") > 0
    assert value("santajupyter_completion_tokens_total") > 0
    assert value("santajupyter_suggestions_total", action="shown") == 1
    assert value("santajupyter_engine_ready") == 1
    assert value("santajupyter_engine_memory_bytes") > 1_000_000
    assert value("santajupyter_requests_in_progress") == 0
    assert value("santajupyter_engine_restarts_total") == 0
    ours = [family for family in families.values() if family.name.startswith("santajupyter_")]
    for family in ours:
        assert family.name.endswith("_created") or f"| `{family.name}" in ADMIN


def test_what_a_log_tells_of_an_exception() -> None:
    """Where it was raised; its message only where a library that sees numbers alone has made it."""

    def raised(error: Exception) -> str:
        try:
            raise error
        except Exception as caught:
            return trace(caught)

    assert CANARY not in raised(KeyError(CANARY))
    assert raised(KeyError(CANARY)).endswith("in raised\n    raise error\nKeyError")
    assert raised(RuntimeError("out of memory")).endswith("RuntimeError: out of memory")
