"""The docs name everything that can be set, and their examples work."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from santajupyter.prompt.fim import FAMILIES
from santajupyter.protocol import completion_request, text_request
from santajupyter.server.extension import SantaApp

ROOT = Path(__file__).parents[1]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
REST = (ROOT / "docs" / "rest.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(SantaApp.class_own_traits(config=True)))
def test_every_trait_is_documented_with_its_default(name: str) -> None:
    trait = SantaApp.class_own_traits(config=True)[name]
    assert trait.help
    row = re.search(rf"^\| `{name}` +\| ([^|]*)\|", CONFIGURATION, re.MULTILINE)
    assert row, f"docs/configuration.md lacks {name}"
    default = trait.default()
    assert row[1].strip().startswith(f"`{default}`" if default not in ("", []) else "empty")


def test_every_setting_is_documented() -> None:
    schema = json.loads((ROOT / "schema" / "plugin.json").read_text("utf-8"))
    rows = dict(re.findall(r"^\| ([^|`]+?) +\| ([^|]+?) +\|", CONFIGURATION, re.MULTILINE))
    for setting in schema["properties"].values():
        default = setting["default"]
        if isinstance(default, list) and default:  # some of many
            named = re.findall("`(.*?)`", rows[setting["title"]])
            assert named
            assert set(named) <= set(default)
            continue
        shown = (
            {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default).capitalize()
        )
        assert rows.get(setting["title"]) == shown, setting["title"]


def test_the_repository_has_one_address() -> None:
    """package.json's; what can't be made from it says the same."""
    package = json.loads((ROOT / "package.json").read_text("utf-8"))
    address = package["homepage"]
    owner = address.removeprefix("https://github.com/").partition("/")[0]
    assert package["repository"]["url"] == f"{address}.git"
    assert package["bugs"]["url"] == f"{address}/issues"
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*"), *ROOT.glob("binder/*")]
    texts = [file.read_text("utf-8") for file in files if file.suffix in (".md", ".ipynb", ".json")]
    owners = re.findall(r"(?:github\.com|/gh)/([\w-]+)/santajupyter", "\n".join(texts))
    assert owners
    assert set(owners) == {owner}


def test_what_admins_may_set_is_there() -> None:
    admin = (ROOT / "docs" / "admin.md").read_text("utf-8")
    plugins = re.findall(r"id: '(santajupyter:[\w-]+)'", (ROOT / "src" / "index.ts").read_text("utf-8"))
    told = re.findall(r"^\| `(santajupyter:[\w-]+)`", admin, re.MULTILINE)
    assert told == ["santajupyter:plugin", *plugins]
    server, page = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", admin, re.DOTALL))
    assert server["SantaApp"].keys() <= set(SantaApp.class_own_traits(config=True))
    schema = json.loads((ROOT / "schema" / "plugin.json").read_text("utf-8"))
    assert page["santajupyter:plugin"].keys() <= schema["properties"].keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_documented(name: str) -> None:
    assert f"`{name}`" in CONFIGURATION


def test_the_example_requests_are_good() -> None:
    example = json.loads(re.findall(r"```json\n(.*?)```", REST, re.DOTALL)[0])
    request = completion_request(example)
    assert request.offset == len(request.cells[1].source)
    curl = re.search(r"-d '(.*)'", REST)
    assert curl
    assert text_request(json.loads(curl[1])).suffix


async def test_the_example_answers_have_the_real_fields(
    jp_fetch: Any, body: Callable[..., dict[str, Any]]
) -> None:
    examples = re.findall(r"```json\n(.*?)```", REST, re.DOTALL)
    answer, documented, fix, explained, status = (json.loads(text) for text in examples[1:6])
    response = await jp_fetch("santajupyter", "complete", method="POST", body=json.dumps(body()))
    assert keys(json.loads(response.body)) == keys(answer)
    response = await jp_fetch("santajupyter", "docstring", method="POST", body=json.dumps(body()))
    assert keys(json.loads(response.body)) == keys(documented)
    error = {"type": "error", "name": "NameError", "value": "name 'pirnt' is not defined", "line": "pirnt()"}
    failed = body(cells=[{"source": "pirnt()", "outputs": [error]}], offset=0)
    response = await jp_fetch("santajupyter", "fix", method="POST", body=json.dumps(failed))
    assert keys(json.loads(response.body)) == keys(fix)
    response = await jp_fetch("santajupyter", "explain", method="POST", body=json.dumps(body()))
    assert keys(json.loads(response.body)) == {**keys(explained), "left_out": None}
    response = await jp_fetch("santajupyter", "status")
    assert json.loads(response.body).keys() == status.keys()


def keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else None


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)", file.read_text("utf-8")):
        if "://" not in target:
            assert (file.parent / target).exists(), target


def test_the_deployed_configuration_is_the_one_that_is_explained() -> None:
    """It is also the one that tests run."""
    config = (ROOT / "deploy" / "jupyterhub" / "jupyterhub_config.py").read_text("utf-8")
    shown = (ROOT / "docs" / "admin.md").read_text("utf-8")
    assert config[config.index("# The model: a service") :].rstrip() in shown


@pytest.mark.parametrize(("page", "least"), [("security.md", 20), ("faults.md", 40)])
def test_the_tests_that_hold_what_is_promised_are_there(page: str, least: int) -> None:
    """The last cell of each row names one at least."""
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and "---" not in line]
    promises = [row for row in rows if row[-1].rstrip(" |") != "Test"]
    assert len(promises) > least
    for row in promises:
        named = re.findall(r"`(tests/[^`]*)`", row[-1])
        assert named, row[0]
        assert [name for name in named if name not in named_tests(name.partition("::")[0])] == []


@functools.cache
def named_tests(file: str) -> set[str]:
    """The names of a file's tests, as pytest takes them."""
    path = ROOT / file
    tree = ast.parse(path.read_text("utf-8")) if path.is_file() else ast.Module([], [])
    found = set()
    for node in tree.body:
        inner = [(f"{node.name}::", one) for one in node.body] if isinstance(node, ast.ClassDef) else []
        for prefix, one in [("", node), *inner]:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
                found.add(f"{file}::{prefix}{one.name}")
    return found
