"""What the project's own files, imported by a notebook, define: one line for each function and class.

Files are read and parsed, never imported; none outside the server's root, none hidden.
"""

from __future__ import annotations

import ast
import os
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

from .pythoncode import UNPARSED, parsed, statements

# Modules that are looked for, and files that are read.
MAX_MODULES = 200
MAX_FILES = 16
MAX_FILE_BYTES = 200_000
MAX_LINES = 60
MAX_LINE = 160
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ ]+([\w.]+)[ ]+import[ ]+(?:\(([^)]{0,400})\)|([^\n#;]+))|import[ ]+([^\n#;]+))",
    re.MULTILINE,
)


def signatures(root: Path, path: str, sources: Iterable[str]) -> list[str]:
    """``file.py: def name(arguments)`` for what the sources of the notebook at ``path`` import.

    ``path`` is relative to ``root``. Modules are looked for beside the notebook and, where that is a
    package, above it. No error is raised: what can't be read or parsed isn't there.
    """
    root = root.resolve()
    try:
        folders = _folders(root, notebook_folder(root, path))
        imported = islice(_imported("\n".join(sources)).items(), MAX_MODULES)
        files = {file: names for module, names in imported if (file := _find(root, folders, module))}
        lines = (_lines(root, file, names) for file, names in islice(files.items(), MAX_FILES))
        return [*islice(chain.from_iterable(lines), MAX_LINES)]
    except (OSError, ValueError, RuntimeError):  # a null byte in the path, a loop of links
        return []


def _imported(code: str) -> dict[str, frozenset[str] | None]:
    """Modules, dotted, and the names that are taken from each; None: the module itself or all."""
    found: dict[str, frozenset[str] | None] = {}
    for module, several, names, modules in _IMPORT.findall(code):
        if module:
            taken = frozenset(name.split(" as ")[0].strip() for name in (several or names).split(","))
            before = found.get(module, frozenset())
            found[module] = None if before is None or "*" in taken else before | taken
            # A package's name may be a file of it.
            found.update({f"{module}.{name}": None for name in sorted(taken) if name.isidentifier()})
        else:
            found.update({name.split(" as ")[0].strip(): None for name in modules.split(",")})
    return found


def _folders(root: Path, folder: Path) -> list[Path]:
    """The notebook's folder, and the one above as long as it is a package's."""
    folders = []
    while may_be_read(root, folder):
        folders.append(folder)
        if folder == root or not (folder / "__init__.py").is_file():
            break
        folder = folder.parent
    return folders


def _find(root: Path, folders: Iterable[Path], module: str) -> Path | None:
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for folder in folders:
        place = folder.joinpath(*parts)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            file = file.resolve()
            if may_be_read(root, file) and file.is_file():
                return file
    return None


def notebook_folder(root: Path, path: str) -> Path:
    """Of the notebook that the server calls ``path``; links are followed. Raises OSError, ValueError."""
    file = root / path.removeprefix("RTC:").lstrip("/")
    if not is_inside(root, file):
        raise ValueError(f"{path} is outside of the server's folder")
    return file.resolve().parent


def is_inside(root: Path, path: Path) -> bool:
    """Whether the path leads into the server's root by its letters alone.

    Asked first: looking at a path on another drive or host may take long, and tells the host who looks.
    """
    return Path(os.path.normpath(path)).is_relative_to(root)


def may_be_read(root: Path, path: Path) -> bool:
    """Whether it is in the server's root, and neither hidden nor in a hidden folder; both resolved."""
    return path.is_relative_to(root) and not any(p.startswith(".") for p in path.relative_to(root).parts)


def _lines(root: Path, file: Path, names: frozenset[str] | None) -> Iterator[str]:
    place = file.relative_to(root).as_posix()
    state = file.stat()
    if state.st_size <= MAX_FILE_BYTES:
        for name, signature in _outline(file, state.st_mtime_ns, state.st_size):
            if names is None or name in names:
                yield f"{place}: {signature}"[:MAX_LINE]


@lru_cache(maxsize=64)
def _outline(file: Path, changed: int, size: int) -> tuple[tuple[str, str], ...]:
    """Name and signature of each public function and class; cached while the file stays as it is."""
    try:
        with tokenize.open(file) as opened:
            source = opened.read()
        return tuple(_public(chain.from_iterable(_bodies(source))))
    except (OSError, *UNPARSED):
        return ()


def _bodies(source: str) -> Iterator[list[ast.stmt]]:
    for start, end in statements(source):
        if end - start == len(source) or source.startswith(("@", "async ", "class ", "def "), start):
            yield parsed(source[start:end]).body


def _public(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in statements:
        if isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) and not node.name.startswith("_"):
            yield node.name, _signature(node)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """``def f(x, n=1) -> int``; ``class A(B): __init__(x), fit(y)``; of a data class its fields too."""
    if not isinstance(node, ast.ClassDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"def {node.name}({ast.unparse(node.args)}){returns}"
    bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
    methods = (
        f"{method.name}({re.sub('^(self|cls)(, |$)', '', ast.unparse(method.args))})"
        for method in node.body
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (method.name == "__init__" or not method.name.startswith("_"))
    )
    is_data = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    fields = (ast.unparse(field) for field in node.body if is_data and isinstance(field, ast.AnnAssign))
    inside = ", ".join([*fields, *methods])
    return f"class {node.name}{bases}" + (f": {inside}" if inside else "")
