"""The package's rooms: what may import what, and what must be installed for it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = Path(__file__).parents[1] / "santajupyter"
# From the lowest room to the highest; those on one line don't know each other.
ROOMS = (
    ("_version", "decoding", "printable", "traces"),
    ("protocol",),
    ("prompt",),
    ("engine",),
    ("server",),
    ("kernel", "evaluation"),
    ("command",),
)
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
# The door of the package, which everybody may come through, imports from every room when asked to.
DOOR = "santajupyter"
WITH_TORCH = {"engine", "evaluation"}
DISTRIBUTIONS = packages_distributions()


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """What a module imports, wherever in it, for types alone too: modules, by their whole names."""
    return imported(ast.parse(MODULES[name].read_text("utf-8")), name)


def imported(tree: ast.AST, name: str) -> Iterator[str]:
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in MODULES else source


def own_imports(name: str) -> set[str]:
    return {found for found in imports(name) if found in MODULES} - {name}


def room(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {DOOR}))
def test_a_room_needs_only_rooms_below_it(name: str) -> None:
    above = [
        found
        for found in own_imports(name)
        if found == DOOR or (room(found) != room(name) and FLOOR[room(found)] >= FLOOR[room(name)])
    ]
    assert not above


def test_no_module_needs_itself_in_a_circle() -> None:
    """A circle makes TopologicalSorter raise CycleError, with the modules on it."""
    assert [*TopologicalSorter({name: own_imports(name) for name in MODULES}).static_order()]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_torch_stays_where_models_run(name: str) -> None:
    heavy = {found.split(".")[0] for found in imports(name)} & {"torch", "transformers"}
    assert not heavy or room(name) in WITH_TORCH


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_is_imported_is_declared(name: str) -> None:
    """What only another package brings is gone with that one's next release."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    optional = {found for node in ast.walk(tree) if can_do_without(node) for found in imported(node, name)}
    standard = sys.stdlib_module_names
    for found in {found.split(".")[0] for found in {*imported(tree, name)} - optional} - standard - {DOOR}:
        owners = {canonicalize_name(owner) for owner in DISTRIBUTIONS.get(found, [found])}
        assert owners & declared(extra_of(name)), found


def extra_of(module: str) -> str:
    """Of pyproject.toml, without which the module can't be imported."""
    if module == f"{DOOR}.server.jupyterhub":
        return "hub"
    return "evaluation" if ".evaluation." in module else ""


def can_do_without(node: ast.AST) -> bool:
    """Whether it imports in a ``try`` that goes on where there is no such package, or for types alone."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    caught = [ast.unparse(handler.type) for handler in getattr(node, "handlers", ()) if handler.type]
    return any("ImportError" in names or "Exception" in names for names in caught)


def declared(extra: str) -> set[str]:
    """The packages that pyproject.toml requires."""
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    return {canonicalize_name(Requirement(line).name) for line in lines}
