"""A machine whose disk or memory is full, and whose clock jumps."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from santajupyter.engine import openvino_causallm, quantised
from santajupyter.engine.model import OutOfMemory
from santajupyter.engine.process import EngineUnavailable, RequestFailed
from santajupyter.engine.weights import Tables
from santajupyter.server import engines as engines_module

from ..checkpoint import make_checkpoint
from ..limits import no_file_above
from ..server.test_engines import Processes, a_request, nothing, processes, serving, until

__all__ = ["processes"]
YEARS = 20 * 365 * 86400.0
# In the model's process, too.
CLOCK = """
import pathlib, time
real, said = time.time, pathlib.Path({said!r})
time.time = lambda: real() + float(said.read_text())
"""


def test_a_disk_that_gets_full_while_the_copy_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model answers without one, as it would with it; nothing is left, and the next time it is made."""
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache")
    folder = make_checkpoint(tmp_path / "model")
    with no_file_above(20_000):
        without = openvino_causallm.load(folder, "int8")
    assert quantised.cached(folder, "int8", "openvino") is None
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    with_it = openvino_causallm.load(folder, "int8")
    assert quantised.cached(folder, "int8", "openvino")
    first, second = (model.step(model.empty(), [[1, 2, 3]]) for model in (without, with_it))
    np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(sys.platform != "linux", reason="no limits of another process")
async def test_memory_that_gets_full_at_work(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request fails, or the process does; both with a word, and the next one is answered."""
    import resource

    monkeypatch.setattr(engines_module, "FIRST_DELAY", 0.01)
    async with serving(str(tiny)) as service:
        pid = service.engines.primary.process.pid
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (used, before[1]))
        with contextlib.suppress(EngineUnavailable, RequestFailed):
            await service.complete(a_request("", 200), nothing)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert (await service.complete(a_request(), nothing)).items


@pytest.mark.parametrize("said", ["std::bad_alloc", "can't alloc", "Failed to allocate 1048576 bytes"])
def test_memory_that_gets_full_at_a_load(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says so, not where in OpenVINO; and a good copy stays."""
    monkeypatch.setattr(quantised, "user_cache_path", lambda name: tmp_path / "cache")
    folder = make_checkpoint(tmp_path / "model")
    openvino_causallm.load(folder, "int8")

    def fail(*_: Any) -> Any:
        raise RuntimeError(f"Exception from src/inference/core.cpp:117:\n{said}\n\n")

    monkeypatch.setattr(Tables, "read", fail)
    with pytest.raises(OutOfMemory, match="not enough memory for the model"):
        openvino_causallm.load(folder, "int8")
    assert quantised.cached(folder, "int8", "openvino")


async def test_a_clock_that_jumps(
    processes: Processes, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By twenty years, either way, while something is at work: no wait is longer or shorter for it."""
    shift = tmp_path / "shift"
    shift.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(said=str(shift)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + float(shift.read_text()))
    async with serving(str(tiny), idle_unload=300.0) as service:
        pid = service.engines.primary.pid
        for seconds in (YEARS, -YEARS, 0.0):
            asked = asyncio.create_task(service.complete(a_request("", 40), nothing))
            await until(lambda: service.engines.primary.busy)
            shift.write_text(str(seconds))
            assert (await asked).items
            assert (await service.complete(a_request(), nothing)).items
        assert service.engines.primary.pid == pid
