"""Gather what a machine with a GPU needs that has no package registry: wheels, and a tokenizer.

    python -m benchmarks.gpu.pack TOKENIZER_JSON build/gpu

That machine has Python 3.12 (--python) on x86-64 Linux and a torch for its GPU; all else that the engine
imports is packed, in the versions that are installed here. Beside it go this checkout's ``santajupyter`` and
``benchmarks``; then ``python3 benchmarks/gpu/session.py build/gpu`` there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

IMPORTED = ("transformers", "msgspec", "psutil", "platformdirs", "prometheus_client")
# torch is there, and brings its own; the hub isn't within reach.
LEFT_OUT = {"torch", "hf-xet"}
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12, 5)] + ["manylinux2014_x86_64"]
LIMIT = 64 * 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12")
    args = parser.parse_args()
    shutil.rmtree(args.folder, ignore_errors=True)
    wheels = args.folder / "wheels"
    wheels.mkdir(parents=True)
    shutil.copyfile(args.tokenizer, args.folder / "tokenizer.json")
    exact = [f"{name}=={metadata.version(name)}" for name in sorted(needed(IMPORTED, args.python))]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run(  # noqa: S603
        [*pip, "--python-version", args.python, *platforms, "--dest", str(wheels), *exact], check=True
    )
    size = sum(file.stat().st_size for file in args.folder.rglob("*") if file.is_file())
    print(f"{len(exact)} wheels and the tokenizer: {size / 2**20:.1f} MiB in {args.folder}")
    if size > LIMIT:
        raise SystemExit(f"that is more than {LIMIT // 2**20} MiB")


def needed(names: tuple[str, ...], python: str) -> set[str]:
    """These distributions and all that they require, on Linux."""
    found: set[str] = set()
    environment = {"extra": "", "python_version": python, "sys_platform": "linux", "platform_system": "Linux"}
    rest = list(names)
    while rest:
        name = rest.pop()
        if name in found | LEFT_OUT:
            continue
        found.add(name)
        requirements = map(Requirement, metadata.requires(name) or ())
        rest += [r.name for r in requirements if not r.marker or r.marker.evaluate(environment)]
    return found


if __name__ == "__main__":
    main()
