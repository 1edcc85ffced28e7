"""Pure rules from what a model wrote to what goes in at the cursor.

:data:`RULES` is the whole chain, in order. A rule takes a text, the place and whether the text has ended, and
returns a beginning of it: of one that has ended what may stay, of one that goes on what the rule leaves of
every text that begins so. What it may still take back isn't in the latter, so a stream shows that at once,
and never has to take anything back.

Each call costs time in proportion to the text, and looks at place.REACH characters around the cursor.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .blocks import NO_CODE, BlockLines, StatementLines, may_continue
from .brackets import CLOSERS, OPENERS, QUOTES, brackets_of, opened_before, scan
from .fim import ALL_TOKENS
from .loops import without_loop
from .place import Place, indent

# Those that are HTML too may be meant.
SPECIAL_TOKENS = ALL_TOKENS - {"<s>", "</s>", "<bos>", "<eos>"}
SPECIAL_TOKEN = re.compile("|".join(["\r", *map(re.escape, sorted(SPECIAL_TOKENS))]))
TOKEN_BEGINNINGS = frozenset(token[:end] for token in SPECIAL_TOKENS for end in range(1, len(token)))
LONGEST_BEGINNING = max(map(len, TOKEN_BEGINNINGS))
# What may still become what blocks.NO_CODE finds.
MAY_BE_NO_CODE = re.compile(
    r"`{1,2}|# ?(?:\w*(?:\[(?:\"[^\"\n]*(?:\"(?:\](?:: ?)?)?)?)?)?|\w+:(?: \w*(?: o?f? ?\(?\d*x?)?)?|files )"
)
# Columns with their dtypes, as facts.py lists them, within a line; and all that may still become that.
_DTYPES = (
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "Int64", "UInt32"),
    *("float16", "float32", "float64", "Float64", "complex128", "str", "String", "object", "category"),
    *("bool", "boolean", "Boolean", "datetime64", "timedelta64", "Date", "Datetime"),
)
_DTYPE = rf"(?:{'|'.join(_DTYPES)})(?!\w)(?:\[[^\]\n]*\]|)"
_BEGUN = "|".join(
    sorted({dtype[:end] for dtype in _DTYPES for end in range(1, 1 + len(dtype))}, reverse=True)
)
LISTED = re.compile(rf"(?<=\w) {_DTYPE}, \w+ {_DTYPE}")
# One of them alone is taken for one where it can't be anything else.
ASKED_OF = re.compile(rf"\.(?:query|eval)\(\s*[fr]?[\"']\w+(?= {_DTYPE}(?:[\"']|\Z))")
MAY_BE_LISTED = re.compile(
    rf"{LISTED.pattern}|(?<=\w) (?:{_BEGUN})(?:\[[^\]\n]*)?\Z"
    rf"|(?<=\w) {_DTYPE}(?:,(?: (?:\w+(?: (?:{_BEGUN})?)?)?)?)?\Z"
)
# A remark on a table's size and columns, in full or broken off; and one that may still become that.
_SIZE = r"#[^(\n]*(?<!\d)\d{1,9}"
MEASURED = re.compile(rf"{_SIZE}x\d{{1,9}} \((?:[^()\n]*\Z|\w+ {_DTYPE})")
MAY_BE_MEASURED = re.compile(rf"{_SIZE}(?:x(?:\d{{1,9}}(?: (?:\([^()\n]*)?)?)?)?\Z")
LEAVES = re.compile(r"\A\s*(?:break|continue|raise|return|throw)\b(?!.*\\\Z)")
COMMENT = re.compile(r"(?:^|\s)#")
WORD = re.compile(r"[^\W\d]\w")
CALLED = re.compile(r"[\w)\]]\Z")
# A shorter beginning of what stands right of the cursor may stand there by chance.
OVERLAP = 3
# A stream is looked at again when it has grown by this share: n characters cost 17 times n, not n times n.
GROWTH = 1 / 16


class Stream:
    """What a user sees of one candidate while it streams: what no rule can take back any more.

    ``finished``: nothing that follows could be shown, so the model may stop.
    """

    def __init__(self, place: Place | None) -> None:
        """``place`` None: no rules."""
        self._place = place
        self._raw: list[str] = []
        self._length = self._shown = self._due = 0
        self._line = ""
        self._block = BlockLines(place) if place and place.block else None
        self._statement = StatementLines(place) if place and place.is_statement else None
        self.finished = False

    def add(self, delta: str) -> str:
        """Take the next piece of raw text; return what may be shown since."""
        if self._place is None:
            return delta
        self._raw.append(delta)
        self._length += len(delta)
        self._watch(delta)
        if self._length < self._due:
            return ""
        self._due = self._length + int(self._length * GROWTH)
        self._raw = ["".join(self._raw)]
        text = certain(self._raw[0], self._place)
        new, self._shown = text[self._shown :], max(self._shown, len(text))
        return new

    def _watch(self, delta: str) -> None:
        if self._block is None:
            self.finished = self.finished or "\n" in delta
            return
        *lines, self._line = (self._line + delta).split("\n")
        for line in lines:
            self._block.add(line)
            if self._statement:
                self._statement.add(line)
        watched = [part for part in (self._block, self._statement) if part]
        begins_another = not may_continue(self._line) and any(part.ends_at(self._line) for part in watched)
        self.finished = begins_another or any(part.is_over for part in watched)


def clean(text: str, place: Place, cut_off: bool = False) -> str:
    """What goes in of ``text``; "" when nothing in it is worth showing.

    ``cut_off``: the model hadn't ended; of a block, only whole lines are worth accepting then.
    """
    return cleaned(text, place, cut_off)[0]


def cleaned(text: str, place: Place, cut_off: bool = False) -> tuple[str, str | None]:
    """What :func:`clean` leaves, and where that is nothing a word for why; see :class:`..protocol.Item`."""
    text = _whole_lines(text, place) if cut_off else text
    for rule in RULES if place.rules else ():
        before, text = text, rule(text, place, True)
        if before.strip() and not text.strip():
            return "", REASONS.get(rule, "nothing")
    return (text, None) if text else ("", "nothing")


def certain(text: str, place: Place) -> str:
    """What :func:`clean` leaves of every text that begins so, whether or not it is cut off."""
    # Blanks at the end go with what comes after them.
    if not place.rules:
        return text
    text = _whole_lines(text, place).rstrip()
    for rule in RULES:
        text = rule(text, place, False)
    return text


def finished(text: str, place: Place) -> bool:
    """Whether nothing that follows ``text`` could be shown: the model may stop."""
    stream = Stream(place)
    stream._watch(text)
    return stream.finished


def _whole_lines(text: str, place: Place) -> str:
    whole = text.rpartition("\n")[0]
    return whole if place.block and whole.strip() else text


def _special_token(text: str, place: Place, ended: bool) -> str:
    """Where a model spells one of its own tokens, or a carriage return, what it had to say is over."""
    found = SPECIAL_TOKEN.search(text)
    if found:
        return text[: found.start()]
    starts = () if ended else range(max(0, len(text) - LONGEST_BEGINNING), len(text))
    return text[: next((start for start in starts if text[start:] in TOKEN_BEGINNINGS), len(text))]


def _leaves_code(text: str, place: Place, ended: bool) -> str:
    """A Markdown fence says that the code is over; what the prompt says of names is for the model alone."""
    start = 0
    for line in text.split("\n") if place.is_code else ():
        whole = line.strip() if start else (place.left + line).strip()
        is_last = start + len(line) == len(text)
        if NO_CODE.match(whole) or (not ended and is_last and MAY_BE_NO_CODE.fullmatch(whole)):
            return text[:start].rstrip("\n")
        if not start and (asked := ASKED_OF.search(place.left + line)):
            return line[: max(0, asked.end() - len(place.left))]
        remark = line.rfind("#")
        measured = MEASURED if ended or not is_last else MAY_BE_MEASURED
        if remark >= 0 and measured.match(line, remark):
            return text[: start + remark].rstrip()
        if listed := (LISTED if ended or not is_last else MAY_BE_LISTED).search(line):
            return text[:start].rstrip("\n") if text[:start].strip() else text[: start + listed.start()]
        start += len(line) + 1
    return text


def _never_runs(text: str, place: Place, ended: bool) -> str:
    """Where Enter leaves the cursor below a ``return``, nothing can be done before it goes further left."""
    above = place.above.rstrip().rpartition("\n")[2]
    is_below = LEAVES.match(above) and indent(above) == place.indent and not place.before.opened
    is_free = not (place.left.strip() or place.in_text)
    return "" if is_below and is_free and place.is_code and place.indent else text


def _closes_around(text: str, place: Place, ended: bool) -> str:
    """A string that has just begun isn't the place to close the bracket around it, or itself once more."""
    is_empty = place.left[-1:] in QUOTES and place.left[-2:-1] in ("(", "[") and place.before.quote
    ends_twice = text[:1] == place.left[-1:] == place.right[:1]
    return "" if is_empty and (ends_twice or text.lstrip()[:1] in CLOSERS) else text


def _comment_after_code(text: str, place: Place, ended: bool) -> str:
    """One line of code that was to be completed is complete without words on it."""
    if place.block or not place.is_code or place.in_text:
        return text
    line, start, quote = place.left + text, 0, ""
    for match in COMMENT.finditer(line):
        quote, start = brackets_of(line[start : match.start()], quote)[1], match.start()
        if not quote:
            is_new = start >= len(place.left) and line[:start].strip()
            return line[len(place.left) : start].rstrip() if is_new else text
    return text


def _end_of_line(text: str, place: Place, ended: bool) -> str:
    return text if place.block else text.partition("\n")[0]


def _end_of_block(text: str, place: Place, ended: bool) -> str:
    """Up to the last line of the block that has something on it."""
    lines = text.split("\n")
    if not ended and len(lines) > 1 and may_continue(lines[-1]):
        lines.pop()
    block = BlockLines(place)
    for line in lines:
        block.add(line)
    return "\n".join(lines[: block.kept])


def _end_of_statement(text: str, place: Place, ended: bool) -> str:
    """What goes on a line that was begun ends with its statement, unless that opens a block."""
    if not place.is_statement:
        return text
    statement, lines = StatementLines(place), text.split("\n")
    for line in lines:
        statement.add(line)
    return "\n".join(lines[: statement.kept])


def _ends_at_below(text: str, place: Place, ended: bool) -> str:
    """A block ends before the line that stands below it."""
    below = place.line_below
    first, *others = text.split("\n")
    for number, line in enumerate(others if below.strip(CLOSERS + QUOTES + ",;") else ()):
        begun = line.strip()
        may_be_it = not ended and number == len(others) - 1 and below.startswith(begun)
        if begun == below or may_be_it:
            return "\n".join([first, *others[:number]]).rstrip()
    return text


def _line_again(text: str, place: Place, ended: bool) -> str:
    """A line that is the one above it over again ends the text."""
    lines = text.split("\n")
    above = (place.left + lines[0]).strip()
    for number, line in enumerate(lines[1:], 1):
        begun = line.strip()
        may_be_it = not ended and number == len(lines) - 1 and above.startswith(begun)
        if (begun == above or may_be_it) and WORD.search(above):
            return "\n".join(lines[:number]).rstrip()
        above = begun or above
    return text


def _loops(text: str, place: Place, ended: bool) -> str:
    """A model that says the same over and over to the end has lost the thread."""
    return without_loop(text, ended)


def _closes_twice(text: str, place: Place, ended: bool) -> str:
    """Up to the bracket or quote that closes what is closed right of the cursor already."""
    quote = place.before.quote
    made, end = scan(text.split("\n"), quote), len(text)
    if quote and place.right.startswith(quote):
        first, *others = text.split("\n", 1)
        left_open, last = scan([first], quote).quote, first.rfind(quote)
        may_close = not ended and not others and left_open != quote
        if last >= 0 and (not left_open or may_close):
            end = last
    is_closed = quote and not place.right.startswith(quote)  # by the text, if at all
    for still in ((made.quote,) if ended else ("", *QUOTES)) if is_closed else (quote,):
        unopened = place.after(still).unopened
        free = max(0, place.before.opened - len(unopened))
        if ended and not place.right.strip():
            free += made.opened  # what it opens in turn is closed by what was there
        end = min([end, *made.unopened[free:]]) if unopened else end
    line = text[:end].rpartition("\n")
    return line[0] if end < len(text) and not line[2].strip() else text[:end]


def _opens_twice(text: str, place: Place, ended: bool) -> str:
    """Up to the bracket that stands right of the cursor already, or to a call's own arguments before it."""
    mark = place.right[:1]
    if mark not in ("(", "[") or place.before.quote or not place.is_code:
        return text
    opened, group = [], -1
    for at, found in brackets_of(text, "")[0]:
        if found in OPENERS:
            opened.append(at)
        elif opened:
            begun = opened.pop()
            group = begun if at == len(text) - 1 and not opened else -1
        if found == mark and not ended:
            return text[:at]
    free = max(0, len(place.after("").unopened) - place.before.opened)
    if free < len(opened):
        return text[: opened[free]] if text[opened[free]] == mark else text
    is_call = group >= 0 and text[group] == mark == "(" and CALLED.search(place.left + text[:group])
    return text[:group] if is_call else text


def _repeats_right(text: str, place: Place, ended: bool) -> str:
    """Up to where it goes on with what stands right of the cursor, or with a beginning of that."""
    right = place.right.rstrip()
    if not right.strip(CLOSERS + QUOTES):
        return text  # brackets are counted, not compared
    first, *others = text.split("\n", 1)
    first = first.rstrip()
    is_over = ended or bool(others)
    opened = opened_before(first) if right[0] in CLOSERS and is_over else []
    for start in range(max(0, len(first) - len(right)), len(first)):
        if right.startswith(first[start:]):
            length = len(first) - start
            # What closes a bracket of the text's own is no repetition.
            is_own = bool(opened) and opened[start] > 0
            if not is_over or ((length == len(right) or length >= OVERLAP) and not is_own):
                return first[:start]
    return text


def _repeats_below(text: str, place: Place, ended: bool) -> str:
    """A completion that is the next line over again says nothing."""
    first, *others = (place.left + text).split("\n", 1)
    first = first.strip()
    if not text.strip() or not first:
        return text
    if ended or others:
        return "" if first == place.line_below and len(first) > 1 else text
    return "" if place.line_below.startswith(first) else text


def _repeats_above(text: str, place: Place, ended: bool) -> str:
    """Nor does one that is no more than the line above over again."""
    if ended:
        line = (place.left + text + place.right).strip()
        return "" if len(line) > 1 and line == place.line_above else text
    return "" if place.line_above.startswith((place.left + text).strip()) else text


def _only_space(text: str, place: Place, ended: bool) -> str:
    return text if text.strip() else ""


RULES: tuple[Callable[[str, Place, bool], str], ...] = (
    _special_token,
    _leaves_code,
    _never_runs,
    _closes_around,
    _end_of_line,
    _comment_after_code,
    _end_of_block,
    _end_of_statement,
    _ends_at_below,
    _loops,
    _line_again,
    _closes_twice,
    _opens_twice,
    _repeats_right,
    _repeats_below,
    _repeats_above,
    _only_space,
)
# Why a text of which a rule leaves nothing isn't shown.
REASONS: dict[Callable[[str, Place, bool], str], str] = {
    _leaves_code: "no-code",
    _closes_twice: "repeats-right",
    _loops: "loops",
    _opens_twice: "repeats-right",
    _repeats_above: "repeats-above",
    _repeats_below: "repeats-below",
    _repeats_right: "repeats-right",
}
