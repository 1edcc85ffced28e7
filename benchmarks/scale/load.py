"""People who type, against a server of OpenAI's text completions: vLLM, `santajupyter serve` or another.

    python -m benchmarks.typing.traces --out traces.jsonl --notebooks 24 --cells 5 --keystrokes 300
    python -m benchmarks.scale.load URL traces.jsonl --users 20 [--tokenizer FOLDER] [--seconds 60]

URL is that of its API, such as http://127.0.0.1:8000/v1. With the model's tokenizer prompts are token ids,
as the remote engine sends them to vLLM; without, text with a ``suffix``. Each of the users types one of the
notebooks after another, in real time; a key ends the request before it, as in the page. The key is that of
the environment variable that --key-env names.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import aconnect_sse
from prometheus_client.parser import text_string_to_metric_families

from .typists import Ask, Trace, Typist, load_traces, quantile

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
# What servers count of prompts' tokens, all and cached.
COUNTED = (
    ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"),
    ("santajupyter_prompt_tokens_total", "santajupyter_cached_prompt_tokens_total"),
)


@dataclass
class Answer:
    """Seconds from when a typist asked to the ``first`` text, 0 where none came, and how many ``tokens``.

    ``late``: seconds by which this program was late to send it.
    """

    pause: float
    shown: bool
    late: float = 0.0
    first: float = 0.0
    tokens: int = 0
    outcome: str = "next key"


class Server:
    """What is at ``url``. ``new``: tokens that a suggestion has."""

    def __init__(self, url: str, key: str, model: str, new: int, users: int) -> None:
        self.model, self.new, self._salt = model, new, uuid.uuid4().hex
        self._root = url.rstrip("/").removesuffix("/v1")
        self._client = httpx.AsyncClient(
            base_url=f"{self._root}/v1/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=2 * users),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def connect(self) -> None:
        """Find out the model's name. Raises httpx.HTTPError."""
        response = await self._client.get("models")
        response.raise_for_status()
        self.model = self.model or response.json()["data"][0]["id"]

    async def counted(self) -> tuple[float, float] | None:
        """(tokens of prompts, those that were cached) until now, by the server's metrics if it has some."""
        with suppress(httpx.HTTPError, ValueError):
            values: defaultdict[str, float] = defaultdict(float)
            for family in text_string_to_metric_families(
                (await self._client.get(f"{self._root.removesuffix('/santajupyter')}/metrics")).text
            ):
                for sample in family.samples:
                    values[sample.name] += sample.value
            for both in COUNTED:
                if both[0] in values:
                    return values[both[0]], values[both[1]]
        return None

    async def ask(self, ask: Ask, answer: Answer, begun: float) -> None:
        """Fills the answer in as it comes. Time begins at ``begun``."""
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": self.new if ask.shown else 1,
            "temperature": 0,
            "n": 1,
            "stream": True,
        }
        if ask.prompt.ids:
            # People's notebooks differ: nobody finds another's prompt in vLLM's cache, nor an earlier run's.
            body |= {"prompt": [*ask.prompt.ids], "cache_salt": f"{self._salt}-{ask.sitting}"}
        else:
            body |= {"prompt": ask.prompt.prefix, "suffix": ask.prompt.suffix}
        try:
            async with aconnect_sse(self._client, "POST", "completions", json=body) as source:
                if source.response.status_code != 200:
                    answer.outcome = str(source.response.status_code)
                    return
                async for event in source.aiter_sse():
                    if event.data == "[DONE]":
                        break
                    if json.loads(event.data)["choices"]:
                        answer.first = answer.first or time.perf_counter() - begun
                        answer.tokens += 1
            answer.outcome = "whole"
        except httpx.HTTPError as error:
            answer.outcome = type(error).__name__


async def typing(
    typist: Typist, server: Server, begin: float, wait: float, until: float
) -> list[tuple[float, Answer]]:
    """From ``wait`` to ``until`` seconds after ``begin``: answers and the seconds they were asked at."""
    answers = []
    for ask in typist.asks():
        at = wait + ask.at
        if at >= until:
            break
        begun = begin + at
        await asyncio.sleep(begun - time.perf_counter())
        answer = Answer(ask.until - ask.at, ask.shown, max(0.0, time.perf_counter() - begun))
        answers.append((at, answer))
        with suppress(asyncio.TimeoutError):
            left = max(0.0, begin + wait + ask.until - time.perf_counter())
            await asyncio.wait_for(server.ask(ask, answer, begun), left)
        if ask.shown and answer.first:
            typist.answered(answer.first)
    return answers


async def run(
    server: Server, traces: Sequence[Trace], users: int, settle: float, seconds: float
) -> dict[str, Any]:
    """The figures of ``seconds`` after ``settle`` seconds in which one typist after another begins."""
    await server.connect()
    begin, until = time.perf_counter(), settle + seconds
    tasks = [
        asyncio.create_task(typing(Typist(number, traces), server, begin, settle * number / users, until))
        for number in range(users)
    ]
    await asyncio.sleep(settle)
    before = await server.counted()
    made = [answer for task in tasks for at, answer in await task if at >= settle]
    after = await server.counted()
    found = figures(made, users, seconds) | {"settle": settle}
    if before and after and after[0] > before[0]:
        found["cached"] = (after[1] - before[1]) / (after[0] - before[0])
    return found


def figures(answers: Sequence[Answer], users: int, seconds: float) -> dict[str, Any]:
    """Shares, counts a second, and times in ms (None: too few came to tell)."""
    shown = [answer for answer in answers if answer.shown]
    waits = [(answer.first or answer.pause, answer.first > 0) for answer in shown if _was_answered(answer)]
    late = sorted(answer.late for answer in answers)
    times = {f"p{share}": quantile(waits, share / 100) for share in (50, 95, 99)}
    return {
        "users": users,
        "seconds": seconds,
        "requests_per_second": len(answers) / seconds,
        "requests_per_user_second": len(answers) / seconds / users,
        "tokens_per_second": sum(answer.tokens for answer in answers) / seconds,
        **{name: None if time is None else 1000 * time for name, time in times.items()},
        "before_next_key": sum(answer.first > 0 for answer in shown) / max(1, len(shown)),
        "outcomes": dict(Counter(answer.outcome for answer in answers)),
        "late_p99": 1000 * late[int(0.99 * len(late))] if late else 0.0,
    }


def _was_answered(answer: Answer) -> bool:
    return answer.outcome in ("whole", "next key") or answer.first > 0


def told(found: dict[str, Any]) -> str:
    """The figures in sentences."""
    times = ", ".join(
        f"{name} {'?' if found[name] is None else format(found[name], '.0f')} ms"
        for name in ("p50", "p95", "p99")
    )
    lines = [
        f"{found['users']} typists, {found['seconds']:.0f} s: {found['requests_per_second']:.1f} requests/s "
        f"({found['requests_per_user_second']:.2f} each), {found['tokens_per_second']:.0f} tokens/s",
        f"first text {times}; {found['before_next_key']:.0%} of the suggestions began before the next key",
        f"ends: {found['outcomes']}; this program was late by {found['late_p99']:.0f} ms (p99)",
    ]
    if "cached" in found:
        lines.append(f"{found['cached']:.1%} of the prompts' tokens were cached")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("traces", type=Path)
    parser.add_argument("--users", type=int, nargs="+", default=[10], help="several: one run after another")
    parser.add_argument("--tokenizer", type=Path, help="a folder with the model's tokenizer.json")
    parser.add_argument("--model", default="", help="the server's name for it; else its first")
    parser.add_argument("--key-env", default="SANTAJUPYTER_REMOTE_API_KEY", metavar="NAME")
    parser.add_argument("--new", type=int, default=12, help="tokens that a suggestion has at most")
    parser.add_argument("--settle", type=float, default=20, help="seconds in which they begin")
    parser.add_argument("--seconds", type=float, default=60, help="seconds that are measured after that")
    parser.add_argument("--json", type=Path, help="the figures, one run a line")
    args = parser.parse_args()
    traces = load_traces(args.traces, args.tokenizer, args.new)
    for users in args.users:
        found = asyncio.run(_measured(args, traces, users))
        print(told(found), flush=True)
        if args.json:
            with args.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps(found) + "\n")


async def _measured(args: argparse.Namespace, traces: Sequence[Trace], users: int) -> dict[str, Any]:
    server = Server(args.url, os.environ.get(args.key_env, ""), args.model, args.new, users)
    try:
        return await run(server, traces, users, args.settle, args.seconds)
    finally:
        await server.close()


if __name__ == "__main__":
    main()
