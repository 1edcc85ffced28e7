"""Checkpoints with random weights, made where they are used: a file of gigabytes needn't travel.

    python -m benchmarks.gpu.shapes TOKENIZER_JSON FOLDER [--device cuda] [--small]

FOLDER gets ``santacoder`` and ``qwen2``, the exact shapes of SantaCoder and of Qwen2.5-Coder 0.5 B, in
float16, with the tokenizer that is given; with --small a few narrow layers of each.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.typing.checkpoint import EMBEDDING, LAYER, SANTACODER

# config.json of Qwen/Qwen2.5-Coder-0.5B.
QWEN2: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_act": "silu",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}
SHAPES = {"santacoder": SANTACODER, "qwen2": QWEN2}
SMALL = {
    "santacoder": {"n_layer": 2, "n_embd": 256, "n_head": 4, "n_inner": 1024},
    "qwen2": {
        "num_hidden_layers": 2,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "vocab_size": 49280,
    },
}


def make(tokenizer: Path, folder: Path, config: dict[str, Any], device: str) -> None:
    """One folder. As wide a spread as benchmarks.typing.checkpoint has it, and for the same reasons."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    described = AutoConfig.for_model(**config)
    described.save_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(described)
    torch.manual_seed(0)
    weights = {}
    for name, parameter in model.named_parameters():
        is_embedding = "wte" in name or "wpe" in name or "embed" in name
        spread = EMBEDDING if is_embedding or parameter.ndim == 1 else LAYER
        values = torch.randn(parameter.shape, dtype=torch.float16, device=device) * spread
        is_norm = parameter.ndim == 1 and name.endswith("weight")
        weights[name] = (1 + values if is_norm else values).cpu()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    for name, config in SHAPES.items():
        begun = time.perf_counter()
        make(
            args.tokenizer, args.folder / name, {**config, **(SMALL[name] if args.small else {})}, args.device
        )
        print(f"{name}: made in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
