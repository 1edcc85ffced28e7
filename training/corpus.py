"""Source packages -> program text in the shape that the engine sees notebooks in.

Everything comes from archives pinned in ``packages.txt``: Python from PyPI's source archives,
JavaScript and Java from npm's packages (``npm:NAME``), each refused unless its own metadata declares
a permissive licence. A document is a JSON line ``{package, kind, text, language}``; whole packages
are held out, so that no project's style or data set is on both sides of the split.
"""

from __future__ import annotations

import argparse
import ast
import doctest
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

from santajupyter.prompt.document import render
from santajupyter.protocol import Cell, Output

from .known import render_with_facts

HERE = Path(__file__).parent
WORK = HERE / "work"
SPLITS = ("test", "valid", "train")  # this order: what a held-out package has, training may not have
CAPS = {
    "notebook": 1_500_000,
    "gallery": 1_200_000,
    "doc": 600_000,
    "doctest": 400_000,
    "library": 40_000,
    "javascript": 90_000,
    "java": 300_000,
}
NPM = "npm:"
ENDINGS = (".ipynb", ".py", ".rst", ".md", ".qmd")
NPM_ENDINGS = (".js", ".mjs", ".java", ".md")
LARGEST_FILE = 3_000_000
SHORTEST_DOCUMENT = 200
LONGEST_LINE = 400

PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|matplotlib)\b", re.IGNORECASE)
RESTRICTED = re.compile(r"GPL|General Public|Proprietary|CC-BY|NonCommercial|Commons Clause", re.IGNORECASE)
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|gh[pousr]_\w{30}|xox[abp]-\w{10}|AIza[\w-]{30}"
    r"|sk-[A-Za-z0-9]{32}|hf_[A-Za-z]{30}"
)
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", re.IGNORECASE)
CREDENTIAL = re.compile(
    r"(key|token|secret|passw(or)?d)\w*[\"']?\s*[=:]\s*[\"'][\w+/=-]{16,}[\"']", re.IGNORECASE
)
HOME = re.compile(r"(/home/|/Users/|\bUsers\\+)\w")
NOTICE = re.compile(
    r"^[\s#*/_>:@.-]*(SPDX|Copyright|\(c\)|Authors?(\b|__)|Maintainers?\b|Contributors?\b|Credits?\b"
    r"|(Written|Created|Contributed|Modified|Maintained) by\b)|^#\s*(Licen[sc]e|-\*-|!)",
    re.IGNORECASE,
)
VENDORED = re.compile(
    r"(^|/)(\w*vendor\w*|extern\w*|_?third_?party|node_modules|\.git|build|tests?|_build|locale|conf\.py|setup\.py)(/|$)"
)
GENERATED = re.compile(r"(^|/)(dist|umd|bundles?|cjs|amd|min|__\w+__)(/|$)|[.-](min|test|spec|config)\.")
COMPILED = re.compile(r"sourceMappingURL|__esModule|_interopRequire|@generated|@flow|@preserve")
BLOCK_COMMENT = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*\n?", re.DOTALL | re.MULTILINE)
EXAMPLES = re.compile(r"(^|/)(examples?|example_\w+|galler\w*|tutorials?|docs?|demos?|notebooks?)/")
GALLERY_BREAK = re.compile(r"^\s*#\s?%%|^#{20,}\s*$")
RULER = re.compile(r"^\s*([=\-~^\"'#*+.])\1{2,}\s*$")
CODE_DIRECTIVE = re.compile(
    r"^(\s*)\.\. (?:ipython|code-block|code|sourcecode|jupyter-execute)::\s*(i?python3?)?\s*$"
)
FENCES = {
    "python": re.compile(r"^```\{?\.?(i?python|py|code-cell)"),
    "javascript": re.compile(r"^\s*```\s*(js|javascript|mjs)\b"),
}
PROMPT = re.compile(r"^\s*(?:In \[\d+\]: |\.{3,}: ?)")


@dataclass(frozen=True)
class Package:
    """One line of ``packages.txt``."""

    name: str
    version: str
    sha256: str
    split: str
    licence: str


@dataclass(frozen=True)
class Text:
    """A document: ``kind`` is one of :data:`CAPS`'s keys; only "library" isn't notebook-like.

    Source in another language than Python has its language as its kind: there are no notebooks of it.
    """

    package: str
    kind: str
    text: str
    language: str = "python"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, default=HERE / "packages.txt")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument(
        "--pin", nargs="+", metavar="NAME[==VERSION]", help="print NAME's line of packages.txt, and end"
    )
    args = parser.parse_args()
    if args.pin:
        for name in args.pin:
            print(pin(name, args.work / "sdists"))
        return
    packages = read_packages(args.packages)
    archives = {package: fetch(package, args.work / "sdists") for package in packages}
    build(archives, args.work)


def build(archives: dict[Package, Path], work: Path) -> None:
    """Extracts, cleans, drops near-duplicates and writes ``{split}.jsonl`` and the licence report."""
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(archives, pool.map(extract, archives, archives.values()), strict=True))
    seen: set[int] = set()
    report = []
    for split in SPLITS:
        with (work / f"{split}.jsonl").open("w", encoding="utf-8") as out:
            for package, (licence, texts) in found.items():
                if package.split != split:
                    continue
                sizes: Counter[str] = Counter()
                for text in fresh(texts, seen):
                    sizes[text.kind] += len(text.text)
                    out.write(json.dumps(vars(text), ensure_ascii=False) + "\n")
                report.append(f"{split}\t{package.name}\t{package.version}\t{licence}\t{dict(sizes)}")
    (work / "licences.tsv").write_text("\n".join(report) + "\n", encoding="utf-8")
    print("\n".join(report))


def read_packages(path: Path) -> list[Package]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Package(*line.split(maxsplit=4)) for line in lines if line and not line.startswith("#")]


def pin(name: str, folder: Path) -> str:
    """A line for ``packages.txt``: the release asked for or the newest with a source archive, to train on."""
    name, _, version = name.partition("==")
    path = download(name, version or None, folder)
    version = re.sub(r"\.(tar\.gz|tgz|zip)$", "", path.name).rpartition("-")[2]
    return f"{name} {version} {_sha256(path)} train {declared_licence(path) or '?'}"


def fetch(package: Package, folder: Path) -> Path:
    """The pinned archive, from ``folder`` where it already lies there."""
    path = download(package.name, package.version, folder)
    if _sha256(path) != package.sha256:
        raise SystemExit(f"{path}: not the pinned archive; delete it and try again")
    return path


def download(name: str, version: str | None, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return (_from_npm if name.startswith(NPM) else _from_pypi)(name.removeprefix(NPM), version, folder)


def _from_npm(name: str, version: str | None, folder: Path) -> Path:
    """npm's own client, which runs none of the package's scripts."""
    path = folder / f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"
    if path.exists():
        return path
    command = ["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", str(folder)]
    command.append(f"{name}@{version or 'latest'}")
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300)  # noqa: S603
    return folder / str(json.loads(answer.stdout)[0]["filename"])


def _from_pypi(name: str, version: str | None, folder: Path) -> Path:
    """pip's own client and configuration, without ``pip download``, which would run the package's build."""
    from pip._internal.commands import create_command
    from pip._internal.commands.download import DownloadCommand

    spelt = re.sub(r"[-_.]+", "[-_.]", name)
    pattern = re.compile(rf"{spelt}-{re.escape(version)}\.(tar\.gz|zip)" if version else "$^", re.IGNORECASE)
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            return path
    command = create_command("download")
    assert isinstance(command, DownloadCommand)
    options, _ = command.parse_args(["--no-binary", ":all:", "--no-deps", name])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        wanted = [
            candidate
            for candidate in finder.find_all_candidates(name)
            if not candidate.link.is_wheel
            and (str(candidate.version) == version or (not version and not candidate.version.is_prerelease))
        ]
        if not wanted:
            raise SystemExit(f"{name} {version or ''}: no source archive")
        link = max(wanted, key=lambda candidate: candidate.version).link
        answer = session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"})
        answer.raise_for_status()
    path = folder / link.filename
    path.write_bytes(answer.content)
    return path


def extract(package: Package, archive: Path) -> tuple[str, list[Text]]:
    """All of one package's documents, at most :data:`CAPS` characters of a kind, and its licence."""
    licence = declared_licence(archive)
    if not licence:
        print(f"{package.name}: no permissive licence declared, left out", file=sys.stderr)
        return "refused", []
    texts = []
    sizes: Counter[str] = Counter()
    for name, data in sorted(files(archive), key=lambda item: hashlib.sha256(item[0].encode()).digest()):
        source = data.decode("utf-8", "replace")
        if package.name.startswith(NPM):
            documents = _npm_documents(name, source)
        else:
            documents = _documents(name, source, render_with_facts if package.split == "train" else render)
        for kind, raw, language in documents:
            text = clean(raw)
            if len(text) >= SHORTEST_DOCUMENT and sizes[kind] + len(text) <= CAPS[kind]:
                sizes[kind] += len(text)
                texts.append(Text(package.name, kind, text, language))
    return licence, texts


def declared_licence(archive: Path) -> str:
    """The permissive licence in the archive's metadata; "" for none, or for one with further terms."""
    for name, data in files(archive, only="package.json") if archive.suffix == ".tgz" else ():
        if name == "package.json":
            stated = json.loads(data).get("license", "")
            declared = str(stated.get("type", "") if isinstance(stated, dict) else stated)
            return "" if RESTRICTED.search(declared) or not PERMISSIVE.search(declared) else declared[:40]
    for name, data in files(archive, only="PKG-INFO"):
        if name == "PKG-INFO":
            meta = Parser().parsestr(data.decode("utf-8", "replace"))
            classifiers = [str(c) for c in meta.get_all("Classifier", []) if str(c).startswith("License ::")]
            text = str(meta.get("License", ""))[:300]
            declared = " ".join([str(meta.get("License-Expression", "")), *classifiers, text])
            if RESTRICTED.search(declared) or not PERMISSIVE.search(declared):
                return ""
            stated = (meta.get("License-Expression", ""), *reversed(classifiers), text)
            short = next(str(name) for name in stated if PERMISSIVE.search(str(name))).rpartition(":: ")[2]
            return re.split(r"[,.]? Copyright", " ".join(str(short).split()))[0][:40]
    return ""


def clean(text: str) -> str:
    """Without who wrote it, e-mail addresses, home folders, credentials and embedded data.

    "" for a text that may hold a secret.
    """
    if SECRET.search(text):
        return ""
    kept = (
        line.rstrip()
        for line in text.expandtabs(4).replace("\r", "").split("\n")
        if len(line) <= LONGEST_LINE
        and not NOTICE.match(line)
        and not any(pattern.search(line) for pattern in (EMAIL, HOME, CREDENTIAL))
    )
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip("\n")


def fresh(texts: Iterable[Text], seen: set[int]) -> Iterator[Text]:
    """Those with at least 40 % of their lines new to ``seen``, to which theirs are added."""
    for text in texts:
        lines = {hash(line.strip()) for line in text.text.split("\n") if len(line.strip()) > 12}
        if len(lines - seen) >= max(1, 0.4 * len(lines)):
            seen |= lines
            yield text


def _documents(
    name: str, source: str, render_notebook: Callable[[list[Cell]], str]
) -> Iterator[tuple[str, str, str]]:
    if name.endswith(".ipynb"):
        yield "notebook", render_notebook(notebook_cells(source)), "python"
    elif name.endswith((".rst", ".md", ".qmd")):
        yield from _page(source, "python")
    elif name.endswith(".py"):
        if EXAMPLES.search(name):
            yield "gallery", render(gallery_cells(source)), "python"
            return
        for docstring in docstrings(source):
            cells = doctest_cells(docstring)
            if any(cell.type == "code" for cell in cells):
                yield "doctest", render(cells), "python"
        yield "library", source, "python"


def _npm_documents(name: str, source: str) -> Iterator[tuple[str, str, str]]:
    """Pages, and source as somebody wrote it: nothing bundled, compiled or generated."""
    if name.endswith(".md"):
        yield from _page(source, "javascript")
    elif name.endswith((".js", ".mjs", ".java")) and not GENERATED.search(name) and _is_written(source):
        language = "java" if name.endswith(".java") else "javascript"
        yield language, BLOCK_COMMENT.sub("", source), language


def _page(source: str, language: str) -> Iterator[tuple[str, str, str]]:
    cells = rst_cells(source, language)
    code = sum(len(cell.source) for cell in cells if cell.type == "code")
    if code and code >= 0.3 * sum(len(cell.source) for cell in cells):
        yield "doc", render(cells, language), language


def _is_written(source: str) -> bool:
    lines = source.split("\n")
    longest = max(map(len, lines))
    return not COMPILED.search(source) and longest <= LONGEST_LINE and len(source) < 60 * len(lines)


def notebook_cells(source: str) -> list[Cell]:
    """The cells of a Python notebook, [] for another language's or an unreadable one."""
    try:
        book = json.loads(source)
        language = book.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        cells = [
            Cell("".join(cell["source"]), cell["cell_type"], outputs=_tables(cell)) for cell in book["cells"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [cell for cell in cells if cell.source.strip()] if language == "python" else []


def _tables(cell: dict[str, Any]) -> tuple[Output, ...]:
    shown = (output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))
    # No page sends this type: known.py reads it, and nothing else.
    return tuple(Output("html", "".join(lines)) for lines in shown if lines)  # type: ignore[arg-type]


def gallery_cells(source: str) -> list[Cell]:
    """A script in cells at ``# %%`` (or a ruler of #), its comment blocks and docstring as markdown."""
    cells: list[Cell] = []
    docstring = re.match(r'\s*(?:#[^\n]*\n\s*)*[rR]?"""(.*?)"""', source, re.DOTALL)
    if docstring:
        cells.append(_prose(docstring.group(1)))
        source = source[docstring.end() :]
    for block in _split(source, GALLERY_BREAK):
        lines = block.strip("\n").split("\n")
        head = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        cells.append(_prose("\n".join(line.lstrip("#").removeprefix(" ") for line in lines[:head])))
        cells.append(Cell("\n".join(lines[head:]).strip("\n")))
    return [cell for cell in cells if cell.source.strip()]


def rst_cells(source: str, language: str = "python") -> list[Cell]:
    """A page of documentation: the language's blocks and >>> examples as code, the rest as markdown."""
    cells: list[Cell] = []
    prose: list[str] = []
    lines = iter(source.split("\n"))
    line = next(lines, None)
    while line is not None:
        directive, fence = CODE_DIRECTIVE.match(line), FENCES[language].match(line)
        if not directive and not fence:
            prose.append(line)
            line = next(lines, None)
            continue
        cells += doctest_cells("\n".join(prose))
        prose, block = [], []
        depth = directive[1] + " " if directive else ""
        for line in lines:
            if line.lstrip().startswith("```") if fence else line.strip() and not line.startswith(depth):
                break
            block.append(line)
        else:
            line = None
        if fence:
            line = next(lines, None)
        cells.append(_code(block))
    return [cell for cell in cells + doctest_cells("\n".join(prose)) if cell.source.strip()]


def docstrings(source: str) -> Iterator[str]:
    """The docstrings that have examples in them."""
    if ">>> " not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node) or ""
            if text.count(">>> ") >= 2:
                yield text[max(text.find("Examples\n"), 0) :]


def doctest_cells(text: str) -> list[Cell]:
    """The examples between their prose; what they print is left out."""
    try:
        pieces = doctest.DocTestParser().parse(text)
    except ValueError:
        return []
    cells: list[Cell] = []
    for piece in pieces:
        if isinstance(piece, str):
            if piece.strip():
                cells.append(_prose(piece))
        elif cells and cells[-1].type == "code":
            cells[-1] = Cell(cells[-1].source + piece.source)
        else:
            cells.append(Cell(piece.source))
    return cells


def _prose(text: str) -> Cell:
    lines = (line.strip() for line in text.split("\n"))
    return Cell(
        "\n".join(x for x in lines if not RULER.match(x) and not x.startswith((".. ", ":"))), "markdown"
    )


def _code(block: list[str]) -> Cell:
    body = [line for line in block if not re.match(r"^\s*[:@]\w", line)]
    if any(PROMPT.match(line) for line in body):
        body = [PROMPT.sub("", line) for line in body if PROMPT.match(line)]
    if any(">>> " in line for line in body):
        return next((c for c in doctest_cells("\n".join(body)) if c.type == "code"), Cell(""))
    indent = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    return Cell("\n".join(line[indent:] for line in body).strip("\n"))


def _split(source: str, border: re.Pattern[str]) -> Iterator[str]:
    block: list[str] = []
    for line in source.split("\n"):
        if border.match(line):
            yield "\n".join(block)
            block = []
            title = re.sub(r"^\s*#\s?%%\s*|#{20,}", "", line).strip()
            if title:
                block.append(f"# {title}")
        else:
            block.append(line)
    yield "\n".join(block)


def files(archive: Path, only: str = "") -> Iterator[tuple[str, bytes]]:
    """The texts in an archive by their path in it, or those whose name ends with ``only``."""
    wanted = (only,) if only else NPM_ENDINGS if archive.suffix == ".tgz" else ENDINGS
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as book:
            for info in book.infolist():
                name = info.filename.partition("/")[2]
                if _worth(name, info.file_size, wanted):
                    yield name, book.read(info)
        return
    with tarfile.open(archive) as tape:
        for member in tape:
            name = member.name.partition("/")[2]
            if member.isfile() and _worth(name, member.size, wanted):
                file = tape.extractfile(member)
                yield name, file.read() if file else b""


def _worth(name: str, size: int, endings: tuple[str, ...]) -> bool:
    return name.endswith(endings) and 0 < size <= LARGEST_FILE and not VENDORED.search(name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
