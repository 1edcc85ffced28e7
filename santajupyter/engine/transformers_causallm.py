"""Any causal language model, run by transformers: the general path."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.utils import logging

from .checkpoint import SMALL_FILE, loading, missing, not_finite, safetensors_files, tensors, weights_size
from .devices import device_name
from .model import KV, Logits, ModelUnavailable

# A cancelled prefill ends within one chunk.
CHUNK = {"cpu": 128}
GPU_CHUNK = 512
# So many times the values of its weights a model may have: some architectures tie weights only at loading.
ROOM = 2
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def load(folder: Path, device: str, dtype: str) -> CausalLM:
    """The model in memory; ``dtype`` may be "auto". Raises ModelUnavailable, OutOfMemory."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with loading("transformers can't load it", f"on {device} "):
        place = torch.device(device)
        if dtype not in ("auto", *DTYPES):
            raise ModelUnavailable(
                f"dtype {dtype} is for models that OpenVINO runs, on a CPU; here: {', '.join(DTYPES)}"
            )
        number = _auto_dtype(place, weights_size(folder)) if dtype == "auto" else DTYPES[dtype]
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        _check_room(folder, config)
        model = _read(folder, config, number)
        for name, parameter in model.named_parameters():
            if parameter.numel() and not all(edge.isfinite() for edge in parameter.detach().aminmax()):
                raise not_finite(name)
        model.to(place)  # transformers' annotation lost its self
        return CausalLM(model.eval())


class CausalLM:
    """A transformers model behind the engine's interface."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.module = model
        self.chunk = CHUNK.get(model.device.type, GPU_CHUNK)
        self.device = device_name(str(model.device))
        self.dtype = str(model.dtype).removeprefix("torch.")
        # transformers 5.24 renamed it, model by model.
        named = inspect.signature(model.forward).parameters
        self._past = "cache" if "cache" in named else "past_key_values"

    def empty(self) -> LayersKV:
        return LayersKV(DynamicCache(config=self.module.config), self.module.config)

    @torch.inference_mode()
    def step(self, kv: KV, rows: Sequence[Sequence[int]], keep: int = 1) -> Logits:
        ids = torch.tensor(rows, device=self.module.device)
        past = {self._past: cast(LayersKV, kv).layers}
        out = self.module(input_ids=ids, use_cache=True, logits_to_keep=keep, **past)
        logits: Logits = out.logits[:, -keep:].float().cpu().numpy()
        return logits

    def together(self, kv: KV) -> int:
        # In 16 bits near ties are common, and the products' rounding depends on the number of rows:
        # with guesses, 3 of 9 greedy outputs of a 0.5 B model in bfloat16 were other ones.
        return self.chunk if self.module.dtype == torch.float32 else 1


class LayersKV:
    """transformers' own cache of keys and values, in each layer [rows, heads, length, head size]."""

    def __init__(self, layers: DynamicCache, config: PretrainedConfig) -> None:
        self.layers, self._config = layers, config

    @property
    def length(self) -> int:
        return int(self.layers.get_seq_length())

    @property
    def size(self) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in self._tensors())

    def can_be_cut(self, more: int = 0) -> bool:
        return all(
            type(layer) is DynamicLayer
            or (type(layer) is DynamicSlidingWindowLayer and self.length + more < layer.sliding_window)
            for layer in self._each()
        )

    def cut(self, length: int) -> None:
        self.layers.crop(length - self.length)  # negative: how many to remove

    def beginning(self, length: int) -> LayersKV:
        pairs = [(layer.keys[..., :length, :], layer.values[..., :length, :]) for layer in self._each()]
        return LayersKV(DynamicCache(pairs, config=self._config), self._config)

    def picked(self, rows: Sequence[int]) -> LayersKV:
        layers = copy.deepcopy(self.layers)
        layers.reorder_cache(torch.LongTensor(rows))
        return LayersKV(layers, self._config)

    def _each(self) -> list[Any]:
        """Of many types, most with ``keys`` and ``values``."""
        return list(self.layers.layers)

    def _tensors(self) -> Iterator[torch.Tensor]:
        """Every tensor of every layer; recurrent states too, which are in a dict."""
        for value in (value for layer in self._each() for value in vars(layer).values()):
            inner = value.values() if isinstance(value, dict) else [value]
            yield from (tensor for tensor in inner if isinstance(tensor, torch.Tensor))


def _read(folder: Path, config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """Tensor by tensor from safetensors, never two copies of the weights at a time.

    transformers' own way maps the whole file, and with a change of dtype the mapped pages and
    the model are in memory together: 4.7 GB at the peak for SantaCoder instead of 2.8.
    """
    files = safetensors_files(folder)
    if not files or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    else:
        with ExitStack() as stack:
            slices = {}
            for file in files:
                opened = stack.enter_context(safe_open(file, "pt", backend="pread"))
                slices.update({name: opened.get_slice(name) for name in opened.keys()})  # noqa: SIM118
            kind = cast(type[PreTrainedModel], MODEL_FOR_CAUSAL_LM_MAPPING[type(config)])
            loaded = kind.from_pretrained(
                None, config=config, state_dict=slices, dtype=dtype, output_loading_info=True
            )
    model, found = loaded
    if found["missing_keys"]:  # transformers would fill them with random numbers
        raise missing(found["missing_keys"])
    return cast(PreTrainedModel, model)


def _check_room(folder: Path, config: PretrainedConfig) -> None:
    """Raises ModelUnavailable where config.json describes more than the weights can hold.

    A model without memory for its weights is made to be counted; its tied weights count once. Quantised
    weights have at least a bit of each value.
    """
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    with torch.device("meta"):
        described = AutoModelForCausalLM.from_config(config, trust_remote_code=False).num_parameters()
    if getattr(config, "quantization_config", None):
        values = 8 * weights_size(folder)
    else:
        values = sum(math.prod(info.shape) for info in tensors(folder).values()) or weights_size(folder)
    if described > ROOM * values:
        raise ModelUnavailable(
            f"config.json describes {described / 1e6:,.1f} million parameters, and the weights have "
            f"{values / 1e6:,.1f} million"
        )


def _auto_dtype(device: torch.device, size: int) -> torch.dtype:
    """float16 on a GPU; on a CPU, where float16 is slow, bfloat16 unless the model is small."""
    if device.type != "cpu":
        return torch.float16
    return torch.float32 if size <= SMALL_FILE else torch.bfloat16
