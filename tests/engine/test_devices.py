"""What is known of GPUs without one: evidence of a driver, and what their errors mean."""

from __future__ import annotations

import ctypes.util
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from santajupyter.engine import devices

AcceleratorError = type("AcceleratorError", (RuntimeError,), {})
OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {})


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: unspecified launch failure"),
        AcceleratorError("CUDA error: something new"),
        FloatingPointError("what the model says are no numbers"),
    ],
)
def test_errors_that_stay(error: Exception) -> None:
    assert devices.is_device_lost(error) and not devices.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        AcceleratorError("CUDA error: out of memory"),
        RuntimeError("Exception from core.cpp:117:\nException from plugin.cpp:54:\nstd::bad_alloc\n\n"),
        RuntimeError("Exception from node.cpp:823:\n[CPU] FullyConnected node with name 'Add' can't alloc\n"),
        RuntimeError("[CPU] Check 'ptr' failed at cpu_memory.cpp:257:\nFailed to allocate 1 bytes of memory"),
        MemoryError("Unable to allocate 384. KiB for an array"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_full_memory_is_no_lost_device(error: Exception) -> None:
    assert devices.is_out_of_memory(error) and not devices.is_device_lost(error)


@pytest.mark.parametrize(
    "error", [ValueError("an illegal memory access"), RuntimeError("shapes don't match"), KeyError("x")]
)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not devices.is_device_lost(error) and not devices.is_out_of_memory(error)


def test_evidence_of_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AMD's GPUs have another device file, and a container may have no more than the library."""
    monkeypatch.setattr(devices, "DEVICE_FILES", (str(tmp_path / "kfd"),))
    monkeypatch.setattr(devices, "LIBRARIES", ("libnone.so.9",))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert not devices._may_have_gpu()
    (tmp_path / "kfd").touch()
    assert devices._may_have_gpu()
    (tmp_path / "kfd").unlink()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert devices._may_have_gpu()


def test_without_a_driver_torch_is_not_imported() -> None:
    code = (
        "import sys; from santajupyter.engine import devices; devices.DEVICE_FILES = devices.LIBRARIES = (); "
        "import ctypes.util; ctypes.util.find_library = lambda name: None; "
        "print(devices.resolve('auto'), 'torch' in sys.modules)"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert found == ["cpu", "False"] or sys.platform == "darwin"
