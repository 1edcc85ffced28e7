"""What docs/openapi.json promises, asked of a real server by schemathesis: every route, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from santajupyter.server.handlers import routes
from santajupyter.server.openapi import description

from ..kernel.test_magics import TOKEN, request, server

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
# Random weights seldom end a text by themselves.
MAX_TOKENS = 4


def test_the_file_is_up_to_date() -> None:
    said = "python -m santajupyter.server.openapi > docs/openapi.json"
    assert json.loads(FILE.read_text("utf-8")) == json.loads(json.dumps(description())), said


def test_every_route_is_described() -> None:
    service: Any = SimpleNamespace(shared=False)
    paths = [path.removeprefix("/santajupyter") for path, *_ in routes("/", service, 0)]
    assert sorted(description()["paths"]) == sorted(paths)


SCHEMA = schemathesis.openapi.from_path(FILE)
FOUND = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
OPERATIONS = {f"{operation.method.upper()} {operation.path}": operation for operation in FOUND}
WITH_BODY = [label for label, operation in OPERATIONS.items() if operation.body]


@pytest.fixture(scope="module")
def url(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with server(tiny, folder, folder) as (base, _):
        request(base + "santajupyter/v1/completions", {"prompt": "x", "max_tokens": 1})  # loads the model
        yield base + "santajupyter"


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        *((label, GenerationMode.POSITIVE) for label in OPERATIONS),
        *((label, GenerationMode.NEGATIVE) for label in WITH_BODY),
    ],
)
def test_every_route_keeps_its_promises(url: str, label: str, mode: GenerationMode) -> None:
    """No 500, no undocumented status, type or field; what the schema forbids is refused, and no token too."""

    @settings(
        max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
    )
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        if isinstance(case.body, dict):
            for name in ("max_new_tokens", "max_tokens"):
                asked = case.body.get(name)
                if isinstance(asked, int) and asked > MAX_TOKENS:
                    case.body[name] = MAX_TOKENS
        # A schema can't say that the cursor lies in a cell, or that several candidates need a temperature.
        case.call_and_validate(
            base_url=url,
            headers={"Authorization": f"token {TOKEN}"},
            excluded_checks=[positive_data_acceptance],
        )

    ask()


@pytest.mark.parametrize("label", ["POST /complete", "POST /v1/completions"])
def test_a_stream_s_events_are_as_promised(url: str, label: str) -> None:
    body: dict[str, Any] = {"stream": True, "prompt": "x = ", "max_tokens": 4}
    if label == "POST /complete":
        body = {"stream": True, "cells": [{"source": "x = "}], "active": 0, "offset": 4}
    case = OPERATIONS[label].Case(body=body, media_type="application/json")
    response = case.call_and_validate(base_url=url, headers={"Authorization": f"token {TOKEN}"})
    assert response.headers["content-type"][0].startswith("text/event-stream")
