"""The REST interface in OpenAPI 3.1, made from the types on the wire.

``python -m santajupyter.server.openapi > docs/openapi.json`` writes it.
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from typing import Any

from msgspec.json import schema_components

from ..protocol import (
    Completion,
    CompletionRequest,
    Delta,
    Documentation,
    Explanation,
    Failure,
    Fix,
    LoadRequest,
    Meanwhile,
    ModelList,
    Status,
    TextCompletion,
    TextRequest,
)

Schema = dict[str, Any]

REQUESTS = (CompletionRequest, TextRequest, LoadRequest)
ANSWERS = (
    *(Completion, Delta, Documentation, Explanation, Fix, Meanwhile, Status, TextCompletion, ModelList),
    Failure,
)
# What an answer may lack; all else is always there.
OPTIONAL = {
    "Failure": {"error"},
    "Item": {"imports", "logprobs", "reason"},
    "Latency": {"p50", "p95"},
    "TextCompletion": {"usage"},
}
ERRORS = {
    400: "`bad-request`: a field is wrong; the message says which, and what it must be",
    403: "`not-allowed`, or no token, no XSRF token, or not authorized",
    404: "`unknown-model`: the model that is named isn't held here",
    409: "`superseded`: a newer request of this client took its place",
    413: "`too-large`: the body is longer than SantaApp.max_request_bytes",
    429: "`queue-full`: too many requests are in work or waiting",
    500: "`engine` or `internal`: a fault of the server's; its log has more",
    503: "`loading`, `engine-died`, `unloaded`, `timeout` or `error`: the model can't answer now",
}
RETRIED = (429, 503)
TO_ANY = (403, 500)
TO_BODIES = (400, 413)
TO_WORK = (409, 429, 503)


def description() -> Schema:
    """An OpenAPI document; its paths begin after ``{base_url}santajupyter/``."""
    completion = (CompletionRequest, (*TO_ANY, *TO_BODIES, *TO_WORK))
    text = (TextRequest, (*TO_ANY, *TO_BODIES, 404, *TO_WORK))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "santajupyter",
            "version": "1",
            "description": "Code completion by the model that a Jupyter server holds; docs/rest.md says more."
            " Fields may be added: ignore what you don't know. A page of the server's own may ask with the"
            " login's cookie and the XSRF token instead of an Authorization header.",
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "http://localhost:8888/santajupyter", "description": "below the base URL"}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": {
            "/status": {"get": _operation("status", "How the models are", Status)},
            "/complete": {
                "post": _operation("complete", "Complete at a cursor", Completion, *completion, Delta)
            },
            "/docstring": {
                "post": _operation("docstring", "Document the function there", Documentation, *completion)
            },
            "/fix": {"post": _operation("fix", "Mend the cell's error", Fix, *completion)},
            "/warm": {"post": _operation("warm", "Compute the prompt cache", Completion, *completion)},
            "/explain": {"post": _operation("explain", "What the model would see", Explanation, *completion)},
            "/load": {
                "post": _operation(
                    "load", "Load or switch the model", Status, LoadRequest, TO_ANY + TO_BODIES
                )
            },
            "/unload": {
                "post": _operation("unload", "Free the models' memory", Status, None, (*TO_ANY, 413))
            },
            "/v1/completions": {
                "post": _operation("text", "OpenAI's text completion", TextCompletion, *text, TextCompletion)
            },
            "/v1/models": {"get": _operation("models", "OpenAI's list of models", ModelList)},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "token …",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(
    name: str,
    summary: str,
    answer: type,
    body: type | None = None,
    errors: tuple[int, ...] = TO_ANY,
    event: type | None = None,
) -> Schema:
    content = {"application/json": {"schema": _reference(answer)}}
    if event:
        content["text/event-stream"] = {"schema": _stream(answer, event)}
    answers: Schema = {"200": {"description": "OK", "content": content}}
    answers |= {str(status): _failure(status) for status in sorted(errors)}
    operation: Schema = {"operationId": name, "summary": summary, "responses": answers}
    if body:
        is_required = body is not LoadRequest
        schema = {"schema": _reference(body)}
        operation["requestBody"] = {"required": is_required, "content": {"application/json": schema}}
    return operation


def _stream(answer: type, event: type) -> Schema:
    """Of each event: OpenAPI has no other place for that before 3.2 (``itemSchema``)."""
    more = " Before them all an event `meanwhile` with a Meanwhile may come." if event is Delta else ""
    ends = "`data: [DONE]`" if event is TextCompletion else f"the whole answer as {answer.__name__}"
    return {
        "type": "object",
        "description": f"With `stream`: events `data:` with JSON, each a {event.__name__}, at last {ends}. "
        f"An error after the first event is an event `error` with a Failure.{more}",
        "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
        "required": ["data"],
    }


def _failure(status: int) -> Schema:
    failure: Schema = {
        "description": ERRORS[status],
        "content": {"application/json": {"schema": _reference(Failure)}},
    }
    if status in RETRIED:
        seconds = {"description": "seconds", "schema": {"type": "integer"}}
        failure["headers"] = {"Retry-After": seconds}
    return failure


def _reference(kind: type) -> Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _schemas() -> Schema:
    template = "#/components/schemas/{name}"
    _, asked = schema_components(REQUESTS, ref_template=template)
    _, answered = schema_components(ANSWERS, ref_template=template)
    for schema in asked.values():
        for name, member in schema["properties"].items():
            member.pop("uniqueItems", None)  # a set, but a list may name one twice
            if member.get("default") == {}:  # msgspec tells it from 0.23 on
                del member["default"]
            if name not in schema.get("required", ()):
                schema["properties"][name] = _or_null(member)
    for name, schema in answered.items():
        for member in schema["properties"].values():
            member.pop("default", None)  # a client's, for what an older server leaves out
        schema["required"] = [
            member for member in schema["properties"] if member not in OPTIONAL.get(name, ())
        ]
    both: Schema = asked | answered
    return {
        name: {**both[name], "description": cleandoc(both[name].get("description", ""))}
        for name in sorted(both)
    }


def _or_null(schema: Schema) -> Schema:
    """In a request null counts as absent."""
    if {"type": "null"} in schema.get("anyOf", ()) or None in schema.get("enum", ()):
        return schema
    outer: Schema = {name: schema[name] for name in ("default", "description") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in outer}
    options = inner["anyOf"] if [*inner] == ["anyOf"] else [inner]
    return {"anyOf": [*options, {"type": "null"}], **outer}


if __name__ == "__main__":
    json.dump(description(), sys.stdout, indent=2, ensure_ascii=False)
    print()
