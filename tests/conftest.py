from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before torch is imported, here and in all that tests start: its threads wait for each other in a loop,
# which on a busy machine makes of a second a minute; and what tests compute is too small to share.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from .checkpoint import make_checkpoint

# On a busy machine an example may take any time.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["pytest_jupyter.jupyter_server"]

REAL_TOKENIZER = Path(__file__).parents[2] / "shared" / "santacoder" / "tokenizer.json"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the hub, unless it makes a hub of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint; loaded by the real loading code in a real worker."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def jp_server_config(tiny: Path, santa_config: dict[str, Any]) -> dict[str, Any]:
    return {
        "ServerApp": {"jpserver_extensions": {"santajupyter": True}, "allow_unauthenticated_access": False},
        "SantaApp": {
            "model": str(tiny),
            "fallback_model": "",
            "check": False,
            "min_probability": 0.0,  # nothing that random weights write is likely
            **santa_config,
        },
    }


@pytest.fixture
def santa_config() -> dict[str, Any]:
    """Override in a module or class to configure SantaApp; what a random model writes is no Python."""
    return {}


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """A body of POST complete: one cell, the cursor at its end, changed as asked."""

    def make(source: str = "import numpy as n", **changes: Any) -> dict[str, Any]:
        cells = [{"type": "code", "source": source}]
        return {"cells": cells, "active": 0, "offset": len(source), "max_new_tokens": 8, **changes}

    return make
