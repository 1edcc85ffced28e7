"""Where a model can run. torch takes seconds to import, so it is asked only where a GPU could be."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import sys
from contextlib import suppress
from pathlib import Path

# What the drivers of NVIDIA's and AMD's GPUs put there, also into a container.
DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
# Their libraries; Apptainer's --nv puts them on LD_LIBRARY_PATH, where only loading them finds them.
LIBRARIES = ("nvcuda.dll", "amdhip64.dll") if sys.platform == "win32" else ("libcuda.so.1",)
# After these a process can do nothing more with its GPU.
# https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
LOST = (
    "an illegal memory access",
    "device-side assert",
    "misaligned address",
    "illegal instruction",
    "illegal address",
    "unspecified launch failure",
    "invalid program counter",
    "uncorrectable ecc error",
    "hardware stack error",
    "launch timed out",
    "device is lost",
    "gpu has fallen off",
    "context is destroyed",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
    "cublas_status_not_initialized",
    "cudnn_status_execution_failed",
    "cudnn_status_internal_error",
    "cudnn_status_mapping_error",
    "hiperrorillegaladdress",
    "hiperrorlaunchfailure",
)

# What torch, CUDA, Apple's GPUs, OpenVINO and C++ say where there is no memory left.
FULL = (
    "out of memory",
    "cublas_status_alloc_failed",
    "invalid buffer size",
    "bad_alloc",
    "bad allocation",
    "can't alloc",
    "failed to allocate",
)


def resolve(device: str) -> str:
    """``device``; "auto" is the GPU with the most free memory, or the CPU."""
    if device != "auto":
        return device
    if sys.platform != "darwin" and not _may_have_gpu():
        return "cpu"
    import torch

    if torch.cuda.is_available():
        free = [_free_memory(index) for index in range(torch.cuda.device_count())]
        return f"cuda:{free.index(max(free))}" if any(free) else "cpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name(device: str) -> str:
    """A torch device, "cuda:0", with the GPU's name if it is one of CUDA's or ROCm's."""
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full; many libraries say it by a RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "OutOfMemory"):
        return True
    said = str(error).lower()
    is_said = isinstance(error, RuntimeError) and any(words in said for words in FULL)
    return is_said or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def is_device_lost(error: BaseException) -> bool:
    """Whether an error of the device stays, whatever the process does next: only a new process helps.

    OpenVINO keeps the kernel that it had no memory to make, and fails by it from then on, or says what are no
    numbers.
    """
    if isinstance(error, FloatingPointError):
        return True
    if type(error).__name__ == "AcceleratorError" and not is_out_of_memory(error):
        return True
    said = str(error).lower()
    is_half_made = "exception from src/" in said and is_out_of_memory(error)
    return isinstance(error, RuntimeError) and (is_half_made or any(words in said for words in LOST))


def _free_memory(index: int) -> int:
    """Bytes; 0 of a GPU that can't be asked, such as one without room for a process's own share."""
    import torch

    try:
        return int(torch.cuda.mem_get_info(index)[0])
    except RuntimeError as error:
        print(f"santajupyter: cuda:{index} can't be used: {str(error).splitlines()[0]}", file=sys.stderr)
        return 0


def _may_have_gpu() -> bool:
    """Cheap evidence of an NVIDIA or AMD driver."""
    return (
        any(Path(file).exists() for file in DEVICE_FILES)
        or bool(ctypes.util.find_library("nvcuda" if sys.platform == "win32" else "cuda"))
        or any(map(_can_be_loaded, LIBRARIES))
    )


def _can_be_loaded(library: str) -> bool:
    with suppress(OSError):
        return bool(ctypes.CDLL(library))
    return False
