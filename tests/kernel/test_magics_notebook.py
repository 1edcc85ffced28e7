"""Every magic in docs/magics.ipynb, and the examples of README.md and docs/magics.md, run by nbclient.

By the built-in model; SANTA_TEST_MODEL names another one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from santajupyter.command import cli, doctor
from santajupyter.evaluation import main as evaluation
from santajupyter.kernel.arguments import PARSERS

from .test_magics import TOKEN, server

ROOT = Path(__file__).parents[2]
NOTEBOOK = nbformat.read(ROOT / "docs" / "magics.ipynb", 4)
MODEL = os.environ.get("SANTA_TEST_MODEL", "santa-mini")
IS_SMALL = MODEL == "santa-mini"
TIMEOUT = 110 if IS_SMALL else 600
pytestmark = pytest.mark.timeout(12 * TIMEOUT)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("server")
    with server(Path(MODEL), folder, folder) as (url, _), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANTAJUPYTER_URL", url)
        patch.setenv("SANTAJUPYTER_TOKEN", TOKEN)
        patch.setenv("IPYTHONDIR", str(folder))
        yield


def run(notebook: Any) -> dict[str, str]:
    """What each code cell shows, as text."""
    notebook = nbformat.from_dict(notebook)
    NotebookClient(notebook, timeout=TIMEOUT).execute()
    return {
        cell.source: "".join(map(shown, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"
    }


def shown(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", ""))


@pytest.mark.usefixtures("named")
def test_the_notebook_of_every_magic(caplog: pytest.LogCaptureFixture) -> None:
    ran = run(NOTEBOOK)
    assert not [source for source, text in ran.items() if "Traceback" in text]
    said = {
        "%santa load": "is ready on cpu.",
        "%santa": "device ",
        "%santa models": "answers now (configured)",
        "%santa config -m 48": "max_new_tokens  48",
        "%santa off": "UsageError: This kernel can't reach JupyterLab's ghost text",
        "%santa on": "UsageError: This kernel can't reach JupyterLab's ghost text",
        "%santa license": "OpenRAIL-M",
        "%santa load --here santa-mini": "this process",
        "%santa complete for i in ra": "for i in range",
        "%santa unload": "santa-mini is not loaded",
        "%santa fix --show": "+ prices['apple']",
    }
    for source, words in said.items():
        assert words in ran[source], source
    failed = [source for source, text in ran.items() if "UsageError" in text]
    documented = [source for source in ran if source.startswith("%%santa doc")]
    assert failed == [*(documented if IS_SMALL else []), "%santa off", "%santa on"]
    texts = "\n".join(ran.values())
    if IS_SMALL:
        assert all("need a larger model: `%santa load bigcode/" in ran[source] for source in documented)
        made = [
            "for i in range(10):",
            "- import numpy as <FILL>\n+ import numpy as np",
            "largest = max(numbers)",
        ]
        assert [text for text in made if text not in texts] == []
    for words in (
        "[3] mean log-probability",
        "left of the cursor: ",
        "right of the cursor: ",
        "- import numpy as <FILL>",
    ):
        assert words in texts
    assert "comm target" not in caplog.text  # nobody was asked who can't answer


def test_it_has_every_magic() -> None:
    first_words = [cell.source.split()[1:2] for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert {word for [word] in filter(None, first_words)} >= {*PARSERS} - {"status"}
    assert not any(cell.get("outputs") for cell in NOTEBOOK.cells)


MADE = {
    "README.md": {"%%santa generate": "import matplotlib.pyplot as plt\n\nfig, ax = plt.subplots()"},
    "docs/magics.md": {
        "%%santa generate": "import matplotlib.pyplot as plt\n\nfig, ax = plt.subplots()",
        "print(made.text": "numpy -",
        "print(fill": "import numpy as np\n\nx = np.zeros(3)",
        "print(docstring": "need a larger model",
    },
}


@pytest.mark.parametrize("page", MADE)
@pytest.mark.usefixtures("named")
def test_the_examples_make_what_they_promise(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)\n *```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    sources = [re.sub(r"(?m)^   ", "", block) if block.startswith("   ") else block for block in blocks]
    # What goes into a new cell is shown instead.
    sources = [source.replace("%%santa generate", "%%santa generate --show") for source in sources]
    shown = [nbformat.v4.new_code_cell(source) for source in sources if not source.startswith("c.")]
    cells = [cell | {"metadata": {"tags": ["raises-exception"]}} for cell in shown]
    ran = run(nbformat.v4.new_notebook(cells=cells))
    failed = [source for source, text in ran.items() if "Error" in text or "larger model" in text]
    if not IS_SMALL:
        assert not failed
        return
    assert failed == [source for source in ran if "docstring(" in source]
    for beginning, made in MADE[page].items():
        [text] = [text for source, text in ran.items() if beginning in source]
        assert made in text


def test_the_example_of_a_configuration_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = re.findall(r"(?m)^c\.SantaApp\..*", (ROOT / "README.md").read_text("utf-8"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    (tmp_path / "jupyter_server_config.py").write_text(line.replace("bigcode/", "me/"))
    assert doctor.configured_model() == ("me/gpt_bigcode-santacoder", "")


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md", "docs/magics.md"])
def test_the_command_lines_parse(page: str) -> None:
    lines = re.findall(r"(?:`|^)santajupyter ([a-z][^`\n#]*)", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line)
        if words[0] == "eval":
            evaluation._parsed(words[1:])
            continue
        arguments, others = cli._parser().parse_known_args(words)
        assert arguments.command and not others
