"""The replay's places asked of llama.cpp too: ``/infill`` with the whole notebook as text, same weights.

    llama-server -m model.gguf --port 8012 --ctx-size 4096 --parallel 1 &
    python -m santajupyter.evaluation replay --model MODEL_FOLDER --folder NOTEBOOKS --out results.jsonl \\
        --configurations full cell-only
    python -m benchmarks.quality results.jsonl --folder NOTEBOOKS --url http://127.0.0.1:8012

Adds its results to the file, and prints the replay's tables with one more configuration. Its text is cut
at the first newline; there are no rules. Give --as-written or --out-of-order if the replay had it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from santajupyter.evaluation.places import MAX_NEW_TOKENS, body, read_folder
from santajupyter.evaluation.replay import Result
from santajupyter.evaluation.report import tables

NAME = "llama.cpp /infill"
TIMEOUT = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="the replay's")
    parser.add_argument("--url", default="http://127.0.0.1:8012")
    parser.add_argument("--as-written", action="store_true")
    parser.add_argument("--out-of-order", action="store_true")
    args = parser.parse_args()
    lines = args.results.read_text("utf-8").splitlines()
    results = [
        found for found in map(Result.from_json, map(json.loads, lines)) if found.configuration != NAME
    ]
    books = read_folder(args.folder)
    with httpx.Client(base_url=args.url, timeout=TIMEOUT, trust_env=False) as client:
        for place in dict.fromkeys(result.place for result in results):
            asked = body(books[place.notebook], place, args.as_written, args.out_of_order)
            begun = time.perf_counter()
            text, tokens, cached = infill(client, *text_around(asked))
            milliseconds = 1000 * (time.perf_counter() - begun)
            results.append(Result(place, NAME, text, round(milliseconds, 1), tokens, cached))
    rows = (json.dumps(asdict(result), ensure_ascii=False) + "\n" for result in results)
    args.results.write_text("".join(rows), encoding="utf-8")
    print(tables(results))


def text_around(asked: dict[str, Any]) -> tuple[str, str]:
    """The notebook as a script, left and right of the cursor: markdown is comments, cells are a line apart.

    Our own way to text may be better, so it isn't used here.
    """
    texts = [
        "\n".join(f"# {line}" for line in cell["source"].split("\n"))
        if cell["type"] == "markdown"
        else cell["source"]
        for cell in asked["cells"]
    ]
    active, offset = asked["active"], asked["offset"]
    left, right = texts[active][:offset], texts[active][offset:]
    return "\n\n".join([*texts[:active], left]), "\n\n".join([right, *texts[active + 1 :]])


def infill(client: httpx.Client, prefix: str, suffix: str) -> tuple[str, int, int]:
    """The rest of the line, the prompt's tokens, and how many of them were cached.

    llama.cpp's tools/server/README.md, POST /infill.
    """
    asked = {
        "input_prefix": prefix,
        "input_suffix": suffix,
        "n_predict": MAX_NEW_TOKENS,
        "temperature": 0,
        "stop": ["\n"],
        "cache_prompt": True,
    }
    answer = client.post("/infill", json=asked)
    answer.raise_for_status()
    found = answer.json()
    cached = found.get("timings", {}).get("cache_n", 0)
    return found["content"].partition("\n")[0], found.get("tokens_evaluated", 0), cached


if __name__ == "__main__":
    main()
