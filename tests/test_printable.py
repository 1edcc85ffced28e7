"""What strangers say goes to terminals without what a terminal obeys."""

from __future__ import annotations

import pytest

from santajupyter.printable import printable


@pytest.mark.parametrize("text", ["\x1b]0;mine\x07", "\x9b31m", "\x08\x7f", "a\rb", "\u202eevil", "\ud800"])
def test_what_a_terminal_obeys_is_replaced(text: str) -> None:
    assert "\ufffd" in printable(text)
    assert not any(character in printable(text) for character in text if not character.isprintable())


@pytest.mark.parametrize("text", ["x = 'é☃🦌👩‍💻'\n\tif a:\r\n", "a\u00a0b", "\x0c", ""])
def test_text_stays(text: str) -> None:
    assert printable(text) == text
