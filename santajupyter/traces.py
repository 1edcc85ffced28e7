"""What may be logged of an exception: a log holds no word of anyone's code."""

from __future__ import annotations

import traceback


def trace(error: BaseException) -> str:
    """Where it was raised, and its type; its message, which may quote a prompt, only where it can't.

    RuntimeErrors are those of the libraries that compute, which see numbers alone.
    """
    message = f": {str(error).strip()}" if isinstance(error, MemoryError | RuntimeError) else ""
    frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    return f"Traceback (most recent call last):\n{frames}{type(error).__name__}{message}"
