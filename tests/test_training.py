"""The way from notebooks to a model folder, on a corpus of three tiny packages made here."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
if not hasattr(torch.optim, "Muon"):
    pytest.skip("PyTorch has no Muon", allow_module_level=True)

ROOT = Path(__file__).parents[1]


def run(module: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr("sys.argv", [module, *arguments])
    __import__(f"training.{module}", fromlist=["main"]).main()


def archive(folder: Path, name: str, licence: str, seed: int) -> str:
    """An sdist with one notebook, a gallery script and a doctest; returns its line of packages.txt."""
    cells = [
        {"cell_type": "markdown", "source": [f"# About {name}\n", "Write to someone@example.org."]},
        *(
            {
                "cell_type": "code",
                "source": f"frame_{i} = load({i * seed})\nplot(frame_{i}, bins={i + seed})\n",
            }
            for i in range(40)
        ),
    ]
    script = f'"""\nA plot of {name}\n"""\nimport plots\n\n# %%\n# Points\n' + "plots.point(1, 2)\n" * 20
    doctest = f'def f_{name}(x):\n    """Twice.\n\n    >>> f_{name}(1)\n    >>> f_{name}(2)\n    """\n'
    files = {
        "PKG-INFO": f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n",
        "docs/one.ipynb": json.dumps({"cells": cells, "metadata": {}}),
        "examples/plot.py": script,
        f"src/{name}.py": doctest + f"\n\ndef g_{name}(value):\n    return value * {seed}\n" * 8,
    }
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tape:
        for inner, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{inner}")
            info.size = len(text.encode())
            tape.addfile(info, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.filterwarnings("default")
def test_from_archives_to_a_model_that_transformers_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sdists = tmp_path / "sdists"
    sdists.mkdir()
    packages = [("alpha", "MIT", "train"), ("beta", "BSD-3-Clause", "valid"), ("gamma", "Apache-2.0", "test")]
    packages.append(("delta", "GPL-3.0-only", "train"))
    lines = [
        f"{name} 1.0 {archive(sdists, name, licence, seed)} {split} {licence}"
        for seed, (name, licence, split) in enumerate(packages, 2)
    ]
    (tmp_path / "packages.txt").write_text("\n".join(lines), encoding="utf-8")
    work = ("--work", str(tmp_path))

    run("corpus", monkeypatch, *work, "--packages", str(tmp_path / "packages.txt"))
    corpus = (tmp_path / "train.jsonl").read_text(encoding="utf-8")
    assert "frame_3 = load(6)" in corpus
    assert "example.org" not in corpus
    assert "delta" not in corpus
    assert {json.loads(line)["kind"] for line in corpus.splitlines()} >= {"notebook", "gallery", "library"}

    held_out, archives = tmp_path / "held-out", ("--downloads", str(sdists))
    run("notebooks", monkeypatch, str(held_out), "--list", str(tmp_path / "packages.txt"), *archives)
    assert [path.relative_to(held_out).as_posix() for path in held_out.rglob("*.ipynb")] == [
        "gamma/docs/one.ipynb"
    ]
    assert "test\tgamma\t1.0\tApache-2.0\t1" in (held_out / "licences.tsv").read_text(encoding="utf-8")

    run("tokenizer", monkeypatch, *work, "--vocabulary", "400")
    run("train", monkeypatch, *work, "--steps", "6", "--size", "32", "2", "2")
    run("train", monkeypatch, *work, "--steps", "9", "--size", "32", "2", "2")
    assert json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))["step"] == 9
    run("evaluate", monkeypatch, *work, "--places", "4", "--split", "valid")
    run("evaluate", monkeypatch, *work, "--places", "4")
    figures = json.loads((tmp_path / "evaluation-test.json").read_text(encoding="utf-8"))
    assert figures["places"] == 4
    run("export", monkeypatch, *work, "--target", str(tmp_path / "model"))

    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    assert "alpha 1.0" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    check_logits(tmp_path)
    assert capsys.readouterr().out


def check_logits(work: Path) -> None:
    """The exported weights say what the checkpoint's, rounded to fp16, say."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    from training.evaluate import from_checkpoint
    from training.tokenizer import SPECIAL

    tokenizer = Tokenizer.from_file(str(work / "model" / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    assert [tokenizer.id_to_token(size - 5 + i) for i in range(5)] == list(SPECIAL)
    config = json.loads((work / "model" / "config.json").read_text(encoding="utf-8"))
    assert config["min_logprob"] < 0
    assert config["bos_token_id"] == config["eos_token_id"] == size - 5
    loaded = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32).train(False)
    trained = from_checkpoint(work).train(False)
    for weight in trained.parameters():
        weight.data = weight.data.half().float()
    ids = torch.tensor([tokenizer.encode("frame_1 = load(3)").ids])
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, trained(ids).logits)
