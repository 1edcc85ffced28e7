"""What a piece of code defines and what it uses, in any language, by regular expressions.

Not by a parser: a notebook's code is unfinished where it matters, has magics in it, and isn't
always Python. What is indented is taken for no definition.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import chain

_NAME = r"[^\W\d]\w*"
_DEFINITION = re.compile(
    r"^(?:(?:abstract|async|default|export|final|inline|private|protected|pub|public|static)[ ]+)*"
    r"(?:auto|class|const|def|enum|fn|fun|func|function|interface|let|macro|object|record|struct|trait"
    rf"|type|val|var)[ ]+(?:mut[ ]+)?({_NAME})",
    re.MULTILINE,
)
_TARGET = rf"[(\[*]*{_NAME}[)\]]*"
_ASSIGNMENT = re.compile(rf"^({_TARGET}(?:[ ]*,[ ]*{_TARGET})*)[ ]*(?::[^=\n]*)?(?:=(?!=)|<-)", re.MULTILINE)
# All names on the line, the module's too: that is harmless, and the same in every language.
_IMPORT = re.compile(
    r"^(?:from|import|library|require|use|using)\b([^\n(]*(?:\([^)]{0,400}\))?[^\n]*)", re.MULTILINE
)
_NAMES = re.compile(_NAME)
_BINDING = re.compile(
    rf"\b({_NAME})[ ]*(?:=(?!=)|<-)|\bfor[ ]([^\n:]{{1,200}}?)[ ]in\b|\bas[ ]+({_NAME})"
    r"|\bdef[ ]+\w+\(([^)]{0,400})|\blambda\b([^:\n]{0,400}):"
)
# Calls whose first argument is a file that is there; ``open`` may make one.
READER = (
    r"(?:open|load|loadtxt|genfromtxt|fromfile|imread|(?:read|scan)_(?:csv|excel|feather|fwf|hdf|image|ipc|json"
    r"|ndjson|orc|parquet|pickle|sas|spss|stata|table|xml))"
)
_LOOP = re.compile(r"\bfor[ ]([^\n:]{1,200}?)[ ]in\b")
# What follows a dot is somebody's attribute.
_USES = re.compile(rf"(?<![\w.]){_NAME}")
_IMPORTED = re.compile(r"^[ \t]*(?:import|from)\b.*", re.MULTILINE)
# Characters of code whose names are remembered from key to key.
REMEMBERED = 1_000_000

Names = frozenset[str]


class Remembered:
    """A function of code that keeps its latest results, for at most REMEMBERED characters of code."""

    def __init__(self, function: Callable[[str], Names]) -> None:
        self._function = function
        self._known: dict[str, Names] = {}
        self._size = 0
        self._lock = threading.Lock()

    def __call__(self, code: str) -> Names:
        with self._lock:
            found = self._known.pop(code, None)
            if found is not None:
                self._known[code] = found  # the latest is the last
                return found
        found = self._function(code)
        with self._lock:
            self._size += 0 if code in self._known else len(code)
            self._known[code] = found
            while self._size > REMEMBERED:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._size -= len(oldest)
        return found


@Remembered
def defined(code: str) -> Names:
    """The names that the code's outermost level defines, assigns or imports."""
    found = set(_DEFINITION.findall(code))
    for several in (*_ASSIGNMENT.findall(code), *_IMPORT.findall(code)):
        found.update(_NAMES.findall(several))
    return frozenset(found)


def bound(code: str) -> Names:
    """The names that the code gives a meaning itself, at any depth: parameters and loops' too."""
    found = chain.from_iterable(_BINDING.findall(code))
    return frozenset(_NAMES.findall(" ".join(found))) | defined(code)


@Remembered
def looped(code: str) -> Names:
    """The names that its loops and comprehensions give a meaning."""
    return frozenset(_NAMES.findall(" ".join(_LOOP.findall(code))))


@Remembered
def imported(code: str) -> Names:
    """Every name in a Python cell's imports, at any depth."""
    return frozenset(_NAMES.findall("\n".join(_IMPORTED.findall(code))))


def used(code: str) -> Names:
    """Every name in the code but attributes; keywords and words in strings are among them."""
    return frozenset(_USES.findall(code))
