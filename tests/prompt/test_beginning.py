"""How a text begins."""

from __future__ import annotations

import pytest

from santajupyter.prompt.beginning import MORE_DIGITS, avoided
from santajupyter.prompt.document import Document
from santajupyter.prompt.place import Place


@pytest.mark.parametrize(
    ("where", "characters"),
    [
        ("x = ║", "#"),
        ("f(║)", "#"),
        ("# see ║", "#"),
        # a string may have any
        ('plot(x, color="║")', ""),
        ('"""Text\n║\n"""', ""),
        # a number that stands nowhere is no guess
        ("x = 1║", "#" + MORE_DIGITS),
        ("# from 1 to 10║", "#" + MORE_DIGITS),
        ("x = f(100║)", "#" + MORE_DIGITS),
        ("n = 1000\nx = f(100║)", "#"),
        ("x = f(100║)\nn = 1000", "#"),
        ("y = 1.5\nx = 1║", "#"),
        ("n = 21000\nx = f(100║)", "#" + MORE_DIGITS),
        ("x1║", "#"),
        ("x = 0║", "#"),
        ("x = 1.2║", "#"),
        ('x = "1║"', ""),
    ],
)
def test_what_a_text_may_not_begin_with(where: str, characters: str) -> None:
    prefix, suffix = where.split("║")
    document = Document(prefix, suffix)
    assert avoided(document, Place.at(document)) == characters


def test_half_of_what_begins_a_comment_may_begin_something_else() -> None:
    document = Document("let x = ", "", "javascript")
    assert avoided(document, Place.at(document)) == ""
