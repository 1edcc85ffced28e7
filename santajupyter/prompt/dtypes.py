"""What pandas' columns don't have: it depends on their dtype. See "Accessors" in pandas' API reference."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

# Each accessor and method, and the dtypes' names at whose columns it raises. Of ``object`` nobody knows
# what is in it, nor of what isn't listed.
_TEXTS = r"str\Z|string"
_NUMBERS = r"bool|U?[Ii]nt\d|[Ff]loat\d|complex"
_TIMES = "datetime64|timedelta64|period"
_LACKING: Mapping[str, re.Pattern[str]] = {
    **dict.fromkeys(("mean", "median", "std", "var"), re.compile(f"{_TEXTS}|category")),
    "str": re.compile(f"{_NUMBERS}|{_TIMES}"),
    "dt": re.compile(rf"{_TEXTS}|{_NUMBERS}|object\Z"),
    "cat": re.compile(rf"{_TEXTS}|{_NUMBERS}|{_TIMES}|object\Z"),
}


# What of a frame is no column, though there may be one of that name.
OF_FRAMES = frozenset(
    [
        *("T", "at", "attrs", "axes", "columns", "dtypes", "flags", "iat", "iloc", "index", "loc", "plot"),
        *("sparse", "style", "values"),
    ]
)


def lacks(dtype: str, attribute: str) -> bool:
    """Whether a column of the dtype surely raises at the attribute, or at a call of it."""
    pattern = _LACKING.get(attribute)
    return bool(pattern and pattern.match(dtype))


def asks_for_type(test: ast.expr) -> bool:
    """Whether a condition looks at the type of something."""
    asked = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(test)}
    is_asked = not asked.isdisjoint(["dtype", "dtypes", "hasattr", "isinstance", "type"])
    return is_asked or any(name.startswith("is_") for name in asked)


def catches_type(handler: ast.ExceptHandler) -> bool:
    """Whether what is raised at the wrong type is expected."""
    caught = {getattr(node, "id", "") for node in ast.walk(handler.type)} if handler.type else {"Exception"}
    return not caught.isdisjoint(["AttributeError", "Exception", "TypeError"])
