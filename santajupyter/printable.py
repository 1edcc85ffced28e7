"""Text of strangers for people's eyes."""

from __future__ import annotations

import re

# Control characters but tab, form feed and line breaks; what turns the reading direction; half characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")


def printable(text: str) -> str:
    """The text with a replacement for each character that a terminal may take for a command.

    What a file, a model or another host says could otherwise rename the window, write over what stands
    there, or show another order than it has (https://nvd.nist.gov/vuln/detail/CVE-2021-42574).
    """
    return _UNPRINTABLE.sub("\ufffd", text)
