from __future__ import annotations

from pathlib import Path

import pytest

from santajupyter.prompt.fim import CodeTokenizer

from .helpers import LOADERS, Engine, completer


@pytest.fixture(scope="module", params=LOADERS)
def engine(tiny: Path, request: pytest.FixtureRequest) -> Engine:
    tokenizer = CodeTokenizer.from_folder(tiny)
    return completer(LOADERS[request.param](tiny), tokenizer), tokenizer
