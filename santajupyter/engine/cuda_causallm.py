"""Decoders on a GPU, SantaCoder's and those like Llama's, run by torch.

Decoding one text at a time reads all weights for each token, which takes a GPU less time than Python
needs to launch its kernels. So that step is captured once as a CUDA graph over buffers of fixed size, it
picks its own next token, and it is begun again before the last pick has been read.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from torch.nn import functional

from .architecture import HEAD, Architecture
from .checkpoint import architecture_of, loading, not_finite, own_architecture, tensors
from .devices import device_name
from .model import KV, MAX_WINDOW, Logits, first_line

CHUNK = 512
DTYPES = {"auto": torch.float16} | {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32")}
# Steps begun and not yet read.
AHEAD = 2
# A text's keys and values grow by room for this many tokens.
GROWTH = 256

Tensors = dict[str, torch.Tensor]


def supports(folder: Path, device: str, dtype: str) -> bool:
    """Whether this file is the way to run the checkpoint on that device in that format."""
    is_here = device.startswith(("cuda", "mps")) and dtype in DTYPES
    return is_here and architecture_of(folder) is not None


def load(folder: Path, device: str, dtype: str) -> CausalLM:
    """The model on the device, tensor by tensor. Raises ModelUnavailable, OutOfMemory."""
    with loading(place=f"on {device} "):
        architecture = own_architecture(folder)
        place = torch.device(device)
        if place.type == "cuda" and place.index is not None:
            torch.cuda.set_device(place)
        return CausalLM(architecture, _read(folder, architecture, place, DTYPES[dtype]))


class CausalLM:
    """``weights``: transformers' names and shapes, all on one device; those of the layers are taken out."""

    def __init__(self, architecture: Architecture, weights: Tensors) -> None:
        names = architecture.names
        self._architecture = architecture
        self._tokens = weights[f"{names.tokens}.weight"]
        self._places = weights.get(f"{names.positions}.weight")
        head = f"{HEAD}.weight"
        self._head = self._tokens if architecture.is_tied else weights.get(head, self._tokens)
        self._last_norm = _Linear.taken(weights, "", names.norm)
        layers = [names.layer.format(layer) for layer in range(architecture.layers)]
        self._layers = [_Layer.taken(weights, before, architecture) for before in layers]
        device = self._tokens.device
        halves = torch.arange(0, architecture.size, 2, dtype=torch.float32, device=device)
        self._speeds = (architecture.theta or 1.0) ** -(halves / architecture.size) / architecture.stretch
        self.device, self.dtype = device_name(str(device)), str(self._tokens.dtype).removeprefix("torch.")
        self.chunk = CHUNK
        self._single = _SingleStep(self)

    def empty(self) -> TensorKV:
        return TensorKV(self.room_for(0), 0)

    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        past = cast(TensorKV, kv)
        ids = torch.tensor(rows, device=self._tokens.device)
        begin, past.length = past.length, past.length + ids.shape[1]
        past.make_room(past.length)
        places = torch.arange(begin, past.length, device=ids.device)
        logits: Logits = self.logits(ids, places, past.filled(past.length), keep).float().cpu().numpy()
        return logits

    def together(self, kv: KV) -> int:
        return 1  # what it runs ahead isn't guessed

    def greedy(self, kv: KV, token: int, vocabulary: int) -> Generator[tuple[int, float], None, None]:
        """See RunsAhead. Steps of other texts in between only cost this one a copy of its past."""
        past, single = cast(TensorKV, kv), self._single
        single.use_only(vocabulary)
        begun: deque[_Reading] = deque()
        me = object()
        while True:
            if single.owner is not me and not begun and past.length < self.room:
                single.continue_from(past.filled(past.length), token)
                single.owner = me
            while single.owner is me and len(begun) < AHEAD and past.length + len(begun) < self.room:
                begun.append(_Reading(single.run()))
                at = past.length + len(begun)
                past.make_room(at)
                past.filled(at)[..., at - 1, :] = single.past[..., at - 1, :]
            if not begun:
                return
            token, logprob = begun.popleft().read()
            past.length += 1
            yield token, logprob

    @property
    def room(self) -> int:
        """Tokens of the longest text that is run ahead."""
        return min(self._architecture.positions, MAX_WINDOW)

    @property
    def rows(self) -> int:
        """Of logits: at least one for each id of the vocabulary."""
        return int(self._head.shape[0])

    def room_for(self, length: int) -> torch.Tensor:
        """For the keys and values of a text of so many tokens."""
        of = self._architecture
        return self._tokens.new_zeros(of.layers, 2, 1, of.kv_heads, length, of.size)

    def logits(self, ids: torch.Tensor, places: torch.Tensor, past: torch.Tensor, keep: int) -> torch.Tensor:
        """Logits [batch, keep, vocabulary] after the last ``keep`` of ``ids`` [batch, new].

        ``past`` [layers, 2, batch, key-value heads, all, head size] has a key and a value for each position;
        those at ``places`` [new] are written, and later ones not looked at.
        """
        of = self._architecture
        x = functional.embedding(ids, self._tokens)
        if self._places is not None:
            x = x + functional.embedding(places, self._places)
        x = _scaled(x, of.embedding_scale)
        mask, turns = self._mask(places, past.shape[-2]), self._turns(places)
        for layer, rows in zip(self._layers, past, strict=True):
            attended = self._attention(self._norm(x, layer.attention_norm), layer, rows, places, mask, turns)
            x = x + _scaled(attended, of.residual_scale)
            x = x + _scaled(self._mlp(self._norm(x, layer.mlp_norm), layer), of.residual_scale)
        last = self._norm(x[:, -keep:], self._last_norm)
        return _scaled(functional.linear(last, self._head), of.logits_scale)

    def _mask(self, places: torch.Tensor, room: int) -> torch.Tensor:
        """[new x query heads that share keys, room]: nothing later, nor further back than is looked."""
        of, positions = self._architecture, torch.arange(room, device=places.device)
        is_hidden = positions > places[:, None]
        if of.window:
            is_hidden |= positions <= places[:, None] - of.window
        mask = self._tokens.new_zeros(is_hidden.shape).masked_fill(is_hidden, -torch.inf)
        return mask[:, None].expand(-1, of.heads // of.kv_heads, -1).flatten(0, 1)

    def _turns(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Cosine and sine of rotary positions, [new, 1, head size]; none where they are learned."""
        if self._architecture.theta is None:
            return None
        angles = (places[:, None].float() * self._speeds).repeat(1, 2)[:, None]
        return angles.cos().to(self._tokens.dtype), angles.sin().to(self._tokens.dtype)

    def _attention(
        self,
        x: torch.Tensor,
        layer: _Layer,
        past: torch.Tensor,
        places: torch.Tensor,
        mask: torch.Tensor,
        turns: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> torch.Tensor:
        """``past`` [2, batch, key-value heads, all, head size]"""
        of, (batch, new, _) = self._architecture, x.shape

        # 1. Each head of its own; queries and keys turned by their position, keys and values put away.
        apart = layer.qkv.times(x).view(batch, new, -1, of.size)
        turned, values = apart.split([of.heads + of.kv_heads, of.kv_heads], 2)
        if turns:
            first, second = turned.chunk(2, -1)
            turned = turned * turns[0] + torch.cat([-second, first], -1) * turns[1]
        queries, keys = turned.split([of.heads, of.kv_heads], 2)
        past[0].index_copy_(2, places, keys.transpose(1, 2))
        past[1].index_copy_(2, places, values.transpose(1, 2))

        # 2. The queries that look at the same keys as rows of one product.
        rows = queries.view(batch, new, of.kv_heads, -1, of.size).transpose(1, 2)
        rows = rows.reshape(batch * of.kv_heads, -1, of.size)
        all_keys, all_values = past.flatten(1, 2)
        scores = torch.baddbmm(mask, rows, all_keys.transpose(1, 2), alpha=of.attention_scale)
        looked = torch.bmm(scores.softmax(-1), all_values)

        # 3. A token's heads one after the other.
        by_token = looked.view(batch, of.kv_heads, new, -1, of.size).transpose(1, 2)
        return layer.out.times(by_token.reshape(batch, new, -1))

    def _mlp(self, x: torch.Tensor, layer: _Layer) -> torch.Tensor:
        up = layer.up.times(x)
        if self._architecture.is_gated:
            gate, up = up.chunk(2, -1)
            return layer.down.times(self._activated(gate) * up)
        return layer.down.times(self._activated(up))

    def _activated(self, x: torch.Tensor) -> torch.Tensor:
        if self._architecture.activation == "silu":
            return functional.silu(x)
        is_exact = self._architecture.activation == "gelu"
        return functional.gelu(x, approximate="none" if is_exact else "tanh")

    def _norm(self, x: torch.Tensor, by: _Linear) -> torch.Tensor:
        of = self._architecture
        if of.is_rms:
            weight = 1 + by.weight if of.plus_one else by.weight
            return functional.rms_norm(x, weight.shape, weight, of.epsilon)
        return functional.layer_norm(x, by.weight.shape, by.weight, by.bias, of.epsilon)


@dataclass(frozen=True)
class _Linear:
    """A product's weight and bias, or a norm's."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    @classmethod
    def taken(cls, weights: Tensors, before: str, *names: str) -> _Linear:
        """Those of these names, one below the other, out of ``weights``."""

        def joined(end: str) -> torch.Tensor | None:
            found = [weights.pop(before + name + end) for name in names if before + name + end in weights]
            return found[0] if len(found) == 1 else torch.cat(found) if found else None

        return cls(cast(torch.Tensor, joined(".weight")), joined(".bias"))

    def times(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class _Layer:
    attention_norm: _Linear
    qkv: _Linear
    out: _Linear
    mlp_norm: _Linear
    up: _Linear
    down: _Linear

    @classmethod
    def taken(cls, weights: Tensors, before: str, architecture: Architecture) -> _Layer:
        of = architecture.names
        products = ((of.attention_norm,), of.qkv, (of.out,), (of.mlp_norm,), of.up, (of.down,))
        return cls(*(_Linear.taken(weights, before, *names) for names in products))


class TensorKV:
    """``rows`` [layers, 2, batch, key-value heads, capacity, head size]: keys, then values."""

    def __init__(self, rows: torch.Tensor, length: int) -> None:
        self._rows, self.length = rows, length

    def can_be_cut(self, more: int = 0) -> bool:
        return True

    @property
    def size(self) -> int:
        return self._rows.nbytes

    def cut(self, length: int) -> None:
        self.length = length

    def beginning(self, length: int) -> TensorKV:
        return TensorKV(self.filled(length).clone(), length)

    def picked(self, rows: Sequence[int]) -> TensorKV:
        return TensorKV(self.filled(self.length)[:, :, list(rows)], self.length)

    def filled(self, length: int) -> torch.Tensor:
        """A view of the first ``length`` tokens'."""
        return self._rows[..., :length, :]

    def make_room(self, length: int) -> None:
        *before, capacity, size = self._rows.shape
        if length > capacity:
            more = self._rows.new_empty(*before, -(-length // GROWTH) * GROWTH - capacity, size)
            self._rows = torch.cat([self._rows, more], -2)


class _SingleStep:
    """One token of one text, over buffers that never move; ``owner`` is whose text they hold."""

    def __init__(self, model: CausalLM) -> None:
        self._model = model
        self.past = model.room_for(model.room)
        self.owner: object = None
        device = self.past.device
        self._id = torch.zeros(1, 1, dtype=torch.int64, device=device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._unused = torch.zeros(model.rows, device=device)
        self._picked = torch.zeros(2, device=device)
        self._step = _captured(self._pick) if device.type == "cuda" else self._pick

    def use_only(self, vocabulary: int) -> None:
        """Never pick an id from ``vocabulary`` on: a model may have more rows than its tokenizer ids."""
        self._unused[:vocabulary] = 0
        self._unused[vocabulary:] = -torch.inf

    def continue_from(self, past: torch.Tensor, token: int) -> None:
        length = past.shape[-2]
        self.past[..., :length, :] = past
        self._place.fill_(length)
        self._id.fill_(token)

    def run(self) -> torch.Tensor:
        """The next token and its log-probability, [2]; overwritten by the next run."""
        self._step()
        return self._picked

    def _pick(self) -> None:
        logits = self._model.logits(self._id, self._place, self.past, 1)[0, 0].float() + self._unused
        top, token = logits.max(0)
        self._picked.copy_(torch.stack([token.float(), top - logits.logsumexp(0)]))
        self._id.copy_(token)
        self._place.add_(1)


class _Reading:
    """A pick on its way to Python, which may do something else meanwhile."""

    def __init__(self, picked: torch.Tensor) -> None:
        self._event = torch.cuda.Event() if picked.is_cuda else None
        self._picked = torch.empty(2, pin_memory=True) if picked.is_cuda else torch.empty_like(picked)
        self._picked.copy_(picked, non_blocking=True)
        if self._event:
            self._event.record()

    def read(self) -> tuple[int, float]:
        if self._event:
            self._event.synchronize()
        token, logprob = self._picked.tolist()
        return int(token), logprob  # float32 has every id up to 2**24


def _read(folder: Path, architecture: Architecture, place: torch.device, dtype: torch.dtype) -> Tensors:
    """What the architecture has; older checkpoints have more that nothing reads."""
    wanted, weights = {*architecture.shapes(), f"{HEAD}.weight"}, {}
    for name, info in tensors(folder).items():
        if name in wanted:
            with safe_open(info.file, "pt", backend="pread") as opened:
                weights[name] = opened.get_tensor(name).to(place, dtype)
            if not all(edge.isfinite() for edge in weights[name].aminmax()):
                raise not_finite(name)
    return weights


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1 else x * factor


def _captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as one launch. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs"""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream):
            step()
    except RuntimeError as error:
        print(f"santajupyter: no CUDA graph here, decoding is slower: {first_line(error)}", file=sys.stderr)
        return step
    return graph.replay
