from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from santajupyter.prompt.document import Document, document
from santajupyter.prompt.modules import MAX_FILE_BYTES, MAX_LINES, signatures

DATA = '''
import os
raise RuntimeError("never run")

def load(path, sep=",", *, n: int = 1) -> list[str]:
    """Load."""

async def fetch(url): ...

def _hidden(): ...

class Model(Base, metaclass=Meta):
    def __init__(self, size=3): ...
    def fit(self, x, y): ...
    @classmethod
    def read(cls): ...
    def _secret(self): ...

class Empty: pass
'''


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A server's folder with a notebook's in it, and one outside."""
    for name in ("root/work/pkg", "root/work/.hidden", "root/lib", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("root/work/data", "root/work/pkg/__init__", "root/work/pkg/deep", "root/above"):
        (tmp_path / f"{name}.py").write_text(DATA)
    for name in ("root/work/.hidden/secret", "root/.dot", "outside/secret"):
        (tmp_path / f"{name}.py").write_text("def secret(): ...")
    return tmp_path / "root"


def told(root: Path, code: str, path: str = "work/a.ipynb") -> list[str]:
    return signatures(root, path, [code])


def test_signatures_of_what_is_imported(root: Path) -> None:
    assert told(root, "import numpy as np\nimport data") == [
        "work/data.py: def load(path, sep=',', *, n: int=1) -> list[str]",
        "work/data.py: def fetch(url)",
        "work/data.py: class Model(Base): __init__(size=3), fit(x, y), read()",
        "work/data.py: class Empty",
    ]


def test_the_fields_of_a_data_class(root: Path) -> None:
    code = "@dataclass(frozen=True)\nclass P:\n    x: int\n    y: float = 0.0\n    def far(self): ...\n"
    (root / "work/shapes.py").write_text(f"{code}class Q:\n    z: int\n")
    assert told(root, "import shapes") == [
        "work/shapes.py: class P: x: int, y: float = 0.0, far()",
        "work/shapes.py: class Q",
    ]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("from data import load as l, Empty", ["data.py: def load", "data.py: class Empty"]),
        ("from data import (\n    fetch,\n)", ["data.py: def fetch"]),
        ("if x:\n    from pkg.deep import fetch", ["pkg/deep.py: def fetch"]),
        ("from pkg import Empty", ["pkg/__init__.py: class Empty"]),
        ("from data import nothing\nimport data.x\n# import data", []),
        ("print('import data')", []),
    ],
)
def test_only_the_names_that_are_taken(root: Path, code: str, lines: list[str]) -> None:
    found = told(root, code)
    assert len(found) == len(lines)
    assert all(line.startswith(f"work/{start}") for line, start in zip(found, lines, strict=True))


@pytest.mark.parametrize("code", ["from pkg import deep", "import pkg.deep", "from data import *"])
def test_whole_modules(root: Path, code: str) -> None:
    assert len(told(root, code)) == 4


def test_above_the_notebook_only_from_a_package(root: Path) -> None:
    assert told(root, "import above") == []
    (root / "work" / "__init__.py").touch()
    assert len(told(root, "import above")) == 4


def test_nothing_outside_the_root_and_nothing_hidden(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "work" / "linked.py").symlink_to(outside / "secret.py")
    (root / "work" / "folder").symlink_to(outside)
    (root / "work" / "shown.py").symlink_to(root / "work" / ".hidden" / "secret.py")
    (root / "__init__.py").touch()
    (root.parent / "__init__.py").touch()
    for code in ("linked", "folder.secret", "shown", ".hidden.secret", "outside.secret", "secret"):
        for path in (
            "work/a.ipynb",
            "a.ipynb",
            "../outside/a.ipynb",
            "work/folder/a.ipynb",
            "work/.hidden/a.ipynb",
        ):
            assert told(root, f"import {code}", path) == []
            assert told(root, f"from {code} import secret", path) == []


def test_drives_and_slashes_in_a_path(root: Path) -> None:
    for path in ("RTC:work/a.ipynb", "/work/a.ipynb"):
        assert len(told(root, "import data", path)) == 4


def test_what_cannot_be_read_is_not_there(root: Path) -> None:
    work = root / "work"
    (work / "broken.py").write_text("def f(:")
    (work / "binary.py").write_bytes(b"\x00\xff" * 100)
    (work / "nested.py").write_text("x = " + "(" * 5000)
    (work / "warned.py").write_text('def f(x="\\d"): ...')
    (work / "long.py").write_text("def f(): ...\n" + "#" * MAX_FILE_BYTES)
    (work / "many.py").write_text("".join(f"def f{i}({'x' * 300}): ...\n" for i in range(100)))
    (work / "loop.py").symlink_to("loop.py")
    if hasattr(os, "mkfifo"):
        os.mkfifo(work / "pipe.py")
    assert told(root, "import broken, binary, nested, long, loop, pipe") == []
    assert len(told(root, "import warned")) == 1
    assert len(told(root, "import many")) == MAX_LINES
    assert told(root, "import data", "a\x00b/c.ipynb") == []


def test_a_changed_file_is_read_again(root: Path) -> None:
    file = root / "work" / "data.py"
    assert told(root, "from data import load")
    file.write_text("def load(new): ...")
    assert told(root, "from data import load") == ["work/data.py: def load(new)"]


@given(st.text(st.sampled_from("from import a.*,()as\n #"), max_size=80), st.text(max_size=20))
def test_any_code_and_path(code: str, path: str) -> None:
    assert isinstance(signatures(Path(__file__).parent, path, [code]), list)


@pytest.fixture
def prefixes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the service makes of the requests that come."""
    seen: list[str] = []

    def recording(*cells: Any, **more: Any) -> Document:
        found = document(*cells, **more)
        seen.append(found.prefix)
        return found

    monkeypatch.setattr("santajupyter.server.prompts.document", recording)
    return seen


async def test_a_request_brings_them_to_the_prompt(
    jp_root_dir: Path, jp_fetch: Any, body: Callable[..., dict[str, Any]], prefixes: list[str]
) -> None:
    (jp_root_dir / "data.py").write_text("def load(path): ...")
    cells = [{"source": "from data import load"}, {"source": "x = lo"}]
    for request in (
        body(cells=cells, active=1, offset=6, path="a.ipynb"),
        body("x = 1\nfrom data import load", path="a.ipynb"),
        body(cells=cells, active=1, offset=6, path="a.ipynb", language="julia"),
    ):
        await jp_fetch("santajupyter", "warm", method="POST", body=json.dumps(request))
    plain = "from data import load\n\nx = lo"
    assert prefixes == [f"# data.py: def load(path)\n\n{plain}", "x = 1\nfrom data import load", plain]


async def test_a_hanging_file_system_is_not_waited_for(
    jp_fetch: Any, body: Callable[..., dict[str, Any]], prefixes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    back = threading.Event()
    monkeypatch.setattr("santajupyter.prompt.modules.signatures", lambda *_: back.wait())
    try:
        for _ in range(2):
            await jp_fetch("santajupyter", "warm", method="POST", body=json.dumps(body("x", path="a.ipynb")))
    finally:
        back.set()
    assert prefixes == ["x", "x"]
