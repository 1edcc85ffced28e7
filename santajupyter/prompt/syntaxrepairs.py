"""What makes code parse that doesn't: a bracket, a quote, a colon, a comma, an indentation, a keyword.

What Python says is wrong chooses what is tried, the likeliest first; the first that parses is taken.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice, pairwise
from keyword import kwlist

from ..protocol import Edit
from .around import MAX_JUDGED
from .bounds import OPENERS, TOKEN
from .cellnames import MAX_READ, masked
from .pythoncode import AT_ONCE, UNPARSED, borders, parsed

Edits = tuple[Edit, ...]

# So many ways are tried; each takes as long as the statement takes to be parsed.
MAX_TRIED = 60
INDENT = "    "
# What word processors, web pages and keyboards of other languages make of Python's own signs.
PLAIN = {
    **dict.fromkeys("“”„‟«»＂", '"'),
    **dict.fromkeys("‘’‚‛´＇", "'"),
    **dict.fromkeys("–—−‐‑", "-"),
    **{"×": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "…": "...", "\u200b": "", "\ufeff": ""},
    **{"（": "(", "）": ")", "［": "[", "］": "]", "，": ",", "：": ":", "；": ";", "＝": "="},
}
# Other languages' operators, and what Python has for them.
FOREIGN = (
    *((r"\belse[ ]+if\b", "elif"), (r"[ ]*&&[ ]*", " and "), (r"[ ]*\|\|[ ]*", " or "), (r"===", "==")),
    *((r"!==", "!="), (r"<>", "!="), (r"=>", ">="), (r"=<", "<="), (r"!(?!=)[ ]*", "not ")),
    *((r"[ ]*\+\+", " += 1"), (r"(?<=\w)[ ]*--", " -= 1"), (r"[ ]*\bthen\b", ""), (r"[ ]*\{[ ]*$", ":")),
)
WORD = re.compile(r"[^\W\d]\w*")
# Between two expressions that nothing joins.
GAP = re.compile(r"(?<=[\w\])}'\"])(?:[ \t]*\n)?[ \t]*(?=[\w\[({'\"])")
BLANKS = re.compile(r"[ \t]*")


def syntax_repair(code: str) -> Edits:
    """The changes of a cell's text by which its first error is gone; none where nothing simple does it."""
    if len(code) > MAX_READ:
        return ()
    plain = masked(code)
    for start, end, error in _failing(plain):
        for edits in islice(_candidates(plain, start, end, error), MAX_TRIED):
            if _mends(plain, start, end, edits):
                return edits
    return ()


def _mends(plain: str, start: int, end: int, edits: Edits) -> bool:
    """Whether what is there parses with the changes, and nothing before it is wrong."""
    new = applied(plain, edits)
    grown = len(new) - len(plain)
    stop = max(end, min(len(plain), _line_end(plain, edits[-1].end) + 1))
    if not isinstance(_tree(new[start : stop + grown]), ast.Module):
        return False
    rest = [*_failing(new)]
    return not rest or rest[-1][0] >= stop + grown


def applied(code: str, edits: Sequence[Edit]) -> str:
    """The code with the changes made, which come in its order and don't overlap."""
    parts, last = [], 0
    for edit in edits:
        parts += [code[last : edit.start], edit.text]
        last = edit.end
    return "".join([*parts, code[last:]])


def _failing(plain: str) -> Iterator[tuple[int, int, SyntaxError]]:
    """Where something begins and ends that doesn't parse, and Python's words: all of it, if that is short,

    and its first statement of the top level that doesn't.
    """
    if len(plain) <= AT_ONCE:
        error = _tree(plain)
        if isinstance(error, ast.Module):
            return
        if len(plain) <= MAX_JUDGED and isinstance(error, SyntaxError):
            yield 0, len(plain), error
    for start, end in pairwise([0, *(at for at in borders(plain) if at), len(plain)]):
        if end - start <= MAX_JUDGED and isinstance(error := _tree(plain[start:end]), SyntaxError):
            yield start, end, error
            return


def _tree(code: str) -> ast.Module | Exception:
    try:
        return parsed(code)
    except UNPARSED as error:
        return error


def _candidates(plain: str, start: int, end: int, error: SyntaxError) -> Iterator[Edits]:
    """Ways to mend the statement from ``start`` to ``end``."""
    code = plain[:end]
    line = start
    for _ in range((error.lineno or 1) - 1):
        line = min(_line_end(plain, line) + 1, len(plain))
    at = min(len(plain), line + max(0, (error.offset or 1) - 1))
    for words, mend in BY_MESSAGE:
        if words in error.msg:
            yield from mend(plain if mend is _indented else code, start, at)


def _closed(code: str, start: int, at: int) -> Iterator[Edits]:
    """What is open is closed at a line's end, or before its colon."""
    for end in _line_ends(code, start):
        closers = "".join(_open(code[start:end]))
        if closers:
            if code[end - 1] == ":":
                yield (Edit(end - 1, end - 1, closers),)
            yield (Edit(end, end, closers),)


def _matched(code: str, start: int, at: int) -> Iterator[Edits]:
    """A closing bracket that is the wrong one, lacks another before it, or is one too many."""
    closers = _open(code[start:at])
    if closers:
        yield (Edit(at, at + 1, closers[0]),)
        yield (Edit(at, at, closers[0]),)
    yield (Edit(at, at + 1, ""),)


def _ended(code: str, start: int, at: int) -> Iterator[Edits]:
    """A string is ended: where the other quote stands, before what closes the line, or at its end."""
    triple = re.match(r"[A-Za-z]{0,2}('''|\"\"\")", code[at:])
    if triple:
        for end in _line_ends(code, at):
            yield (Edit(end, end, triple[1] + "".join(_open(code[start:at]))),)
        return
    opening = re.match(r"[A-Za-z]{0,2}(['\"])", code[at:])
    if not opening:
        return
    quote, inside = opening[1], at + opening.end()
    line_end = _line_end(code, at)
    end = inside + len(code[inside:line_end].rstrip())
    other = "'" if quote == '"' else '"'
    yield from ((Edit(n, n + 1, quote),) for n in range(end - 1, inside - 1, -1) if code[n] == other)
    line = code.rfind("\n", 0, at) + 1
    # An apostrophe ended it too early.
    for n in range(line + 1, at):
        if code[n] == quote and code[n - 1].isalnum() and code[n + 1].isalnum():
            yield (Edit(n, n, "\\"),)
    # It has no beginning.
    for n in range(at, line, -1):
        if at == end - len(code[inside:end]) - 1 and code[n - 1] in "([{,=" and code[n:at].strip():
            begin = n + len(code[n:at]) - len(code[n:at].lstrip())
            yield (Edit(begin, begin, quote),)
            break
    closing = len(code[inside:end]) - len(code[inside:end].rstrip(")]}:, "))
    for length in range(closing, -1, -1):
        yield (Edit(end - length, end - length, quote),)
    for field in ("", "}"):
        yield (Edit(end, end, field + quote + "".join(_open(code[start:at]))),)


def _separated(code: str, start: int, at: int) -> Iterator[Edits]:
    """A comma between two values; in a dict it may be a colon."""
    # The error may begin after the first of them.
    first = code.rfind("\n", 0, at) + 1
    gaps = [m.start() for m in GAP.finditer(code, first) if m[0] or code[m.start() - 1] in "])}'\""]
    if _open(code[start:at])[:1] == ["}"]:
        yield from ((Edit(gap, gap, ":"),) for gap in gaps if gap > at)
    gaps = [gap for gap in gaps if gap >= at]
    yield from ((Edit(gap, gap, ","),) for gap in gaps)
    yield tuple(Edit(gap, gap, ",") for gap in gaps) or (Edit(at, at, ","),)


def _compared(code: str, start: int, at: int) -> Iterator[Edits]:
    for match in re.finditer(r"(?<![=<>!:+\-*/%&|^])=(?!=)", code[at : _line_end(code, at)]):
        yield (Edit(at + match.start(), at + match.end(), "=="),)


def _called(code: str, start: int, at: int) -> Iterator[Edits]:
    """``print x``, as Python 2 had it."""
    end = _code_end(code, at)
    if match := re.match(r"(?:print|exec)([ \t]+)", code[at:end]):
        yield Edit(at + match.start(1), at + match.end(1), "("), Edit(end, end, ")")


def _with_colon(code: str, start: int, at: int) -> Iterator[Edits]:
    end = _code_end(code, at)
    yield (Edit(end, end, ":"),)
    yield (Edit(start + len(code[start:at].rstrip()), at, ": "),)


def _indented(code: str, start: int, at: int) -> Iterator[Edits]:
    """The line below what opens a block; where there is none, a block that does nothing."""
    opener = next((end for end in _line_ends(code, start) if end >= at or code[end - 1 : end] == ":"), None)
    ends = [end for end in _line_ends(code, start) if code[end - 1 : end] == ":"]
    for end in ends or filter(None, [opener]):
        blanks = _blanks(code, code.rfind("\n", 0, end) + 1)
        below = re.compile(r"[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n)*(?=[ \t]*[^\s#])").match(code, end)
        if below:
            line = below.end()
            yield (Edit(line, line + len(_blanks(code, line)), blanks + INDENT),)
        line_end = _line_end(code, end)
        yield (Edit(line_end, line_end, f"\n{blanks}{INDENT}pass"),)


def _aligned(code: str, start: int, at: int) -> Iterator[Edits]:
    """The line is indented as one above it, the nearest in depth first."""
    line = code.rfind("\n", 0, at) + 1
    own = _blanks(code, line)
    above = {_blanks(code, n) for n in _line_starts(code[:line], 0) if code[n:line].strip()}
    for blanks in sorted(above - {own}, key=lambda blanks: abs(len(blanks) - len(own))):
        yield (Edit(line, line + len(own), blanks),)


def _in_plain_signs(code: str, start: int, at: int) -> Iterator[Edits]:
    strings = [match.span() for match in TOKEN.finditer(code) if match["quote"] or match[0][:1] == "#"]
    edits = []
    for n in range(start, len(code)):
        sign = PLAIN.get(code[n], " " if code[n].isspace() and code[n] not in " \t\r\n\f" else None)
        if sign is not None and not any(a <= n < b for a, b in strings):
            edits.append(Edit(n, n + 1, sign))
    if edits:
        yield tuple(edits)


def _in_python(code: str, start: int, at: int) -> Iterator[Edits]:
    """A keyword is misspelled, or another language's operator is used."""
    line = code.rfind("\n", 0, at) + 1
    text = code[line : _code_end(code, at)]
    for pattern, python in FOREIGN:
        if found := [*re.finditer(pattern, text)]:
            yield tuple(Edit(line + m.start(), line + m.end(), python) for m in found)
    for match in WORD.finditer(text):
        if match[0] not in kwlist:
            for word in get_close_matches(match[0], kwlist, 2, 0.65):
                yield (Edit(line + match.start(), line + match.end(), word),)


def _anyhow(code: str, start: int, at: int) -> Iterator[Edits]:
    """Where Python says no more than that it is wrong."""
    yield from _in_python(code, start, at)
    yield from _closed(code, start, at)
    yield from _with_colon(code, start, at)


Mend = Callable[[str, int, int], Iterator[Edits]]
# What Python says, and what mends it; all that fit are tried, in this order.
BY_MESSAGE: Sequence[tuple[str, Mend]] = (
    ("was never closed", _closed),
    ("does not match opening parenthesis", _matched),
    ("unmatched", _matched),
    ("expected ':'", _in_python),
    ("expected ':'", _with_colon),
    ("expected 'except'", _in_python),
    ("unterminated", _ended),
    ("instead of '='", _compared),
    ("Missing parentheses", _called),
    ("expected an indented block", _indented),
    ("unexpected indent", _aligned),
    ("unindent does not match", _aligned),
    ("invalid character", _in_plain_signs),
    ("invalid non-printable character", _in_plain_signs),
    ("forgot a comma", _in_python),
    ("forgot a comma", _separated),
    ("forgot a comma", _closed),
    ("invalid syntax", _anyhow),
)


def _open(code: str) -> list[str]:
    """What closes the brackets that are open at the code's end, the innermost first."""
    stack: list[str] = []
    for match in TOKEN.finditer(code):
        if match["bracket"] in OPENERS:
            stack.insert(0, OPENERS[match["bracket"]])
        elif match["bracket"] and stack and stack[0] == match["bracket"]:
            stack.pop(0)
    return stack


def _line_starts(code: str, start: int) -> Iterator[int]:
    yield start
    yield from (match.end() for match in re.finditer("\n", code[start:]) if match.end() < len(code))


def _line_ends(code: str, start: int) -> Iterator[int]:
    """Where the lines with code end, without blanks and comments."""
    at = start
    while at < len(code):
        end = _code_end(code, at)
        if code[at:end].strip():
            yield end
        at = _line_end(code, at) + 1


def _code_end(code: str, at: int) -> int:
    """Of the line there, without the blanks and the comment at its end."""
    line, end = code.rfind("\n", 0, at) + 1, _line_end(code, at)
    comment = next((m.start() for m in TOKEN.finditer(code, line, end) if m[0][0] == "#"), end)
    return max(line, line + len(code[line:comment].rstrip()))


def _line_end(code: str, at: int) -> int:
    end = code.find("\n", at)
    return len(code) if end < 0 else end


def _blanks(code: str, at: int) -> str:
    match = BLANKS.match(code, at)
    return match[0] if match else ""
