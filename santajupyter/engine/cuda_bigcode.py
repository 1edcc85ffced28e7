"""SantaCoder's architecture on a GPU: GPTBigCode with multi-query attention, run by torch.

Decoding one text at a time reads all weights for each token, which takes a GPU less time than Python
needs to launch its kernels. So that step is captured once as a CUDA graph over buffers of fixed size, it
picks its own next token, and it is begun again before the last pick has been read.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch.nn import functional

from .checkpoint import BIGCODE_ACTIVATIONS, is_bigcode, not_finite, tensors, text_config
from .devices import device_name, is_out_of_memory
from .model import KV, Logits, ModelUnavailable, OutOfMemory, first_line

CHUNK = 512
DTYPES = {"auto": torch.float16} | {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32")}
# Steps begun and not yet read.
AHEAD = 2
# A text's keys and values grow by room for this many tokens.
GROWTH = 256


def supports(folder: Path, device: str, dtype: str) -> bool:
    """Whether this file is the way to run the checkpoint on that device in that format."""
    return is_bigcode(folder) and device.startswith(("cuda", "mps")) and dtype in DTYPES


def load(folder: Path, device: str, dtype: str) -> BigCode:
    """The model on the device, tensor by tensor. Raises ModelUnavailable, OutOfMemory."""
    try:
        place = torch.device(device)
        if place.type == "cuda":
            torch.cuda.set_device(place)
        weights = {}
        for name, info in tensors(folder).items():
            with safe_open(info.file, "pt", backend="pread") as opened:
                weights[name] = opened.get_tensor(name).to(place, DTYPES[dtype])
            if not all(edge.isfinite() for edge in weights[name].aminmax()):
                raise not_finite(name)
        return BigCode(text_config(folder), weights)
    except ModelUnavailable:
        raise
    except Exception as error:  # a broken checkpoint fails in many ways
        if is_out_of_memory(error):
            raise OutOfMemory(f"not enough memory on {device} for the model") from error
        raise ModelUnavailable(f"it can't be loaded: {first_line(error)}") from error


class BigCode:
    """``weights``: transformers' names and shapes, all on one device."""

    def __init__(self, config: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        self._tokens = weights["transformer.wte.weight"]
        self._places = weights["transformer.wpe.weight"]
        self._head = weights.get("lm_head.weight", self._tokens)
        self._last_norm = (weights["transformer.ln_f.weight"], weights["transformer.ln_f.bias"])
        self._layers = [
            {name.removeprefix(begin): tensor for name, tensor in weights.items() if name.startswith(begin)}
            for begin in (f"transformer.h.{number}." for number in range(int(config["n_layer"])))
        ]
        self._heads = int(config["n_head"])
        self._size = self._tokens.shape[1] // self._heads
        self._epsilon = float(config.get("layer_norm_epsilon", 1e-5))
        self._gelu = BIGCODE_ACTIVATIONS[config.get("activation_function", "gelu_pytorch_tanh")]
        self.device, self.dtype = (
            device_name(str(self._tokens.device)),
            str(self._tokens.dtype)[len("torch.") :],
        )
        self.chunk = CHUNK
        self._single = _SingleStep(self)

    def empty(self) -> TensorKV:
        shape = (len(self._layers), 1, 0, 2 * self._size)
        return TensorKV(self._tokens.new_empty(shape), 0)

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
            if single.owner is not me and not begun:
                single.continue_from(past.filled(past.length), token)
                single.owner = me
            while single.owner is me and len(begun) < AHEAD and past.length + len(begun) < self.positions:
                begun.append(_Reading(single.run()))
                at = past.length + len(begun)
                past.make_room(at)
                past.filled(at)[:, :, at - 1] = single.past[:, :, at - 1]
            if not begun:
                return
            token, logprob = begun.popleft().read()
            past.length += 1
            yield token, logprob

    @property
    def positions(self) -> int:
        return int(self._places.shape[0])

    @property
    def rows(self) -> int:
        """Of logits: at least one for each id of the vocabulary."""
        return int(self._head.shape[0])

    def room_for_all(self) -> torch.Tensor:
        """Keys and values of as many tokens as the model has positions."""
        return self._tokens.new_zeros(len(self._layers), 1, self.positions, 2 * self._size)

    def logits(self, ids: torch.Tensor, places: torch.Tensor, past: torch.Tensor, keep: int) -> torch.Tensor:
        """Logits [batch, keep, vocabulary] after the last ``keep`` of ``ids`` [batch, new].

        ``past`` [layers, batch, all, 2 x head size] has a key and a value for each position; those at
        ``places`` [new] are written, and later ones not looked at. Follows modeling_gpt_bigcode.py.
        """
        batch, new = ids.shape
        width, heads, size = self._tokens.shape[1], self._heads, self._size
        x = functional.embedding(ids, self._tokens) + functional.embedding(places, self._places)
        later = torch.arange(past.shape[2], device=ids.device) > places[:, None]
        mask = x.new_zeros(later.shape).masked_fill(later, -torch.inf)
        mask = mask[:, None].expand(-1, heads, -1).reshape(new * heads, -1)
        for layer, rows in zip(self._layers, past, strict=True):
            projected = self._linear(self._norm(x, layer, "ln_1"), layer, "attn.c_attn")
            query = projected[..., :width]
            rows.index_copy_(1, places, projected[..., width:])
            keys, values = rows[..., :size], rows[..., size:]
            # With one key-value head, the heads of all new tokens are the rows of one product.
            query = query.reshape(batch, new * heads, size)
            scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=size**-0.5)
            attended = torch.bmm(scores.softmax(-1), values).view(batch, new, width)
            x = x + self._linear(attended, layer, "attn.c_proj")
            hidden = self._linear(self._norm(x, layer, "ln_2"), layer, "mlp.c_fc")
            hidden = functional.gelu(hidden, approximate=self._gelu)
            x = x + self._linear(hidden, layer, "mlp.c_proj")
        last = functional.layer_norm(x[:, -keep:], (width,), *self._last_norm, self._epsilon)
        return functional.linear(last, self._head)

    def _linear(self, x: torch.Tensor, layer: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        return functional.linear(x, layer[name + ".weight"], layer[name + ".bias"])

    def _norm(self, x: torch.Tensor, layer: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], layer[name + ".weight"], layer[name + ".bias"], self._epsilon
        )


class TensorKV:
    """``rows`` [layers, batch, capacity, 2 x head size]: a token's key, then its value."""

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
        return TensorKV(self.filled(self.length)[:, list(rows)], self.length)

    def filled(self, length: int) -> torch.Tensor:
        """A view of the first ``length`` tokens'."""
        return self._rows[:, :, :length]

    def make_room(self, length: int) -> None:
        layers, batch, capacity, width = self._rows.shape
        if length > capacity:
            more = self._rows.new_empty(layers, batch, -(-length // GROWTH) * GROWTH - capacity, width)
            self._rows = torch.cat([self._rows, more], 2)


class _SingleStep:
    """One token of one text, over buffers that never move; ``owner`` is whose text they hold."""

    def __init__(self, model: BigCode) -> None:
        self._model = model
        self.past = model.room_for_all()
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
        length = past.shape[2]
        self.past[:, :, :length] = past
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
