"""What a vLLM's steps take, for the simulation: of a server that nobody else uses.

    python -m benchmarks.scale.steps URL --out steps.json [--vocabulary 49152]

Prompts are random token ids. Of everything the fastest of some tries counts, since other work on the machine
can only slow it down. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
from httpx_sse import aconnect_sse

# Tokens of the prompts whose reading is timed, and how many texts are made at a time.
LENGTHS = (128, 512, 1024, 1900)
TOGETHER = (1, 2, 4, 8, 16, 32)
# One more than whole blocks of vLLM's cache: all but a token of such a prompt can be cached.
CONTEXT, NEW = 513, 40
# Requests that say how many of them the server takes a second, and how many of these are there at a time.
MANY, AT_A_TIME = 200, 24
TRIES = 3


@dataclass(frozen=True)
class Steps:
    """Milliseconds. A step takes ``base``, and more for each text that is made (``sequence``), each request

    that begins and each token that is read. ``fixed``: what a request takes besides, whoever else asks.
    """

    base: float
    sequence: float
    request: float
    token: float
    fixed: float


class Timer:
    def __init__(self, client: httpx.AsyncClient, model: str, vocabulary: int) -> None:
        self._client, self._model, self._vocabulary = client, model, vocabulary
        self._rng = random.Random()  # noqa: S311 - nothing secret; what an earlier run sent is cached

    def prompt(self, length: int) -> list[int]:
        """No two have a beginning in common."""
        return [self._rng.randrange(self._vocabulary) for _ in range(length)]

    async def times(self, prompt: Sequence[int], new: int) -> list[float]:
        """Seconds from asking to each event; one may have several tokens."""
        body = {
            "model": self._model,
            "prompt": [*prompt],
            "max_tokens": new,
            "temperature": 0,
            "stream": True,
        }
        found, begun = [], time.perf_counter()
        async with aconnect_sse(
            self._client, "POST", "completions", json=body | {"ignore_eos": True}
        ) as source:
            source.response.raise_for_status()
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    found.append(time.perf_counter() - begun)
        return found

    async def cached(self) -> float:
        """Seconds of a request whose prompt is cached, alone; the lower quartile."""
        prompt = self.prompt(CONTEXT)
        return statistics.quantiles([(await self.times(prompt, 1))[0] for _ in range(30)][1:])[0]

    async def every(self) -> tuple[float, float]:
        """Seconds from one such request to the next where many come at a time, and steps for each."""
        prompt, gate = self.prompt(CONTEXT), asyncio.Semaphore(AT_A_TIME)

        async def one() -> None:
            async with gate:
                await self.times(prompt, 1)

        await one()
        tries = []
        for _ in range(TRIES):
            before, begun = await self._steps(), time.perf_counter()
            await asyncio.gather(*(one() for _ in range(MANY)))
            seconds = time.perf_counter() - begun
            tries.append((seconds / MANY, (await self._steps() - before) / MANY))
        return min(tries)

    async def token(self) -> float:
        """Seconds for each token that is read."""
        times = {
            length: min([(await self.times(self.prompt(length), 1))[0] for _ in range(2 * TRIES)])
            for length in LENGTHS
        }
        return float(np.polyfit(list(times), list(times.values()), 1)[0])

    async def step(self) -> tuple[float, float]:
        """Seconds of a step, and for each text that is made in it."""
        times = []
        for together in TOGETHER:
            prompts = [self.prompt(CONTEXT) for _ in range(together)]
            await asyncio.gather(*(self.times(prompt, 1) for prompt in prompts))  # they are cached then
            tries = []
            for _ in range(TRIES):
                made = await asyncio.gather(*(self.times(prompt, NEW) for prompt in prompts))
                tries.append(statistics.median((each[-1] - each[0]) / (NEW - 1) for each in made))
            times.append(min(tries))
        sequence, base = np.polyfit(TOGETHER, times, 1)
        return max(0.0, float(base)), float(sequence)

    async def _steps(self) -> float:
        """How many there were until now."""
        text = (await self._client.get("../metrics")).raise_for_status().text
        found = re.search(r"^vllm:iteration_tokens_total_count\S* (\S+)", text, re.MULTILINE)
        assert found, "steps are counted by vLLM's metrics"
        return float(found[1])


async def measure(url: str, key: str, vocabulary: int) -> Steps:
    """Raises httpx.HTTPError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    base_url = url.rstrip("/").removesuffix("/v1") + "/v1/"
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60) as client:
        model = (await client.get("models")).raise_for_status().json()["data"][0]["id"]
        timer = Timer(client, model, vocabulary)
        base, sequence = await timer.step()
        token = await timer.token()
        every, steps = await timer.every()
        cached = await timer.cached()
    request = max(0.0, every - steps * base - sequence - token)
    fixed = max(0.0, cached - base - sequence - request - token)
    return Steps(*(1000 * seconds for seconds in (base, sequence, request, token, fixed)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=49152, help="token ids are below this")
    parser.add_argument("--key-env", default="SANTAJUPYTER_REMOTE_API_KEY", metavar="NAME")
    args = parser.parse_args()
    steps = asyncio.run(measure(args.url, os.environ.get(args.key_env, ""), args.vocabulary))
    args.out.write_text(json.dumps(asdict(steps), indent=2), "utf-8")
    print(", ".join(f"{name} {value:.3f} ms" for name, value in asdict(steps).items()))


if __name__ == "__main__":
    main()
