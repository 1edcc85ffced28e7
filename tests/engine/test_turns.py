"""Users who share an engine: the same share of its time for each, and nothing of another's prompts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from santajupyter.engine import wire
from santajupyter.engine import worker as worker_module
from santajupyter.engine.model import KV
from santajupyter.engine.promptcache import PromptCache
from santajupyter.engine.turns import Turns
from santajupyter.prompt.document import Document
from santajupyter.prompt.fim import Prompt
from santajupyter.protocol import Sampling

PROMPT = [1, 2, 3, 4]


def share(costs: dict[str, int], rounds: int, turns: Turns) -> Counter[str]:
    """The time that each has had, where all have work; ``costs``: of each one's steps."""
    used: Counter[str] = Counter()
    for _ in range(rounds):
        user = turns.next(costs.keys())
        turns.spend(user, costs[user])
        used[user] += costs[user]
    return used


def test_who_takes_long_steps_gets_fewer() -> None:
    used = share({"alice": 10, "bob": 1, "carol": 2}, 400, Turns(credit=0))
    assert max(used.values()) - min(used.values()) <= 10


@pytest.mark.parametrize("credit", [0, 30])
def test_who_has_been_away_gets_so_much_ahead_and_no_more(credit: int) -> None:
    turns = Turns(credit)
    share({"alice": 10, "bob": 1}, 100, turns)
    share({"alice": 10}, 50, turns)
    used = share({"alice": 10, "bob": 1}, 200 + credit, turns)
    assert credit - 10 <= used["bob"] - used["alice"] <= credit + 10


def test_who_needs_little_never_waits_for_who_floods() -> None:
    """As somebody who types does, and somebody who always has more to ask."""
    turns, used = Turns(credit=30), Counter[str]()
    for _ in range(100):
        used += share({"alice": 10}, 2, turns)
        typed = share({"alice": 10, "bob": 1}, 8, turns)
        assert typed == {"bob": 8}
        used += typed
    assert used == {"alice": 2000, "bob": 800}


def test_who_comes_and_goes_gets_no_more_than_his_share() -> None:
    turns, used = Turns(credit=30), Counter[str]()
    for _ in range(300):
        used += share({"alice": 3, "bob": 3}, 20, turns)
        used += share({"alice": 3}, 1, turns)
    assert 0.9 < used["bob"] / used["alice"] < 1.1


def test_one_s_many_requests_do_not_keep_another_waiting(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    events: list[wire.FromWorker] = []
    engine = worker_module._Engine(
        wire.Load("tiny", str(tiny), device="cpu", cache_bytes=2**20),
        SimpleNamespace(send=events.append),  # type: ignore[arg-type]
    )
    here, sampling = Document("x = [", ""), Sampling(max_new_tokens=8)
    for number in range(1, 5):
        engine.take(wire.Complete(number, here, sampling, user="alice"))
    for _ in range(3):
        engine.step()
    engine.take(wire.Complete(5, here, sampling, automatic=True, user="bob"))
    while engine.busy:
        engine.step()
    ended = [event.id for event in events if isinstance(event, wire.Done)]
    assert ended.index(5) <= 1
    assert [number for number in ended if number != 5] == [1, 2, 3, 4]


class TokensKV:
    """Keys and values that take a byte a token."""

    def __init__(self, length: int = 0) -> None:
        self.length = length

    @property
    def size(self) -> int:
        return self.length

    def can_be_cut(self, more: int = 0) -> bool:
        return True

    def cut(self, length: int) -> None:
        self.length = length

    def beginning(self, length: int) -> TokensKV:
        return TokensKV(length)

    def picked(self, rows: Sequence[int]) -> TokensKV:
        return TokensKV(self.length)


def read(cache: PromptCache, ids: Sequence[int], user: str) -> int:
    """How many of the ids were there already."""
    with cache.using(Prompt(tuple(ids), 1, user=user)) as entry:
        cached = entry.cached
        cache.catch_up(entry, ids)
        entry.ids, cast(TokensKV, entry.kv).length = [*ids], len(ids)
    return cached


@pytest.fixture
def cache() -> PromptCache:
    return PromptCache(lambda: cast(KV, TokensKV()), 40)


def test_nobody_finds_another_s_prompt(cache: PromptCache) -> None:
    """How much of a prompt is known, and how fast an answer comes, would tell what others write."""
    read(cache, PROMPT, "alice")
    assert cache.cached([*PROMPT, 5], "bob") == 0
    assert read(cache, [*PROMPT, 5], "bob") == 0
    assert cache.cached([*PROMPT, 5, 6], "alice") == len(PROMPT)
    assert read(cache, [*PROMPT, 5, 6], "alice") == len(PROMPT)


def test_nobody_fills_the_cache(cache: PromptCache) -> None:
    read(cache, PROMPT, "bob")
    for number in range(10, 30):
        read(cache, [number] * 8, "alice")
    assert cache.cached([*PROMPT, 5], "bob") == len(PROMPT)
