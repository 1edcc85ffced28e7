from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.protocol import (
    MAX_OUTPUT,
    MAX_OUTPUTS,
    BadRequest,
    CompletionRequest,
    Output,
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


@given(st.dictionaries(st.sampled_from(" ".join(FIELDS).split()), JSON) | JSON)
def test_any_json_is_a_request_or_a_bad_request(body: object) -> None:
    for parse in (completion_request, text_request):
        try:
            parse(body)
        except BadRequest as error:
            assert str(error)


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
        ({"offset": True}, "offset"),
        ({"offset": None}, "offset: missing"),
        ({"cells": [{"source": "\ud83e"}]}, "surrogate"),
        ({"cells": [{"source": "x", "outputs": [{"type": "image"}]}]}, r"outputs\[0\].type: must be one of"),
        ({"cells": [{"source": "x", "outputs": ["4"]}]}, r"cells\[0\].outputs\[0\]: must be a JSON object"),
        ({"mode": "all"}, "mode: must be one of line, block, auto"),
        ({"n": 3}, "n: several candidates need a temperature"),
        ({"temperature": float("nan")}, "temperature: must lie between 0 and 2"),
        ({"top_p": 0}, "top_p: must be above 0"),
        ({"stop": [""]}, "stop: each must be a string"),
        ({"stop": ["a"] * 17}, "stop: must be a string or a list"),
        ({"client": "x" * 2000}, "client: at most 1024"),
        ({"stream": 1}, "stream: must be true or false"),
        ({"variables": {"df": "DataFrame"}}, "variables: must be a list"),
        ({"variables": ["df"]}, r"variables\[0\]: must be a JSON object"),
        ({"variables": [{"type": "int"}]}, r"variables\[0\].name: missing"),
        ({"variables": [{"name": "a b", "type": "int"}]}, r"variables\[0\].name: must be a Python name"),
        ({"variables": [{"name": "x", "type": "int", "shape": [-1]}]}, r"variables\[0\].shape: must be"),
        (
            {"variables": [{"name": "x", "type": "int", "columns": [["a"]]}]},
            r"columns\[0\]: must be a list of",
        ),
        (
            {"variables": [{"name": "x", "type": "int", "keys": ["a", 1]}]},
            r"variables\[0\].keys: each must be",
        ),
        ({"variables": [{"name": "x", "type": "int", "members": ["a" * 201]}]}, "members: each must be"),
        ({"variables": [{"name": "x", "type": "int", "keys": ["\ud83e"]}]}, "keys: each must be"),
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
