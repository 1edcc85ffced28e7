"""Which names a piece of Python gives a meaning, and which it uses that have none by then.

Read in the order of execution: a name that a statement makes isn't there while its value is computed. What
a function's body names is looked for when all else is known, since it runs later.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from .pythoncode import children

# Stands for names that nobody can tell: of a star import, of what ``exec`` runs.
ANY = "*"
# IPython's own: the last output and inputs, and what a kernel's namespace begins with. (Nobody means ``__``.)
IPYTHON_NAMES = (
    "In Out _ _dh _exit_code _i _ih _ii _iii _oh display exit get_ipython open quit __annotations__"
    " __builtins__ __class__ __doc__ __file__ __loader__ __module__ __name__ __package__ __qualname__"
    " __spec__"
)
ALWAYS = frozenset([*dir(builtins), *IPYTHON_NAMES.split()])
# Functions by which names come from nowhere.
MAKES_NAMES = frozenset(["exec", "globals", "locals", "vars"])

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)


@dataclass
class Names:
    """``bound``: what the module's level gives a meaning. ``missing``: what is used and has none.

    Each missing name with the line, from 1, of its first use. ``at_once``: those of them that are used
    when the code runs, not when a function of it does.
    """

    bound: set[str] = field(default_factory=set)
    missing: dict[str, int] = field(default_factory=dict)
    at_once: set[str] = field(default_factory=set)


def read(tree: ast.Module) -> Names:
    """The names of code that runs by itself; those of ALWAYS are never missing."""
    reader = _Reader()
    reader.statements(tree.body, _Scope(reader.names.bound))
    reader.finish()
    return reader.names


@dataclass(frozen=True)
class _Scope:
    """``own``: the names so far where a statement's own go. ``outer``: those of the scopes around it.

    ``later``: a function's, whose outer names may come later.
    """

    own: set[str]
    outer: tuple[set[str], ...] = ()
    later: bool = False

    def has(self, name: str) -> bool:
        return name in ALWAYS or name in self.own or any(name in names for names in self.outer)

    def inner(self, own: Iterable[str] = ()) -> _Scope:
        return _Scope(set(own), (self.own, *self.outer), self.later)


class _Reader:
    def __init__(self) -> None:
        self.names = Names()
        self._bodies: list[tuple[list[ast.stmt], _Scope]] = []

    def finish(self) -> None:
        """Read the functions' bodies, those within them too."""
        while self._bodies:
            self.statements(*self._bodies.pop(0))

    def statements(self, body: Iterable[ast.stmt], scope: _Scope) -> None:
        for node in body:
            self._statement(node, scope)

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._expressions([*node.decorator_list, *_defaults(node.args)], scope)
                self._bind([node.name], scope)
                self._function(node, scope)
            case ast.ClassDef():
                self._expressions(node.decorator_list, scope)
                inner = scope.inner(_type_parameters(node))
                self._expressions([*node.bases, *(keyword.value for keyword in node.keywords)], inner)
                self._bind([node.name], scope)
                self.statements(node.body, inner)
            case ast.Assign():
                self._expressions([node.value, *node.targets], scope)
                self._bind(stored(node), scope)
            case ast.AugAssign():
                self._expressions([node.value, node.target], scope)
                if isinstance(node.target, ast.Name):
                    self._use(node.target, scope)
            case ast.AnnAssign():
                self._expressions([node.annotation], replace(scope, later=True))
                self._expressions([node.value, node.target], scope)
                self._bind(stored(node), scope)
            case ast.For() | ast.AsyncFor():
                self._expressions([node.iter, node.target], scope)
                # Its second round has what the first one made.
                self._bind([*stored(node.target), *_made(node.body)], scope)
                self.statements([*node.body, *node.orelse], scope)
            case ast.While():
                self._expressions([node.test], scope)
                self._bind(_made(node.body), scope)
                self.statements([*node.body, *node.orelse], scope)
            case ast.If():
                self._expressions([node.test], scope)
                self.statements([*node.body, *node.orelse], scope)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._expressions([item.context_expr, item.optional_vars], scope)
                    self._bind(stored(item), scope)
                self._body(node.body, scope, any(map(_suppresses, node.items)))
            case ast.Match():
                self._expressions([node.subject], scope)
                for case in node.cases:
                    self._bind(stored(case.pattern), scope)
                    self._expressions([*_within(case.pattern), case.guard], scope)
                    self.statements(case.body, scope)
            case ast.Import() | ast.ImportFrom():
                self._bind([imported_as(alias) for alias in node.names], scope)
            case ast.Delete():
                self._expressions(node.targets, scope)
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        scope.own.discard(target.id)
            case ast.Global() | ast.Nonlocal():
                pass
            case ast.Try():
                self._try(node, scope)
            case _ if type(node).__name__ == "TryStar":  # Python 3.11
                self._try(node, scope)
            case _ if type(node).__name__ == "TypeAlias":  # Python 3.12
                self._bind(stored(node), scope)
                inner = scope.inner(_type_parameters(node))
                self._expressions(children(node), inner)
            case _:
                self._expressions(children(node), scope)

    def _try(self, node: Any, scope: _Scope) -> None:
        types = [handler.type for handler in node.handlers if handler.type]
        self._body(node.body, scope, any("NameError" in map(_name, ast.walk(each)) for each in types))
        for handler in node.handlers:
            self._expressions([handler.type], scope)
            self._bind([handler.name] if handler.name else [], scope)
            self.statements(handler.body, scope)
        self.statements([*node.orelse, *node.finalbody], scope)

    def _body(self, body: Iterable[ast.stmt], scope: _Scope, may_miss: bool) -> None:
        """``may_miss``: names that nobody has are no harm."""
        before = {*self.names.missing}
        self.statements(body, scope)
        if may_miss:
            for name in self.names.missing.keys() - before:
                del self.names.missing[name]

    def _expressions(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        for node in nodes:
            if node is not None:
                self._expression(node, scope)

    def _expression(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Name():
                if not isinstance(node.ctx, ast.Store):
                    self._use(node, scope)
            case ast.Lambda():
                self._expressions(_defaults(node.args), scope)
                inner = replace(scope.inner(parameters(node.args)), later=True)
                self._bodies.append(([ast.Expr(node.body)], inner))
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node, scope)
            case ast.NamedExpr():
                self._expression(node.value, scope)
                self._bind([node.target.id], scope)
                self._bind([node.target.id], _Scope(self.names.bound) if not scope.later else scope)
            case _:
                self._expressions(children(node), scope)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: _Scope
    ) -> None:
        inner = scope.inner()
        for at, part in enumerate(node.generators):
            self._expression(part.iter, inner if at else scope)
            inner.own.update(stored(part.target))
            self._expressions([part.target, *part.ifs], inner)
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._expressions(made, inner)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        own = locals_of(node) | {*_type_parameters(node)}
        elsewhere = _declared(node.body)
        self.names.bound.update(own & elsewhere)
        inner = _Scope(own - elsewhere, (scope.own, *scope.outer), True)
        self._expressions([*_annotations(node)], inner)
        self._bodies.append((node.body, inner))

    def _use(self, node: ast.Name, scope: _Scope) -> None:
        if node.id in MAKES_NAMES:
            self.names.bound.add(ANY)
        if not scope.has(node.id):
            self.names.missing.setdefault(node.id, node.lineno)
            if not scope.later:
                self.names.at_once.add(node.id)

    def _bind(self, names: Iterable[str], scope: _Scope) -> None:
        scope.own.update(names)


def stored(node: ast.AST) -> Iterator[str]:
    """The names that it gives a meaning in its own scope, all but those of ``x += 1``."""
    stack = [node]
    while stack:
        node = stack.pop()
        match node:
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case (
                ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name))
            ):
                yield name
            case ast.Import() | ast.ImportFrom():
                yield from map(imported_as, node.names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.ExceptHandler(name=str(name)):
                yield name
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            stack.append(node.value)
        elif isinstance(node, _COMPREHENSIONS):
            stack += [walrus.target for walrus in ast.walk(node) if isinstance(walrus, ast.NamedExpr)]
        elif not isinstance(node, _SCOPES):
            stack += children(node)


def locals_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """What a function gives a meaning, its parameters among them."""
    return {*parameters(node.args), *_made(node.body, True)}


def _made(body: Iterable[ast.stmt], counted: bool = False) -> Iterator[str]:
    """What statements give a meaning; ``counted``: by ``x += 1`` too."""
    for node in body:
        yield from stored(node)
    for inner in _within_all(body) if counted else ():
        if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
            yield inner.target.id


def _declared(body: Iterable[ast.stmt]) -> set[str]:
    """The names that a function calls global or nonlocal."""
    nodes = _within_all(body)
    return {name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}


def _within_all(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements, and those in their bodies."""
    stack = [*body]
    while stack:
        yield (node := stack.pop())
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            stack += getattr(node, part, ())


def imported_as(alias: ast.alias) -> str:
    """The name that an import gives a meaning."""
    return alias.asname or alias.name.partition(".")[0]


def _within(pattern: ast.pattern) -> Iterator[ast.expr]:
    """The expressions of a pattern: values, classes and keys."""
    return (node for node in ast.walk(pattern) if isinstance(node, ast.expr))


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _suppresses(item: ast.withitem) -> bool:
    """Whether it is contextlib's, of a NameError."""
    match item.context_expr:
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=args):
            return "NameError" in map(_name, args)
    return False


def _all(args: ast.arguments) -> Iterator[ast.arg]:
    yield from (*args.posonlyargs, *args.args, *args.kwonlyargs)
    yield from filter(None, (args.vararg, args.kwarg))


def parameters(args: ast.arguments) -> Iterator[str]:
    """The names of all parameters, ``*args`` and ``**kwargs`` among them."""
    return (arg.arg for arg in _all(args))


def _defaults(args: ast.arguments) -> list[ast.expr | None]:
    return [*args.defaults, *args.kw_defaults]


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr | None]:
    yield from (arg.annotation for arg in _all(node.args))
    yield node.returns


def _type_parameters(node: ast.AST) -> Iterator[str]:
    return (parameter.name for parameter in getattr(node, "type_params", ()))
