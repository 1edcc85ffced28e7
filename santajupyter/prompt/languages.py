"""What language a cell is in, and how that language begins a comment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..protocol import Cell


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    """Each of the names with what it stands for."""
    return {name: meaning for meaning, names in table.items() for name in names.split()}


# What begins a comment, where that isn't "#"; languages as kernels and magics name them.
MARKS = _by_name(
    {
        "//": "c c# c++ cpp csharp d dart f# fsharp go groovy java javascript js kotlin objective-c pascal"
        " php rust scala stata swift ts typescript zig",
        "--": "ada bigquery duckdb haskell lua mysql postgresql sql sqlite sqlite3",
        "%": "erlang latex matlab octave prolog tex",
        ";": "clojure lisp racket scheme",
        "!": "fortran",
    }
)
# Cell magics by another name than their language's; "": the notebook's own.
MAGIC_LANGUAGES = _by_name(
    {
        "": "capture cython debug local memit prun px python python3 santa spark time timeit",
        "sql": "bigquery ddb duckdb read_sql sqlcmd",
        "bash": "cmd sh system sx !",
        "javascript": "js",
    }
)
# Those that are followed by a program or by a file.
NAMES_PROGRAM = frozenset(["script"])
NAMES_FILE = frozenset(["file", "writefile"])
SUFFIXES = _by_name(
    {
        "python": "py pyx",
        "javascript": "js",
        "typescript": "ts",
        "julia": "jl",
        "markdown": "md",
        "rust": "rs",
        "ruby": "rb",
        "csharp": "cs",
        "bash": "sh",
        "yaml": "yml",
    }
)
# %% begins a section there.
NO_MAGICS = frozenset(["matlab", "octave"])
# The second is polyglot notebooks'.
_MAGIC = re.compile(r"\s*%%(?P<name>\w+|!)(?P<rest>[^\n]*)|#!(?P<kernel>[a-z]+)[ \t]*(?:\n|\Z)")
# Characters in which a cell's magic is looked for.
_BEGINNING = 1000


def language_of(cell: Cell, language: str) -> str:
    """The language that a cell of a notebook in ``language`` is written in: a cell magic may say another."""
    if cell.type == "markdown":
        return "markdown"
    magic = _MAGIC.match(cell.source[:_BEGINNING]) if language.lower() not in NO_MAGICS else None
    if magic is None:
        return language
    name = (magic["name"] or magic["kernel"]).lower()
    if name in NAMES_PROGRAM or name in NAMES_FILE:
        words = [word for word in magic["rest"].split() if word[:1] != "-"]
        named = words[0] if words else ""
        suffix = named.rpartition(".")[2].lower()
        if name in NAMES_FILE:
            return SUFFIXES.get(suffix, suffix) or language
        return named.rpartition("/")[2] or "bash"
    return MAGIC_LANGUAGES.get(name, name) or language


def comment_mark(language: str) -> str:
    """What begins a comment that ends with its line."""
    return MARKS.get(language.lower(), "#")
