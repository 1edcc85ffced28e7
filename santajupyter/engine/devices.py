"""Where a model can run. torch takes seconds to import, so it is asked only where a GPU could be."""

from __future__ import annotations

import ctypes.util
import sys


def resolve(device: str) -> str:
    """``device``; "auto" is the GPU with the most free memory, or the CPU."""
    if device != "auto":
        return device
    if sys.platform != "darwin" and not ctypes.util.find_library(
        "nvcuda" if sys.platform == "win32" else "cuda"
    ):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        free = [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]
        return f"cuda:{free.index(max(free))}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name(device: str) -> str:
    """With the GPU's name."""
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
