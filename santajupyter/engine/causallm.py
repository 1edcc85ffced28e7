"""Which code runs a checkpoint: our own where there is some for it here, else transformers'.

What isn't needed isn't imported, torch above all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .devices import resolve
from .model import Model, OutOfMemory


def load(folder: Path, device: str, dtype: str, guesses: int) -> Model:
    """See the settings of these names. Raises ModelUnavailable, OutOfMemory.

    Where nothing else was asked for, a GPU without room for the model is no reason not to have it.
    """
    chosen = resolve(device)
    try:
        return _load_on(folder, chosen, dtype, guesses)
    except OutOfMemory as error:
        if (device, dtype) != ("auto", "auto") or chosen == "cpu":
            raise
        print(f"santajupyter: {error}; it runs on the CPU", file=sys.stderr)
    return _load_on(folder, "cpu", dtype, guesses)


def _load_on(folder: Path, device: str, dtype: str, guesses: int) -> Model:
    if device == "cpu":
        from . import native_causallm

        if native_causallm.supports(folder, device, dtype):
            return native_causallm.load(folder, dtype, guesses)
        try:
            from . import openvino_causallm
        except ImportError:  # no OpenVINO for this platform
            pass
        else:
            if openvino_causallm.supports(folder, device, dtype):
                return openvino_causallm.load(folder, dtype, guesses)
    else:
        from . import cuda_causallm

        if cuda_causallm.supports(folder, device, dtype):
            return cuda_causallm.load(folder, device, dtype)
    from . import transformers_causallm

    return transformers_causallm.load(folder, device, dtype)
