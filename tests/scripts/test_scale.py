"""People who type, in real time against a server and in a simulation of one."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from benchmarks.scale import load, simulate, typists
from benchmarks.scale.steps import Steps
from benchmarks.scale.typists import Prompt, Step, Trace, Typist, quantile, wait_after_key
from benchmarks.typing import traces
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell

from ..checkpoint import make_tokenizer
from ..remote import KEY, Remote, serving

STEPS = Steps(base=10, sequence=1, request=5, token=0.1, fixed=2)
PROMPT = Prompt("", "", tuple(range(101)))
GAPS = [90, 110, 120, 130, 140, 150, 160, 180, 200, 400]
# Somebody types four keys, each a second after the one before.
SLOW = Trace([Step(float(second), "key", PROMPT) for second in range(4)], 4.0)


def test_a_quantile_counts_what_the_next_key_ended_as_longer() -> None:
    came = [(float(second), True) for second in range(1, 101)]
    assert quantile(came, 0.95) == 95
    half = [(second, second > 50) for second, _ in came]  # half of them wasn't waited for
    assert quantile(half, 0.5) == 75
    assert quantile([(0.1, False)] * 5, 0.5) is None


@pytest.mark.parametrize(
    ("gaps", "answer", "wait"),
    [
        *((GAPS, 300, 200), (GAPS, 1200, 300), (GAPS, 70, 70), (GAPS, 71, 200), (GAPS, 1, 20)),
        *((GAPS, 60_000, 500), ([], None, 200), ([10, 10], None, 200), ([], 30, 30), ([10] * 20, 40, 20)),
    ],
)
def test_the_page_waits_as_in_pace_ts(gaps: list[int], answer: int | None, wait: int) -> None:
    """The same cases as in its test, src/__tests__/suggest/pace.spec.ts; in ms."""
    answers = [] if answer is None else [answer / 1000]
    assert wait_after_key([gap / 1000 for gap in gaps], answers) == pytest.approx(wait / 1000)


def test_a_slow_server_is_asked_less() -> None:
    events = list(
        traces.typing("a.ipynb", [Cell("total = mean(values)\n" * 8 + "total")] * 3, 3, random.Random(1))
    )
    trace = typists._trace(events, None, 12)

    def asked(seconds: float) -> int:
        typist = Typist(0, [trace])
        asks = []
        for ask in itertools.takewhile(lambda ask: ask.at < 120, typist.asks()):
            asks.append(ask)
            assert ask.at < ask.until
            if seconds < ask.until - ask.at:
                typist.answered(seconds)
        return len(asks)

    assert asked(0.03) > 1.5 * asked(0.4)


def test_a_replica_takes_as_long_as_its_steps() -> None:
    alone = simulate.Replica(STEPS, [SLOW], 1, new=3, block=16).run(0, 4)
    # The first prompt is read, of the others all but the last of 101 tokens' begun block is cached.
    cold, warm = (10 + 1 + 5 + 0.1 * tokens + 2 for tokens in (101, 101 - 96))
    assert [seconds for seconds, _ in alone.waits] == pytest.approx(
        [cold / 1000, *[warm / 1000] * (len(alone.waits) - 1)]
    )
    assert all(came for _, came in alone.waits)
    crowd = simulate.Replica(STEPS, [SLOW], 300, new=3, block=16).run(0, 4)
    assert crowd.p(0.95) > 10 * alone.p(0.95)
    assert crowd.busy > 0.9 > alone.busy


def test_a_key_ends_what_takes_too_long() -> None:
    slow = simulate.Replica(Steps(2000, 0, 0, 0, 0), [SLOW], 1, new=3, block=16).run(0, 20)
    assert slow.waits
    assert not any(came for _, came in slow.waits)
    assert slow.p(0.5) == float("inf")


def test_who_is_many_needs_room_for_chance_and_one_replica_more() -> None:
    assert simulate.replicas(100, 0.1, 100) == 2
    many = simulate.replicas(100_000, 0.1, 500)
    assert 10_000 / 500 < many - 1 < 1.3 * 10_000 / 500


async def test_typists_ask_a_server_in_real_time(tmp_path: Path) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    remote = Remote(CodeTokenizer.from_folder(tmp_path))
    trace = Trace([Step(0.6 * at, "key", PROMPT) for at in range(4)], 2.4)
    with serving(remote):
        server = load.Server(f"{remote.url}/v1", KEY, "", 12, 3)
        try:
            found = await load.run(server, [trace], 3, 0.2, 1.5)
        finally:
            await server.close()
    assert server.model == remote.model
    assert found["outcomes"].keys() <= {"whole", "next key"}
    assert found["p50"] > 0
    assert found["tokens_per_second"] > 0
    assert {body["max_tokens"] for body in remote.asked} == {12}
    assert all(body["prompt"] == [*PROMPT.ids] for body in remote.asked)
    assert len({body["cache_salt"] for body in remote.asked}) >= 3
    assert "requests/s" in load.told(found)
