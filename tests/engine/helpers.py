"""What tests of the decode loop share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from santajupyter.engine import cuda_causallm, openvino_causallm, transformers_causallm
from santajupyter.engine.generate import Completer, Result
from santajupyter.engine.model import Model
from santajupyter.engine.work import Control
from santajupyter.prompt.fim import Prompt
from santajupyter.prompt.tokenizer import CodeTokenizer
from santajupyter.protocol import Sampling

Engine = tuple[Completer, CodeTokenizer]

LOADERS: dict[str, Callable[[Path], Model]] = {
    "transformers": lambda folder: transformers_causallm.load(folder, "cpu", "float32"),
    "openvino": lambda folder: openvino_causallm.load(folder, "float32"),
    "torch": lambda folder: cuda_causallm.load(folder, "cpu", "float32"),
}


def completer(model: Model, tokenizer: CodeTokenizer, **changes: Any) -> Completer:
    """With draft tokens, without a search, and no token that ends a text."""
    options: dict[str, Any] = {"ends": frozenset(), "cache_bytes": 2**28, "prompt_lookup": 4, "beams": 1}
    return Completer(model, tokenizer, **{**options, **changes})


def run(engine: Engine, prompt: Prompt, sampling: Sampling, control: Control | None = None) -> Result:
    return engine[0].complete(prompt, sampling, control or Control(), lambda index, text: None)


def prompt_of(engine: Engine, text: str, new: int = 12) -> Prompt:
    return Prompt(tuple(engine[1].encode(text)), new)
