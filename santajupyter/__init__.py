"""Code completion in notebooks with SantaCoder, on the kernel host's own GPU or CPU."""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
