"""Which lines of a text belong to the block or to the statement that is asked for, one after the other."""

from __future__ import annotations

import re

from .brackets import OPENERS, brackets_of
from .place import OPENS_BLOCK, TRIPLE_QUOTE, Place, indent

# A fence, or a line as facts.py writes them with what measures a value.
NO_CODE = re.compile(r"```|# ?(?:files \(|[^\W\d]\w*(?:\[\"[^\"\n]*\"\]: '|: \w+ (?:of \d|\d+x\d|\(\d)))")
# Comments, and what belongs to the function that follows.
NO_STATEMENT = ("#", "//", "@")
CONTINUATIONS = ("elif", "else", "except", "finally", "case", "catch")
CONTINUES_STATEMENT = re.compile(rf"({'|'.join(CONTINUATIONS)})\b|[)\]}}]")


class BlockLines:
    """Which lines belong to the block, one line after the other.

    A line leaves the block when it is less indented than the cursor's line; as far indented
    after a line that opened a block; or, at top level, when it begins a new paragraph or
    statement after an indented one. Closing brackets, else, except and the like stay.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lines = 0
        self._deeper = self._blank = self._said = False
        self.kept = 1
        self.is_over = False

    def ends_at(self, line: str) -> bool:
        """Whether this next line is the first that doesn't belong to the block."""
        if not self._lines or not line.strip():
            return False
        if self._place.is_code and NO_CODE.match(line.lstrip()):
            return True
        columns, base = indent(line), self._place.indent
        stays = bool(CONTINUES_STATEMENT.match(line.lstrip()))
        new_paragraph = base == 0 and (self._deeper or (self._blank and self._said))
        return columns < base or (columns == base and not stays and (self._place.opened or new_paragraph))

    def add(self, line: str) -> None:
        """The next whole line."""
        self.is_over = self.is_over or self.ends_at(line)
        if self.is_over:
            return
        self._lines += 1
        said = bool(line.strip())
        if self._lines > 1:
            self._blank = not said
            if said:
                self.kept = self._lines
                self._deeper = self._deeper or indent(line) > self._place.indent
        self._said = self._said or said


class StatementLines:
    """Which lines belong to the statement begun on the cursor's line, one line after the other.

    Where nothing is left to say of that, it is the next one. If it opens a block it ends with that, unless
    that stands below.
    """

    def __init__(self, place: Place) -> None:
        self._left = place.left
        self._opened = place.before.opened
        self._in_text = place.in_text
        self._opens_block = place.opened
        self._has_body = place.body_below
        self._indent = place.indent
        self._deeper = False
        self.kept = 0
        self.is_over = False

    def ends_at(self, line: str) -> bool:
        """Whether this next line is the first behind the block that the statement opened."""
        begun = line.lstrip()
        return (
            self._deeper
            and bool(begun)
            and indent(line) <= self._indent
            and not CONTINUES_STATEMENT.match(begun)
        )

    def add(self, line: str) -> None:
        """The next whole line."""
        self.is_over = self.is_over or self.ends_at(line)
        if self.is_over:
            return
        self._deeper = self._deeper or (
            self._opens_block and bool(line.strip()) and indent(line) > self._indent
        )
        self.kept += 1
        whole, self._left = self._left + line, ""
        for _, mark in brackets_of(line, "")[0]:
            self._opened = max(0, self._opened + (1 if mark in OPENERS else -1))
        self._in_text ^= len(TRIPLE_QUOTE.findall(line)) % 2 == 1
        self._opens_block = self._opens_block or (not self._has_body and bool(OPENS_BLOCK.search(whole)))
        goes_on = self._opened or self._in_text or self._opens_block or whole.rstrip().endswith("\\")
        says_nothing = not line.strip() or whole.lstrip().startswith(NO_STATEMENT)
        self.is_over = not (goes_on or says_nothing)


def may_continue(line: str) -> bool:
    """Whether it begins with a word like ``else``, or may do so when it goes on."""
    begun = line.lstrip()[:10]
    return bool(begun) and any(word.startswith(begun) or begun.startswith(word) for word in CONTINUATIONS)
