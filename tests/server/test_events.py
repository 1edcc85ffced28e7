"""Events of suggestions, at a real Jupyter server's event logger: counts and times, and only on wish."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyter_events import yaml
from tornado.httpclient import HTTPClientError

from santajupyter.server.extension import EVENT_SCHEMA

SCHEMA = yaml.load(EVENT_SCHEMA)
GOOD = {
    "action": "shown",
    "trigger": "automatic",
    "mode": "auto",
    "model": "santa-mini",
    "language": "python",
    "characters": 12,
    "lines": 1,
    "milliseconds": 80,
}


@pytest.fixture
def heard(jp_serverapp: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if schema_id == SCHEMA["$id"]:
            events.append(data)

    jp_serverapp.event_logger.add_listener(listener=listener)
    return events


async def post(jp_fetch: Any, data: object) -> int:
    body = json.dumps({"schema_id": SCHEMA["$id"], "version": SCHEMA["version"], "data": data})
    try:
        return int((await jp_fetch("api", "events", method="POST", body=body)).code)
    except HTTPClientError as error:
        return error.code


class TestOn:
    @pytest.fixture
    def santa_config(self) -> dict[str, Any]:
        return {"emit_events": True}

    async def test_listeners_hear_them(
        self, jp_serverapp: Any, jp_fetch: Any, heard: list[dict[str, Any]]
    ) -> None:
        status = json.loads((await jp_fetch("santajupyter", "status")).body)
        assert status["emit_events"] is True
        for action in SCHEMA["properties"]["action"]["enum"]:
            assert await post(jp_fetch, {**GOOD, "action": action}) == 204
        await jp_serverapp.event_logger.gather_listeners()
        told = [{name: event[name] for name in GOOD} for event in heard]
        assert told == [{**GOOD, "action": action} for action in ("shown", "accepted", "dismissed")]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"text": "password"},
            {"path": "a.ipynb"},
            {"characters": "password"},
            {"language": "x = 1"},
            {"model": "/srv/models/santacoder"},
            {"action": "password"},
            {"milliseconds": -1},
        ],
        ids=str,
    )
    async def test_what_the_schema_does_not_have_is_refused(
        self, jp_serverapp: Any, jp_fetch: Any, heard: list[dict[str, Any]], wrong: dict[str, Any]
    ) -> None:
        assert await post(jp_fetch, {**GOOD, **wrong}) == 400
        await jp_serverapp.event_logger.gather_listeners()
        assert heard == []

    @pytest.mark.usefixtures("heard")
    async def test_each_field_must_be_there(self, jp_fetch: Any) -> None:
        for name in GOOD:
            assert await post(jp_fetch, {key: GOOD[key] for key in GOOD if key != name}) == 400


async def test_they_are_off_by_default(jp_fetch: Any, heard: list[dict[str, Any]]) -> None:
    assert json.loads((await jp_fetch("santajupyter", "status")).body)["emit_events"] is False
    assert await post(jp_fetch, GOOD) == 400
    assert heard == []


def test_no_field_holds_free_text() -> None:
    assert SCHEMA["additionalProperties"] is False
    for field in SCHEMA["properties"].values():
        assert "enum" in field or field["type"] == "integer" or " " not in field["pattern"]
