"""What Python code asks of the kernel's objects, held against what they have: attributes, keys, keywords.

The kernel knows what they had when it was read. What code that hasn't run since then does to them is
followed as far as it is plain: ``df["new"] = …`` adds a column, ``del df["old"]`` takes one away, ``df = …``
or ``df.eval(…, inplace=True)`` makes of it something that nothing is known of.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from ..protocol import Variable
from .pythoncode import children
from .scopes import imported_as, locals_of, parameters, stored

BUILTINS = frozenset(dir(builtins))
# What is of these modules takes no new attributes by its own methods.
FIXED = ("builtins", "numpy", "pandas", "polars", "torch")
# Calls that may change any variable.
CHANGES_ALL = frozenset(["eval", "exec", "globals", "locals", "setattr", "vars"])
CHANGES_KEYS = frozenset(["clear", "popitem", "setdefault", "update"])
# Methods of frames that return some of the rows, or groups of them, with the same columns.
SAME_COLUMNS = frozenset(
    [
        *("copy", "dropna", "ffill", "fillna", "group_by", "groupby", "head", "nlargest", "nsmallest"),
        *("query", "sample", "sort", "sort_values", "tail"),
    ]
)
# Methods whose first argument is a column or a list of them, and what other arguments are columns.
BY_COLUMN = frozenset(
    ["drop_duplicates", "explode", "group_by", "groupby", "set_index", "sort", "sort_values"]
)
WITH_COLUMNS = BY_COLUMN | {"boxplot", "drop", "dropna", "hist", "melt", "pivot", "pivot_table", "plot"}
COLUMN_KEYWORDS = frozenset(["by", "columns", "id_vars", "subset", "value_vars", "x", "y"])
# Of functions that take a frame as ``data``.
DATA_KEYWORDS = frozenset(["hue", "x", "y"])


@dataclass
class _Known:
    """All names that are there, None where that isn't known."""

    attributes: set[str] | None = None
    keys: set[str] | None = None
    arguments: frozenset[str] | None = None
    is_frame: bool = False
    is_fixed: bool = False
    levels: frozenset[str] = field(default_factory=frozenset)

    def forget(self) -> None:
        self.attributes = self.keys = self.arguments = None


class Use(NamedTuple):
    """``kind``: attribute, key or keyword; ``line``: from 1."""

    variable: str
    kind: str
    name: str
    line: int

    @property
    def what(self) -> tuple[str, str, str]:
        """The use wherever it stands."""
        return self[:3]


class Facts:
    """What is known of the kernel's variables; nothing of those that aren't there in full."""

    def __init__(self, variables: Sequence[Variable], classes: Mapping[str, Sequence[str]]) -> None:
        self._known = {variable.name: _known(variable, classes) for variable in variables}

    def __bool__(self) -> bool:
        return bool(self._known)

    def ran(self, tree: ast.Module) -> list[Use]:
        """Follow what the code does to the objects; returns what it asks of them that they haven't."""
        if not self._known:
            return []
        reader = _Reader(self._known)
        reader.visit_all(tree.body)
        return reader.wrong

    def may_change(self, words: AbstractSet[str]) -> bool:
        """Whether code with these words can do anything to what is known."""
        return not words.isdisjoint(self._known) or not words.isdisjoint(CHANGES_ALL)

    def may_become(self, use: Use) -> bool:
        """Whether there is a key that begins with the one that was asked for."""
        keys = self._known[use.variable].keys if use.variable in self._known else None
        return use.kind == "key" and any(key.startswith(use.name) for key in keys or ())

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Nothing is known any more, of these variables or of all."""
        for name in [*self._known] if names is None else names:
            self._known.pop(name, None)

    def copy(self) -> Facts:
        """What is known, to follow other code with."""
        other = Facts((), {})
        other._known = {name: _copied(known) for name, known in self._known.items()}
        return other


def _copied(known: _Known) -> _Known:
    attributes, keys = (None if names is None else {*names} for names in (known.attributes, known.keys))
    return _Known(attributes, keys, known.arguments, known.is_frame, known.is_fixed, known.levels)


def _known(variable: Variable, classes: Mapping[str, Sequence[str]]) -> _Known:
    known = _Known(is_frame=variable.type == "DataFrame")
    known.levels = frozenset(variable.levels)
    known.is_fixed = variable.type == "module" or variable.module.partition(".")[0] in FIXED
    inherited: Sequence[str] | None = classes.get(f"{variable.module}.{variable.type}")
    if variable.type in ("module", "class"):
        inherited = ()
    columns = [name for name, _ in variable.columns]
    if "members" in variable.complete and inherited is not None:
        pandas = columns if variable.module.startswith("pandas") else []
        known.attributes = {*inherited, *variable.members, *pandas}
    if "columns" in variable.complete:
        known.keys = {*columns}
    elif "keys" in variable.complete:
        known.keys = {*variable.keys}
    if "signature" in variable.complete and "**" not in variable.signature:
        named = variable.signature.strip("()").rpartition("/")[2].split(", ")
        known.arguments = frozenset(part.partition("=")[0] for part in named if part and part[0] != "*")
    return known


class _Reader:
    def __init__(self, known: dict[str, _Known]) -> None:
        self._known = known
        self.wrong: list[Use] = []

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit(self, node: ast.AST) -> None:
        match node:
            # What gives a variable another meaning, or an object something new.
            case ast.Assign():
                self.visit(node.value)
                self._store_all(node.targets)
            case ast.AnnAssign():
                self.visit_all([node.value])
                self._store(node.target)
            case ast.AugAssign():
                self.visit(node.value)
                self._judge(node.target)
                self._store(node.target)
            case ast.NamedExpr():
                self.visit(node.value)
                self._store(node.target)
            case ast.For() | ast.AsyncFor():
                self.visit(node.iter)
                self._store(node.target)
                self.visit_all([*node.body, *node.orelse])
            case ast.withitem():
                self.visit(node.context_expr)
                self._store_all([node.optional_vars] if node.optional_vars else [])
            case ast.ExceptHandler():
                self._lose([node.name] if node.name else [])
                self.visit_all([node.type, *node.body])
            case ast.match_case():
                self._lose(stored(node.pattern))
                self.visit_all([node.guard, *node.body])
            case ast.Import() | ast.ImportFrom():
                self._lose(map(imported_as, node.names))
            case ast.Delete():
                for target in node.targets:
                    self._delete(target)
            # What has names of its own.
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.visit_all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
                self._lose([node.name])
                self._apart(locals_of(node), node.body)
            case ast.ClassDef():
                self.visit_all([*node.decorator_list, *node.bases])
                self._lose([node.name])
                self._apart(stored(ast.Module(node.body, [])), node.body)
            case ast.Lambda():
                self._apart(parameters(node.args), [node.body])
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                self._comprehension(node.generators, [node.elt])
            case ast.DictComp():
                self._comprehension(node.generators, [node.key, node.value])
            # What is asked of objects.
            case ast.Attribute():
                self._judge(node)
                self.visit(node.value)
            case ast.Subscript():
                self._judge(node)
                self.visit_all([node.value, node.slice])
            case ast.Call():
                self._judge_arguments(node)
                self.visit_all([node.func, *node.args, *(keyword.value for keyword in node.keywords)])
                self._called(node)
            case _:
                self.visit_all(children(node))

    def _comprehension(self, generators: Sequence[ast.comprehension], made: Sequence[ast.expr]) -> None:
        names = [name for part in generators for name in stored(part.target)]
        self.visit(generators[0].iter)
        rest = [*(part.iter for part in generators[1:]), *(test for part in generators for test in part.ifs)]
        self._apart(names, [*rest, *made])

    def _apart(self, names: Iterable[str], nodes: Iterable[ast.AST]) -> None:
        """Where these names are others'; what happens to the other objects happens there, too."""
        hidden = {name: self._known.pop(name) for name in {*names} if name in self._known}
        self.visit_all(nodes)
        self._known.update(hidden)

    def _judge(self, node: ast.AST) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                known = self._known.get(name)
                # Only public ones are read.
                if known and attribute[:1] != "_":
                    self._hold(name, "attribute", [attribute], known.attributes, node)
            case ast.Subscript():
                name, known = self._frame(node.value)
                keys = _strings(node.slice) if known else ()
                if known and not known.is_frame and isinstance(node.slice, ast.List):
                    keys = ()
                if not known and isinstance(node.value, ast.Attribute) and node.value.attr in ("loc", "at"):
                    name, known = self._frame(node.value.value)
                    columns = node.slice.elts[1:2] if isinstance(node.slice, ast.Tuple) else []
                    keys = [key for column in columns for key in _strings(column)]
                    known = known if known and known.is_frame else None
                if known:
                    self._hold(name, "key", keys, known.keys, node)

    def _judge_arguments(self, call: ast.Call) -> None:
        function, named = call.func, {keyword.arg: keyword.value for keyword in call.keywords}
        if isinstance(function, ast.Name) and (known := self._known.get(function.id)):
            asked = [name for name in named if name is not None]
            self._hold(function.id, "keyword", asked, known.arguments, call)
        columns: list[ast.expr] = []
        name, known = "", None
        if isinstance(function, ast.Attribute) and "errors" not in named:
            name, known = self._frame(function.value)
            if function.attr in BY_COLUMN:
                columns += call.args[:1]
            if function.attr in WITH_COLUMNS:
                columns += [value for word, value in named.items() if word in COLUMN_KEYWORDS]
        if not (known and known.is_frame) and "data" in named:
            name, known = self._frame(named["data"])
            columns = [value for word, value in named.items() if word in DATA_KEYWORDS]
        if known and known.is_frame and known.keys is not None:
            keys = [key for column in columns for key in _strings(column) if key.isidentifier()]
            self._hold(name, "key", keys, known.keys | known.levels, call)

    def _frame(self, node: ast.expr) -> tuple[str, _Known | None]:
        """The variable that has the columns or keys of this expression."""
        match node:
            case ast.Name(id=name):
                return name, self._known.get(name)
            case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in SAME_COLUMNS:
                name, known = self._frame(inner)
            case ast.Subscript(value=inner, slice=ast.Compare() | ast.BoolOp() | ast.BinOp() | ast.UnaryOp()):
                name, known = self._frame(inner)
            case _:
                return "", None
        return name, known if known and known.is_frame else None

    def _hold(
        self, variable: str, kind: str, names: Iterable[str], there: Iterable[str] | None, node: ast.expr
    ) -> None:
        if there is not None:
            line = getattr(node, "end_lineno", None) or node.lineno
            self.wrong += [Use(variable, kind, name, line) for name in names if name not in there]

    def _store_all(self, targets: Iterable[ast.AST]) -> None:
        for target in targets:
            self._store(target)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._lose([target.id])
        elif isinstance(target, ast.Subscript):
            self.visit(target)
            self._without(target.value, _strings(target.slice))

    def _store(self, target: ast.AST) -> None:
        match target:
            case ast.Name(id=name):
                self._lose([name])
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                self._store_all(parts)
            case ast.Starred(value=value):
                self._store(value)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                if known := self._known.get(name):
                    if known.is_frame and attribute == "columns":
                        known.forget()
                    elif known.attributes is not None:
                        known.attributes.add(attribute)
            case ast.Subscript(value=ast.Attribute(value=base, attr="loc" | "at")):
                at = target.slice
                self.visit(at)
                self._with(base, at.elts[1] if isinstance(at, ast.Tuple) and len(at.elts) == 2 else None)
            case ast.Subscript(value=base):
                self.visit_all([target.slice, *([] if isinstance(base, ast.Name) else [base])])
                self._with(base, target.slice)
            case _:
                self.visit(target)

    def _with(self, base: ast.expr, place: ast.expr | None) -> None:
        """``base[place]`` is stored to; place None: some rows."""
        known = self._known.get(base.id) if isinstance(base, ast.Name) else None
        if known is None or place is None:
            return
        keys = _strings(place)
        if known.keys is not None:
            known.keys.update(keys)
        if known.is_frame and known.attributes is not None:
            known.attributes.update(keys)
        is_plain = isinstance(place, (ast.Constant, ast.Slice)) or bool(keys)
        if not is_plain:
            known.keys = None
            known.attributes = None if known.is_frame else known.attributes

    def _without(self, base: ast.expr, keys: Iterable[str]) -> None:
        known = self._known.get(base.id) if isinstance(base, ast.Name) else None
        if known and known.keys is not None:
            known.keys.difference_update(keys)
        if known and known.is_frame and known.attributes is not None:
            known.attributes.difference_update(keys)

    def _called(self, call: ast.Call) -> None:
        match call.func:
            case ast.Attribute(value=ast.Name(id=name) as base, attr=method) if name in self._known:
                self._method(base, method, call)
            case ast.Name(id=name) if name in CHANGES_ALL:
                self._lose([*self._known])
        is_builtin = isinstance(call.func, ast.Name) and call.func.id in BUILTINS
        is_own = isinstance(call.func, ast.Name) and not is_builtin
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            known = self._known.get(value.id) if isinstance(value, ast.Name) else None
            if known and (is_own or not (known.is_fixed or is_builtin)):
                known.attributes = None
                known.keys = None if is_own else known.keys

    def _method(self, base: ast.Name, method: str, call: ast.Call) -> None:
        known = self._known[base.id]
        if any(
            keyword.arg in ("inplace", None) and not _is_false(keyword.value) for keyword in call.keywords
        ):
            known.forget()
        elif method == "insert" and known.is_frame:
            self._with(base, call.args[1] if len(call.args) > 1 else ast.Name(base.id))
        elif method == "pop":
            self._without(base, _strings(call.args[0]) if call.args else ())
        elif method in CHANGES_KEYS and not known.is_frame:
            known.keys = None
        if not known.is_fixed:
            known.attributes = None

    def _lose(self, names: Iterable[str]) -> None:
        for name in [*names]:
            self._known.pop(name, None)


def _strings(node: ast.expr) -> Sequence[str]:
    """A string, or a list's strings."""
    parts: Iterator[ast.expr] = iter(node.elts if isinstance(node, ast.List) else [node])
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
