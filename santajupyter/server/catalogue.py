"""What is known of models before they are loaded."""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol import Offer
from .settings import BUILT_IN, SANTACODER

# Memory: of the model's process on a CPU, with some prompts in its cache; on a GPU that of the weights.
KNOWN = {
    BUILT_IN: Offer(BUILT_IN, blocks=False, download=0, memory=300_000_000),
    SANTACODER: Offer(SANTACODER, "SantaCoder", download=2_252_000_000, memory=1_600_000_000),
}


def allowed(names: Iterable[str], model: str, fallback: str) -> list[str]:
    """What may be loaded: the names given, or else the two, and SantaCoder beside the built-in model."""
    usual = (model, fallback, SANTACODER if model == BUILT_IN else "")
    return list(dict.fromkeys(filter(None, names or usual)))


def offer(model: str) -> Offer:
    """What loading the model means, as far as that is known without looking for its files."""
    return KNOWN.get(model) or Offer(model)


def writes_blocks(model: str) -> bool:
    """Whether it writes more than the rest of a line; the built-in model's blocks make no sense."""
    return offer(model).blocks
