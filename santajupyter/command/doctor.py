"""``santajupyter doctor``: what could keep completions from working here, and what to do about it.

Whatever is broken, the other checks go on: each imports what it needs by itself.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from .._version import __version__
from ..printable import printable

IMPORT_TIMEOUT = 180
HUB_TIMEOUT = 10
# Weights are held once, and the rest of a process needs something too.
MEMORY_FACTOR = 1.2
TORCH_PROBE = """
import json, torch
gpus = range(torch.cuda.device_count())
print(json.dumps({"gpus": [[torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)] for i in gpus],
                  "cuda": torch.version.cuda, "mps": torch.backends.mps.is_available()}))
"""


@dataclass(frozen=True)
class Finding:
    """``remedy`` of a problem: what to do. ``fatal``: nothing works without."""

    what: str
    remedy: str = ""
    fatal: bool = False


def report(model: str, clean: bool = False) -> int:
    """Print the findings as they come; 1 if something is broken, else 0. ``clean``: remove leftovers."""
    model, revision = (model, "") if model else used_model()
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", versions),
        ("GPU", gpu),
        ("CPU", cpu),
        ("labextension", labextension),
        ("server extension", server_extension),
        ("model", lambda: chosen_model(model, revision)),
        ("copies", lambda: copies(clean)),
        ("engine", engine),
        ("server", server),
    )
    broken = False
    for name, check in checks:
        for finding in _safely(check):
            broken = broken or finding.fatal
            mark = "ok  " if not finding.remedy else "FAIL" if finding.fatal else "note"
            print(printable(f"{mark} {name}: {finding.what}"), flush=True)
            if finding.remedy:
                print(printable(f"     -> {finding.remedy}"), flush=True)
    return int(broken)


def used_model() -> tuple[str, str]:
    """The running server's model, which may have been named when it was started, or the configured one.

    With its revision, where that is said.
    """
    configured, revision = configured_model()
    try:
        from ..kernel import client, discovery

        running = str(client.run(discovery.find_server().status())["model"])
    except Exception:  # the check of the server says what is wrong
        return configured, revision
    return running, revision if running == configured else ""


def configured_model() -> tuple[str, str]:
    """SantaApp.model and SantaApp.revision as the Jupyter server's configuration files have it."""
    try:
        from jupyter_server.serverapp import ServerApp

        from ..server.extension import SantaApp

        server = ServerApp(log_level="ERROR")
        server.load_config_file()
        app = SantaApp(config=server.config)
        app.load_config_file()
        return str(app.model), str(app.revision)
    except Exception:  # the checks that follow say what is wrong
        from ..server.settings import SANTACODER

        return SANTACODER, ""


def versions() -> Iterator[Finding]:
    """Python, and the packages that santajupyter requires."""
    from packaging.requirements import Requirement

    yield Finding(f"santajupyter {__version__}, Python {platform.python_version()}, {platform.platform()}")
    good = 0
    for text in metadata.requires("santajupyter") or ():
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(f"{requirement.name} is missing", _pip(requirement.name), fatal=True)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            good += 1
        else:
            what = f"{requirement.name} is {version}, and {requirement.specifier} is needed"
            yield Finding(what, _pip(f"{requirement.name}{requirement.specifier}"), fatal=True)
    yield Finding(f"{good} required packages are there")


def gpu() -> Iterator[Finding]:
    """What torch sees."""
    print("     asking torch for GPUs, which takes some seconds", flush=True)
    seen = _seen_by_torch()
    if "error" in seen:
        yield Finding(f"torch can't be imported: {seen['error']}", seen["remedy"], fatal=True)
        return
    for name, free, total in seen["gpus"]:
        yield Finding(f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB are free")
    if seen["gpus"] or seen["mps"]:
        return
    if shutil.which("nvidia-smi") and not seen["cuda"]:
        remedy = "Install torch for CUDA, see https://pytorch.org/get-started; until then the CPU is used."
        yield Finding("there is an NVIDIA driver, but this torch is built for CPUs alone", remedy)
    elif shutil.which("nvidia-smi"):
        remedy = "See what `nvidia-smi` says; the driver may be too old. Until then the CPU is used."
        yield Finding(f"torch is built for CUDA {seen['cuda']}, but sees no GPU", remedy)
    else:
        yield Finding("none; the CPU is used")


def cpu() -> Iterator[Finding]:
    """What computes there."""
    from ..engine import native, native_causallm

    if library := native.library():
        yield Finding(f"{native_causallm.cores()} threads of {Path(library._name).name}")
    elif native.fitting():
        yield Finding(
            "this installation lacks the library for it; OpenVINO is used",
            _pip("--force-reinstall --no-deps santajupyter"),
        )
    else:
        yield Finding("OpenVINO is used")


def labextension() -> Iterator[Finding]:
    """JupyterLab's half: ghost text, the status bar, buttons."""
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_page_config

    folders = [Path(folder) / "santajupyter" for folder in jupyter_path("labextensions")]
    found = next((folder for folder in folders if (folder / "package.json").is_file()), None)
    if not found:
        yield Finding(
            "JupyterLab has no santajupyter", _pip("--force-reinstall --no-deps santajupyter"), True
        )
        return
    version = json.loads((found / "package.json").read_text("utf-8"))["version"]
    if version != __version__:
        remedy = f"Remove {found}, then reload the page in the browser."
        yield Finding(f"{found} is version {version}, the package is {__version__}", remedy, fatal=True)
        return
    disabled = get_page_config(jupyter_path("labextensions")).get("disabledExtensions") or {}
    off = [name for name in disabled if name.partition(":")[0] == "santajupyter"]
    if off and (not isinstance(disabled, dict) or any(disabled[name] for name in off)):
        yield Finding("it is disabled", "Run `jupyter labextension enable santajupyter`.", fatal=True)
        return
    yield Finding(f"version {version} in {found}")


def server_extension() -> Iterator[Finding]:
    """The server's half: the model."""
    from jupyter_core.paths import jupyter_config_path
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=jupyter_config_path())
    enabled = manager.get_jpserver_extensions()  # type: ignore[no-untyped-call]
    if enabled.get("santajupyter"):
        yield Finding("enabled")
    else:
        remedy = "Run `jupyter server extension enable santajupyter`, then restart the server."
        yield Finding("not enabled", remedy, fatal=True)


def copies(clean: bool) -> Iterator[Finding]:
    """What is left in the cache of quantised copies that nobody can use."""
    from ..engine import quantised

    found = list(quantised.unneeded())
    size = sum(file.stat().st_size for path in found for file in path.rglob("*") if file.is_file())
    names = ", ".join(map(str, found))
    if clean:
        for path in found:
            quantised.remove(path)
        yield Finding(f"removed {names}, {size / 1e9:.2f} GB" if found else "nothing is left over")
    elif found:
        remedy = "Run `santajupyter doctor --clean` to remove them; the next one that is made does so too."
        yield Finding(f"{size / 1e9:.2f} GB of quantised copies are left over: {names}", remedy)
    else:
        yield Finding("nothing is left over")


def chosen_model(model: str, revision: str = "") -> Iterator[Finding]:
    """Whether it can be had, and whether there is room for it."""
    from ..server.settings import BUILT_IN

    if model == BUILT_IN:
        yield Finding(f"{model} is built in")
        return
    from ..engine.checkpoint import weights_size
    from ..engine.folders import model_folder
    from ..engine.locate import cached, locate
    from ..engine.model import ModelUnavailable

    try:
        is_folder = model_folder(model) is not None
        folder = locate(model, revision, lambda done, total: None) if is_folder else cached(model, revision)
    except ModelUnavailable as error:
        yield Finding(f"{model}: {error}", "Set SantaApp.model to a complete folder or a hub id.", fatal=True)
        return
    if folder:
        size = weights_size(folder)
        yield Finding(f"{model} is here, {size / 1e9:.2f} GB")
    else:
        try:
            size = _size_on_hub(model, revision)
        except Exception as error:
            yield _unreachable(model, error)
            return
        yield Finding(f"{model} is not here yet; the hub has it, {size / 1e9:.2f} GB")
        yield from _disk(size)
    yield from _memory(size)


def engine() -> Iterator[Finding]:
    """The built-in model in a process of its own completes a line."""
    from ..kernel import client
    from ..kernel.local import LocalEngine
    from ..server.settings import BUILT_IN

    engine = LocalEngine(BUILT_IN)
    try:
        answer = client.run(client.ask(engine, client.at_cursor("import numpy as n", max_new_tokens=4)))
    finally:
        client.run(engine.close())
    yield Finding(f"{answer.model} completed `import numpy as n` with {answer.text!r}")


def server() -> Iterator[Finding]:
    """The server that the magics would ask."""
    from ..kernel import client, discovery

    try:
        found = discovery.find_server()
        status = client.run(found.status())
    except client.SantaError as error:
        yield Finding(str(error), "Until then magics and commands have only models of their own (`--here`).")
        return
    if status["version"] != __version__:
        what = f"{found.url} runs version {status['version']}, installed is {__version__}"
        yield Finding(what, "Restart it.")
    yield Finding(f"{found.url}: {status['message']}")


def _safely(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except ImportError as error:
        yield Finding(f"can't be checked: {error}", _pip(error.name or "santajupyter"), fatal=True)
    except Exception as error:
        what = f"can't be checked: {type(error).__name__}: {error}"
        yield Finding(what, _pip("--force-reinstall santajupyter"), fatal=True)


def _size_on_hub(model: str, revision: str) -> int:
    """Bytes of what would be downloaded."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi

    from ..engine.hub import CONFIG_FILES, PICKLES, SAFETENSORS

    files = (
        HfApi()
        .model_info(model, revision=revision or None, files_metadata=True, timeout=HUB_TIMEOUT)
        .siblings
        or []
    )
    sizes = {file.rfilename: file.size or 0 for file in files}
    weights = SAFETENSORS if any(name.endswith(".safetensors") for name in sizes) else PICKLES
    wanted = [*CONFIG_FILES, *weights]
    return sum(size for name, size in sizes.items() if any(fnmatch(name, pattern) for pattern in wanted))


@functools.cache
def _seen_by_torch() -> dict[str, Any]:
    """``gpus`` (name, bytes free and in all), ``cuda``, ``mps``; or ``error`` and ``remedy``.

    Asked in a process of its own, which a broken driver may end.
    """
    try:
        probe = subprocess.run(  # noqa: S603  our own words
            [sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, timeout=IMPORT_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        remedy = "Try again when the machine has less to do."
        return {"error": f"that took more than {IMPORT_TIMEOUT} s", "remedy": remedy}
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"])[-1]
        return {"error": last, "remedy": _pip("torch")}
    return dict(json.loads(probe.stdout.splitlines()[-1]))


def _unreachable(model: str, error: Exception) -> Finding:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        remedy = "HF_HUB_OFFLINE forbids the hub: unset it, or copy the model here and name its folder."
    else:
        remedy = (
            "Check the name, the network and the proxy (HTTPS_PROXY); HF_ENDPOINT names a mirror, HF_TOKEN "
            "opens a gated model. Until then the built-in santa-mini answers."
        )
    return Finding(f"{model} is not here, and the hub doesn't give it: {reason}", remedy)


def _disk(size: int) -> Iterator[Finding]:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < size:
        remedy = "Free some, or set HF_HOME to a folder with more room."
        yield Finding(f"{free / 1e9:.1f} GB are free in {folder}, {size / 1e9:.1f} are needed", remedy, True)
    else:
        yield Finding(f"{free / 1e9:.1f} GB are free in {folder}")


def _memory(size: int) -> Iterator[Finding]:
    needed = MEMORY_FACTOR * size
    for name, free, _ in _seen_by_torch().get("gpus", ())[:1]:
        if free < needed:
            what = f"{free / 1e9:.1f} GB are free on the {name}, about {needed / 1e9:.1f} are needed"
            yield Finding(what, "Free some, or choose a smaller SantaApp.model; until then the CPU is used.")
    try:
        import psutil
    except ImportError:
        yield Finding("memory wasn't checked: there is no psutil", _pip("psutil"))
        return
    free = psutil.virtual_memory().available
    if free < needed:
        remedy = "Close something, or choose a smaller SantaApp.model."
        yield Finding(f"{free / 1e9:.1f} GB of memory are free, about {needed / 1e9:.1f} are needed", remedy)
    else:
        yield Finding(f"{free / 1e9:.1f} GB of memory are free")


def _pip(what: str) -> str:
    """In this Python, whatever `pip` on the PATH belongs to."""
    quoted = f'"{what}"' if "<" in what or ">" in what else what
    return f"Run `{sys.executable} -m pip install {quoted}`."
