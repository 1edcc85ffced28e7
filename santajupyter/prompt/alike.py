"""The rest of a line by the lines that it stands between: they are alike, and what differs follows a rule.

Below ``num_opel = count(cars, "Opel")`` and ``num_ford = count(cars, "Ford")`` there is one way to go on with
``num_audi = ``, and so there is below ``axes[0].plot(x0)``, ``axes[1].plot(x1)`` and ``axes[2].plot(x2)``.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, islice, product, takewhile
from typing import NamedTuple

from .choices import Choice
from .cursor import Excerpt

# What is in quotes, which may still be open; a word of a name, a number, blanks, or any other character.
PIECE = re.compile(
    r"""(?P<quote>["'])(?P<inside>(?:(?!(?P=quote))[^\\])*)(?P<end>(?P=quote)|\Z)"""
    r"|(?P<word>[^\W\d_]+)|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<other>\s+|.)"
)
# Also what nothing ends in its line.
QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\\n]|\\.)*)(\1?)""")
WORD = re.compile(r"\w")
MADE = re.compile(r"\s*(\w+)\s*(?:=(?!=)|<-)")
# No name of anything, in other languages either.
KEYWORDS = frozenset([*keyword.kwlist, "const", "function", "switch"])
# So many lines are looked at, of so many characters at most, in which so many things may differ.
MOST_LINES = 8
LONGEST = 200
MOST_SLOTS = 12
# So many texts, of so many characters.
MOST_TEXTS = 1000
TEXT_LENGTH = range(2, 61)
# So many lines have to be alike; so many where nothing says more than that they count on.
LEAST, LEAST_TO_COUNT = 2, 3
MOST_FOUND = 8

# A piece's kind and text.
Piece = tuple[str, str]
# What differs in lines that are alike, from the first one to the last.
Column = tuple[str, ...]
Texts = Callable[[], Sequence[str]]
# How a name is written for another one, and which part of a text it is.
CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.title, str.upper)
PARTS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: text.rpartition(" ")[2],
    lambda text: text.partition(" ")[0],
)


class Slot(NamedTuple):
    """What differs, and the same way at these places; ``kinds``: those of the pieces there."""

    column: Column
    places: tuple[int, ...]
    kinds: frozenset[str]


# A value for each slot of a group.
Way = dict[Column, str]


def alike(
    where: Excerpt, values: Iterable[str] = (), is_sound: Callable[[str], bool] = bool
) -> Choice | None:
    """All that the rest of the cursor's line can be; None where the lines around it don't tell.

    ``values``: texts that the notebook's data has, in quotes. ``is_sound``: whether a rest may stand there.
    """
    cursor = where.cursor
    begun, right = _split(cursor.line_left, cursor.line_right.rstrip())
    above = [pieces(line.rstrip()) for line in cursor.above.split("\n")[-2 : -2 - MOST_LINES : -1]]
    below = [pieces(line.rstrip()) for line in cursor.below.split("\n")[1 : 1 + MOST_LINES]]
    texts = cache(lambda: _texts(where, values))
    for nearest in (*above[:1], *below[:1]):
        lines = Lines(_while_alike(above, nearest), _while_alike(below, nearest))
        if lines.is_rule(LEAST if cursor.line_left.strip() or right else LEAST_TO_COUNT):
            found = dict.fromkeys(islice(lines.rests(begun, right, texts), MOST_FOUND))
            rests = [rest for rest in found if not _makes_itself(rest, where) and is_sound(rest)]
            if rests:
                return Choice(tuple(rests), tuple(-float(n) for n in range(len(rests))), alone=True)
    return None


def pieces(line: str) -> list[Piece]:
    found: list[Piece] = []
    for match in PIECE.finditer(line if len(line) <= LONGEST else ""):
        if match["quote"]:
            end = [("other", match["end"])] if match["end"] else []
            found += [("other", match["quote"]), ("inside", match["inside"]), *end]
        else:
            found.append((match.lastgroup or "other", match[0]))
    return found


class Lines:
    """Lines that are alike: those ``above`` the cursor's and those ``below``, the nearest first."""

    def __init__(self, above: Sequence[Sequence[Piece]], below: Sequence[Sequence[Piece]]) -> None:
        self._numbers = [*range(-len(above), 0), *range(1, 1 + len(below))]
        columns = [*zip(*above[::-1], *below, strict=True)]
        self._kinds = [column[0][0] for column in columns]
        self._columns: list[Column] = [tuple(text for _, text in column) for column in columns]
        self._slots = self._differing()
        self._slot_at = {at: slot for slot in self._slots for at in slot.places}
        self._groups = _grouped(self._slots)

    def is_rule(self, least: int) -> bool:
        """Whether nothing comes twice, and one thing names another one or all count on."""
        count = len(self._numbers)
        counts = count >= LEAST_TO_COUNT and all(map(self._counted, self._slots))
        names = any(len(slot.places) > 1 for slot in self._slots) or len(self._groups) < len(self._slots)
        return bool(self._slots) and count >= least and (counts or names)

    def rests(self, begun: Sequence[Piece], right: Sequence[Piece], texts: Texts) -> Iterator[str]:
        """What can stand between what has ``begun`` the line and what is ``right``, the likeliest first.

        ``texts``: those that the notebook knows.
        """
        start, end = len(begun), len(self._columns) - len(right)
        if start > end or not (begun or not self._columns[0][0].isspace()):
            return
        given = {**dict(enumerate(begun)), **dict(enumerate(right, end))}
        # The last one may be a beginning; but the blanks at the line's own are as they are.
        grows = bool(begun) and (begun[-1][0] != "other" or (start > 1 and begun[-1][1].isspace()))
        growing, part = (start - 1, begun[-1][1]) if grows else (-1, "")
        if not all(self._fits(at, piece, at == growing) for at, piece in given.items()):
            return
        known = {at: text for at, (_, text) in given.items() if at != growing and at in self._slot_at}
        if not KEYWORDS.isdisjoint(known.values()):
            return
        each = (self._ways(group, known, growing, part, texts) for group in self._groups)
        for ways in islice(product(*each), MOST_FOUND**2):
            values = {column: value for way in ways for column, value in way.items()}
            line = [values.get(column, column[0]) for column in self._columns]
            rest = (line[growing][len(part) :] if growing >= 0 else "") + "".join(line[start:end])
            if WORD.search(rest) and (*line,) not in zip(*self._columns, strict=True):
                yield rest

    def _differing(self) -> list[Slot]:
        """None where something comes twice, or too much differs."""
        places: dict[Column, list[int]] = {}
        for at, column in enumerate(self._columns):
            if len({*column}) > 1:
                places.setdefault(column, []).append(at)
        once = all(len({*column}) == len(column) for column in places)
        slots = [
            Slot(column, (*there,), frozenset(self._kinds[at] for at in there))
            for column, there in places.items()
        ]
        return slots if once and len(slots) <= MOST_SLOTS else []

    def _fits(self, at: int, piece: Piece, is_growing: bool) -> bool:
        kind, text = piece
        alike = self._columns[at][0]
        is_same = alike.startswith(text) if is_growing else alike == text
        return kind == self._kinds[at] and (at in self._slot_at or is_same)

    def _ways(
        self, group: Sequence[Slot], known: Mapping[int, str], growing: int, part: str, texts: Texts
    ) -> list[Way]:
        """The values that the group can have, the likeliest first."""
        there = {at: slot for slot in group for at in slot.places}
        given = next(((there[at], known[at]) for at in there if at in known), None)
        grown = there.get(growing)
        counted = {slot.column: self._counted(slot) for slot in group}
        is_certain = len(self._numbers) >= LEAST_TO_COUNT
        names = any(slot.kinds != {"number"} for slot in group)
        ways: list[Way] = []
        if given and (names or is_certain):
            ways = _named(group, *given, texts)
        elif all(counted.values()) and (given or is_certain or len(there) > 1):
            ways = [counted]
        elif grown and part and part not in grown.column:
            ways = _meant(group, grown, part, texts)
        return [
            way
            for way in ways
            if all(way[there[at].column] == text for at, text in known.items() if at in there)
            and (not grown or way[grown.column].startswith(part))
        ]

    def _counted(self, slot: Slot) -> str:
        """The number or letter of the cursor's line, if they count on by one; or else ""."""
        column = slot.column
        if slot.kinds == {"number"} and all(map(str.isdecimal, column)):
            number = _next([*map(int, column)], self._numbers)
            width = len(column[0]) if column[0].startswith("0") else 1
            return "" if number is None else f"{number:0{width}}"
        if slot.kinds == {"word"} and all(len(text) == 1 and text.isascii() for text in column):
            letter = chr(_next([*map(ord, column)], self._numbers) or 0)
            return letter if letter.isalpha() else ""
        return ""


def _grouped(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Together where one names the other."""
    groups: list[list[Slot]] = []
    for slot in slots:
        for group in groups:
            first = group[0].column
            if _written(slot.column, first) or _written(first, slot.column):
                group.append(slot)
                break
        else:
            groups.append([slot])
    return groups


def _named(group: Sequence[Slot], given: Slot, value: str, texts: Texts) -> list[Way]:
    """All of the group by the value of one of it."""
    others = [slot for slot in group if slot is not given]
    found = [_values(slot, given.column, value, texts) for slot in others]
    ways = islice(product(*found), MOST_FOUND)
    return [{given.column: value, **dict(zip((s.column for s in others), way, strict=True))} for way in ways]


def _meant(group: Sequence[Slot], grown: Slot, part: str, texts: Texts) -> list[Way]:
    """By the texts that are named by a word that begins with ``part``."""
    text = next((slot for slot in group if "inside" in slot.kinds), None)
    name = _written(grown.column, text.column) if text else None
    if text is None or name is None:
        return []
    new = (one for one in texts() if name(one).startswith(part) and one not in text.column)
    return [way for one in islice(new, MOST_FOUND) for way in _named(group, text, one, texts)]


def _values(slot: Slot, given: Column, value: str, texts: Texts) -> Sequence[str]:
    """What ``value`` stands for in the slot, as what is ``given`` stands for what is there."""
    there = slot.column
    written, named = _written(there, given), _written(given, there)
    if "inside" not in slot.kinds or named is None:
        return [written(value)] if written else []
    known = islice((text for text in texts() if named(text) == value), MOST_FOUND)
    is_one_word = not any(" " in text for text in there)
    cases = (written or str.title, str.title, str.upper, str) if is_one_word else ()
    new = (text for case in cases if named(text := case(value)) == value)
    return [*dict.fromkeys([*known, *new])]


def _split(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """The pieces of a line on both sides; what is in quotes is whole on the left."""
    begun = pieces(left)
    quote = begun[-2][1] if begun and begun[-1][0] == "inside" else ""
    return begun, pieces(quote + right)[2:] if quote and right[:1] == quote else pieces(right)


def _while_alike(lines: Sequence[Sequence[Piece]], nearest: Sequence[Piece]) -> list[Sequence[Piece]]:
    return [*takewhile(lambda line: bool(line) and _is_alike(line, nearest), lines)]


def _is_alike(line: Sequence[Piece], other: Sequence[Piece]) -> bool:
    """Whether only words, numbers and what is in quotes differ; a shell's commands are no code."""
    is_code = line[0][1] not in ("!", "%")
    return (
        is_code
        and len(line) == len(other)
        and all(a == b or (a[0] == b[0] and a[0] != "other") for a, b in zip(line, other, strict=True))
    )


def _written(names: Column, others: Column) -> Callable[[str], str] | None:
    """How each name is made of the other one."""
    for part, case in product(PARTS, CASES):
        if all(case(part(other)) == name for name, other in zip(names, others, strict=True)):
            return _composed(part, case)
    return None


@cache
def _composed(part: Callable[[str], str], case: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: case(part(text))


def _next(counted: Sequence[int], numbers: Sequence[int]) -> int | None:
    """What the line 0 has if those with these numbers count on by one, up or down to 1."""
    for step in (1, -1):
        starts = {value - step * number for value, number in zip(counted, numbers, strict=True)}
        if len(starts) == 1 and min(starts) >= (step < 0):
            return starts.pop()
    return None


def _makes_itself(rest: str, where: Excerpt) -> bool:
    """Whether it reads the name that the line makes, which isn't there yet."""
    line = where.cursor.line_left + rest
    made = MADE.match(line)
    if made is None:
        return False
    name = re.escape(made[1])
    is_read = re.search(rf"(?<![\w.$\"']){name}(?![\w\"'(]|\s*=(?!=))", line[made.end() :].partition("#")[0])
    return bool(is_read) and not re.search(rf"\b{name}\b", where.cursor.above)


def _texts(where: Excerpt, values: Iterable[str]) -> list[str]:
    """The texts in quotes that there are, the nearest first."""
    cells = where.cells[: where.active][::-1]
    sources = chain([where.cursor.above], (cell.source for cell in cells if cell.type == "code"), values)
    found = (match for source in sources for match in QUOTED.findall(source)[::-1])
    known = (text for _, text, end in found if end and len(text) in TEXT_LENGTH and "\\" not in text)
    return [*dict.fromkeys(islice(known, MOST_TEXTS))]
