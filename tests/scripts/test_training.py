"""The way from notebooks to a model folder, on a corpus of tiny packages made here."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


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
    return pack(folder / f"{name}-1.0.tar.gz", f"{name}-1.0", files)


def npm_archive(folder: Path, name: str, licence: str, seed: int) -> str:
    """What ``npm pack`` leaves of a scoped package: a page, two sources, and what nobody wrote by hand."""
    lines = "".join(f"  const value{i} = load({i * seed})\n" for i in range(30))
    blocks = "\n".join(f"```js\nconst made{i} = make({i * seed})\nshow(made{i})\n```\n" for i in range(20))
    files = {
        "package.json": json.dumps({"name": f"@some/{name}", "license": licence}),
        "README.md": f"# {name}\nSay:\n{blocks}",
        "src/index.js": f"/*!\n * Copyright Someone\n */\nexport function f_{name}() {{\n{lines}}}\n",
        "android/Main.java": f"class {name.title()} {{\n" + lines.replace("const", "int") + "}\n",
        "dist/index.js": f"bundled({seed});\n" * 99,
    }
    return pack(folder / f"some-{name}-1.0.tgz", "package", files)


def pack(path: Path, top: str, files: dict[str, str]) -> str:
    with tarfile.open(path, "w:gz") as tape:
        for inner, text in files.items():
            info = tarfile.TarInfo(f"{top}/{inner}")
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
    npm = [("epsilon", "ISC", "train"), ("zeta", "MIT", "test"), ("eta", "GPL-3.0", "train")]
    lines += [
        f"npm:@some/{name} 1.0 {npm_archive(sdists, name, licence, seed)} {split} {licence}"
        for seed, (name, licence, split) in enumerate(npm, 6)
    ]
    (tmp_path / "packages.txt").write_text("\n".join(lines), encoding="utf-8")
    work = ("--work", str(tmp_path))

    run("corpus", monkeypatch, *work, "--packages", str(tmp_path / "packages.txt"))
    corpus = (tmp_path / "train.jsonl").read_text(encoding="utf-8")
    assert "frame_3 = load(6)" in corpus
    assert "example.org" not in corpus
    assert "delta" not in corpus
    documents = [json.loads(line) for line in corpus.splitlines()]
    assert {document["kind"] for document in documents} >= {"notebook", "gallery", "library"}
    scripts = {d["kind"]: d["text"] for d in documents if d["package"] == "npm:@some/epsilon"}
    assert scripts["doc"].startswith("// # epsilon\n// Say:\n\nconst made0 = make(0)\nshow(made0)\n\n")
    assert scripts["javascript"].startswith("export function f_epsilon() {\n  const value0")
    assert scripts["java"].startswith("class Epsilon {\n  int value0")
    assert not any(said in corpus for said in ("bundled", "Someone", "@some/eta"))

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
    for language in ("python", "javascript", "java"):
        for bare in ([], ["--bare"]):
            run("evaluate", monkeypatch, *work, "--places", "4", "--language", language, *bare)
    figures = json.loads((tmp_path / "evaluation-test-java.json").read_text(encoding="utf-8"))
    assert figures["places"] == 4
    run("export", monkeypatch, *work, "--target", str(tmp_path / "model"))

    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "alpha 1.0" in card
    assert "npm:@some/epsilon 1.0" in card
    assert "| JavaScript | 4 |" in card
    assert json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))["trained"]["tokens"]
    check_logits(tmp_path)

    first = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))["tokens"]
    begin = ("--weights", str(tmp_path / "model"), "--steps", "2", "--size", "32", "3", "2")
    shutil.rmtree(tmp_path / "checkpoint")
    run("train", monkeypatch, *work, *begin)
    curve = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert curve["trained"]["tokens"] == first + curve["tokens"]
    assert capsys.readouterr().out


def test_a_grown_model_says_at_first_what_the_smaller_one_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from training.train import Words, new_model, take_over

    none = np.zeros(40, dtype=bool)
    words = Words(0, 1, 2, 3, 4, breaks=none, comments=none, lengths=none.astype(np.int64))
    small, grown = (new_model(words, 32, layers, 2).train(False) for layers in (3, 5))
    small.save_pretrained(tmp_path)
    ids = torch.arange(5, 40)[None]
    with torch.inference_mode():
        assert not torch.allclose(grown(ids).logits, small(ids).logits)
        take_over(grown, tmp_path)
        torch.testing.assert_close(grown(ids).logits, small(ids).logits)
    outputs = [grown.state_dict()[f"transformer.h.{i}.mlp.c_proj.weight"] for i in range(5)]
    assert [bool(output.any()) for output in outputs] == [True, False, True, False, True]
    with pytest.raises(SystemExit, match=r"--size: 32 3 2, as in .*, or more layers"):
        take_over(new_model(words, 32, 2, 2), tmp_path)


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
    assert 0 < config["min_probability"] < 1 < config["beams"]
    assert config["bos_token_id"] == config["eos_token_id"] == size - 5
    loaded = AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32).train(False)
    trained = from_checkpoint(work).train(False)
    for weight in trained.parameters():
        weight.data = weight.data.half().float()
    ids = torch.tensor([tokenizer.encode("frame_1 = load(3)").ids])
    with torch.inference_mode():
        torch.testing.assert_close(loaded(ids).logits, trained(ids).logits)


def test_a_notebook_is_shown_with_what_a_kernel_would_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from santajupyter.protocol import Cell, Output
    from training.known import render_with_facts

    table = (
        '<table border="1" class="dataframe">'
        "<thead><tr><th></th><th>age</th><th>who &amp; why</th></tr></thead>"
        "<tbody><tr><th>0</th><td>22.5</td><td>NaN</td></tr><tr><th>1</th><td>7.0</td><td>child</td></tr>"
        "</tbody></table><p>891 rows × 2 columns</p>"
    )
    cells = [
        Cell("%time\nframe = read()\nsize = 3\ndef load(path, *, sep=','):\n    return path\nframe"),
        Cell("model = lm.Ridge(size)\nsize = model.size\nrows = [1, 2]"),
        Cell("# About", "markdown"),
        Cell("model.fit(frame, load, size, rows)"),
    ]
    cells[0] = Cell(cells[0].source, outputs=(Output("html", table),))  # type: ignore[arg-type]
    above, _, told = render_with_facts(cells).rpartition("# # About\n\n")
    assert above.count("#") == 0
    assert told == (
        "# model: Ridge\n"
        "# frame: DataFrame 891x2 (age float64, who & why str)\n"
        "# load(path, *, sep=…)\n"
        "# rows: list of 2 int\n"
        "\n"
        "model.fit(frame, load, size, rows)"
    )


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has none to compare with")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_muon_goes_where_pytorchs_own_goes(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from training.muon import Muon

    ours = [torch.nn.Parameter(torch.ones(shape)) for shape in ((16, 8), (8, 16))]
    theirs = [torch.nn.Parameter(torch.ones(shape)) for shape in ((16, 8), (8, 16))]
    pair = Muon(ours, 0.02, 0.01, getattr(torch, dtype)), torch.optim.Muon(theirs, 0.02, 0.01)
    random = torch.Generator().manual_seed(0)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=random)
            other.grad = one.grad.clone()
        for optimizer in pair:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)
        assert not torch.equal(one, torch.ones_like(one))
