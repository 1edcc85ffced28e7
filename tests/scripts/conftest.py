"""Marks the tests in this folder: they go with `-m scripts`, and may take their time."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.scripts)
            item.add_marker(pytest.mark.timeout(600))  # they train, and measure
