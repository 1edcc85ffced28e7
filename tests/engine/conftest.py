from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from santajupyter.prompt.tokenizer import CodeTokenizer

from .helpers import LOADERS, Engine, completer


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine threads cost these tiny models far more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=LOADERS)
def engine(tiny: Path, request: pytest.FixtureRequest) -> Engine:
    tokenizer = CodeTokenizer.from_folder(tiny)
    return completer(LOADERS[request.param](tiny), tokenizer), tokenizer
