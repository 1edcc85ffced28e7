"""What a decoder is made of, by its config.json: one vocabulary for the architectures that our own code runs.

Sources: transformers' configuration_*.py and modeling_*.py of each ``model_type``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

Shape = tuple[int, ...]
Activation = Literal["gelu", "gelu_tanh", "silu"]
ACTIVATIONS: dict[str, Activation] = {
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
}


@dataclass(frozen=True)
class Names:
    """Of the tensors, without ``.weight`` and ``.bias``; ``layer`` is what stands before a layer's own.

    ``qkv`` and ``up``: one after the other they are the rows of one product.
    """

    layer: str
    attention_norm: str
    qkv: tuple[str, ...]
    out: str
    mlp_norm: str
    up: tuple[str, ...]
    down: str
    norm: str
    tokens: str
    positions: str = ""


BIGCODE = Names(
    layer="transformer.h.{}.",
    attention_norm="ln_1",
    qkv=("attn.c_attn",),
    out="attn.c_proj",
    mlp_norm="ln_2",
    up=("mlp.c_fc",),
    down="mlp.c_proj",
    norm="transformer.ln_f",
    tokens="transformer.wte",
    positions="transformer.wpe",
)
LLAMA = Names(
    layer="model.layers.{}.",
    attention_norm="input_layernorm",
    qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    out="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    up=("mlp.gate_proj", "mlp.up_proj"),
    down="mlp.down_proj",
    norm="model.norm",
    tokens="model.embed_tokens",
)
STARCODER2 = replace(LLAMA, up=("mlp.c_fc",), down="mlp.c_proj")
HEAD = "lm_head"
QKV, OUT, UP, DOWN = "qkv", "out", "up", "down"
EVERY = frozenset({QKV, OUT, UP, DOWN})
LIKE_LLAMA = ("llama", "qwen2", "starcoder2", "gemma", "granite")
# Stretches of rotary positions that are one factor for all of them.
STRETCHES = ("default", "linear")
# What older checkpoints have beside their weights, and nothing reads.
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """``heads`` of ``size`` values each, of which ``kv_heads`` have keys and values of their own.

    ``biased``: the products that have a bias. ``plus_one``: a norm's weight is what is beyond one.
    ``theta``: the base of rotary positions, each ``stretch`` of which count as one; None: positions are
    learned. ``window``: so many tokens are looked at, the newest among them. The scales are factors.
    """

    names: Names
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    size: int
    vocabulary: int
    positions: int
    epsilon: float
    activation: Activation
    biased: frozenset[str]
    is_gated: bool = True
    is_rms: bool = True
    plus_one: bool = False
    theta: float | None = None
    stretch: float = 1.0
    window: int | None = None
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    attention_scale: float
    logits_scale: float = 1.0
    is_tied: bool = False

    @property
    def weights(self) -> int:
        """How many values the products of all layers have."""
        linear = self.linear().values()
        return self.layers * sum(rows * width for rows, width in linear)

    @property
    def widths(self) -> set[int]:
        """How many values a row of each product has."""
        return {width for _, width in self.linear().values()}

    @property
    def row(self) -> Shape:
        """Of a token's keys, or its values, in a layer: those of one head for all have no axis for heads."""
        return (self.size,) if self.kv_heads == 1 else (self.kv_heads, self.size)

    def shapes(self) -> dict[str, Shape]:
        """Of all tensors but the head's, which may be the tokens' table."""
        names, width = self.names, self.width
        found: dict[str, Shape] = {f"{names.tokens}.weight": (self.vocabulary, width)}
        if names.positions:
            found[f"{names.positions}.weight"] = (self.positions, width)
        roles = {name: role for role in (QKV, UP) for name in getattr(names, role)}
        roles |= {names.out: OUT, names.down: DOWN}
        for before in [names.layer.format(layer) for layer in range(self.layers)]:
            for name, shape in self.linear().items():
                found[f"{before}{name}.weight"] = shape
                if roles[name] in self.biased:
                    found[f"{before}{name}.bias"] = shape[:1]
        norms = [
            names.layer.format(layer) + name
            for layer in range(self.layers)
            for name in (names.attention_norm, names.mlp_norm)
        ]
        for name in [*norms, names.norm]:
            found[f"{name}.weight"] = (width,)
            if not self.is_rms:
                found[f"{name}.bias"] = (width,)
        return found

    def is_whole(self, found: Mapping[str, Shape]) -> bool:
        """Whether these are its tensors, and no others that would change what it does."""
        expected = self.shapes()
        head = f"{HEAD}.weight"
        if head in found:
            expected[head] = (self.vocabulary, self.width)
        others = (name for name in found.keys() - expected.keys() if not name.endswith(BUFFERS))
        return all(found.get(name) == shape for name, shape in expected.items()) and not any(others)

    def linear(self) -> dict[str, tuple[int, int]]:
        """[rows, width] of a layer's products."""
        names, own, shared = self.names, self.heads * self.size, self.kv_heads * self.size
        rows = (own, shared, shared) if len(names.qkv) == 3 else (own + 2 * shared,)
        return {
            **{name: (count, self.width) for name, count in zip(names.qkv, rows, strict=True)},
            names.out: (self.width, own),
            **dict.fromkeys(names.up, (self.inner, self.width)),
            names.down: (self.width, self.inner),
        }


class _BigCode(msgspec.Struct):
    """config.json of GPTBigCode, with transformers' defaults."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int | None = None
    layer_norm_epsilon: float = 1e-5
    activation_function: str = "gelu_pytorch_tanh"
    multi_query: bool = True
    scale_attn_weights: bool = True


class _Llama(msgspec.Struct):
    """config.json of Llama and of those that are like it."""

    model_type: str
    vocab_size: int
    max_position_embeddings: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    norm_epsilon: float = 1e-5
    attention_bias: bool = False
    mlp_bias: bool = False
    use_bias: bool = True
    use_bidirectional_attention: bool | None = None
    use_sliding_window: bool = False
    sliding_window: int | None = None
    rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    tie_word_embeddings: bool | None = None
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    logits_scaling: float = 1.0


def architecture(config: Mapping[str, Any]) -> Architecture | None:
    """Of the decoder that config.json describes; None where it is another than those that run here."""
    kind = config.get("model_type")
    try:
        if kind == "gpt_bigcode":
            return _bigcode(msgspec.convert(config, _BigCode))
        if kind in LIKE_LLAMA and not config.get("quantization_config"):
            return _llama(msgspec.convert(config, _Llama))
    except (msgspec.ValidationError, KeyError, ZeroDivisionError):
        pass
    return None


def _bigcode(config: _BigCode) -> Architecture | None:
    if not (config.multi_query and config.scale_attn_weights) or config.n_embd % config.n_head:
        return None
    size = config.n_embd // config.n_head
    return Architecture(
        names=BIGCODE,
        layers=config.n_layer,
        width=config.n_embd,
        inner=config.n_inner or 4 * config.n_embd,
        heads=config.n_head,
        kv_heads=1,
        size=size,
        vocabulary=config.vocab_size,
        positions=config.n_positions,
        epsilon=config.layer_norm_epsilon,
        activation=ACTIVATIONS[config.activation_function],
        biased=EVERY,
        is_gated=False,
        is_rms=False,
        attention_scale=size**-0.5,
    )


def _llama(config: _Llama) -> Architecture | None:
    kind, heads = config.model_type, config.num_attention_heads
    rope = config.rope_parameters or {**(config.rope_scaling or {}), "rope_theta": config.rope_theta}
    stretched = rope.get("rope_type") or rope.get("type") or "default"
    size = config.head_dim or config.hidden_size // heads
    kv_heads = config.num_key_value_heads or heads
    is_sliding = config.sliding_window and (kind != "qwen2" or config.use_sliding_window)
    if (
        stretched not in STRETCHES
        or heads % kv_heads
        or size % 2
        or config.use_bidirectional_attention
        or (is_sliding and kind != "starcoder2")
    ):
        return None
    found = Architecture(
        names=LLAMA,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        heads=heads,
        kv_heads=kv_heads,
        size=size,
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        epsilon=config.rms_norm_eps,
        activation=ACTIVATIONS[config.hidden_act],
        biased=frozenset((QKV, OUT) * config.attention_bias + (UP, DOWN) * config.mlp_bias),
        theta=float(rope.get("rope_theta") or 10000.0),
        stretch=float(rope.get("factor", 1.0)) if stretched == "linear" else 1.0,
        attention_scale=size**-0.5,
        is_tied=bool(config.tie_word_embeddings),
    )
    if kind == "qwen2":
        return replace(found, biased=frozenset({QKV}))
    if kind == "gemma":
        gelu: Activation = "gelu_tanh"  # an early "gelu" means this one, too
        return replace(found, plus_one=True, activation=gelu, embedding_scale=math.sqrt(found.width))
    if kind == "granite":
        return replace(
            found,
            embedding_scale=config.embedding_multiplier,
            residual_scale=config.residual_multiplier,
            attention_scale=config.attention_multiplier,
            logits_scale=1 / config.logits_scaling,
        )
    if kind == "starcoder2":
        return replace(
            found,
            names=STARCODER2,
            epsilon=config.norm_epsilon,
            biased=EVERY if config.use_bias else frozenset(),
            is_gated=False,
            is_rms=False,
            window=config.sliding_window,
        )
    return found
