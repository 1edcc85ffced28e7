"""Copies of weights in int8 and int4, in the user's cache folder: made once, a half and a third as large.

    int8-NAME         a whole copy with made-from.json, a description of what it is and was made from
    int8-NAME.part    one that is being written, by whoever holds
    int8-NAME.lock

And so for int4. NAME stands for the weights' files (name, size, time of change), wherever they lie, for
config.json, and for who made the copy.
A copy whose files haven't the sizes that it was written with counts as none.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from .checkpoint import safetensors_files

# Another graph, another order of the numbers or another way to round, another number.
FORMAT = 10
DTYPES = ("int8", "int4")
# Whose copies there are: each has the numbers in an order of its own.
Engine = Literal["openvino", "native"]
ENGINES: tuple[Engine, ...] = ("openvino", "native")
STAMP = "made-from.json"
# Seconds that a process waits for another one that writes the same copy.
PATIENCE = 300


class Made(msgspec.Struct):
    """``maker``: what wrote the copy. ``sources``: the weights' paths. ``sizes``: bytes of its files.

    ``changed``: when each source last was, nanoseconds; of older copies it isn't known.
    """

    maker: str
    sources: list[str]
    sizes: dict[str, int]
    changed: list[int] = []


def cache_path(folder: Path, dtype: str, engine: Engine) -> Path:
    """Where that engine's copy of a checkpoint's weights in that format is, or would be."""
    files = [file.resolve() for file in safetensors_files(folder)]
    marks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    config = (folder / "config.json").read_bytes()
    name = hashlib.sha256(msgspec.json.encode([_maker(engine), marks, config])).hexdigest()[:16]
    return user_cache_path("santajupyter") / f"{dtype}-{name}"


def cached(folder: Path, dtype: str, engine: Engine) -> Path | None:
    """The whole copy of a checkpoint's weights in that format, if there is one."""
    path = cache_path(folder, dtype, engine)
    return path if _is_whole(path) else None


def save(folder: Path, dtype: str, engine: Engine, write: Callable[[Path], None]) -> Path | None:
    """Have ``write`` fill a folder, and make it the copy; None where that can't be done.

    Waits while another process does it. Copies that nobody needs any more go.
    """
    path = cache_path(folder, dtype, engine)
    try:
        _make_private(path.parent)
        with FileLock(_lock(path), timeout=PATIENCE):
            if _is_whole(path):
                return path
            for useless in unneeded(folder):
                remove(useless)
            part = path.with_name(path.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700)
            try:
                write(part)
                sizes = {file.name: file.stat().st_size for file in part.iterdir()}
                sources = _sources(folder)
                changed = [Path(source).stat().st_mtime_ns for source in sources]
                (part / STAMP).write_bytes(msgspec.json.encode(Made(_maker(engine), sources, sizes, changed)))
                shutil.rmtree(path, ignore_errors=True)
                part.replace(path)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except (OSError, RuntimeError, Timeout):  # a full disk, no locks here, or OpenVINO's word for these
        return None
    return path


def unneeded(folder: Path | None = None) -> Iterator[Path]:
    """Copies that nobody can use: half or damaged, of another version, of weights that changed or are gone.

    And those of the same weights as ``folder``'s, with another config.json. Nothing that is being written.
    """
    own = [cache_path(folder, dtype, engine) for dtype in DTYPES for engine in ENGINES] if folder else []
    makers = [_maker(engine) for engine in ENGINES]
    replaced = _sources(folder) if folder else None
    paths = (path for dtype in DTYPES for path in user_cache_path("santajupyter").glob(f"{dtype}-*"))
    for path in sorted(paths):
        if path.suffix == ".lock":
            continue
        made = _stamp(path)
        is_needed = (
            path.suffix != ".part"
            and _is_whole(path)
            and made is not None
            and made.maker in makers
            and (path in own or made.sources != replaced)
            and _are_there(made)
        )
        if not is_needed and not _is_locked(path):
            yield path


def remove(path: Path) -> None:
    """A copy, or what is left of one."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):  # another process may have it by now
        path.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    made = _stamp(path)
    if made is None or not made.sizes:
        return False
    files = {name: path / name for name in made.sizes}
    return all(file.is_file() and file.stat().st_size == made.sizes[name] for name, file in files.items())


def _are_there(made: Made) -> bool:
    """The weights, unchanged."""
    sources = [Path(source) for source in made.sources]
    if not all(source.is_file() for source in sources):
        return False
    return not made.changed or made.changed == [source.stat().st_mtime_ns for source in sources]


def _stamp(path: Path) -> Made | None:
    try:
        return msgspec.json.decode((path / STAMP).read_bytes(), type=Made)
    except (OSError, msgspec.DecodeError):
        return None


def _is_locked(path: Path) -> bool:
    lock = FileLock(_lock(path))
    if lock.lock_file and not Path(lock.lock_file).exists():
        return False
    try:
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        return True
    lock.release()
    return False


def _lock(path: Path) -> str:
    return str(path.with_name(path.name.removesuffix(".part") + ".lock"))


def _sources(folder: Path) -> list[str]:
    return [str(file.resolve()) for file in safetensors_files(folder)]


def _maker(engine: Engine) -> str:
    return (
        f"{FORMAT}, OpenVINO {metadata.version('openvino')}" if engine == "openvino" else f"{FORMAT}, native"
    )


def _make_private(folder: Path) -> None:
    """For the user alone, whatever the umask; folders above that are missing too."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
