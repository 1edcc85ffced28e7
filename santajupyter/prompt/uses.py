"""What Python code asks of the kernel's objects, held against what they have: attributes, keys, keywords.

The kernel knows what they had when it was read. What code that hasn't run since then does to them is
followed as far as it is plain: ``df["new"] = …`` adds a column, ``del df["old"]`` takes one away, ``df = …``
or ``df.eval(…, inplace=True)`` makes of it something that nothing is known of. A name that may stand for any
of them (``for frame in frames:``) gives to all of them what it is given.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from ..protocol import Variable
from .dtypes import OF_FRAMES, asks_for_type, catches_type, lacks
from .known import BUILTINS, CALLING, KernelObject, Objects, strings
from .pythoncode import children
from .scopes import imported_as, locals_of, parameters, stored

# Calls that may change any variable.
CHANGES_ALL = frozenset(["eval", "exec", "globals", "locals", "setattr", "vars"])
HARMLESS = BUILTINS.union(keyword.kwlist) - CHANGES_ALL
CHANGES_KEYS = frozenset(["clear", "popitem", "setdefault", "update"])
# Methods of frames that return some of the rows, or groups of them, with the same columns.
SAME_COLUMNS = frozenset(
    [
        *("bfill", "copy", "drop_duplicates", "dropna", "ffill", "fillna", "group_by", "groupby", "head"),
        *("nlargest", "nsmallest", "query", "replace", "sample", "sort", "sort_index", "sort_values"),
        "tail",
    ]
)
# Those of them that leave what is in the columns as it is.
SAME_DTYPES = SAME_COLUMNS - {"bfill", "ffill", "fillna", "replace"}
# Methods whose first argument is a column or a list of them, and what other arguments are columns.
BY_COLUMN = frozenset(
    ["drop_duplicates", "explode", "group_by", "groupby", "set_index", "sort", "sort_values"]
)
WITH_COLUMNS = BY_COLUMN | {"boxplot", "drop", "dropna", "hist", "melt", "pivot", "pivot_table", "plot"}
COLUMN_KEYWORDS = frozenset(["by", "columns", "id_vars", "subset", "value_vars", "x", "y"])
# Of functions that take a frame as ``data``.
DATA_KEYWORDS = frozenset(["hue", "x", "y"])


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
        self._objects = Objects(variables, classes)

    def __bool__(self) -> bool:
        return bool(self._objects.known)

    def ran(self, tree: ast.Module) -> list[Use]:
        """Follow what the code does to the objects; returns what it asks of them that they haven't."""
        if not self._objects.known:
            return []
        reader = _Reader(self._objects)
        reader.visit_all(tree.body)
        return reader.wrong

    def may_change(self, words: AbstractSet[str]) -> bool:
        """Whether code with these words can do anything to what is known."""
        return not words <= HARMLESS

    def may_become(self, use: Use) -> bool:
        """Whether there is a key that begins with the one that was asked for."""
        keys = self._objects.known[use.variable].keys if use.variable in self._objects.known else None
        return use.kind == "key" and any(key.startswith(use.name) for key in keys or ())

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Nothing is known any more, of these variables or of all."""
        self._objects.lose(self._objects.known if names is None else names)

    def forget_dtypes(self, columns: Sequence[str] | None, variable: str) -> None:
        """These columns' are known of no frame any more; None: those of all columns of one."""
        for name, known in self._objects.known.items():
            if columns or name == variable:
                known.forget_dtypes(columns)

    def copy(self) -> Facts:
        """What is known, to follow other code with."""
        other = Facts((), {})
        other._objects = self._objects.copy()
        return other


class _Reader:
    def __init__(self, objects: Objects) -> None:
        self._objects, self._known = objects, objects.known
        self._globals: set[str] = set()
        self.wrong: list[Use] = []

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.Name() | ast.Constant():
                pass
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
            case ast.Expr(value=ast.Call(func=ast.Name(id=name), args=[], keywords=[])):
                self.visit(node.value)
                self._acted(name)
            # What gives a variable another meaning, or an object something new.
            case ast.Assign():
                # Another name for a column is the column itself, and known as that.
                dtype = "" if isinstance(node.value, ast.Name) else self._dtype(node.value)
                self.visit(node.value)
                self._store_all(node.targets, not self._objects.reaches(node.value))
                if dtype and isinstance(node.targets[-1], ast.Name):
                    self._known[node.targets[-1].id] = KernelObject(is_fixed=True, dtypes={None: dtype})
            case ast.AnnAssign() | ast.NamedExpr():
                self.visit_all([node.value])
                self._store(node.target, not (node.value and self._objects.reaches(node.value)))
            case ast.AugAssign():
                self.visit(node.value)
                self._judge(node.target)
                self._store(
                    node.target,
                    not (self._objects.reaches(node.value) or self._objects.reaches(node.target, False)),
                )
            case ast.If(test=test) | ast.IfExp(test=test) if asks_for_type(test):
                self._guarded(node)
            case ast.Try(handlers=handlers) if any(catches_type(handler) for handler in handlers):
                self._guarded(node)
            case ast.For() | ast.AsyncFor():
                self.visit(node.iter)
                self._entered(node.iter)
                self._store(node.target, not self._objects.reaches(node.iter, False))
                self.visit_all([*node.body, *node.orelse])
            case ast.withitem():
                self.visit(node.context_expr)
                self._entered(node.context_expr)
                if node.optional_vars:
                    self._store(node.optional_vars, not self._objects.reaches(node.context_expr))
            case ast.ExceptHandler():
                self._objects.make([node.name] if node.name else [])
                self.visit_all([node.type, *node.body])
            case ast.match_case():
                self._objects.lose(stored(node.pattern))
                self.visit_all([node.guard, *node.body])
            case ast.Import() | ast.ImportFrom():
                self._objects.make(map(imported_as, node.names))
            case ast.Global():
                self._objects.lose(node.names)
                self._globals.update(node.names)
            case ast.Delete():
                for target in node.targets:
                    self._delete(target)
            # What has names of its own.
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.visit_all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
                self._objects.make([node.name])
                self._apart(locals_of(node), node.body)
                self._known[node.name] = KernelObject(is_own=True)
            case ast.ClassDef():
                self.visit_all([*node.decorator_list, *node.bases])
                self._objects.make([node.name])
                self._apart(stored(ast.Module(node.body, [])), node.body)
            case ast.Lambda():
                self._apart(parameters(node.args), [node.body])
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                self._comprehension(node.generators, [node.elt])
            case ast.DictComp():
                self._comprehension(node.generators, [node.key, node.value])
            case _:
                self.visit_all(children(node))

    def _guarded(self, node: ast.AST) -> None:
        """It looks at dtypes itself."""
        for known in self._known.values():
            known.forget_dtypes()
        self.visit_all(children(node))

    def _comprehension(self, generators: Sequence[ast.comprehension], made: Sequence[ast.expr]) -> None:
        names = [name for part in generators for name in stored(part.target)]
        self.visit(generators[0].iter)
        self._entered(generators[0].iter)
        are_new = not any(self._objects.reaches(part.iter, False) for part in generators)
        rest = [*(part.iter for part in generators[1:]), *(test for part in generators for test in part.ifs)]
        self._apart(names, [*rest, *made], are_new)

    def _apart(self, names: Iterable[str], nodes: Iterable[ast.AST], are_new: bool = True) -> None:
        """Where these names are others'; what happens to the other objects happens there, too."""
        names = {*names}
        hidden = {name: self._known.pop(name) for name in names if name in self._known}
        new = names & self._objects.new
        self._objects.new.difference_update(names)
        self._objects.new.update(names if are_new else ())
        self.visit_all(nodes)
        self._objects.lose(names)
        self._objects.new.update(new)
        self._known.update((name, known) for name, known in hidden.items() if name not in self._globals)

    def _judge(self, node: ast.AST) -> None:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                known = self._known.get(name)
                # Only public ones are read.
                if known and attribute[:1] != "_":
                    self._hold(name, "attribute", [attribute], known.attributes, node)
                    self._hold_dtype(node, known.dtypes.get(None, ""))
            case ast.Attribute(value=value):
                self._hold_dtype(node, self._dtype(value))
            case ast.Subscript():
                name, known = self._frame(node.value)
                keys = strings(node.slice) if known else ()
                if known and not known.is_frame and isinstance(node.slice, ast.List):
                    keys = ()
                if not known and isinstance(node.value, ast.Attribute) and node.value.attr in ("loc", "at"):
                    name, known = self._frame(node.value.value)
                    columns = node.slice.elts[1:2] if isinstance(node.slice, ast.Tuple) else []
                    keys = [key for column in columns for key in strings(column)]
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
        if known and known.is_frame and known.keys is not None and known.levels is not None:
            keys = [key for column in columns for key in strings(column) if key.isidentifier()]
            self._hold(name, "key", keys, known.keys | known.levels, call)

    def _frame(self, node: ast.expr) -> tuple[str, KernelObject | None]:
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

    def _hold_dtype(self, node: ast.Attribute, dtype: str) -> None:
        if lacks(dtype, node.attr):
            line = node.end_lineno or node.lineno
            self.wrong.append(Use(ast.unparse(node.value), "attribute", node.attr, line))

    def _dtype(self, column: ast.expr) -> str:
        """A column's of a frame, or of some of its rows; "" where it isn't known."""
        match column:
            case ast.Name(id=variable):
                known = self._known.get(variable)
                return known.dtypes.get(None, "") if known else ""
            case ast.Call(func=ast.Attribute(value=base, attr=method)) if method in SAME_DTYPES:
                return self._dtype(base)
            case ast.Subscript(value=base, slice=ast.Constant(value=str(name))):
                _, known = self._frame(base)
            case ast.Attribute(value=ast.Name(id=variable), attr=name) if name not in OF_FRAMES:
                known = self._known.get(variable)
            case _:
                return ""
        # A method that returns rows may have made something else of what is in them.
        calls = (node.func for node in ast.walk(column) if isinstance(node, ast.Call))
        is_plain = all(isinstance(call, ast.Attribute) and call.attr in SAME_DTYPES for call in calls)
        return known.dtypes.get(name, "") if known and known.is_frame and is_plain else ""

    def _runs(self, node: ast.expr) -> None:
        """Code of its own runs: it may have new attributes."""
        for known in self._objects.meant(node):
            if not known.is_fixed:
                known.attributes = None

    def _entered(self, node: ast.expr) -> None:
        """By ``for`` or ``with``."""
        if isinstance(node, ast.Name):
            self._runs(node)

    def _store_all(self, targets: Iterable[ast.AST], is_new: bool) -> None:
        for target in targets:
            self._store(target, is_new)

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._objects.lose([target.id])
        elif isinstance(target, ast.Subscript):
            self.visit(target)
            self._without(target.value, strings(target.slice))

    def _store(self, target: ast.AST, is_new: bool) -> None:
        match target:
            case ast.Name(id=name):
                (self._objects.make if is_new else self._objects.lose)([name])
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                self._store_all(parts, is_new)
            case ast.Starred(value=value):
                self._store(value, is_new)
            case ast.Attribute(value=base):
                self.visit_all([] if isinstance(base, ast.Name) else [base])
                self._with_attribute(base, target.attr)
                self._relabelled(target)
            case ast.Subscript(value=ast.Attribute(value=base, attr="loc" | "at")):
                at = target.slice
                self.visit(at)
                if isinstance(at, ast.Tuple) and len(at.elts) == 2:
                    self._with(base, at.elts[1])
                else:
                    self._changed(base)
            case ast.Subscript(value=base):
                self.visit_all([target.slice, *([] if isinstance(base, ast.Name) else [base])])
                self._relabelled(target)
                if not isinstance(base, ast.Name):
                    self._changed(base)
                self._with(base, target.slice)
            case _:
                self.visit(target)

    def _with(self, base: ast.expr, place: ast.expr) -> None:
        """``base[place]`` is stored to."""
        self._runs(base)
        for known in self._objects.meant(base):
            known.add(place)

    def _with_attribute(self, base: ast.expr, attribute: str) -> None:
        """A class gives it to its objects, too."""
        meant = self._objects.meant(base)
        others = [known for known in self._known.values() if meant and not known.is_fixed]
        for known in (*meant, *others):
            known.forget_dtypes([attribute])
            if known.attributes is not None:
                known.attributes.add(attribute)

    def _relabelled(self, node: ast.AST) -> None:
        """It changes: a frame's index or columns, or a part of these, or something else."""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Attribute) and node.attr in ("columns", "index"):
                for known in self._objects.meant(node.value):
                    known.levels = None
                    if node.attr == "columns" and known.is_frame:
                        known.forget()
            node = node.value

    def _changed(self, node: ast.expr) -> None:
        """Something in it was: the dtypes may be others."""
        while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
            node = node.func if isinstance(node, ast.Call) else node.value
        for known in self._objects.meant(node):
            known.forget_dtypes()

    def _without(self, base: ast.expr, keys: Iterable[str]) -> None:
        known = self._known.get(base.id) if isinstance(base, ast.Name) else None
        if known and known.keys is not None:
            known.keys.difference_update(keys)
        if known and known.is_frame and known.attributes is not None:
            known.attributes.difference_update(keys)

    def _called(self, call: ast.Call) -> None:
        function = call.func
        name = function.id if isinstance(function, ast.Name) else ""
        if name in CHANGES_ALL:
            self._objects.lose([*self._known])
        if isinstance(function, ast.Attribute):
            self._method(function.value, function.attr, call)
        elif name in self._known:
            self._runs(function)
        if name not in BUILTINS or name in CALLING:
            is_own = name in CALLING or (name in self._known and self._known[name].is_own)
            for value in (*call.args, *(keyword.value for keyword in call.keywords)):
                for part in _parts(value):
                    self._passed(part, bool(name), is_own)

    def _acted(self, function: str) -> None:
        """It was called with nothing and for nothing; if it is the user's own, it works on what is global."""
        named = self._known.get(function)
        # What this code defines was followed itself.
        if named and named.is_own and function not in self._objects.new:
            for known in self._known.values():
                known.attributes = known.attributes if known.is_apart else None
                known.forget_keys()

    def _passed(self, node: ast.expr, is_named: bool, is_own: bool) -> None:
        """It goes to a function or method. A named one may change it, the user's own all it may be."""
        named = self._known.get(node.id) if isinstance(node, ast.Name) else None
        meant = self._objects.meant(node) if named else []
        if is_own and not (named and not named.is_fixed) and self._objects.reaches(node, False):
            meant = [*self._known.values()]
        for known in meant:
            if is_named or not known.is_fixed:
                known.attributes = None
            if is_named:
                known.forget_keys()

    def _method(self, base: ast.expr, method: str, call: ast.Call) -> None:
        is_inplace = any(
            keyword.arg in ("inplace", None) and not _is_false(keyword.value) for keyword in call.keywords
        )
        if is_inplace or method in ("update", "isetitem", "__setitem__"):
            self._changed(base)
        is_inplace = is_inplace and method not in SAME_COLUMNS
        if is_inplace:
            self._relabelled(base)
        for known in self._objects.meant(base):
            if is_inplace and not known.is_apart:
                known.forget()
            elif method == "insert" and known.is_frame:
                known.add(call.args[1] if len(call.args) > 1 else base)
            elif method in CHANGES_KEYS and not known.is_frame:
                known.keys = None
        if method == "pop":
            self._without(base, strings(call.args[0]) if call.args else ())
        self._runs(base)


def _parts(node: Any) -> Iterator[ast.expr]:
    """It, or what stands in it, if it is a list or the like."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Starred)):
        for inner in children(node):
            yield from _parts(inner)
    else:
        yield node


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
