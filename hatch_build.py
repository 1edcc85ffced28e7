"""Compiles santajupyter/engine/native/decoder.c, where it can run; elsewhere OpenVINO does its work."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A C compiler from PyPI, the same everywhere, for any glibc from 2.17 on.
COMPILER = "ziglang==0.17.1"
TARGET = "x86_64-linux-gnu.2.17"
FOLDER = Path("santajupyter/engine/native")
SOURCE = FOLDER / "decoder.c"
FLAGS = ("-shared", "-fPIC", "-O3", "-g0", "-s", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
# Each library's own instructions.
LIBRARIES = {
    "decoder-avx512.so": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma"),
    "decoder-avx2.so": ("-mavx2", "-mfma"),
}


class CustomBuildHook(BuildHookInterface[Any]):
    def dependencies(self) -> list[str]:
        return [COMPILER] if self._is_needed() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self._is_needed():
            for name, instructions in LIBRARIES.items():
                output = Path(self.root) / FOLDER / name
                command = ("-m", "ziglang", "cc", "-target", TARGET, *FLAGS, *instructions, "-o", str(output))
                subprocess.run([sys.executable, *command, str(SOURCE)], cwd=self.root, check=True)
        build_data["artifacts"] += [f"/{FOLDER.as_posix()}/*.so"]

    def _is_needed(self) -> bool:
        """Whether the libraries can run here, and aren't there, or older than what they are made from."""
        if (sys.platform, platform.machine()) != ("linux", "x86_64") or self.target_name != "wheel":
            return False
        root = Path(self.root)
        changed = max((root / path).stat().st_mtime for path in (SOURCE, Path(__file__).name))
        found = [root / FOLDER / name for name in LIBRARIES]
        return not all(path.is_file() and path.stat().st_mtime >= changed for path in found)
