"""A checkpoint of SantaCoder's exact shape with random weights: what speed needs of it, and nothing else.

    python -m benchmarks.typing.checkpoint TOKENIZER_JSON FOLDER

TOKENIZER_JSON is the real model's ``tokenizer.json``, so that prompts have their real lengths. The folder is
as the hub has it: config.json, tokenizer.json, and 2.25 GB of float16 in model.safetensors.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

# config.json of bigcode/gpt_bigcode-santacoder.
SANTACODER: dict[str, Any] = {
    "architectures": ["GPTBigCodeForCausalLM"],
    "model_type": "gpt_bigcode",
    "activation_function": "gelu_pytorch_tanh",
    "bos_token_id": 49152,
    "eos_token_id": 49152,
    "layer_norm_epsilon": 1e-05,
    "multi_query": True,
    "n_embd": 2048,
    "n_head": 16,
    "n_inner": 8192,
    "n_layer": 24,
    "n_positions": 2048,
    "torch_dtype": "float16",
    "vocab_size": 49280,
}
# Layers far wider than the embeddings: else a model with tied embeddings repeats its last token, whatever
# came before it.
EMBEDDING, LAYER = 0.02, 0.05


def make(tokenizer: Path, folder: Path, config: dict[str, Any] = SANTACODER) -> Path:
    """Write the folder; the same weights each time."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    named["tokenizer_class"] = "PreTrainedTokenizerFast"
    for name, fields in (("config.json", config), ("tokenizer_config.json", named)):
        (folder / name).write_text(json.dumps(fields, indent=2), "utf-8")
    save_file(_weights(config), folder / "model.safetensors", {"format": "pt"})
    return folder


def _weights(config: dict[str, Any]) -> dict[str, Any]:
    width, inner, vocabulary = config["n_embd"], config["n_inner"], config["vocab_size"]
    both = 2 * width // config["n_head"]  # one head's key and value
    rng = np.random.default_rng(0)

    def random(scale: float, *shape: int) -> Any:
        values = rng.standard_normal(shape, np.float32)
        values *= scale
        return values.astype(np.float16)

    tokens = random(EMBEDDING, vocabulary, width)
    # Logits of 0, which some other token always beats: no engine ends early.
    tokens[config["eos_token_id"] :] = 0
    weights = {"wte.weight": tokens, "wpe.weight": random(EMBEDDING, config["n_positions"], width)}
    for layer in range(config["n_layer"]):
        shapes = {
            "attn.c_attn": (width + both, width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (inner, width),
            "mlp.c_proj": (width, inner),
        }
        for name, shape in shapes.items():
            weights[f"h.{layer}.{name}.weight"] = random(LAYER, *shape)
            weights[f"h.{layer}.{name}.bias"] = random(EMBEDDING, shape[0])
    for name in ("ln_f", *(f"h.{layer}.ln_{i}" for layer in range(config["n_layer"]) for i in (1, 2))):
        weights[f"{name}.weight"] = 1 + random(EMBEDDING, width)
        weights[f"{name}.bias"] = random(EMBEDDING, width)
    return {"transformer." + name: values for name, values in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    make(args.tokenizer, args.folder)


if __name__ == "__main__":
    main()
