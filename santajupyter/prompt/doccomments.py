"""Where the functions of a text have their documentation, and how what a model writes there goes in.

Pure. Python is parsed. Java and JavaScript are found by what declarations look like, at a line's beginning
and outside of strings and comments: so not one that stands behind other code on its line, nor one whose
name stands on another line than its type, and only the functions themselves, no classes.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from .pythoncode import UNPARSED, parsed, statements

LANGUAGES = ("python", "java", "javascript")
PYTHON_QUOTES = '"""'
# What may stand at a line's beginning up to a function's parameters.
DECLARATIONS = {
    "javascript": re.compile(
        r"(?P<indent>[ \t]*)(?![ \t])(?:export +)?(?:default +)?(?:"
        r"(?:async +)?function\b *\*? *(?P<name>[\w$]+)(?![\w$])"
        r"|(?:(?:const|let|var|static) +)*(?P<bound>[\w$#.]+)(?![\w$#.]) *[=:] *(?:async\b *)?"
        r"(?P<keyword>function\b *\*? *[\w$]*(?![\w$]))?"
        r"|(?:(?:static|async|get|set) +)*\*? *(?P<method>[\w$#]+)(?![\w$#])) *(?=\(|[\w$]+ *=>)"
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
# Longer sources are refused, and longer single statements of Python's top level.
LONGEST = 200_000
LONGEST_STATEMENT = 40_000
LONGEST_LINE = 400
# Strings and comments. A slash begins a regular expression where no value stands before it.
TEXTS = {
    "java": re.compile(
        r"//[^\r\n]*|/\*.*?(?:\*/|\Z)|\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\\?\Z)"
        r"|\"(?:\\.|[^\"\\\r\n])*\"?|'(?:\\.|[^'\\\r\n])*'?",
        re.DOTALL,
    ),
    "javascript": re.compile(
        r"//[^\r\n]*|/\*.*?(?:\*/|\Z)|`(?:\\.|[^`\\])*`?"
        r"|\"(?:\\.|[^\"\\\r\n])*\"?|'(?:\\.|[^'\\\r\n])*'?"
        r"|(?<=[=(,:!&|?;{}\n\[])[ ]*/(?:\\.|[^/\\\r\n]){1,200}/",
        re.DOTALL,
    ),
}
# Lines that are IPython's or the shell's.
MAGIC = re.compile(r"%%?[a-zA-Z]|!|[\w., ]+=[ ]*[!%]")
# With its end, where Python's parser sees one.
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True)
class Slot:
    """A function from ``start`` to ``end``, and what to write at ``at``, around the words to be found.

    All three are code points from the source's beginning. ``documented``: there are words already.
    """

    name: str
    start: int
    end: int
    documented: bool
    at: int
    indent: str
    opening: str
    closing: str
    stop: str

    @property
    def following(self) -> str:
        """What a prompt has after the words. A model that sees them closed already often writes none."""
        return self.closing.partition(self.stop)[2]


def slots(source: str, language: str) -> list[Slot]:
    """The functions without documentation, in the source's order.

    Raises ValueError, with a sentence, where Python can't be parsed.
    """
    return [slot for slot in _functions_of(source, language) if not slot.documented]


def slot_around(source: str, offset: int, language: str) -> Slot:
    """The innermost function around the cursor; on a blank line, around what stands above.

    Raises ValueError, with a sentence, where there is none to document, or too much to be read.
    """
    if language not in LANGUAGES:
        raise ValueError("Only functions in Python, Java and JavaScript are documented.")
    if len(source) > LONGEST:
        raise ValueError(f"This is too long to be documented: more than {LONGEST:,} characters.")
    line = source[:offset].rpartition("\n")[2] + source[offset:].partition("\n")[0]
    cursor = offset if line.strip() else len(source[:offset].rstrip())
    first, end = _region(source, cursor) if language == "python" else (0, len(source))
    moved = [_moved(slot, first) for slot in _functions_of(source[first:end], language)]
    around = [slot for slot in moved if slot.start <= cursor <= slot.end]
    if not around:
        raise ValueError("The cursor is in no function.")
    slot = max(around, key=lambda slot: slot.start)
    if slot.documented:
        raise ValueError(f"{slot.name} is documented already.")
    return slot


def _region(source: str, cursor: int) -> tuple[int, int]:
    """The statement of the top level around the cursor, or everything where that isn't much."""
    spans = [span for span in statements(source) if span[0] <= cursor <= span[1]]
    first, end = spans[-1] if spans else (cursor, cursor)
    if end - first > LONGEST_STATEMENT:
        raise ValueError(f"This is too long to be documented: more than {LONGEST_STATEMENT:,} characters.")
    return first, end


def _moved(slot: Slot, by: int) -> Slot:
    return replace(slot, start=slot.start + by, end=slot.end + by, at=slot.at + by)


def addition(source: str, slot: Slot, text: str, language: str) -> str:
    """What goes in at the slot: the documentation, or "" without words or if it changed the program."""
    comment = written(slot, text)
    if language != "python":
        return comment
    old = source[slot.start : slot.end]
    new = source[slot.start : slot.at] + comment + source[slot.at : slot.end]
    # A function that is indented is one only inside of something.
    inside = "if 1:\n" if old[:1].isspace() else ""
    return comment if same_program(inside + new, inside + old) else ""


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
    except (ValueError, RecursionError):
        return False


def _docstring(slot: Slot, text: str) -> str:
    raw = "r" if "\\" in text else ""
    # Neither may stand before the closing quotes.
    text = text.rstrip("\\") + (" " if text.endswith('"') else "")
    end = "\n" + slot.indent if "\n" in text else ""
    before = slot.opening.removesuffix(PYTHON_QUOTES)
    return f"{before}{raw}{PYTHON_QUOTES}{text}{end}{slot.closing}"


def _functions_of(source: str, language: str) -> Iterator[Slot]:
    return _python_functions(source) if language == "python" else _functions_by_look(source, language)


def _python_functions(source: str) -> Iterator[Slot]:
    lines = LINE.findall(source)
    begins = list(accumulate(map(len, lines), initial=0))
    for node in sorted(_functions(_cell(source)), key=lambda node: node.lineno):
        first = node.body[0]
        line = _first_line(first)
        indent = lines[line - 1].encode()[: first.col_offset].decode()
        above, lead, tail = line - 1, "", "\n"
        while above > node.lineno and lines[above - 1].lstrip()[:1] in ("", "#"):
            above -= 1
        at = begins[above]
        if header := indent.rstrip():
            # The body stands on the header's own line, and will on one of its own.
            gap = indent[len(header) :]
            indent = _deeper(lines[node.lineno - 1][: node.col_offset])
            at = begins[line - 1] + len(header) + (0 if indent.endswith(gap) else len(gap))
            lead, tail = "\n", "\n" + indent.removesuffix(gap)
        yield Slot(
            name=node.name,
            start=begins[_first_line(node) - 1],
            end=_line_end(begins, lines, node.end_lineno or line),
            documented=ast.get_docstring(node) is not None,
            at=at,
            indent=indent,
            opening=lead + indent + PYTHON_QUOTES,
            closing=PYTHON_QUOTES + tail,
            stop=PYTHON_QUOTES,
        )


def _line_end(begins: list[int], lines: list[str], number: int) -> int:
    return begins[number - 1] + len(lines[number - 1].rstrip("\r\n"))


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _deeper(indent: str) -> str:
    return indent + ("\t" if "\t" in indent else "    ")


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _cell(source: str) -> ast.Module:
    """Lines for IPython or the shell count as ``pass``, which leaves every line where it is."""
    try:
        return parsed(source)
    except UNPARSED:
        plain = "".join(map(_plain, source.splitlines(keepends=True)))
    try:
        return parsed(plain)
    except UNPARSED as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"This isn't complete Python{where}: mend it first.") from error


def _plain(line: str) -> str:
    code = line.lstrip(" \t")
    if not MAGIC.match(code):
        return line
    return line[: len(line) - len(code)] + "pass" + code[len(code.rstrip("\r\n")) :]


def _without_docstrings(source: str) -> str:
    tree = _cell(source)
    for node in _functions(tree):
        if ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


def _functions_by_look(source: str, language: str) -> Iterator[Slot]:
    lines, code = LINE.findall(source), TEXTS[language].sub(_blanks, source)
    begins = list(accumulate(map(len, lines), initial=0))
    closed = _closed(code)
    shapes = _shapes(lines)
    above = 0
    for number, start in enumerate(begins[:-1]):
        if not (number and lines[number - 1].lstrip().startswith("@")):
            above = number  # the annotations of what comes begin here
        found = DECLARATIONS[language].match(code, start, start + LONGEST_LINE)
        if not found or not _is_function(found, code, language, closed):
            continue
        groups = found.groupdict()
        indent = found["indent"]
        yield Slot(
            name=groups["name"] or groups.get("bound") or groups.get("method") or "",
            start=begins[above],
            end=_line_end(begins, lines, _end_by_look(shapes, number, len(indent))),
            documented=bool(above) and lines[above - 1].rstrip().endswith("*/"),
            at=begins[above],
            indent=indent,
            opening=f"{indent}/**\n{indent} * ",
            closing=f"\n{indent} */\n",
            stop="*/",
        )


class _Shape(NamedTuple):
    """A line that isn't blank: its number, how far it is indented, and its first and last characters."""

    number: int
    depth: int
    first: str
    last: str


def _shapes(lines: list[str]) -> list[_Shape]:
    texts = ((number, line, line.strip()) for number, line in enumerate(lines))
    return [_Shape(n, len(line) - len(line.lstrip()), text[0], text[-1]) for n, line, text in texts if text]


def _end_by_look(shapes: list[_Shape], header: int, indent: int) -> int:
    """How many lines there are up to the end of the function: its brace stands below its header."""
    end = header + 1
    for at in range(bisect_left(shapes, (header + 1,)), len(shapes)):
        shape = shapes[at]
        if shape.depth < indent or (shape.depth == indent and shape.first not in "{})]"):
            break
        end = shape.number + 1
        if shape.depth == indent and shape.first == "}" and shape.last != "{":
            break
    return end


def _blanks(text: re.Match[str]) -> str:
    """For a string or comment, so that no bracket or word in it counts."""
    return re.sub(r"[^\r\n]", " ", text[0])


def _is_function(found: re.Match[str], code: str, language: str, closed: dict[int, int]) -> bool:
    """Whether parameters and a body follow."""
    groups = found.groupdict()
    first = (groups.get("before") or groups["name"] or groups.get("method") or "").split()
    if first and first[0] in STATEMENTS:
        return False
    is_arrow = bool(groups.get("bound")) and not groups["keyword"]
    if code[found.end()] != "(":
        return is_arrow
    body = BODIES[language].match(code, closed.get(found.end(), len(code)))
    return body is not None and bool(body.groupdict().get("arrow")) == is_arrow


def _closed(code: str) -> dict[int, int]:
    """Of each bracket that is closed, where what is in it is over."""
    opened: list[int] = []
    found = {}
    for bracket in re.finditer(r"[()]", code):
        if bracket[0] == "(":
            opened.append(bracket.start())
        elif opened:
            found[opened.pop()] = bracket.end()
    return found
