"""An environment with a version of JupyterLab: python make_environment.py VERSION WHEEL FOLDER

VERSION is a series, pre-releases included, as 4.5, or one release, as 4.4.0. Notebook is of the series
that belongs to it. What is large, PyTorch above all, is that of the environment that runs this.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def main(version: str, wheel: str, folder: Path) -> None:
    if not folder.exists():
        venv.create(folder, symlinks=sys.platform != "win32", with_pip=False)
    releases = [f"jupyterlab{releases_of(version)}", f"notebook{releases_of(notebook_for(version))}"]
    install(folder, "--upgrade", *releases)
    install(folder, "--force-reinstall", "--no-deps", wheel)
    # Behind the environment's own packages.
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    (Path(paths["purelib"]) / "large.pth").write_text(sysconfig.get_paths()["purelib"])
    # What the wheel requires besides; fails if that is another JupyterLab.
    install(folder, "santajupyter", *releases)


def releases_of(version: str) -> str:
    return f"=={version}" if version.count(".") > 1 else f">={version}.0a0,=={version}.*"


def notebook_for(version: str) -> str:
    return f"7.{version.split('.')[1]}"


def install(folder: Path, *arguments: str) -> None:
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", str(folder))
    subprocess.run([*pip, "install", *arguments], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
