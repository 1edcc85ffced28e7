"""Compiles santajupyter/engine/native/decoder.c on Linux with x86-64; elsewhere OpenVINO does its work.

A library holds its source's SHA-256: the package takes none that another decoder.c was compiled to.
"""

from __future__ import annotations

import hashlib
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
            flags = (*FLAGS, f'-DSOURCE="{self._digest()}"')
            for name, instructions in LIBRARIES.items():
                output = Path(self.root) / FOLDER / name
                part = output.with_suffix(".part")
                command = ("-m", "ziglang", "cc", "-target", TARGET, *flags, *instructions, "-o", str(part))
                subprocess.run([sys.executable, *command, str(SOURCE)], cwd=self.root, check=True)
                part.replace(output)  # a process that has the old one keeps it
        if self.target_name == "wheel":
            build_data["artifacts"] += [f"/{FOLDER.as_posix()}/*.so"]

    def _is_needed(self) -> bool:
        """Whether the libraries can run here, and aren't there, of this source, as this file makes them."""
        if (sys.platform, platform.machine()) != ("linux", "x86_64") or self.target_name != "wheel":
            return False
        changed, digest = Path(__file__).stat().st_mtime, self._digest().encode()
        found = [Path(self.root) / FOLDER / name for name in LIBRARIES]
        return not all(
            path.is_file() and path.stat().st_mtime >= changed and digest in path.read_bytes()
            for path in found
        )

    def _digest(self) -> str:
        return hashlib.sha256((Path(self.root) / SOURCE).read_bytes()).hexdigest()
