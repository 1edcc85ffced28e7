from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter import decoding
from santajupyter.decoding import BadRequest, decode
from santajupyter.protocol import (
    MAX_OUTPUT,
    MAX_OUTPUTS,
    Completion,
    CompletionRequest,
    Explanation,
    Item,
    Output,
    Status,
    Timings,
    Usage,
    completion_request,
    text_request,
)

Body = Callable[..., dict[str, Any]]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "cells active offset language path trigger mode n max_new_tokens variables classes",
    "temperature top_p seed stop stream client",
    "prompt suffix model max_tokens echo logprobs best_of",
]


BODIES = st.dictionaries(st.sampled_from(" ".join(FIELDS).split()), JSON)
CELLS = st.lists(
    st.fixed_dictionaries(
        {"source": st.text(max_size=9)},
        optional={
            "type": st.sampled_from(["code", "raw", "video"]),
            "execution_count": st.none() | st.integers(-1, 9),
            "outputs": st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(["text", "error"])}), max_size=9
            ),
            "future": JSON,
        },
    ),
    max_size=4,
)
NAMES = st.lists(st.text(max_size=5), max_size=3)
VARIABLES = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["x", "df", "a b"]), "type": st.text(max_size=5)},
        optional={
            "shape": st.none() | st.lists(st.integers(-1, 5), max_size=3),
            "columns": st.lists(st.lists(st.text(max_size=3), min_size=2, max_size=2), max_size=3),
            "keys": NAMES,
            "complete": NAMES,
        },
    ),
    max_size=3,
)
LIKELY = st.fixed_dictionaries(
    {"cells": CELLS, "active": st.integers(0, 2), "offset": st.integers(0, 5)},
    optional={
        "variables": VARIABLES,
        "classes": st.dictionaries(st.text(max_size=5), NAMES, max_size=2),
        "stop": st.none() | st.text(max_size=3) | NAMES,
        "temperature": st.floats(-0.5, 2.5),
        "language": st.none() | st.text(max_size=3),
    },
)


def outcome(parse: Callable[[object], object], body: object) -> object:
    """What was read, or what was said; nothing else may be raised."""
    try:
        return parse(body)
    except BadRequest as error:
        assert str(error)
        return str(error)


@given(BODIES | JSON)
def test_any_json_is_a_request_or_a_bad_request(body: object) -> None:
    for parse in (completion_request, text_request):
        outcome(parse, body)


@given(BODIES | LIKELY)
def test_a_long_body_is_read_as_a_short_one(body: object) -> None:
    """In pieces, so that Python's lock isn't held for long."""
    at_once = outcome(completion_request, body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PIECE", 0)
        assert outcome(completion_request, body) == at_once


def test_defaults(body: Body) -> None:
    request = completion_request({"cells": [{"source": "x"}], "active": 0, "offset": 1})
    assert isinstance(request, CompletionRequest)
    assert (request.language, request.mode, request.sampling.temperature) == ("python", "auto", 0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cells": []}, "cells: give at least"),
        ({"cells": [{"type": "code"}]}, r"cells\[0\].source: missing"),
        ({"cells": [{"source": "x", "type": "video"}]}, r"cells\[0\].type: must be one of"),
        ({"active": 1}, "active: must be a whole number from 0 to 0"),
        ({"offset": 99}, "offset: must be a whole number from 0 to 17"),
        ({"offset": True}, "offset: must be a whole number of at least 0"),
        ({"offset": None}, "offset: missing"),
        ({"cells": [{"source": "\ud83e"}]}, r"cells\[0\].source: has half of a surrogate pair; send whole"),
        ({"cells": [None]}, r"cells\[0\]: must be a JSON object"),
        ({"cells": [{"source": "x"}] * 10_001}, "cells: must be a list of at most 10000 items"),
        ({"cells": [{"source": "x", "outputs": [{"type": "image"}]}]}, r"outputs\[0\].type: must be one of"),
        ({"cells": [{"source": "x", "outputs": ["4"]}]}, r"cells\[0\].outputs\[0\]: must be a JSON object"),
        ({"mode": "all"}, "mode: must be one of line, block, auto"),
        ({"n": 3}, "n: several candidates need a temperature"),
        ({"temperature": float("nan")}, "temperature: must be a finite number"),
        ({"temperature": 2.1}, "temperature: must be a number from 0 to 2"),
        ({"top_p": 0}, "top_p: must be a number above 0 and at most 1"),
        ({"stop": [""]}, "stop: must be a string of 1 to 1024 characters or a list of at most 16 items"),
        ({"stop": ["a"] * 17}, "stop: must be a string of 1 to 1024 characters or a list"),
        ({"client": "x" * 2000}, "client: must be a string of at most 1024 characters"),
        ({"stream": 1}, "stream: must be true or false"),
        ({"variables": {"df": "DataFrame"}}, "variables: must be a list"),
        ({"variables": ["df"]}, r"variables\[0\]: must be a JSON object"),
        ({"variables": [{"type": "int"}]}, r"variables\[0\].name: missing"),
        (
            {"variables": [{"name": "a b", "type": "int"}]},
            r"variables\[0\].name: must be a name of Python's or R's",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "shape": [-1]}]},
            r"variables\[0\].shape\[0\]: must be a whole number from 0",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "columns": [["a"]]}]},
            r"columns\[0\]: must be a list of",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "keys": ["a", 1]}]},
            r"variables\[0\].keys\[1\]: must be a string of at most 200 characters",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "members": ["a" * 201]}]},
            r"members\[0\]: must be a string of at most 200",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "keys": ["\ud83e"]}]},
            r"keys\[0\]: has half of a surrogate pair",
        ),
        ({"classes": []}, "classes: must be a JSON object"),
        ({"classes": {"a.B": "c"}}, "classes.a.B: must be a list"),
    ],
)
def test_bad_fields_are_named(body: Body, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        completion_request(body(**change))


def test_five_megabytes_of_output_are_cut_not_refused(body: Body) -> None:
    outputs = [{"type": "text", "text": "x" * 5_000_000}, *[{"type": "error", "name": "E"}] * 20]
    [cell] = completion_request(body(cells=[{"source": "x", "outputs": outputs}], offset=1)).cells
    assert len(cell.outputs) == MAX_OUTPUTS
    [cell] = completion_request(body(cells=[{"source": "x", "outputs": outputs[:2]}], offset=1)).cells
    assert cell.outputs == (Output("text", "x" * MAX_OUTPUT), Output("error", name="E"))


def test_unknown_fields_are_ignored(body: Body) -> None:
    """A newer frontend may send more."""
    assert completion_request(body(future=1)).active == 0


def test_what_is_cut_is_complete_no_more(body: Body) -> None:
    complete = ["keys", "members"]
    x = {"name": "x", "type": "dict", "keys": ["k"] * 3000, "members": ["m"], "complete": complete}
    request = completion_request(body(variables=[x] * 300, classes={"a": ["b"], "c": ["d"] * 3000}))
    assert len(request.variables) == 200
    assert (len(request.variables[0].keys), sorted(request.variables[0].complete)) == (2000, ["members"])
    assert request.classes == {"a": ("b",)}


def test_null_counts_as_absent(body: Body) -> None:
    """Clients of OpenAI's API send it for all that they leave to the server."""
    asked = body(cells=[{"source": "x", "type": None, "execution_count": None}], offset=1)
    absent = dict.fromkeys(["language", "variables", "trigger", "n", "seed", "stop", "stream"])
    assert completion_request({**asked, **absent}) == completion_request(asked)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body: not valid JSON"),
        (b"{", "the body: not valid JSON"),
        (b'{"cells": [{"source": "\xff"}]}', "the body: not valid JSON"),
        (b"[]", "the body: must be a JSON object"),
        (b"null", "the body: must be a JSON object"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body: nested too deeply"),
        (b'{"cells": [{"source": ""}], "active": 0, "offset": 0, "temperature": 1e999}', "temperature: must"),
        (b'{"cells": [{"source": ""}], "active": 0, "offset": 0, "seed": 1e3}', "seed: must be a whole"),
        (b'{"cells": [{"source": ""}], "active": true}', "active: must be a whole number of at least 0"),
    ],
)
def test_what_no_client_of_ours_sends(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        completion_request(body)


COMPLETION = Completion(
    (Item("x", "length", -0.5, [("x", -0.5)]),), "santa-mini", Usage(3, 2, 1), Timings(1.0, 2.0, 3.0)
)


def with_more(value: Any) -> Any:
    """As a newer version might send it: another field at every level."""
    if isinstance(value, dict):
        return {**{name: with_more(member) for name, member in value.items()}, "future": [{"a": None}]}
    return [with_more(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_a_newer_servers_fields_are_ignored() -> None:
    status = {"state": "ready", "fallback": {"state": "ready"}, "stats": {"latency_ms": {"n": 2, "p50": 1.5}}}
    assert decode(with_more(COMPLETION.to_json()), Completion) == COMPLETION
    assert decode(with_more(status), Status) == decode(status, Status)
    explained = {"model": "m", "pieces": [{"name": "a"}], "left_out": [{"name": "b", "characters": 1}]}
    assert decode(with_more(explained), Explanation) == decode(explained, Explanation)


def test_an_older_server_leaves_fields_out() -> None:
    made = decode({"items": [{"text": "x"}], "model": "m"}, Completion)
    assert (made.text, made.usage.completion_tokens, made.timings.decode_ms) == ("x", 0, 0.0)
    status = decode({"state": "ready", "model": "m"}, Status)
    assert (status.fallback, status.stats.latency_ms.n, status.allowed_models) == (None, 0, ())


def test_a_status_has_no_escapes_of_a_hubs() -> None:
    status = decode({"error": "no \x1b[2J", "message": "no \x1b[2J", "fallback": {"error": "\x07"}}, Status)
    assert (status.error, status.message) == ("no \ufffd[2J", "no \ufffd[2J")
    assert status.fallback and status.fallback.error == "\ufffd"


@pytest.mark.parametrize("kind", [Completion, Status])
def test_answers_that_are_none(kind: type[object]) -> None:
    for body in (b"<html>", b"[]", b'{"items": 3, "state": 4}'):
        with pytest.raises(BadRequest):
            decode(body, kind)
