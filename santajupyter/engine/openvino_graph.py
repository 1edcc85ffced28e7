"""A decoder as OpenVINO's graph, with weights in float32, int8 or int4.

Keys and values of the past are plain inputs, and the new ones an output, so that the prompt cache owns
them: cutting is a smaller length, sharing is a copy. The query heads that share a key-value head, of all new
tokens, are the rows of one matrix product; with one for all (multi-query attention) that is all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset15 as op

from . import rounding
from .architecture import HEAD, Architecture
from .weights import HEAD_DTYPE, QUANTISED, Tables, Weights

Array = npt.NDArray[Any]


def build(folder: Path, architecture: Architecture, dtype: str) -> tuple[Any, Tables]:
    """From the checkpoint. Raises ModelUnavailable for numbers that aren't finite."""
    weights = Weights(folder, architecture)
    return _Builder(weights, architecture, dtype).graph(), weights.tables()


class _Queries:
    """Which tokens look, with ``mask`` at what, and attention's shapes for them, of x [batch, tokens, width].

    Once for all layers: each operation takes some time, whatever it does. Where all heads share their keys
    ``by_row`` and ``by_group`` have no axis for heads with others, and nothing is turned round.
    """

    def __init__(self, x: Any, mask: Any, architecture: Architecture) -> None:
        self.mask = op.unsqueeze(mask, _whole(1))
        heads, shared, size = architecture.heads, architecture.kv_heads, architecture.size
        group = heads // shared
        batch, tokens = (op.gather(op.shape_of(x), _whole(axis), _whole(0)) for axis in (0, 1))
        self.by_head = op.concat([batch, tokens, _whole(heads + 2 * shared, size)], 0)
        self.by_token = op.concat([batch, tokens, _whole(shared, group, size)], 0)
        lead = [batch, _whole(shared)] if shared > 1 else [batch]
        self.by_row = op.concat([*lead, op.multiply(tokens, _whole(group)), _whole(-1)], 0)
        self.by_group = op.concat([*lead, tokens, _whole(group, -1)], 0)
        self.merged = op.concat([batch, tokens, _whole(heads * size)], 0)


class _Builder:
    """Makes one graph. ``pasts`` and ``added``: each layer's keys and values, and those that come to them."""

    def __init__(self, weights: Weights, architecture: Architecture, dtype: str) -> None:
        self.weights, self.architecture, self.dtype = weights, architecture, dtype
        self.embedded = op.parameter([-1, -1, architecture.width], np.float32)
        self.mask = op.parameter([-1, -1], np.float32)
        self.wanted = op.parameter([-1], np.int64)
        self.more = op.parameter([-1, -1, *architecture.row], np.float32)
        rotary = () if architecture.theta is None else range(2)
        self.turns = [op.parameter([1, -1, 1, architecture.size], np.float32) for _ in rotary]
        self.pasts: list[Any] = []
        self.added: list[Any] = []
        self.every = _Queries(self.embedded, self.mask, architecture)

    def graph(self) -> Any:
        """The inputs: embeddings [batch, new, width], mask [new, room], the indices [keep] of the new tokens
        whose logits are wanted, what fills keys and values up to ``room`` [batch, more, *row]; of rotary
        positions cosine and sine [1, new, 1, head size]; for each layer the keys and the values of the past
        [batch, past, *row]. The outputs: logits [batch, keep, vocabulary] and the new keys and values,
        [2 x layers x batch, new, *row]. For a row see Architecture.
        """
        names, x = self.architecture.names, self.embedded
        for layer in range(self.architecture.layers):
            before = names.layer.format(layer)
            queries, keys, values = self._projected(self._norm(x, before + names.attention_norm), before)
            looking = self.every
            if layer == self.architecture.layers - 1:  # of tokens without logits its keys and values are all
                x, queries, mask = self._wanted(x, 1), self._wanted(queries, 1), self._wanted(self.mask, 0)
                looking = _Queries(x, mask, self.architecture)
            x = self._sum(x, self._attention(queries, keys, values, looking, before))
            x = self._sum(x, self._mlp(self._norm(x, before + names.mlp_norm), before))
        last = self._norm(x, names.norm)
        dtype = HEAD_DTYPE.get(self.dtype, self.dtype)
        logits = _scaled(self._product(last, [HEAD], dtype), self.architecture.logits_scale)
        inputs = [self.embedded, self.mask, self.wanted, self.more, *self.turns, *self.pasts]
        return openvino.Model([logits, op.concat(self.added, 0)], inputs, "decoder")

    def _projected(self, x: Any, before: str) -> tuple[Any, Any, Any]:
        """Queries, scaled, [batch, new, heads, size], or [batch, new, heads x size] where nothing is to be

        turned by its position and all heads share one key; and keys and values, see _after_past.
        """
        of, names = self.architecture, self.architecture.names
        counts = [of.heads, of.kv_heads, of.kv_heads]
        scale = np.repeat(np.array([of.attention_scale, 1, 1], np.float32), [n * of.size for n in counts])
        projected = self._linear(x, [before + name for name in names.qkv], scale)
        apart = op.reshape(projected, self.every.by_head, False)
        if self.turns:
            turned, values = op.variadic_split(apart, 2, [of.heads + of.kv_heads, of.kv_heads]).outputs()
            queries, keys = op.variadic_split(self._turned(turned), 2, counts[:2]).outputs()
        elif of.kv_heads == 1:
            split = op.variadic_split(projected, 2, [n * of.size for n in counts])
            queries, keys, values = split.outputs()
        else:
            queries, keys, values = op.variadic_split(apart, 2, counts).outputs()
        return queries, self._after_past(keys), self._after_past(values)

    def _attention(self, queries: Any, keys: Any, values: Any, of: _Queries, before: str) -> Any:
        # 1. The queries that look at the same keys as rows of one product.
        is_shared = self.architecture.kv_heads == 1
        if not is_shared:
            queries = op.transpose(op.reshape(queries, of.by_token, False), _whole(0, 2, 1, 3, 4))
        rows = op.reshape(queries, of.by_row, False)
        scores = op.reshape(op.matmul(rows, keys, False, True), of.by_group, False)
        shares = op.softmax(op.add(scores, of.mask), -1)
        looked = op.matmul(op.reshape(shares, of.by_row, False), values, False, False)

        # 2. A token's heads one after the other.
        if not is_shared:
            looked = op.transpose(op.reshape(looked, of.by_group, False), _whole(0, 2, 1, 3, 4))
        return self._linear(op.reshape(looked, of.merged, False), [before + self.architecture.names.out])

    def _wanted(self, x: Any, axis: int) -> Any:
        return op.gather(x, self.wanted, _whole(axis))

    def _after_past(self, rows: Any) -> Any:
        """With the past's, [batch, key-value heads, room, size], or where all share them [batch, room, size].

        To write them into the past, filled up, had OpenVINO copy that first, by one thread.
        """
        of = self.architecture
        if of.kv_heads == 1 and self.turns:
            rows = op.squeeze(rows, _whole(2))
        past = op.parameter([-1, -1, *of.row], np.float32)
        self.pasts.append(past)
        self.added.append(rows)
        every = op.concat([past, rows, self.more], 1)
        return every if of.kv_heads == 1 else op.transpose(every, _whole(0, 2, 1, 3))

    def _turned(self, x: Any) -> Any:
        """Rotary positions, https://arxiv.org/abs/2104.09864, of [batch, new, heads, size]."""
        cosine, sine = self.turns
        half = self.architecture.size // 2
        first, second = op.variadic_split(x, 3, [half, half]).outputs()
        turned = op.concat([op.multiply(second, op.constant(np.float32(-1))), first], 3)
        return op.add(op.multiply(x, cosine), op.multiply(turned, sine))

    def _linear(self, x: Any, names: Sequence[str], factors: Array | None = None) -> Any:
        """By the weights of these names, one below the other, and their biases; ``factors``: of each row."""
        product = self._product(x, names, self.dtype, factors)
        if f"{names[0]}.bias" not in self.weights:
            return product
        return op.add(product, self._single(*(f"{name}.bias" for name in names), factors=factors))

    def _mlp(self, x: Any, before: str) -> Any:
        names, inner = self.architecture.names, self.architecture.inner
        up = self._linear(x, [before + name for name in names.up])
        if self.architecture.is_gated:
            gate, up = op.variadic_split(up, 2, [inner, inner]).outputs()
            up = op.multiply(self._activated(gate), up)
        else:
            up = self._activated(up)
        return self._linear(up, [before + names.down])

    def _activated(self, x: Any) -> Any:
        if self.architecture.activation == "silu":
            return op.swish(x)
        return op.gelu(x, "TANH" if self.architecture.activation == "gelu_tanh" else "ERF")

    def _norm(self, x: Any, name: str) -> Any:
        epsilon, weight = self.architecture.epsilon, self._single(f"{name}.weight")
        if self.architecture.plus_one:
            weight = op.add(weight, op.constant(np.float32(1)))
        if not self.architecture.is_rms:
            scaled = op.multiply(op.mvn(x, [-1], True, epsilon, "inside_sqrt"), weight)
            return op.add(scaled, self._single(f"{name}.bias"))
        mean = op.reduce_mean(op.power(x, op.constant(np.float32(2))), _whole(-1), True)
        root = op.sqrt(op.add(mean, op.constant(np.float32(epsilon))))
        return op.multiply(op.multiply(x, op.divide(op.constant(np.float32(1)), root)), weight)

    def _sum(self, x: Any, more: Any) -> Any:
        return op.add(x, _scaled(more, self.architecture.residual_scale))

    def _single(self, *names: str, factors: Array | None = None) -> Any:
        found = self.weights.whole(*names)
        if factors is not None:
            found = found * factors.reshape(-1, *[1] * (found.ndim - 1))
        return op.constant(found)

    def _product(self, x: Any, names: Sequence[str], dtype: str, factors: Array | None = None) -> Any:
        """x times the transposed weight, which stays in few bits with its scales, if asked."""
        weights = [f"{name}.weight" for name in names]
        if dtype not in QUANTISED:
            return op.matmul(x, self._single(*weights, factors=factors), False, True)
        numbers, scales = self.weights.rounded(weights, partial(rounding.rounded, dtype=dtype))
        if factors is not None:
            scales = scales * factors[:, None, None]
        rows, groups, group = numbers.shape
        if groups == 1:
            numbers, scales = numbers[:, 0], scales[:, 0]
        weight = op.multiply(op.convert(_constant(numbers, dtype), "f32"), op.constant(scales))
        if groups > 1:
            weight = op.reshape(weight, op.constant(np.array([rows, groups * group])), False)
        return op.matmul(x, weight, False, True)


def _constant(numbers: Array, dtype: str) -> Any:
    if dtype == "int8":
        return op.constant(numbers)
    values = openvino.Tensor(openvino.Type.i4, openvino.Shape(numbers.shape))  # which owns its memory
    values.data[:] = rounding.packed(numbers).view(np.int8)
    return op.constant(values)


def _scaled(x: Any, factor: float) -> Any:
    return x if factor == 1 else op.multiply(x, op.constant(np.float32(factor)))


def _whole(*values: int) -> Any:
    return op.constant(np.array(values, np.int64))
