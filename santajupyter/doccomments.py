"""Where the functions of a text lack their documentation, and how what a model writes there goes in.

Pure. Python is parsed. Java and JavaScript are found by what declarations look like, at a line's beginning
and outside of strings and comments: so not one that stands behind other code on its line, nor one whose
name stands on another line than its type, and only the functions themselves, no classes.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, String

LANGUAGES = ("python", "java", "javascript")
PYTHON_QUOTES = '"""'
# What may stand at a line's beginning up to a function's parameters.
DECLARATIONS = {
    "javascript": re.compile(
        r"(?P<indent>[ \t]*)(?:export +)?(?:default +)?(?:"
        r"(?:async +)?function\b *\*? *(?P<name>[\w$]+)"
        r"|(?:(?:const|let|var|static) +)*(?P<bound>[\w$#.]+) *[=:] *(?:async\b *)?"
        r"(?P<keyword>function\b *\*? *[\w$]*)?"
        r"|(?:(?:static|async|get|set) +)*\*? *(?P<method>[\w$#]+)) *(?=\(|[\w$]+ *=>)"
    ),
    "java": re.compile(
        r"(?P<indent>[ \t]*)(?:@[\w.]+(?:\([^()\n]*\))? +)*"
        r"(?P<before>\w[\w.<>\[\],?&@ ]*[>\] ]|<[\w.<>\[\],?& ]+ )?(?P<name>\w+) *(?=\()"
    ),
}
# What follows the parameters.
BODIES = {
    "javascript": re.compile(r"\s*(?:(?P<arrow>=>)|\{)"),
    "java": re.compile(r"\s*(?:throws\s[\w.,\s]+)?\{"),
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
        "super",
        "switch",
        "synchronized",
        "throw",
        "try",
        "while",
        "with",
    ]
)
LONGEST_LINE = 400
LONGEST_PARAMETERS = 4000
# With its end, where Python's parser sees one.
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True)
class Slot:
    """A function without documentation: what to write at ``at``, around the words to be found.

    A model is asked between ``opening`` and ``closing``, up to ``stop``. It ends a docstring itself: what
    has the closing quotes right of the cursor looks to it as if there were nothing to say.
    """

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
    return f"{slot.indent}{raw}{PYTHON_QUOTES}{text}{end}{PYTHON_QUOTES}{slot.closing}"


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
        yield Slot(node.name, at, indent, indent + PYTHON_QUOTES, "\n", PYTHON_QUOTES)


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
    lines, code = LINE.findall(source), _without_texts(source, language)
    for number, start in enumerate(accumulate(map(len, lines), initial=0)):
        found = DECLARATIONS[language].match(code, start, start + LONGEST_LINE)
        if not found or not _is_function(found, code, language):
            continue
        above = number
        while above and lines[above - 1].lstrip().startswith("@"):
            above -= 1
        if above and lines[above - 1].rstrip().endswith("*/"):
            continue
        groups = found.groupdict()
        name = groups["name"] or groups.get("bound") or groups.get("method") or ""
        indent = found["indent"]
        at = sum(map(len, lines[:above]))
        yield Slot(name, at, indent, f"{indent}/**\n{indent} * ", f"\n{indent} */\n", "*/")


def _without_texts(source: str, language: str) -> str:
    """Blanks for all that is in strings and comments, so that no bracket or word in them counts."""
    return "".join(
        re.sub(r"[^\r\n]", " ", text) if kind in String or kind in Comment else text
        for _, kind, text in get_lexer_by_name(language).get_tokens_unprocessed(source)
    )


def _is_function(found: re.Match[str], code: str, language: str) -> bool:
    """Whether parameters and a body follow."""
    groups = found.groupdict()
    first = (groups.get("before") or groups["name"] or groups.get("method") or "").split()
    if first and first[0] in STATEMENTS:
        return False
    is_arrow = bool(groups.get("bound")) and not groups["keyword"]
    if code[found.end()] != "(":
        return is_arrow
    body = BODIES[language].match(code, _closed(code, found.end()))
    return body is not None and bool(body.groupdict().get("arrow")) == is_arrow


def _closed(code: str, start: int) -> int:
    """Where what the bracket at ``start`` opens is over."""
    depth = 0
    for at in range(start, min(len(code), start + LONGEST_PARAMETERS)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if not depth:
            return at + 1
    return len(code)
