"""The GPU's session, rehearsed on the CPU: every part runs, and one that fails is told."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

from benchmarks.gpu.pack import IMPORTED, needed

from ..checkpoint import make_tokenizer

ROOT = Path(__file__).parents[2]


def session(kit: Path, *options: str) -> subprocess.CompletedProcess[str]:
    make_tokenizer().save(str(kit / "tokenizer.json"))
    command = [sys.executable, "benchmarks/gpu/session.py", str(kit), "--device", "cpu", "--small", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_our_decoder_is_transformers(tmp_path: Path) -> None:
    done = session(tmp_path, "--only", "shapes", "parity")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": ok\n") == 6
    assert done.stdout.endswith("all parts passed\n")
    assert "prefill, float32: error 0.00" in (tmp_path / "session.txt").read_text()


def test_what_fails_or_hangs_is_told(tmp_path: Path) -> None:
    """Nothing was made, so nothing can be loaded; and one second is enough for no part."""
    done = session(tmp_path, "--only", "parity", "--seconds", "60")
    assert done.returncode == 1
    assert done.stdout.endswith("failed: parity (exit code 1)\n")
    done = session(tmp_path, "--only", "machine", "shapes", "--seconds", "1.5")
    assert "failed: machine (it took more than 1 s), shapes (no time was left)" in done.stdout


def test_all_that_the_engine_imports_is_packed() -> None:
    """But torch, which is there, and what neither a GPU nor its fall-back to the CPU needs, nor a hub."""
    files = [*(ROOT / "santajupyter" / "engine").glob("*.py"), *(ROOT / "benchmarks" / "gpu").glob("*.py")]
    imported: set[str] = set()
    for node in chain.from_iterable(ast.walk(ast.parse(file.read_text("utf-8"))) for file in files):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module).partition(".")[0])
    imported -= {*sys.stdlib_module_names, "benchmarks", "santajupyter", "tests"}
    imported -= {"torch", "openvino", "httpx", "httpx_sse", "packaging"}
    packed = {re.sub("[-_.]+", "_", name).lower() for name in needed(IMPORTED, "3.12")}
    assert imported <= packed


def test_what_is_packed() -> None:
    found = needed(("transformers", "msgspec"), "3.12")
    assert {"transformers", "tokenizers", "numpy", "msgspec"} <= found
    assert "torch" not in found
