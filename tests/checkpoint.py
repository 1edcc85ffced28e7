"""Tiny random checkpoints as folders, as the hub would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoConfig, AutoModelForCausalLM, GPTBigCodeConfig, GPTBigCodeForCausalLM

SPECIAL_TOKENS = ["<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>"]
TEXT = """import numpy as np
def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)
for i in range(10):
    print(i, fibonacci(i), "日本語 🦌")
"""


def make_tokenizer(special_tokens: list[str] = SPECIAL_TOKENS, vocabulary: int = 400) -> Tokenizer:
    """Byte-level BPE with SantaCoder's pre-tokenizer, its special tokens last."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 4, trainer)
    tokenizer.add_special_tokens(special_tokens)
    return tokenizer


def make_checkpoint(folder: Path, **changes: Any) -> Path:
    """Untied weights of a wide spread, so that what comes out depends on what went in."""
    tokenizer = make_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size() + 3,  # SantaCoder too has more rows than tokens
        "n_positions": 256,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "multi_query": True,
        "initializer_range": 0.4,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|endoftext|>"),
    }
    torch.manual_seed(0)
    model = GPTBigCodeForCausalLM(GPTBigCodeConfig(**{**settings, **changes}))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def make_like_llama(folder: Path, kind: str, **changes: Any) -> Path:
    """``kind``: transformers' model_type. Norms and biases are random too, so that none goes unnoticed."""
    tokenizer = make_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size() + 3,
        "max_position_embeddings": 256,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "pad_token_id": None,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**settings, **changes}))
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.3)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
