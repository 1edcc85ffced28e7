"""Where a completion lands: the cursor's line, what stands around it, and how far the text may run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from .brackets import Scan, paragraph, scan
from .document import Document
from .languages import comment_mark

# Characters above and below the cursor that are looked at, and of its line left and right.
REACH = 2000
TRIPLE_QUOTE = re.compile("\"{3}|'{3}")
# A compound statement's colon or a brace; not a bracket, whose call mostly ends on its own line.
COMPOUND = r"^\s*(async|case|class|def|elif|else|except|finally|for|if|match|try|while|with)\b"
OPENS_BLOCK = re.compile(rf"({COMPOUND}.*:|\{{)\s*(#.*|//.*)?$")
BEGINS_BLOCK = re.compile(COMPOUND)


@dataclass(frozen=True)
class Place:
    """Where the completion lands: the line ``left`` and ``right`` of the cursor, what stands ``above`` and

    ``below``, and whether it may run over more than one line (``block``), of one ``statement`` alone. Each
    text has at most REACH characters. ``indent``: columns before the cursor's line. ``is_code``: no prose.
    ``comment``: the line is one of some words, and nothing follows it. Without ``rules`` all of the model's
    text may stay.
    """

    left: str
    right: str
    above: str
    below: str
    block: bool
    indent: int = 0
    statement: bool = False
    is_code: bool = True
    comment: bool = False
    rules: bool = True

    @classmethod
    def at(
        cls, document: Document, mode: str = "auto", trigger: str = "automatic", is_code: bool = True
    ) -> Place:
        """Resolve the mode: in mid-line a line; at a line's end a block where the context opens one.

        An empty line that only continues a block, and one that begins to open one, are offered one statement,
        within brackets or a text a line; a comment what it is about; an explicit ``invoke`` a block, or on a
        line that was begun its statement alone.
        """
        prefix, suffix = document.prefix, document.suffix
        start, end = prefix.rfind("\n") + 1, suffix.find("\n") % (len(suffix) + 1)
        left, right = prefix[max(start, len(prefix) - REACH) :], suffix[: min(end, REACH)]
        above, below = (
            prefix[max(0, start - 1 - REACH) : max(0, start - 1)],
            suffix[end + 1 : end + 1 + REACH],
        )
        block = mode == "block"
        begun = left.strip().removeprefix(comment_mark(document.language))
        is_comment = is_code and begun != left.strip() and len(begun.split()) > 1
        comment = is_comment and not (right.strip() or below.partition("\n")[0].strip())
        if mode == "auto":
            opener = left if left.strip() else above.rstrip().rpartition("\n")[2]
            opens = trigger == "invoke" or comment or bool(OPENS_BLOCK.search(opener))
            block = opens and not right.strip()
        statement = block and mode == "auto" and bool(left.strip())
        columns = indent(prefix[start : start + REACH])
        place = cls(left, right, above, below, block, columns, statement, is_code, comment)
        may_open = not left.strip() or BEGINS_BLOCK.search(left)
        is_within = right.strip() or place.before.opened or place.in_text
        if mode == "auto" and is_code and may_open and not (block or is_within):
            return replace(place, block=True, statement=True)
        return place

    @property
    def stop(self) -> tuple[str, ...]:
        """The text at which the model has written all that the place has room for."""
        return () if self.block else ("\n",)

    @cached_property
    def opened(self) -> bool:
        """Whether the cursor's line opens a block."""
        return bool(self.left.strip()) and bool(OPENS_BLOCK.search(self.left))

    @cached_property
    def in_text(self) -> bool:
        """Whether the cursor is in a string in three quotes."""
        return len(TRIPLE_QUOTE.findall(self.above + "\n" + self.left)) % 2 == 1

    @cached_property
    def line_above(self) -> str:
        """The last line above that says something."""
        return self.above.rstrip().rpartition("\n")[2].strip()

    @cached_property
    def line_below(self) -> str:
        """The first line below that says something."""
        return next((line.strip() for line in self.below.split("\n") if line.strip()), "")

    def leaves_text_open(self, text: str) -> bool:
        """Whether a string in three quotes begins in it that it doesn't end."""
        return not self.in_text and len(TRIPLE_QUOTE.findall(text)) % 2 == 1

    @property
    def next_line(self) -> str:
        """What leads from the line's end to a line below that is as far indented."""
        return "\n" + self.left[: len(self.left) - len(self.left.lstrip())]

    @property
    def is_line(self) -> bool:
        """Whether it is about a line, even if that may open a block."""
        return not self.block or (self.statement and not self.opened)

    @property
    def is_statement(self) -> bool:
        """Whether one statement goes in, or the line that opens the block below."""
        return self.block and (self.statement or self.body_below)

    @cached_property
    def body_below(self) -> bool:
        """Whether the block stands below already that the cursor's line is to open."""
        below = next((line for line in self.below.split("\n") if line.strip()), "")
        in_statement = self.in_text or self.before.opened or self.right.strip()
        return not in_statement and not self.opened and indent(below) > self.indent

    @cached_property
    def before(self) -> Scan:
        """The brackets and quotes of the paragraph up to the cursor."""
        return scan([*paragraph(self.above.split("\n")[::-1])[::-1], self.left])

    @cached_property
    def within(self) -> bool:
        """Whether a bracket is open where the cursor's line begins."""
        return replace(self, left="").before.opened > 0

    def after(self, quote: str) -> Scan:
        """The brackets and quotes from the cursor to the paragraph's end, where this quote is open there."""
        return scan([self.right, *paragraph(self.below.split("\n"))], quote)


def indent(line: str) -> int:
    """The columns before its first character."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(4))
