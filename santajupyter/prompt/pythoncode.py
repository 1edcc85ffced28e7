"""Python's own parser, in short steps: it holds the interpreter's lock, 1 to 2 ms for 1,000 characters."""

from __future__ import annotations

import ast
import re
import threading
import warnings
from functools import lru_cache
from itertools import pairwise

# Up to so many characters are parsed at once; what is longer, one statement of the top level at a time.
AT_ONCE = 20_000
# The last two: nested too deeply.
UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
# What is in strings and comments begins no statement, nor does what goes on with one.
_BORDER = re.compile(
    r"(?P<border>^(?=[^\s#)\]}])(?!(?:else|elif|except|finally)\b))|#[^\n]*"
    r"|'''(?:\\.|[^\\])*?(?:'''|\\?\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\\?\Z)"
    r"|'(?:\\.|[^'\\\n])*'?|\"(?:\\.|[^\"\\\n])*\"?",
    re.MULTILINE | re.DOTALL,
)
_LEAVES = (ast.Constant, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
# Filters of warnings are the whole process's.
_FILTERS = threading.Lock()


def parsed(source: str) -> ast.Module:
    """Raises one of UNPARSED."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


@lru_cache(4)
def compiled(source: str) -> ast.Module:
    """The tree of what IPython would run: ``await`` may stand anywhere. Raises one of UNPARSED.

    The latest are kept: a suggestion is held against several things.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
        compile(tree, "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        return tree


def children(node: ast.AST) -> list[ast.AST]:
    """As ast.iter_child_nodes has them, but those in which nothing is named; in a third of the time."""
    found: list[ast.AST] = []
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST) and not isinstance(item, _LEAVES)]
        elif isinstance(value, ast.AST) and not isinstance(value, _LEAVES):
            found.append(value)
    return found


def borders(source: str) -> list[int]:
    """Where statements of the top level begin, a function's decorators with it."""
    starts = [match.start() for match in _BORDER.finditer(source) if match["border"] is not None]
    return [start for before, start in pairwise([-1, *starts]) if before < 0 or source[before] != "@"]


def statements(source: str) -> list[tuple[int, int]]:
    """Where each statement of the top level begins and ends, a function's decorators with it.

    What is short enough to be parsed at once is one.
    """
    if len(source) <= AT_ONCE:
        return [(0, len(source))]
    return [*pairwise([*borders(source), len(source)])]
