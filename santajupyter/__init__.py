"""Code completion in notebooks with SantaCoder, on the kernel host's own GPU or CPU.

Importing this package imports no torch: the model has a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .kernel.api import complete, complete_async, docstring, docstring_async, fill, fill_async
    from .kernel.client import SantaError

__all__ = [
    "SantaError",
    "__version__",
    "complete",
    "complete_async",
    "docstring",
    "docstring_async",
    "fill",
    "fill_async",
]


def __getattr__(name: str) -> Any:
    """The functions for scripts, imported when asked for: the server and the model's process need none."""
    if name in __all__:
        from .kernel import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "santajupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .server.extension import SantaApp

    return [{"module": "santajupyter", "app": SantaApp}]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext santajupyter``: the magics ``%santa`` and ``%%santa``."""
    from .kernel.magics import register

    register(shell)
