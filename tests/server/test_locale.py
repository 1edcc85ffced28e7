"""The German catalogue where JupyterLab looks for it, at a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "santajupyter" / "locale" / "de_DE" / "LC_MESSAGES" / "santajupyter.json"


@pytest.fixture
def jp_server_config(jp_server_config: dict[str, Any]) -> dict[str, Any]:
    extensions = {"santajupyter": True, "jupyterlab": True}
    return {
        **jp_server_config,
        "ServerApp": {**jp_server_config["ServerApp"], "jpserver_extensions": extensions},
    }


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this package, by its pyproject.toml, and a German language pack were installed."""
    declared = re.search(
        r'^\[project\.entry-points\."jupyterlab\.locale"\]\n(.+)$',
        (ROOT / "pyproject.toml").read_text("utf-8"),
        re.MULTILINE,
    )
    assert declared
    own = declared[1].replace('"', "")
    groups = f"[jupyterlab.locale]\n{own}\n[jupyterlab.languagepack]\nde_DE = a_german_pack\n"
    info = tmp_path / "a_german_pack-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-german-pack\nVersion: 1\n")
    (info / "entry_points.txt").write_text(groups)
    pack = tmp_path / "a_german_pack"
    pack.mkdir()
    (pack / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))


async def test_the_page_gets_it(jp_fetch: Any) -> None:
    answer = json.loads((await jp_fetch("lab", "api", "translations", "de_DE")).body)
    assert answer["message"] == ""
    assert answer["data"]["santajupyter"] == json.loads(CATALOGUE.read_text("utf-8"))


async def test_other_languages_have_none(jp_fetch: Any) -> None:
    answer = json.loads((await jp_fetch("lab", "api", "translations", "fr_FR")).body)
    assert answer["data"] == {}
