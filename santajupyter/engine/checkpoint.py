"""What the files of a model's folder say, and whether they can be true: looked at before any is loaded.

A checkpoint is other people's data. What doesn't fit together would end the process, fill the memory, or
answer with noise; here it is a sentence with the file's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from .architecture import ACTIVATIONS, BIGCODE, Architecture, Shape, architecture
from .devices import is_out_of_memory
from .model import ModelUnavailable, OutOfMemory, first_line

# Up to so many bytes of weights float32 is fast enough on a CPU, and exact.
SMALL_FILE = 64_000_000
# Bytes: the largest tokenizers have some 30 million. A configuration becomes Python's objects, which take
# twenty times its length.
LARGEST_TOKENIZER = 256_000_000
LARGEST_CONFIG = 16_000_000
# How many of a tensor's values are looked at at a time.
CHECKED = 2**22
FLOATS = ("F16", "BF16", "F32")

T = TypeVar("T")
Size = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Layers = Annotated[int, msgspec.Meta(ge=1, le=2000)]
# The least that a prompt with its sentinels and something new needs.
Window = Annotated[int, msgspec.Meta(ge=16, le=2**31)]
Ids = int | list[int] | None


class Config(msgspec.Struct):
    """The keys of config.json that are read here, or as sizes by transformers; others may hold anything.

    https://huggingface.co/docs/transformers/main_classes/configuration. ``beams``, ``min_probability`` and
    ``cache_model`` are our own, see docs/design.md.
    """

    model_type: str
    vocab_size: Size | None = None
    n_positions: Window | None = None
    max_position_embeddings: Window | None = None
    n_embd: Size | None = None
    n_layer: Layers | None = None
    n_head: Size | None = None
    n_inner: Size | None = None
    hidden_size: Size | None = None
    num_hidden_layers: Layers | None = None
    num_attention_heads: Size | list[Size] | None = None
    num_key_value_heads: Size | list[Size] | None = None
    intermediate_size: Size | list[Size] | None = None
    head_dim: Size | None = None
    layer_norm_epsilon: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    activation_function: str | None = None
    multi_query: bool = True
    scale_attn_weights: bool = True
    tie_word_embeddings: bool | None = None
    eos_token_id: Ids = None
    auto_map: dict[str, Any] | None = None
    beams: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    min_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    cache_model: bool = False


class _BigCodeConfig(Config, kw_only=True):
    """What GPTBigCode can't do without."""

    vocab_size: Size
    n_positions: Window
    n_embd: Size
    n_layer: Layers
    n_head: Size


class TensorInfo(NamedTuple):
    """``dtype`` as safetensors names it, such as F16."""

    file: Path
    shape: Shape
    dtype: str


class _Generation(msgspec.Struct):
    eos_token_id: Ids = None


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def check(folder: Path) -> None:
    """Raises ModelUnavailable where the folder's files are damaged, foreign, or don't belong together."""
    config = _checked(folder / "config.json", text_config(folder), Config)
    if (folder / "generation_config.json").is_file():
        _read(folder / "generation_config.json", _Generation)
    ids = _tokenizer_ids(folder / "tokenizer.json")
    found = tensors(folder)
    if is_bigcode(folder):
        _compare(_checked(folder / "config.json", text_config(folder), _BigCodeConfig), found)
    if config.vocab_size is not None and ids > config.vocab_size:
        raise ModelUnavailable(
            f"tokenizer.json has the id {ids - 1}, and config.json a vocab_size of {config.vocab_size}"
        )


def text_config(folder: Path) -> dict[str, Any]:
    """config.json; of a model of several parts, its language model's. Raises ModelUnavailable."""
    config = _object(folder / "config.json")
    inner = config.get("text_config") or {}
    if not isinstance(inner, dict):
        raise ModelUnavailable("config.json is wrong: its text_config is no object")
    return {**config, **inner}


def end_ids(folder: Path) -> list[int]:
    """The ids that the model's own configuration calls the end of a text. Raises ModelUnavailable."""
    generation = folder / "generation_config.json"
    settings = _object(generation) if generation.is_file() else {}
    found = [text_config(folder).get("eos_token_id"), settings.get("eos_token_id")]
    return [i for eos in found if eos is not None for i in (eos if isinstance(eos, list) else [eos])]


def safetensors_files(folder: Path) -> list[Path]:
    """The files that the index names, or the only one, or none. Raises ModelUnavailable."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(_read(index, _Index).weight_map.values())
        for name in names:
            if Path(name).name != name or "\\" in name:
                raise ModelUnavailable(f"{index.name} is wrong: {name[:100]!r} is no file's name")
        return [folder / name for name in sorted(names)]
    return [file] if (file := folder / "model.safetensors").is_file() else []


def tensors(folder: Path) -> dict[str, TensorInfo]:
    """What the safetensors files' headers say, by the tensors' names. Raises ModelUnavailable.

    Also where a file is shorter or longer than its header says.
    """
    found = {}
    for path in safetensors_files(folder):
        try:
            with safe_open(path, "np", backend="pread") as file:
                for name in file.keys():  # noqa: SIM118  no mapping
                    tensor = file.get_slice(name)
                    found[name] = TensorInfo(path, tuple(tensor.get_shape()), str(tensor.get_dtype()))
        except Exception as error:  # its own kinds, and the system's
            raise ModelUnavailable(f"{path.name} can't be loaded: {first_line(error)}") from error
    return found


def is_bigcode(folder: Path) -> bool:
    """Whether the checkpoint has SantaCoder's architecture, as our own code runs it."""
    config = text_config(folder)
    activation = config.get("activation_function", "gelu_pytorch_tanh")
    return (
        config.get("model_type") == "gpt_bigcode"
        and config.get("multi_query", True) is True
        and config.get("scale_attn_weights", True) is True
        and isinstance(activation, str)
        and activation in ACTIVATIONS
        and bool(safetensors_files(folder))
    )


def weights_size(folder: Path) -> int:
    """Bytes of all weights in the folder."""
    files = list(folder.glob("*.safetensors")) or list(folder.glob("pytorch_model*.bin"))
    return sum(file.stat().st_size for file in files)


def check_numbers(name: str, values: npt.NDArray[Any]) -> None:
    """Raises ModelUnavailable for NaN or infinity among a tensor's values."""
    flat = values.reshape(-1)
    if not all(np.isfinite(flat[at : at + CHECKED]).all() for at in range(0, len(flat), CHECKED)):
        raise not_finite(name)


def not_finite(name: str) -> ModelUnavailable:
    """For a tensor with NaN or infinity."""
    return ModelUnavailable(f"the weights are damaged: {name} has values that are no finite numbers")


def missing(names: Iterable[str]) -> ModelUnavailable:
    """``names``: of at least one tensor that the architecture has and the checkpoint hasn't."""
    first, *others = sorted(names)
    rest = f" and {len(others)} other tensors" if others else ""
    return ModelUnavailable(f"the weights lack {first}{rest}")


def architecture_of(folder: Path) -> Architecture | None:
    """Of a checkpoint that our own code can run, with its tensors in safetensors. Raises ModelUnavailable."""
    found = architecture(text_config(folder))
    if found is None or found.names is BIGCODE:
        return found if is_bigcode(folder) else None
    shapes = {name: info.shape for name, info in tensors(folder).items()}
    return found if found.is_whole(shapes) else None


def own_architecture(folder: Path) -> Architecture:
    """The same; raises ModelUnavailable where our own code can't run it."""
    if found := architecture_of(folder):
        return found
    raise ModelUnavailable("config.json describes another architecture than the weights have")


@contextmanager
def loading(failed: str = "it can't be loaded", place: str = "") -> Iterator[None]:
    """What is raised within, as ModelUnavailable or OutOfMemory: a broken checkpoint fails in many ways."""
    try:
        yield
    except ModelUnavailable:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"not enough memory {place}for the model") from error
        raise ModelUnavailable(f"{failed}: {first_line(error)}") from error


def _compare(config: _BigCodeConfig, found: Mapping[str, TensorInfo]) -> None:
    """All tensors of GPTBigCode with multi-query attention, as modeling_gpt_bigcode.py has them."""
    described = architecture(msgspec.to_builtins(config))
    if described is None:
        raise ModelUnavailable(
            f"config.json is wrong: n_embd, {config.n_embd}, is no multiple of n_head, {config.n_head}"
        )
    expected = described.shapes()
    if absent := expected.keys() - found.keys():
        raise missing(absent)
    if "lm_head.weight" in found:
        expected["lm_head.weight"] = expected["transformer.wte.weight"]
    elif config.tie_word_embeddings is False:
        raise missing(["lm_head.weight"])
    for name, right in expected.items():
        _, shape, dtype = found[name]
        if shape != right:
            raise ModelUnavailable(f"{name} is {_by(shape)} in the weights, and {_by(right)} by config.json")
        if dtype not in FLOATS:
            raise ModelUnavailable(f"{name} is of the type {dtype}; weights are {', '.join(FLOATS)}")


def _tokenizer_ids(path: Path) -> int:
    """One more than the highest id."""
    from tokenizers import Tokenizer

    _check_length(path, LARGEST_TOKENIZER)
    try:
        vocabulary = Tokenizer.from_file(str(path)).get_vocab()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library's Rust code is no Exception
        raise ModelUnavailable(f"{path.name} is no tokenizer: {first_line(error)}") from error
    if not vocabulary:
        raise ModelUnavailable(f"{path.name} has no tokens")
    return max(vocabulary.values()) + 1


def _object(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    try:
        _check_length(path, LARGEST_CONFIG)
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelUnavailable(f"{path.name} can't be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelUnavailable(f"{path.name} is no JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path.name} is wrong: it holds no object")
    return value


def _check_length(path: Path, most: int) -> None:
    if path.stat().st_size > most:
        raise ModelUnavailable(f"{path.name} is longer than {most // 10**6} MB")


def _read(path: Path, kind: type[T]) -> T:
    return _checked(path, _object(path), kind)


def _checked(path: Path, value: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ModelUnavailable(f"{path.name} is wrong: {first_line(error)}") from error


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"
