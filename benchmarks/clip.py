"""How often the prompt is the same, whether the frontend sends all of a notebook or what it chooses.

    python -m benchmarks.clip [--tokenizer FOLDER_OR_FILE] [--window 2048]

The notebooks are those of benchmarks/notebooks, one by one and many after another as one of 300 cells, of
2,000, and of 300 with every tenth repeated until it has 20,000 characters. README.md has what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.document import document
from santajupyter.prompt.fim import FAMILIES, fit, recognize
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Cell

ROOT = Path(__file__).parents[1]
NEW_TOKENS = 64
CURSORS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "santajupyter" / "models" / "santa-mini")
    parser.add_argument("--window", type=int, default=2048)
    args = parser.parse_args()
    path = args.tokenizer / "tokenizer.json" if args.tokenizer.is_dir() else args.tokenizer
    tokenizer = CodeTokenizer.from_json(path.read_text("utf-8"))
    kinds = {kind: list(notebooks) for kind, notebooks in _kinds(random.Random(1))}  # noqa: S311
    sent = iter(_sent([notebook for notebooks in kinds.values() for notebook in notebooks]))
    print("| notebooks | places | same prompt | same tokens | kB: all | sent |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, notebooks in kinds.items():
        rows = []
        for notebook in notebooks:
            for active, offset in notebook["cursors"]:
                whole = {"cells": notebook["cells"], "active": active, "offset": offset}
                chosen = next(sent)
                prompts = [_prompt(body, tokenizer, args.window) for body in (whole, chosen)]
                rows.append((*prompts, len(json.dumps(whole)), len(json.dumps(chosen))))
        same = sum(first == second for first, second, _, _ in rows) / len(rows)
        tokens = sum(_common(first, second) for first, second, _, _ in rows) / len(rows)
        size = [sum(row[n] for row in rows) / len(rows) / 1000 for n in (2, 3)]
        print(f"| {kind} | {len(rows)} | {same:.1%} | {tokens:.1%} | {size[0]:.0f} | {size[1]:.0f} |")


def _kinds(chance: random.Random) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    books = [_cells(path) for path in sorted((ROOT / "benchmarks" / "notebooks").glob("*.ipynb"))]
    yield "as they are", (_with_cursors(book, chance) for book in books)
    for length in (300, 2000):
        yield f"{length:,} cells", (_with_cursors(_joined(books, length, chance), chance) for _ in range(3))
    yield "300, some long", (_with_cursors(_long(_joined(books, 300, chance)), chance) for _ in range(3))


def _cells(path: Path) -> list[dict[str, str]]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [{"type": cell["cell_type"], "source": "".join(cell["source"])} for cell in cells]


def _joined(
    books: Sequence[list[dict[str, str]]], length: int, chance: random.Random
) -> list[dict[str, str]]:
    """Notebooks in random order, and none of their cells twice with the same text."""
    cells: list[dict[str, str]] = []
    while len(cells) < length:
        number = len(cells)
        cells += [
            {**cell, "source": f"{cell['source']}\n# {number}" if cell["type"] == "code" else cell["source"]}
            for cell in chance.choice(books)
        ]
    return cells[:length]


def _long(cells: list[dict[str, str]]) -> list[dict[str, str]]:
    def repeated(text: str) -> str:
        return "\n".join(f"{text}  # {n}" for n in range(20_000 // (len(text) + 8) + 1))

    return [
        {**cell, "source": repeated(cell["source"])} if n % 10 == 5 else cell for n, cell in enumerate(cells)
    ]


def _with_cursors(cells: list[dict[str, str]], chance: random.Random) -> dict[str, Any]:
    code = [n for n, cell in enumerate(cells) if cell["type"] == "code" and cell["source"].strip()]
    chosen = (chance.choice(code) for _ in range(CURSORS))
    return {"cells": cells, "cursors": [(n, chance.randint(0, len(cells[n]["source"]))) for n in chosen]}


def _sent(notebooks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the frontend sends at each cursor, by its own code."""
    with tempfile.TemporaryDirectory() as folder:
        places, sent = Path(folder, "places"), Path(folder, "sent")
        places.write_text("\n".join(map(json.dumps, notebooks)), "utf-8")
        command = ["node_modules/.bin/jest", "--testMatch", "<rootDir>/benchmarks/clip.spec.ts"]
        environment = os.environ | {"PLACES": str(places), "SENT": str(sent)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)  # noqa: S603
        return [json.loads(line) for line in sent.read_text("utf-8").splitlines()]


def _prompt(body: dict[str, Any], tokenizer: CodeTokenizer, window: int) -> tuple[int, ...]:
    cells = [Cell(type=cell["type"], source=cell["source"]) for cell in body["cells"]]
    text = document(excerpt(cells, body["active"], body["offset"]))
    return fit(text, tokenizer, FAMILIES.get(recognize(tokenizer)), window, NEW_TOKENS).ids


def _common(first: Sequence[int], second: Sequence[int]) -> float:
    """The share of tokens that the second has of the first, in whatever order."""
    return (Counter(first) & Counter(second)).total() / max(1, len(first))


if __name__ == "__main__":
    main()
