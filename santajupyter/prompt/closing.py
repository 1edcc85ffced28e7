"""The end of a suggestion: what it has opened is closed, and what stands below follows from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

from .around import Around
from .bounds import TEXT_QUOTES, bounds

# So many words and signs may be taken off until what is left can be closed.
MAX_BACK = 8
# So many characters are parsed at most: it takes 1 to 2 ms for 1,000.
MAX_PARSED = 12_000
# A tuple of one, and a keyword without its value.
TUPLE = re.compile(r"(?<![\w)\]])\([^()\[\]{},]*,\Z")
NAMED = re.compile(r"(?<![\w.])[^\W\d]\w*\s*=\Z")
# The last word or sign.
LAST = re.compile(r"(?<!\w)\w+\Z|\W\Z")


def closed(
    place: Around, text: str, least: int, is_sound: Callable[[str], bool], goes_on: bool = False
) -> str:
    """The text, or a beginning of it, with what makes its place parse: brackets' and strings' ends for what

    it has opened, the comma or colon before what stands below. As it is where that makes it so, where
    nothing does, and where code stands right of the cursor. Its first ``least`` characters stay.
    ``goes_on``: it is a part of a line that somebody types on, so what it has opened stays open.
    """
    if not text.strip() or place.right.partition("\n")[0].strip() or place.parses(text):
        return text
    before = _open(place, "")
    now = _open(place, text)
    if now[:3] in TEXT_QUOTES and now[:3] in place.right + place.below:
        return text
    if goes_on and (now != before or not before):
        return text
    parts = _beginnings(text, least) if (before or now) and not goes_on else (text,)
    ways = (part + end for part in parts for end in _endings(before, _open(place, part), goes_on))
    tries = MAX_PARSED // (len(place.left) + len(text) + len(place.right))
    return next((way for way in islice(ways, tries) if _is_whole(place, way) and is_sound(way)), text)


def _is_whole(place: Around, text: str) -> bool:
    """Whether nothing is missing but a header's body."""
    return place.parses(text) or (text.endswith(":") and place.parses(text + " pass"))


def _endings(before: str, now: str, goes_on: bool) -> Iterator[str]:
    """For what is open ``now``: what was opened since ``before`` is closed, and all of it at last.

    Behind that what stands below wants a colon, or behind any of it a comma.
    """
    if now.endswith(before):
        own = now[: len(now) - len(before)]
        yield own
        yield own + ("," if before else ":")
    if not goes_on:
        yield now
        yield now + ":"
        yield from (now[:closed] + "," for closed in range(len(now) + 1))


def _open(place: Around, text: str) -> str:
    code = place.left + text
    return bounds(code + place.right, len(code)).open


def _beginnings(text: str, least: int) -> Iterator[str]:
    for _ in range(MAX_BACK):
        bare = text.rstrip()
        bare = bare if TUPLE.search(bare) else bare.rstrip(",")
        yield bare if len(bare) >= least else text
        text = (NAMED.sub("", bare) if NAMED.search(bare) else LAST.sub("", text)).rstrip()
        if len(text) < least or not text:
            return
