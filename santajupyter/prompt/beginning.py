"""How a text begins: what it doesn't begin with."""

from __future__ import annotations

import re

from .document import Document
from .languages import comment_mark
from .place import Place

# At the cursor.
NUMBER = re.compile(r"(?<![\w.])[1-9]\d*\Z")
MORE_DIGITS = "0123456789."


def avoided(document: Document, place: Place) -> str:
    """Where code may come, no comment does: a model likes to say again what it was told of names.

    And a number isn't gone on with to one that stands nowhere. Characters, as in protocol.Sampling.
    """
    if not place.is_code or place.in_text or place.before.quote:
        return ""
    number = NUMBER.search(place.left)
    longer = number and re.compile(rf"(?<![\w.]){number[0]}[\d.]")
    is_new = longer and not (longer.search(document.prefix) or longer.search(document.suffix))
    mark = comment_mark(document.language)
    # Of a longer one the first character may begin something else.
    return (mark if len(mark) == 1 else "") + (MORE_DIGITS if is_new else "")
