"""Code completion in notebooks with SantaCoder, on the kernel host's own GPU or CPU.

Importing this package imports no torch: the model has a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "santajupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .extension import SantaApp

    return [{"module": "santajupyter", "app": SantaApp}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext santajupyter``: the magics ``%santa`` and ``%%santa``."""
    from .magics import SantaMagics

    shell.register_magics(SantaMagics)
