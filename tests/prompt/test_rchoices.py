"""Columns where R names them."""

from __future__ import annotations

import pytest

from santajupyter.prompt.cursor import excerpt
from santajupyter.prompt.rchoices import r_choice
from santajupyter.protocol import Cell, Variable

SHIPS = Variable(
    "my.ships",
    "data.frame",
    columns=(("depth", "double"), ("flag", "factor"), ("left_at", "POSIXct"), ("cargo tons", "integer")),
)
OTHER = Variable("conf", "list", keys=("rate", "größe"))
COLUMNS = {"depth", "flag", "left_at", "`cargo tons`"}


def names(code: str) -> set[str]:
    where = excerpt([Cell(code.replace("║", ""))], 0, code.index("║"), "r")
    found = r_choice([SHIPS, OTHER], where)
    return {*found.rests} if found else set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("my.ships$║", COLUMNS),
        ("mean(my.ships$de║", {"pth"}),
        ("my.ships$`car║", {"go tons"}),
        ("conf$║", {"rate", "größe"}),
        ('my.ships[["║', {"depth", "flag", "left_at", "cargo tons"}),
        ('my.ships[, "║', {"depth", "flag", "left_at", "cargo tons"}),
        ("my.ships |> filter(║", COLUMNS),
        ("my.ships %>% filter(depth > 3, ║)", COLUMNS),
        ("my.ships |>\n  group_by(║", COLUMNS),
        ("few <- my.ships |>\n  filter(depth > 2) |>\n  select(║", COLUMNS),
        ("my.ships |> mutate(deep = depth * 2) |> arrange(║", COLUMNS | {"deep"}),
        ("my.ships |> group_by(flag) |> summarise(mean = mean(║", COLUMNS),
        ("my.ships |> mutate(twice = ║", COLUMNS),
        ("select(my.ships, ║", COLUMNS),
        ("subset(my.ships, ║", COLUMNS),
        ("ggplot(my.ships, aes(x = ║", COLUMNS),
        ("my.ships |> ggplot(aes(x = depth, y = ║", COLUMNS),
        ("ggplot(my.ships) + geom_point(aes(║", COLUMNS),
        ("lm(depth ~ ║, data = my.ships)", COLUMNS),
        ("with(my.ships, ║", COLUMNS),
    ],
)
def test_names_what_there_is(code: str, expected: set[str]) -> None:
    assert names(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "║",
        "other$║",
        "filter(║",
        "my.ships |> mutate(║",
        "my.ships |> summarise(n = n()) |> filter(║",
        "my.ships |> filter(depth ║",
        "# my.ships$║",
        'print("my.ships$║',
        "my.ships$zz║",
        "x <- ║",
        "%%bash\nmy.ships$║",
    ],
)
def test_says_nothing_elsewhere(code: str) -> None:
    assert names(code) == set()


def test_a_number_is_summed() -> None:
    code = "my.ships |> summarise(total = sum(║"
    where = excerpt([Cell(code.replace("║", ""))], 0, code.index("║"), "r")
    found = r_choice([SHIPS, OTHER], where)
    assert found
    ranked = sorted(zip(found.weights, found.rests, strict=True), reverse=True)
    assert {rest for _, rest in ranked[:2]} == {"depth", "`cargo tons`"}
