"""Weights in few bits: numbers that fit, scales better than the obvious ones, nothing lost in packing."""

from __future__ import annotations

import numpy as np
import pytest

from santajupyter.engine import rounding


def weight(rows: int, width: int) -> rounding.Array:
    """Each row of a size of its own; one group is zero, another has a value far from the others."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, width), np.float32)
    values *= rng.uniform(0.01, 2, (rows, 1)).astype(np.float32)
    values[0, :128] = 0
    values[1, width // 2] = 40
    return values


def error(values: rounding.Array, dtype: str) -> float:
    return float(np.square(rounding.restored(rounding.rounded(values, dtype)) - values).sum())


@pytest.mark.parametrize("dtype", ["int8", "int4"])
@pytest.mark.parametrize("width", [1, 33, 128, 384])
def test_numbers_and_scales(dtype: str, width: int) -> None:
    values = weight(9, width)
    found = rounding.rounded(values, dtype)
    groups = width // 128 if dtype == "int4" and width % 128 == 0 else 1
    assert found.numbers.shape == (9, groups, width // groups)
    assert found.scales.shape == (9, groups, 1) and (found.scales != 0).all()
    limit = 8 if dtype == "int4" else 127
    assert (np.abs(found.numbers.astype(int)) <= limit).all() and found.numbers.max() < 128
    assert rounding.restored(found).shape == values.shape
    assert (rounding.restored(found)[0, :128] == 0).all()


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = weight(50, 256)
    expected = rounding.rounded(values, "int4")
    monkeypatch.setattr(rounding, "AT_ONCE", 700)
    for ours, theirs in zip(rounding.rounded(values, "int4"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_scales_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    values = weight(64, 1024)
    best = error(values, "int4")
    monkeypatch.setattr(rounding, "TRIED", np.ones(1, np.float32))
    assert best < 0.95 * error(values, "int4")


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 5), (1, 1)])
def test_packed_numbers_are_all_there(shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(0).integers(-8, 8, shape, np.int8)
    halves = rounding.packed(numbers)
    assert len(halves) == (numbers.size + 1) // 2
    both = np.stack([halves & 15, halves >> 4], axis=1).reshape(-1).astype(np.int8)[: numbers.size]
    np.testing.assert_array_equal(np.where(both > 7, both - 16, both), numbers.reshape(-1))
