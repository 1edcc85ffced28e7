"""Small notebooks for the tests of the evaluation."""

from __future__ import annotations

from pathlib import Path

import nbformat

from santajupyter.evaluation.places import Notebook

SOURCES = [
    "import math\nfrom collections import Counter",
    "def area(radius):\n    # of a circle\n    return math.pi * radius ** 2",
    "counts = Counter(word for word in text.split())\nprint(counts.most_common(10), area(2))  # ☃",
    "%matplotlib inline\nfor name, value in counts.items():\n    print(name.upper(), value)",
]


def write(folder: Path, name: str, sources: list[str]) -> None:
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, sources)]
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / name)


def write_two(folder: Path) -> Path:
    write(folder / "deep", "one.ipynb", SOURCES)
    write(folder, "two.ipynb", SOURCES[::-1])
    return folder


def book(*sources: str, name: str = "a.ipynb") -> Notebook:
    cells = tuple({"type": "code", "source": source, "outputs": []} for source in sources)
    return Notebook(name, Path(name), cells)
