"""Where the functions of a text lack their documentation, and how what a model writes there goes in.

Pure. Python is parsed; Java and JavaScript are found by what their declarations look like.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

LANGUAGES = ("python", "java", "javascript")
PYTHON_QUOTES = '"""'
# A declaration at a line's beginning, its opening bracket or arrow included.
NAME = r"(?P<name>[\w$#]+)"
DECLARATIONS = {
    "javascript": re.compile(
        r"^(?P<indent>[ \t]*)(?:"
        rf"(?:export[ ]+)?(?:default[ ]+)?(?:async[ ]+)?function\b[ ]*\*?[ ]*{NAME}[ ]*\("
        rf"|(?:export[ ]+)?(?:const|let|var)[ ]+(?P<bound>[\w$]+)[ ]*=[ ]*(?:async\b[ ]*)?"
        r"(?:function\b|\([^()\n]*\)[ ]*=>|[\w$]+[ ]*=>)"
        r"|(?:(?:static|async|get|set)[ ]+)*(?P<method>[\w$#]+)[ ]*\([^;{}()\n]*\)[ ]*\{)"
    ),
    "java": re.compile(
        r"^(?P<indent>[ \t]*)(?:(?:public|private|protected|static|final|abstract|synchronized|default)[ ]+)*"
        rf"(?:<[^>\n]+>[ ]*)?(?P<type>[\w.<>\[\],?]+)(?:[ ][\w.<>\[\],?]+){{0,3}}[ ]{NAME}[ ]*"
        r"\([^;{}()\n]*\)[^;{}()\n]*\{"
    ),
}
# What looks like a declaration and is none.
STATEMENTS = frozenset(
    [
        "catch",
        "do",
        "else",
        "for",
        "function",
        "if",
        "new",
        "return",
        "switch",
        "throw",
        "try",
        "while",
        "with",
    ]
)
LONGEST_LINE = 400
# With its end, where Python's parser sees one.
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True)
class Slot:
    """A function without documentation: what to write at ``at``, around the words to be found."""

    name: str
    at: int
    indent: str
    opening: str
    closing: str
    stop: str


def slots(source: str, language: str) -> list[Slot]:
    """In the source's order. Raises ValueError, with a sentence, where Python can't be parsed."""
    return list(_python_slots(source) if language == "python" else _slots_by_look(source, language))


def written(slot: Slot, text: str) -> str:
    """The whole documentation with the model's words in it, or "" if they say nothing."""
    text = text.partition(slot.stop)[0].strip()
    if not text:
        return ""
    if slot.stop == PYTHON_QUOTES:
        return _docstring(slot, text)
    lines = [line.strip().lstrip("*").strip() for line in text.splitlines()]
    body = "\n".join(f"{slot.indent} * {line}".rstrip() for line in lines)
    return f"{slot.indent}/**\n{body}{slot.closing}"


def same_program(a: str, b: str) -> bool:
    """Whether two Python sources differ in docstrings and layout alone."""
    try:
        return _without_docstrings(a) == _without_docstrings(b)
    except ValueError:
        return False


def _docstring(slot: Slot, text: str) -> str:
    raw = "r" if "\\" in text else ""
    # Neither may stand before the closing quotes.
    text = text.rstrip("\\") + (" " if text.endswith('"') else "")
    end = "\n" + slot.indent if "\n" in text else ""
    return f"{slot.indent}{raw}{PYTHON_QUOTES}{text}{end}{slot.closing}"


def _python_slots(source: str) -> Iterator[Slot]:
    lines = LINE.findall(source)
    for node in sorted(_functions(_parsed(source)), key=lambda node: node.lineno):
        first = node.body[0]
        line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
        indent = lines[line - 1].encode()[: first.col_offset].decode()
        # A body on the header's own line has no room.
        if ast.get_docstring(node) is not None or indent.strip():
            continue
        above = line - 1
        while above > node.lineno and lines[above - 1].lstrip()[:1] in ("", "#"):
            above -= 1
        at = sum(map(len, lines[:above]))
        yield Slot(node.name, at, indent, indent + PYTHON_QUOTES, PYTHON_QUOTES + "\n", PYTHON_QUOTES)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _parsed(source: str) -> ast.Module:
    """Lines for IPython or the shell count as ``pass``, which leaves every line where it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError):
            plain = re.sub(r"(?m)^([ \t]*)(?:%%?[a-zA-Z]|!).*$", r"\1pass", source)
        try:
            return ast.parse(plain)
        except (SyntaxError, ValueError) as error:
            where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
            raise ValueError(f"This isn't complete Python{where}: mend it first.") from error


def _without_docstrings(source: str) -> str:
    tree = _parsed(source)
    for node in _functions(tree):
        if ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _slots_by_look(source: str, language: str) -> Iterator[Slot]:
    lines = LINE.findall(source)
    for number, line in enumerate(lines):
        found = DECLARATIONS[language].match(line[:LONGEST_LINE])
        if not found:
            continue
        groups = found.groupdict()
        name = groups["name"] or groups.get("bound") or groups.get("method") or ""
        if name in STATEMENTS or groups.get("type") in STATEMENTS:
            continue
        above = number
        while above and lines[above - 1].lstrip().startswith("@"):
            above -= 1
        if above and lines[above - 1].rstrip().endswith("*/"):
            continue
        indent = groups["indent"]
        at = sum(map(len, lines[:above]))
        yield Slot(name, at, indent, f"{indent}/**\n{indent} * ", f"\n{indent} */\n", "*/")
