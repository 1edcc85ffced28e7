"""What may be loaded, and what that means."""

from __future__ import annotations

from santajupyter.server.catalogue import allowed, offer, writes_blocks
from santajupyter.server.settings import BUILT_IN, SANTACODER


def test_a_way_leads_from_the_built_in_model_to_santacoder() -> None:
    assert allowed((), BUILT_IN, BUILT_IN) == [BUILT_IN, SANTACODER]


def test_the_configuration_decides_what_is_allowed() -> None:
    assert allowed((), SANTACODER, BUILT_IN) == [SANTACODER, BUILT_IN]
    assert allowed((), "me/other", BUILT_IN) == ["me/other", BUILT_IN]
    assert allowed((), "me/other", "") == ["me/other"]
    assert allowed((BUILT_IN,), BUILT_IN, BUILT_IN) == [BUILT_IN]


def test_only_the_built_in_model_is_for_lines_alone() -> None:
    assert not writes_blocks(BUILT_IN)
    assert writes_blocks(SANTACODER) and writes_blocks("me/other")
    assert offer("me/other").download is None
