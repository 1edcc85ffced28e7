"""What one user of a JupyterHub waits for while another floods the model that both share.

    python -m benchmarks.flood [--keys 150] [--threads 12]

A hub as deploy/jupyterhub has it, with its proxy, runs on free ports of this machine. Bob types a notebook
of ``benchmarks/notebooks``: a key, its completion from his own server (which asks the shared model with his
token), a quick typist's pause, the next key. Alice's threads ask the shared model for long completions of
long prompts, each as soon as the one before was answered or refused. In turn, so that both see the same
machine: some keys alone, some under the flood. Times are of whole answers, as Bob's page sees them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.jupyterhub import Hub, ask, missing, running

NOTEBOOKS = Path(__file__).parent / "notebooks"
# Keys before Alice begins or ends, in turn.
ROUND = 25
# Seconds between an answer and the next key: of a quick typist, as benchmarks/typing/traces.py has it.
PAUSE = 0.14
# More than this is an error.
MOST = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", type=int, default=150, help="of each kind")
    parser.add_argument("--threads", type=int, default=12, help="Alice's")
    args = parser.parse_args()
    if missing():
        sys.exit(f"There is no {missing()}.")
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), "alice", "bob") as hub:
        sys.exit(measure(hub, args.keys, args.threads) > MOST)


def measure(hub: Hub, keys: int, threads: int) -> float:
    """Print Bob's times; how many times as long his p95 is under the flood."""
    url, token = f"{hub.server_of('bob')}/santajupyter/complete", hub.token("bob")
    bodies = typing()
    for body in itertools.islice(bodies, ROUND):  # until the remote engine has found the model
        ask(url, token, body)
    times: dict[str, list[float]] = {"alone": [], "under the flood": []}
    flood = Flood(hub, threads)
    for kind in itertools.cycle(times):
        if len(times["under the flood"]) >= keys:
            break
        flood.runs.set() if kind != "alone" else flood.runs.clear()
        flood.settle()
        for body in itertools.islice(bodies, ROUND):
            time.sleep(PAUSE)
            begun = time.perf_counter()
            status, answer = ask(url, token, body)
            assert status == 200, answer
            times[kind].append(1000 * (time.perf_counter() - begun))
    flood.end()
    p95 = {kind: statistics.quantiles(values, n=20)[18] for kind, values in times.items()}
    for kind, values in times.items():
        print(
            f"{kind:<16} p50 {statistics.median(values):6.0f} ms   p95 {p95[kind]:6.0f} ms   n {len(values)}"
        )
    print(f"Alice's answers: {dict(flood.got)}")
    more = p95["under the flood"] / p95["alone"]
    print(f"p95 under the flood: {more:.2f} times as long")
    return more


class Flood:
    """Alice's threads, while ``runs`` is set."""

    def __init__(self, hub: Hub, threads: int) -> None:
        self.runs = threading.Event()
        self.got: Counter[int] = Counter()
        self._url, self._token = f"{hub.service}/v1/completions", hub.token("alice")
        self._over, self._busy = False, 0
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def settle(self) -> None:
        """Until the first answers are there, or the last ones."""
        before = self.got.total()
        while self._busy if not self.runs.is_set() else self.got.total() == before:
            time.sleep(0.01)

    def end(self) -> None:
        self._over = True
        self.runs.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        for turn in itertools.count():
            self.runs.wait()
            if self._over:
                return
            self._busy += 1
            lines = "\n".join(f"x_{turn}_{number}_{line} = load({line})" for line in range(150))
            status, _ = ask(self._url, self._token, {"prompt": f"{lines}\ny = [", "max_tokens": 100})
            self.got[status] += 1
            self._busy -= 1


def typing() -> Iterator[dict[str, Any]]:
    """What the page would ask at each key of a notebook that is typed from its beginning."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells: list[dict[str, Any]] = []
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            for end in range(1, len(source) + 1 if cell["cell_type"] == "code" else 0):
                now = {"type": "code", "source": source[:end]}
                yield {"cells": [*cells, now], "active": len(cells), "offset": end, "client": "page"}
            cells.append({"type": cell["cell_type"], "source": source})


if __name__ == "__main__":
    main()
