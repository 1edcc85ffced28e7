"""What is known of the kernel's objects, and which of them a name or an expression may stand for."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from ..protocol import Variable
from .pythoncode import children

BUILTINS = frozenset(dir(builtins))
# Those that call what is passed on to them, and those that return what is in it.
CALLING = frozenset(["filter", "map"])
HANDING = CALLING.union(
    ["dict", "enumerate", "getattr", "iter", "list", "next", "reversed", "sorted", "tuple", "zip"]
)
# Methods that return something that was there before.
TAKING = frozenset(["get", "items", "pop", "popitem", "setdefault", "values"])
# Whose frames have their columns as attributes, too.
WITH_ATTRIBUTES = ("pandas", "pyspark")
# What is of these modules takes no new attributes by its own methods.
FIXED = ("builtins", "numpy", "pandas", "polars", "torch")
# Of those, what holds anything.
HOLDING = ("dict", "list", "set", "tuple")
# Places of other items, of rows or of cells.
NO_KEYS = (ast.Constant, ast.Slice, ast.Compare, ast.UnaryOp, ast.Tuple)


@dataclass
class KernelObject:
    """All names that are there, None where that isn't known.

    ``is_apart``: a module, or another's function; ``is_own``: a function of the user's; ``is_fixed``: it
    takes no new attributes by its own methods; ``holds``: other variables' objects may be in it; ``like``:
    other variables that may be the same object; ``dtypes``: of pandas' columns, by name, or of a Series,
    by None, as far as they are known.
    """

    attributes: set[str] | None = None
    keys: set[str] | None = None
    arguments: frozenset[str] | None = None
    levels: frozenset[str] | None = frozenset()
    is_frame: bool = False
    is_apart: bool = False
    is_fixed: bool = False
    is_own: bool = False
    holds: bool = True
    like: tuple[str, ...] = ()
    dtypes: dict[str | None, str] = field(default_factory=dict)

    def forget(self) -> None:
        self.attributes = self.keys = self.arguments = None
        self.dtypes = {}

    def forget_keys(self) -> None:
        self.keys = None
        self.dtypes = {}
        self.attributes = None if self.is_frame else self.attributes

    def add(self, place: ast.expr) -> None:
        """Something is stored at this place in it."""
        keys = strings(place)
        if self.keys is not None:
            self.keys.update(keys)
        if self.is_frame and self.attributes is not None:
            self.attributes.update(keys)
        self.forget_dtypes((keys if self.is_frame else ()) or None)
        if not (keys or isinstance(place, NO_KEYS)):
            self.forget_keys()

    def forget_dtypes(self, columns: Iterable[str] | None = None) -> None:
        """None: of all."""
        for column in [*self.dtypes] if columns is None else columns:
            self.dtypes.pop(column, None)

    def copy(self) -> KernelObject:
        attributes, keys = (None if names is None else {*names} for names in (self.attributes, self.keys))
        # One by one: copy.copy takes twice as long.
        kind = (self.is_frame, self.is_apart, self.is_fixed, self.is_own, self.holds, self.like)
        return KernelObject(attributes, keys, self.arguments, self.levels, *kind, {**self.dtypes})


class Objects:
    """What names stand for: what is ``known``, what is ``new``, or else any of the kernel's objects."""

    def __init__(self, variables: Sequence[Variable], classes: Mapping[str, Sequence[str]]) -> None:
        self.known = {variable.name: _described(variable, classes) for variable in variables}
        self.new: set[str] = set()
        alike: dict[Variable, list[str]] = {}
        for variable in variables:
            # Of the user's own classes there may well be several objects that have the same.
            if self.known[variable.name].is_fixed:
                alike.setdefault(replace(variable, name="_"), []).append(variable.name)
        for names in alike.values():
            for name in names if len(names) > 1 else ():
                self.known[name].like = tuple(other for other in names if other != name)

    def copy(self) -> Objects:
        other = Objects((), {})
        other.known = {name: known.copy() for name, known in self.known.items()}
        other.new = {*self.new}
        return other

    def meant(self, node: ast.expr) -> list[KernelObject]:
        """What it may be: a variable and those like it, or any of all; none where it is something new."""
        named = self.known.get(node.id) if isinstance(node, ast.Name) else None
        if named:
            return [named, *(self.known[name] for name in named.like if name in self.known)]
        return [*self.known.values()] if self.reaches(node) else []

    def reaches(self, node: ast.AST, itself: bool = True) -> bool:
        """Whether it may hold one of the kernel's objects, or be one ``itself``."""
        match node:
            case ast.Name(id=name):
                known = self.known.get(name)
                return itself or known.holds if known else name not in self.new and name not in BUILTINS
            case ast.Attribute() | ast.Subscript():
                return self.reaches(node.value, False)
            case ast.Call(func=ast.Name(id=name)) if name in HANDING:
                return any(self.reaches(value, False) for value in node.args)
            case ast.Call(func=ast.Attribute(value=base, attr=method)) if method in TAKING:
                return self.reaches(base, False)
            case (
                ast.List() | ast.Tuple() | ast.Set() | ast.Dict() | ast.Starred() | ast.IfExp() | ast.BoolOp()
            ):
                return any(map(self.reaches, children(node)))
            case _:
                return False

    def lose(self, names: Iterable[str]) -> None:
        """They may be anything from now on."""
        for name in [*names]:
            self.known.pop(name, None)
            self.new.discard(name)

    def make(self, names: Iterable[str]) -> None:
        """They are something new from now on."""
        names = [*names]
        self.lose(names)
        self.new.update(names)


def _described(variable: Variable, classes: Mapping[str, Sequence[str]]) -> KernelObject:
    """What the kernel tells of a variable; nothing of what isn't there in full."""
    known = KernelObject(is_frame=variable.type == "DataFrame")
    known.levels = frozenset(variable.levels)
    is_called = variable.type in ("class", "function")
    is_main = variable.module == "__main__"
    known.is_apart = variable.type == "module" or (is_called and not is_main)
    known.is_fixed = known.is_apart or variable.module.partition(".")[0] in FIXED
    known.is_own = is_called and is_main
    known.holds = not known.is_fixed or variable.type in HOLDING
    inherited: Sequence[str] | None = classes.get(f"{variable.module}.{variable.type}")
    if variable.type in ("module", "class"):
        inherited = ()
    columns = [name for name, _ in variable.columns]
    if "members" in variable.complete and inherited is not None:
        pandas = columns if variable.module.startswith(WITH_ATTRIBUTES) else []
        known.attributes = {*inherited, *variable.members, *pandas}
    if variable.module.partition(".")[0] == "pandas":
        known.dtypes = {**dict(variable.columns)} if known.is_frame else {None: variable.dtype}
    if "columns" in variable.complete:
        known.keys = {*columns}
    elif "keys" in variable.complete:
        known.keys = {*variable.keys}
    if "signature" in variable.complete and "**" not in variable.signature:
        named = variable.signature.strip("()").rpartition("/")[2].split(", ")
        known.arguments = frozenset(part.partition("=")[0] for part in named if part and part[0] != "*")
    return known


def strings(node: ast.expr) -> Sequence[str]:
    """A string, or a list's strings."""
    parts: Iterator[ast.expr] = iter(node.elts if isinstance(node, ast.List) else [node])
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
