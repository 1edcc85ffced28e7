"""The rest of a line by the lines that it stands between: they are alike, and what differs follows a rule.

Below ``num_opel = count(cars, "Opel")`` and ``num_ford = count(cars, "Ford")`` there is one way to go on with
``num_audi = ``, and so there is below ``axes[0].plot(x0)``, ``axes[1].plot(x1)`` and ``axes[2].plot(x2)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, product, takewhile

from .choices import Choice
from .cursor import Excerpt

# What is in quotes, which may still be open; a word of a name, a number, blanks, or any other character.
PIECE = re.compile(
    r"""(?P<quote>["'])(?P<inside>(?:(?!(?P=quote))[^\\])*)(?P<end>(?P=quote)|\Z)"""
    r"|(?P<word>[^\W\d_]+)|(?P<number>\d+(?:\.\d+)?)|(?P<other>\s+|.)"
)
QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\\n]){2,60})\1""")
# So many lines are looked at, of so many characters at most; and so many texts.
MOST_LINES = 8
LONGEST = 200
MOST_TEXTS = 1000
# So many have to be alike; so many where the line hasn't begun, or where nothing in them names another thing.
LEAST, LEAST_TO_COUNT = 2, 3
MOST_FOUND = 8

# A piece's kind and text.
Piece = tuple[str, str]
# What differs in lines that are alike, from the first one to the last.
Column = tuple[str, ...]
# How a name is written for another one, and which part of a text it is.
CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.title, str.upper)
PARTS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: text.rpartition(" ")[2],
    lambda text: text.partition(" ")[0],
)


def alike(
    where: Excerpt, values: Iterable[str] = (), is_sound: Callable[[str], bool] = bool
) -> Choice | None:
    """All that the rest of the cursor's line can be; None where the lines around it don't tell.

    ``values``: texts that the notebook's data has, in quotes. ``is_sound``: whether a rest may stand there.
    """
    cursor = where.cursor
    begun, right = pieces(cursor.line_left), pieces(cursor.line_right.rstrip())
    above = [pieces(line.rstrip()) for line in cursor.above.split("\n")[-2 : -2 - MOST_LINES : -1]]
    below = [pieces(line.rstrip()) for line in cursor.below.split("\n")[1 : 1 + MOST_LINES]]
    for nearest in (*above[:1], *below[:1]):
        lines = Lines(_while_alike(above, nearest), _while_alike(below, nearest))
        least = LEAST if cursor.line_left.strip() or right else LEAST_TO_COUNT
        if lines.is_rule(least):
            found = islice(lines.rests(begun, right, lambda: _texts(where, values)), MOST_FOUND)
            rests = [*filter(is_sound, dict.fromkeys(filter(str.strip, found)))]
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
        self._differing = [at for at, column in enumerate(self._columns) if len({*column}) > 1]
        self._groups = self._grouped()

    def is_rule(self, least: int) -> bool:
        """Whether nothing comes twice, and one thing names another one or all count on."""
        count = len(self._numbers)
        once = all(len({*self._columns[at]}) == count for at in self._differing)
        counts = count >= LEAST_TO_COUNT and all(self._counted(at) for at in self._differing)
        names = any(len(group) > 1 for group in self._groups)
        return bool(self._differing) and count >= least and once and (counts or names)

    def rests(
        self, begun: Sequence[Piece], right: Sequence[Piece], texts: Callable[[], Sequence[str]]
    ) -> Iterator[str]:
        """What can stand between what has ``begun`` the line and what is ``right``, the likeliest first.

        ``texts``: those that the notebook knows.
        """
        start, end = len(begun), len(self._columns) - len(right)
        given = {**dict(enumerate(begun)), **dict(enumerate(right, end))}
        # The last one may be a beginning.
        grows = bool(begun) and (begun[-1][0] != "other" or begun[-1][1].isspace())
        growing = start - 1 if grows else -1
        if start > end or not all(self._fits(at, piece, at == growing) for at, piece in given.items()):
            return
        part = begun[-1][1] if begun else ""
        known = {at: text for at, (_, text) in given.items() if at != growing}
        ways = [self._ways(group, known, growing, part, texts) for group in self._groups]
        for way in product(*ways):
            values = {at: value for each in way for at, value in each.items()}
            line = [values.get(at, column[0]) for at, column in enumerate(self._columns)]
            if (*line,) not in [*zip(*self._columns, strict=True)]:
                tail = line[growing][len(part) :] if growing >= 0 else ""
                yield tail + "".join(line[start:end])

    def _grouped(self) -> list[list[int]]:
        """What differs, together where one names the other."""
        groups: list[list[int]] = []
        for at in self._differing:
            column = self._columns[at]
            for group in groups:
                first = self._columns[group[0]]
                if _written(column, first) or _written(first, column):
                    group.append(at)
                    break
            else:
                groups.append([at])
        return groups

    def _fits(self, at: int, piece: Piece, is_growing: bool) -> bool:
        kind, text = piece
        alike = self._columns[at][0]
        is_same = alike.startswith(text) if is_growing else alike == text
        return kind == self._kinds[at] and (at in self._differing or is_same)

    def _ways(
        self,
        group: Sequence[int],
        known: Mapping[int, str],
        growing: int,
        part: str,
        texts: Callable[[], Sequence[str]],
    ) -> list[dict[int, str]]:
        """The values that the group can have, the likeliest first."""
        given = [at for at in group if at in known]
        counted = {at: text for at in group if (text := self._counted(at))}
        if given:
            ways = self._named(group, given[0], known[given[0]], texts)
        elif len(counted) == len(group):
            ways = [counted]
        elif growing in group:
            inside = [at for at in group if self._kinds[at] == "inside" and at != growing]
            new = [text for at in inside[:1] for text in texts() if text not in self._columns[at]]
            ways = [way for text in new for way in self._named(group, inside[0], text, texts)]
        else:
            ways = []
        return [way for way in ways if growing not in group or way[growing].startswith(part)]

    def _named(
        self, group: Sequence[int], at: int, value: str, texts: Callable[[], Sequence[str]]
    ) -> list[dict[int, str]]:
        """All of the group by its value ``at``."""
        others = [other for other in group if other != at]
        found = [self._values(other, self._columns[at], value, texts) for other in others]
        return [{at: value, **dict(zip(others, each, strict=True))} for each in product(*found)]

    def _values(
        self, column: int, given: Column, value: str, texts: Callable[[], Sequence[str]]
    ) -> Sequence[str]:
        """What ``value`` stands for in the column, as what is ``given`` stands for what is there."""
        there = self._columns[column]
        written, named = _written(there, given), _written(given, there)
        if self._kinds[column] != "inside" or named is None:
            return [written(value)] if written else []
        known = [text for text in texts() if named(text) == value]
        is_one_word = not any(" " in text for text in there)
        cases = (written or str.title, str.title, str.upper, str) if is_one_word else ()
        new = (text for case in cases if named(text := case(value)) == value)
        return [*dict.fromkeys([*known, *new])]

    def _counted(self, at: int) -> str:
        """The number or letter of the cursor's line, if they count on by one; or else ""."""
        column, kind = self._columns[at], self._kinds[at]
        if kind == "number" and all(map(str.isdecimal, column)):
            number = _next([*map(int, column)], self._numbers)
            width = len(column[0]) if column[0].startswith("0") else 1
            return "" if number is None or number < 0 else f"{number:0{width}}"
        if kind == "word" and all(len(text) == 1 and text.isascii() for text in column):
            number = _next([*map(ord, column)], self._numbers)
            letter = chr(number) if number else ""
            return letter if letter.isalpha() else ""
        return ""


def _while_alike(lines: Sequence[Sequence[Piece]], nearest: Sequence[Piece]) -> list[Sequence[Piece]]:
    return [*takewhile(lambda line: bool(line) and _is_alike(line, nearest), lines)]


def _is_alike(line: Sequence[Piece], other: Sequence[Piece]) -> bool:
    """Whether only words, numbers and what is in quotes differ."""
    return len(line) == len(other) and all(
        a == b or (a[0] == b[0] and a[0] != "other") for a, b in zip(line, other, strict=True)
    )


def _written(names: Column, others: Column) -> Callable[[str], str] | None:
    """How each name is made of the other one."""
    for part, case in product(PARTS, CASES):
        if all(case(part(other)) == name for name, other in zip(names, others, strict=True)):
            return lambda text: case(part(text))
    return None


def _next(counted: Sequence[int], numbers: Sequence[int]) -> int | None:
    """What the line 0 has if those with these numbers count on by one, up or down."""
    for step in (1, -1):
        starts = {value - step * number for value, number in zip(counted, numbers, strict=True)}
        if len(starts) == 1:
            return starts.pop()
    return None


def _texts(where: Excerpt, values: Iterable[str]) -> list[str]:
    """The texts in quotes that there are, the nearest first."""
    cells = where.cells[: where.active][::-1]
    sources = chain([where.cursor.above], (cell.source for cell in cells if cell.type == "code"), values)
    found = (match[2] for source in sources for match in QUOTED.finditer(source))
    return [*dict.fromkeys(islice(found, MOST_TEXTS))]
