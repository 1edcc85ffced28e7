"""A server extension: models cost nothing, and what has died is begun again at once."""

from __future__ import annotations

from typing import Any

from santajupyter.engine import process
from santajupyter.server import engines


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "tests.faults.tiny_model"}]


def _load_jupyter_server_extension(app: Any) -> None:
    process.WORKER = "tests.server.tiny_worker"
    engines.FIRST_DELAY = 0.05
