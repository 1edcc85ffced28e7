"""The notebooks of held-out packages, in a folder for ``santajupyter eval replay``.

    python -m training.notebooks FOLDER                       # the test split: seaborn and statsmodels
    python -m training.notebooks FOLDER --packages bambi lmfit

From the source archives that ``packages.txt`` pins, on the same terms as the corpus. Which package is
in which split, and under what licence, is printed and written to FOLDER/licences.tsv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .corpus import HERE, SPLITS, WORK, Package, declared_licence, fetch, files, read_packages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--packages", nargs="+", metavar="NAME", help="instead of a split's")
    parser.add_argument(
        "--list", type=Path, default=HERE / "packages.txt", help="name, version, …, a line each"
    )
    parser.add_argument("--downloads", type=Path, default=WORK / "sdists", help="where the archives lie")
    args = parser.parse_args()
    pinned = read_packages(args.list)
    missing = set(args.packages or ()) - {package.name for package in pinned}
    if missing:
        raise SystemExit(
            f"{', '.join(sorted(missing))}: not in {args.list}; corpus.py --pin prints a line for it"
        )
    report = ["split\tpackage\tversion\tlicence\tnotebooks"]
    for package in pinned:
        if package.name in args.packages if args.packages else package.split == args.split:
            report.append(collect(package, fetch(package, args.downloads), args.folder))
    (args.folder / "licences.tsv").write_text("\n".join(report) + "\n", encoding="utf-8")
    print("\n".join(report))


def collect(package: Package, archive: Path, folder: Path) -> str:
    """Writes a package's notebooks under a folder of its name; returns its line of the report."""
    licence = declared_licence(archive)
    count = 0
    for name, data in files(archive, only=".ipynb") if licence else ():
        path = folder / package.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count += 1
    return f"{package.split}\t{package.name}\t{package.version}\t{licence or 'refused'}\t{count}"


if __name__ == "__main__":
    main()
