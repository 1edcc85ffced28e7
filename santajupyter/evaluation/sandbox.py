"""Runs a program that nobody has read: Linux namespaces around it, and limits on what it may take.

It sees the programs of this machine read-only, and a folder of its own in memory that begins with the given
files and is gone when it ends: no network, no other process, no other file. bubblewrap does that where it is
installed, jail.py elsewhere; who is root runs it as a user that owns nothing. Where neither works, nothing is
run unless the caller says ``unprotected``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

JAIL = Path(__file__).with_name("jail.py")
# The program's own folder, and where bubblewrap shows the files for it.
OWN, GIVEN = "/sandbox", "/given"
# Programs and libraries, and what of /etc they read.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store")
SYSTEM_ETC = ("alternatives", "ld.so.cache", "ld.so.conf", "localtime", "java*", "fonts")
DEVICES = ("null", "zero", "full", "random", "urandom")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# systemd's DynamicUser range: these belong to nobody else.
USERS = range(61184, 65520)
# Seconds between two looks at what a program takes.
INTERVAL = 0.05
# Processes of ours around it.
OURS = 8
PROBE_SECONDS = 20.0


class Unprotected(Exception):
    """There is no sandbox on this machine; the message says what was tried, and what could be done."""


@dataclass(frozen=True)
class Limits:
    """``seconds`` by the clock, and of each process's CPU time; the others for all of it together.

    ``address_space``: bytes of each process, 0 for none (Java's and node's aren't what they use). ``disk``
    and ``files`` are those of its own folder, ``output`` what it may print; sizes in bytes.
    """

    seconds: float = 10.0
    memory: int = 2 * 2**30
    address_space: int = 2 * 2**30
    processes: int = 64
    disk: int = 32 * 2**20
    files: int = 2000
    open_files: int = 64
    output: int = 2**20

    @property
    def of_a_process(self) -> dict[str, int]:
        """What the kernel holds each process to, by setrlimit's names."""
        limits = {
            "core": 0,
            "cpu": int(self.seconds) + 1,
            "fsize": self.disk,
            "nofile": self.open_files,
            "nproc": self.processes,
        }
        return {**limits, "as": self.address_space} if self.address_space else limits


@dataclass(frozen=True)
class Job:
    """``files``: by name, what the program's folder begins with. ``readable``: folders that it sees too."""

    command: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    readable: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()


@dataclass(frozen=True)
class Ended:
    """How a program ended. ``broke``: the limit that ended it, "" where it ended by itself.

    ``output``: what it printed, standard error's too, as far as it may.
    """

    status: int
    output: str
    broke: str = ""

    @property
    def good(self) -> bool:
        """It came to its end, and says all is well."""
        return self.status == 0 and not self.broke


def run(job: Job, unprotected: bool = False) -> Ended:
    """Raises Unprotected where there is no sandbox, unless that is allowed."""
    return _run(_plain if unprotected and not _kinds()[0] else _kind(), job)


def protection(unprotected: bool = False) -> str:
    """What stands around programs here, for a report. Raises as :func:`run`."""
    return "none" if unprotected and not _kinds()[0] else NAMES[_kind()]


@dataclass(frozen=True)
class _Place:
    """Folders of one run: ``given`` has the files, ``root`` is empty, for what needs an empty one."""

    given: Path
    root: Path


# A way to run a job: the whole command line.
_Kind = Callable[[Job, _Place], list[str]]


def _kind() -> _Kind:
    kind, tried = _kinds()
    if kind is None:
        raise Unprotected(
            f"Generated programs can't be run safely here: {'; '.join(tried)}. Install bubblewrap 0.8 or "
            "newer, or allow unprivileged user namespaces; in a container or a virtual machine that is "
            "there for nothing else, --unprotected runs them all the same."
        )
    return kind


def _offered() -> tuple[_Kind, ...]:
    """Not bubblewrap to root, whose processes the kernel doesn't count; jail.py becomes another user."""
    return (_namespaces,) if os.geteuid() == 0 else (_bubblewrap, _namespaces)


@cache
def _kinds() -> tuple[_Kind | None, list[str]]:
    """The first that works here, and what is wrong with those before it."""
    if not sys.platform.startswith("linux"):
        return None, [f"there are no Linux namespaces on {sys.platform}"]
    tried: list[str] = []
    for kind in _offered():
        if not (problem := _problem(kind)):
            return kind, tried
        tried.append(problem)
    return None, tried


def _problem(kind: _Kind) -> str:
    """Why it doesn't work here, "" where it does: no network, and nothing of this file's folder."""
    if kind is _bubblewrap and not shutil.which("bwrap"):
        return "bubblewrap isn't installed"
    look = f"test ! -e '{JAIL}' && test $(wc -l < /proc/net/dev) = 3 && echo works"
    ended = _run(kind, Job(["sh", "-c", look], limits=Limits(PROBE_SECONDS)))
    if ended.output.strip() == "works":
        return ""
    lines = ended.output.strip().splitlines() or [f"status {ended.status}"]
    return f"{NAMES[kind]}: {lines[-1]}"


def _run(kind: _Kind, job: Job) -> Ended:
    with tempfile.TemporaryDirectory(prefix="santajupyter-", ignore_cleanup_errors=True) as folder:
        place = _Place(Path(folder, "given"), Path(folder, "root"))
        place.root.mkdir()
        place.given.mkdir()
        for name, content in job.files.items():
            path = place.given / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        own = str(place.given) if kind is _plain else OWN
        stdin = Path(folder, "stdin")
        stdin.write_text(job.stdin, "utf-8")
        with stdin.open("rb") as source:
            process = subprocess.Popen(  # noqa: S603  what this module is for
                kind(job, place),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=place.given,
                env=_environment(job, own),
                start_new_session=True,
            )
        return _watched(process, job.limits)


def _environment(job: Job, own: str) -> dict[str, str]:
    plain = {"PATH": PATH, "HOME": own, "TMPDIR": own, "LANG": "C.UTF-8"}
    system = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return {**plain, **system, **job.environment}


def _folders(job: Job) -> Iterator[str]:
    """What exists of the system's folders and of the job's, none inside another."""
    etc = [str(path) for pattern in SYSTEM_ETC for path in sorted(Path("/etc").glob(pattern))]
    found: list[str] = []
    for folder in [*SYSTEM, *etc, *sorted(job.readable)]:
        inside = any(Path(folder).is_relative_to(other) for other in found)
        if Path(folder).exists() and not inside:
            found.append(folder)
            yield folder


def _bubblewrap(job: Job, place: _Place) -> list[str]:
    binds: list[str] = []
    for folder in _folders(job):
        link = Path(folder).is_symlink()
        binds += (
            ["--symlink", str(Path(folder).readlink()), folder] if link else ["--ro-bind", folder, folder]
        )
    for device in DEVICES:
        binds += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    own = ["--ro-bind", str(place.given), GIVEN, "--size", str(job.limits.disk), "--tmpfs", OWN]
    alone = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"]
    limits = (f"--{name}={value}" for name, value in job.limits.of_a_process.items())
    # Its own folder is filled from inside, and the shell stays: the program's status is the last word.
    inside = f'cp -r {GIVEN}/. {OWN}/ && cd {OWN} && "$@"; exit $?'
    program = ["sh", "-c", inside, "sh", "prlimit", *limits, "--", *job.command]
    rest = ["--proc", "/proc", *own, "--dir", "/tmp", "--remount-ro", "/", "--"]  # noqa: S108
    return [shutil.which("bwrap") or "bwrap", *alone, "--cap-drop", "ALL", *binds, *rest, *program]


def _namespaces(job: Job, place: _Place) -> list[str]:
    limits = {f"RLIMIT_{name.upper()}": value for name, value in job.limits.of_a_process.items()}
    told = {
        "command": [*job.command],
        "root": str(place.root),
        "given": str(place.given),
        "own": OWN,
        "folders": [*_folders(job)],
        "devices": DEVICES,
        "disk": job.limits.disk,
        "files": job.limits.files,
        "limits": limits,
        "user": random.choice(USERS) if os.geteuid() == 0 else 0,  # noqa: S311  any will do
    }
    return [sys.executable, "-I", "-S", str(JAIL), json.dumps(told)]


def _plain(job: Job, place: _Place) -> list[str]:
    """In the folder of the files, with the limits of a process where there is prlimit."""
    if not shutil.which("prlimit", path=PATH):
        return [*job.command]
    limits = {**job.limits.of_a_process}
    del limits["nproc"]  # counts all that the user has
    return ["prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--", *job.command]


NAMES: Mapping[_Kind, str] = {_bubblewrap: "bubblewrap", _namespaces: "namespaces"}


def _watched(process: subprocess.Popen[bytes], limits: Limits) -> Ended:
    """Look after it, and end all of it."""
    assert process.stdout is not None
    output = _Output(process.stdout, limits.output)
    deadline = time.monotonic() + limits.seconds
    broke = ""
    try:
        while not broke and not (output.ended(INTERVAL) and process.poll() is not None):
            broke = _broken(process.pid, limits, deadline, output)
    finally:
        _end(process)
    return Ended(process.returncode, output.text, broke)


def _broken(pid: int, limits: Limits, deadline: float, output: _Output) -> str:
    """The limit that is passed, if any."""
    if output.full:
        return "output"
    if time.monotonic() > deadline:
        return "time"
    processes = [*_tree(pid)]
    if len(processes) > limits.processes + OURS:
        return "processes"
    # The last is one of the innermost; bubblewrap itself has no such limit.
    if _files(processes[-1]) > limits.files:
        return "files"
    return "memory" if sum(_resident(each) + _unnamed(each) for each in processes) > limits.memory else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """With the first process of a process namespace the kernel ends all others in it."""
    for pid in _tree(process.pid):
        with suppress(OSError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _tree(pid: int) -> Iterator[int]:
    """The process and all that came of it, each before its own children."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError, ValueError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        yield pid


def _resident(pid: int) -> int:
    """Bytes of a process's memory; what several share is counted in each."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _files(pid: int) -> int:
    """How many files are in the own folder that the process sees, 0 for none."""
    with suppress(OSError):
        own = os.statvfs(f"/proc/{pid}/root{OWN}")
        return own.f_files - own.f_ffree
    return 0


def _unnamed(pid: int) -> int:
    """Bytes of its open files that are in memory and have no name: nothing else counts them."""
    size = 0
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if str(descriptor.readlink()).startswith("/memfd:"):
                size += descriptor.stat().st_blocks * 512
    return size


class _Output:
    """What comes of the program, read by a thread; what is too much is thrown away."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._most = stream, most
        self._pieces: list[bytes] = []
        self._length = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._length > self._most

    @property
    def text(self) -> str:
        return b"".join(self._pieces)[: self._most].decode("utf-8", "replace")

    def ended(self, seconds: float) -> bool:
        """Whether nothing more can come; waits at most so long for that."""
        if not self._thread.is_alive():
            time.sleep(min(seconds, 0.002))
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _read(self) -> None:
        with self._stream:
            while piece := os.read(self._stream.fileno(), 65536):
                if not self.full:
                    self._pieces.append(piece)
                self._length += len(piece)
