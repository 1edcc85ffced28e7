"""Two users of a real JupyterHub, behind its proxy, with one model for both: see deploy/jupyterhub."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ..jupyterhub import Hub, ask, missing, running, until

HERE = {"cells": [{"type": "code", "source": "import numpy as "}], "active": 0, "offset": 16}
TEXT = {"prompt": "import numpy as", "max_tokens": 3}
LONG = {"prompt": "x = [", "max_tokens": 60}
# As the deployed configuration has it.
MAX_USER_QUEUE = 6

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"there is no {missing()}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running(tmp_path_factory.mktemp("hub"), "alice", "bob") as found:
        yield found


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_each_user_s_server_asks_with_that_user_s_token(hub: Hub, user: str) -> None:
    own = hub.server_of(user)
    status, answer = ask(f"{own}/santajupyter/complete", hub.token(user), HERE)
    assert (status, answer["items"][0]["text"]) == (200, "np")
    _, told = ask(f"{own}/santajupyter/status", hub.token(user))
    assert told["device"] == hub.service.split("/")[2]
    # The way in which prompts can be sent is found out by asking: one of those is refused, and logged.
    assert f"(user {user}@127.0.0.1)" in hub.log.read_text()


def test_nobody_gets_into_another_s_server(hub: Hub) -> None:
    assert ask(f"{hub.server_of('bob')}/santajupyter/status", hub.token("alice"))[0] == 403


@pytest.mark.parametrize(
    ("token", "reason", "says"),
    [
        ("", "no-token", "A token of JupyterHub is needed here: "),
        ("0123456789abcdef", "bad-token", "JupyterHub doesn't know this token: "),
        ("without-scope", "no-scope", "This token, or its user, lacks the scope of this service: "),
    ],
)
def test_who_may_not_use_it_is_told_why(hub: Hub, token: str, reason: str, says: str) -> None:
    if token == "without-scope":
        token = hub.token("alice", scopes=["read:users!user"])
    for path, body in (("status", None), ("v1/completions", TEXT), ("complete", HERE), ("explain", HERE)):
        status, answer = ask(f"{hub.service}/{path}", token, body)
        assert (status, answer["reason"]) == (403, reason)
        assert answer["message"].startswith(says)


@pytest.mark.parametrize("way", ["expired", "revoked"])
def test_a_token_that_was_good_is_not_for_ever(hub: Hub, way: str) -> None:
    made = hub.admin("users/alice/tokens", "POST", {"expires_in": 3} if way == "expired" else {})
    if way == "revoked":
        assert ask(f"{hub.service}/status", made["token"])[0] == 200
        hub.admin(f"users/alice/tokens/{made['id']}", "DELETE")
    until(lambda: ask(f"{hub.service}/status", made["token"])[0] == 403)
    _, answer = ask(f"{hub.service}/v1/completions", made["token"], TEXT)
    assert answer["message"] == "JupyterHub doesn't know this token: it has expired, or was revoked."


@pytest.mark.parametrize("path", ["explain", "load", "unload"])
def test_nobody_may_do_what_is_others_loss(hub: Hub, path: str) -> None:
    status, answer = ask(f"{hub.service}/{path}", hub.token("alice"), HERE)
    assert (status, answer["reason"]) == (403, "not-allowed")
    assert "share this server" in answer["message"]


def test_there_is_nothing_but_completions(hub: Hub) -> None:
    base, token = hub.service.removesuffix("santajupyter"), hub.token("alice")
    for path in ("api/contents", "api/kernels", "api/sessions", "api/terminals", "files/log", "lab", "login"):
        assert ask(base + path, token)[0] == 404, path
    assert [ask(f"{base}metrics", each)[0] for each in ("", token)] == [403, 200]


def test_a_flood_is_refused_and_leaves_others_their_turn(hub: Hub) -> None:
    """Alice has more requests here than she may; Bob's are answered all the while."""
    url, alice, bob = f"{hub.service}/v1/completions", hub.token("alice"), hub.token("bob")
    over = threading.Event()
    got: Counter[int] = Counter()

    def flood() -> None:
        while not over.is_set():
            status, answer = ask(url, alice, LONG)
            got[status] += 1
            if status == 429:
                assert answer["reason"] == "queue-full"
                assert answer["message"].startswith(f"{MAX_USER_QUEUE} requests of yours are at work")
                assert answer["headers"]["Retry-After"] == "1"

    with ThreadPoolExecutor(2 * MAX_USER_QUEUE) as threads:
        flooding = [threads.submit(flood) for _ in range(2 * MAX_USER_QUEUE)]
        try:
            until(lambda: got[429] > 0)
            answers: list[tuple[int, Any]] = [ask(url, bob, TEXT) for _ in range(5)]
            assert [status for status, _ in answers] == [200] * 5
        finally:
            over.set()
        for thread in flooding:
            thread.result()
    assert set(got) == {200, 429}


def test_what_a_page_asks_by_itself_keeps_no_server_alive(hub: Hub) -> None:
    """Neither its looks at the status, nor what is computed ahead; what the user does is activity."""
    own, token = hub.server_of("alice"), hub.token("alice")

    def last_activity() -> str:
        return str(ask(f"{own}/api/status", token)[1]["last_activity"])

    assert ask(f"{own}/santajupyter/complete", token, HERE)[0] == 200
    before = last_activity()
    assert ask(f"{own}/santajupyter/status", token)[0] == 200
    assert ask(f"{own}/santajupyter/warm", token, HERE)[0] == 200
    assert ask(f"{own}/santajupyter/complete", token, {**HERE, "prefetch": True})[0] == 200
    assert last_activity() == before
    assert ask(f"{own}/santajupyter/complete", token, HERE)[0] == 200
    assert last_activity() > before
