"""Folders that are no model of any kind: no code of theirs runs, and none ends who looks at it."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from santajupyter.engine.causallm import load
from santajupyter.engine.locate import locate
from santajupyter.engine.model import ModelUnavailable

from ..limits import no_more_memory_than

MARK = "ran"


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.mark,)


def change(folder: Path, name: str = "config.json", **changes: Any) -> None:
    old = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (folder / name).write_text(json.dumps({**old, **changes}))


def pickled(folder: Path, mark: Path, protocol: int | None = None) -> None:
    """Nothing but a pickle of weights that aren't."""
    (folder / "model.safetensors").unlink()
    if protocol is None:
        torch.save({"transformer.wte.weight": Evil(mark)}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark), protocol))


def beside(folder: Path, mark: Path) -> None:
    """A pickle beside an index that asks for it."""
    pickled(folder, mark)
    change(folder, "pytorch_model.bin.index.json", weight_map={"a": "pytorch_model.bin"})


def coded(folder: Path, mark: Path, name: str = "config.json") -> None:
    """Code of its own, as the hub's custom models bring it."""
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).mkdir()\nclass Own: pass\n")
    classes = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": ["own.Own", None]}
    change(folder, name, model_type="own", auto_map=classes, trust_remote_code=True)


def elsewhere(folder: Path, mark: Path) -> None:
    """Code of another repository."""
    change(folder, model_type="own", auto_map={"AutoModelForCausalLM": "other/repo--own.Own"})


def llama(folder: Path, mark: Path, **sizes: Any) -> None:
    """Another architecture, of another size than its weights."""
    change(folder, model_type="llama", architectures=["LlamaForCausalLM"], **sizes)


def coded_tokenizer(folder: Path, mark: Path) -> None:
    coded(folder, mark, "tokenizer_config.json")
    llama(folder, mark)


def adapter(folder: Path, mark: Path) -> None:
    change(folder, "adapter_config.json", base_model_name_or_path="other/repo", auto_mapping=None)
    elsewhere(folder, mark)


def quantised(folder: Path, mark: Path) -> None:
    """In a way of its own: 6.6 billion random numbers were made of 200 kB of weights."""
    llama(folder, mark, quantization_config={"quant_method": "own"})


def no_file(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


FOLDERS: dict[str, Callable[[Path, Path], None]] = {
    "a pickle": pickled,
    "a bare pickle": lambda folder, mark: pickled(folder, mark, 2),
    "a pickle with an index": beside,
    "code": coded,
    "code in tokenizer_config.json": coded_tokenizer,
    "code elsewhere": elsewhere,
    "an adapter": adapter,
    "huge sizes": lambda folder, mark: llama(folder, mark, hidden_size=2**31, num_hidden_layers=2000),
    "huge layers": lambda folder, mark: llama(folder, mark, intermediate_size=2**31),
    "a huge vocabulary": lambda folder, mark: llama(folder, mark, vocab_size=2**31),
    "negative sizes": lambda folder, mark: llama(folder, mark, hidden_size=-1),
    "sizes that are no numbers": lambda folder, mark: llama(folder, mark, hidden_size="1e999"),
    "quantised in an unknown way": quantised,
    "an architecture that nobody has": lambda folder, mark: change(folder, model_type="../../own"),
    "an encoder": lambda folder, mark: change(folder, model_type="bert", architectures=["BertModel"]),
    "weights that are a folder": no_file,
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_is_no_model(kind: str, tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    FOLDERS[kind](folder, tmp_path / MARK)
    # macOS knows no such limit; what would fill the memory is found elsewhere.
    limit = no_more_memory_than(8 * 2**30) if sys.platform == "linux" else nullcontext()
    with limit, pytest.raises(ModelUnavailable) as caught:
        load(locate(str(folder), "", lambda done, total: None), "cpu", "auto", 0)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 500
    assert "not enough memory" not in told
    assert not (tmp_path / MARK).exists()


def test_code_beside_a_good_model(tiny: Path, tmp_path: Path) -> None:
    """It isn't looked at."""
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / MARK)!r}).mkdir()\n")
    change(folder, auto_map={"AutoModelForCausalLM": "own.Own"})
    torch.save({"a": Evil(tmp_path / MARK)}, folder / "pytorch_model.bin")
    assert load_file(folder / "model.safetensors")
    assert load(locate(str(folder), "", lambda done, total: None), "cpu", "auto", 0)
    assert not (tmp_path / MARK).exists()
