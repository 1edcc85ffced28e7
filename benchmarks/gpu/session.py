"""All that a GPU has to prove about the engine, within six minutes, on a machine that has no registry.

    python3 benchmarks/gpu/session.py KIT [--device cuda] [--seconds 360] [--only PART …] [--small]

KIT is what pack.py made; with this checkout it is all that the machine needs beside Python and a torch for
its GPU. Each part is a process of its own, so one that fails or hangs takes no other with it. What they print
is in KIT/session.txt too (--out), and the last line says which parts failed. ``--device cpu --small`` is the
rehearsal.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parents[2]
# What each part runs, and the seconds that it may take.
PARTS: dict[str, tuple[list[str], int]] = {
    "machine": (["-c", "import torch; print(torch.__version__, torch.cuda.is_available())"], 40),
    "shapes": (["-m", "benchmarks.gpu.shapes", "{kit}/tokenizer.json", "{work}"], 60),
    "parity": (["-m", "benchmarks.gpu.parity", "{work}/santacoder"], 60),
    "speed": (["-m", "benchmarks.gpu.speed", "{work}/santacoder"], 60),
    "lives": (["-m", "benchmarks.gpu.lives", "{work}/santacoder", "{work}/qwen2"], 150),
    "parity of qwen2": (["-m", "benchmarks.gpu.parity", "{work}/qwen2"], 45),
    "speed of qwen2": (["-m", "benchmarks.gpu.speed", "{work}/qwen2"], 45),
    "compile": (["-m", "benchmarks.gpu.speed", "{work}/santacoder", "--compile"], 90),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kit", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=360)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    end, failed = time.monotonic() + args.seconds, []
    with (
        tempfile.TemporaryDirectory() as work,
        (args.out or args.kit / "session.txt").open("w+", encoding="utf-8") as log,
    ):
        environment = _environment(args.kit, Path(work))
        for name in args.only:
            words, seconds = PARTS[name]
            command = [sys.executable, *(word.format(kit=args.kit.resolve(), work=work) for word in words)]
            if "-m" in words:
                command += ["--device", args.device]
            if name == "shapes" and args.small:
                command.append("--small")
            how = _run(name, command, environment, min(seconds, end - time.monotonic()), log)
            failed += [f"{name} ({how})"] if how else []
        said = f"failed: {', '.join(failed)}" if failed else "all parts passed"
        print(f"\n{said}", file=log)
    print(f"\n{said}")
    sys.exit(bool(failed))


def _environment(kit: Path, work: Path) -> dict[str, str]:
    """With the kit's packages first: the versions that the engine is tested with."""
    site = work / "site"
    for wheel in sorted((kit / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(site)
    paths = [str(site), str(ROOT)]
    settings = {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(work / "cache"), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **settings, "PYTHONPATH": os.pathsep.join(paths)}


def _run(name: str, command: list[str], environment: dict[str, str], seconds: float, log: TextIO) -> str:
    """Why it failed, or nothing. What it prints goes to a file, so no process of its can hold a pipe open."""
    print(f"\n== {name}", file=log, flush=True)
    begun, start = time.monotonic(), log.tell()
    how = ""
    if seconds > 1:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
            how = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            how = f"it took more than {seconds:.0f} s"
        finally:  # Ctrl-C isn't the part's own: it has a session of its own
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    else:
        how = "no time was left"
    log.seek(start)
    print(f"\n== {name}\n{log.read()}({time.monotonic() - begun:.1f} s)", flush=True)
    return how


if __name__ == "__main__":
    main()
