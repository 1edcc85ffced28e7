"""Programs that try to get out, or to take all there is; and that those that do neither run."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from santajupyter.evaluation import sandbox
from santajupyter.evaluation.sandbox import Ended, Job, Limits, Unprotected

PYTHON = (sys.prefix, sys.base_prefix)
KINDS = (
    [kind for kind in sandbox._offered() if not sandbox._problem(kind)]
    if sys.platform.startswith("linux")
    else []
)
needs_sandbox = pytest.mark.skipif(not KINDS, reason="neither bubblewrap nor namespaces work here")
# Each is tried, and the answer is what came of it.
TRIES = """\
import ctypes, json, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
told = json.load(sys.stdin)

def connect(family, address):
    s = socket.socket(family)
    s.settimeout(2)
    s.connect(address)

def write(path):
    with open(path, "w") as file:
        file.write("was here")

def linked():
    os.symlink(told["secret"], "link")
    write("link")

def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)

tries = {
    "the network": lambda: connect(socket.AF_INET, ("127.0.0.1", told["port"])),
    "another network": lambda: connect(socket.AF_INET, ("192.0.2.1", 80)),
    "a socket in a folder": lambda: connect(socket.AF_UNIX, told["socket"]),
    "a socket without a name": lambda: connect(socket.AF_UNIX, "\\0" + told["socket"]),
    "read a file": lambda: open(told["secret"]).read(),
    "write beside": lambda: write(told["secret"]),
    "write along a link": linked,
    "write to /tmp": lambda: write("/tmp/was_here"),
    "write to /usr": lambda: write("/usr/was_here"),
    "write to the root": lambda: write("/was_here"),
    "write into Python": lambda: write(os.path.join(sys.prefix, "was_here")),
    "a device": lambda: os.mknod("device", 0o600 | 0o060000, os.makedev(8, 0)),
    "signal the tests": lambda: os.kill(told["pid"], signal.SIGKILL),
    "mount": lambda: call("mount", b"none", b"/sandbox", b"tmpfs", 0, None),
    "mount read-write": lambda: call("mount", None, b"/usr", None, 32 | 4096, None),
    "a user namespace": lambda: call("unshare", 0x10000000),
    "a network namespace": lambda: call("unshare", 0x40000000),
    "change root": lambda: os.chroot("/sandbox"),
    "the kernel's settings": lambda: write("/proc/sys/kernel/hostname"),
    "become another": lambda: os.setuid(1),
    "raise a limit": lambda: __import__("resource").setrlimit(7, (9999, 9999)),
}
answers = {}
for name, attempt in tries.items():
    try:
        attempt()
        answers[name] = "done"
    except OSError as error:
        answers[name] = ""
    except ValueError as error:
        answers[name] = ""
status = open("/proc/self/status").read().splitlines()
rights = [line.split()[1] for line in status if line[:6] in ("CapEff", "CapPrm", "CapBnd", "CapAmb")]
answers["rights"] = "".join(rights).strip("0")
answers["may get more"] = "" if "NoNewPrivs:\\t1" in status else "yes"
answers["files"] = ",".join(sorted(set(os.listdir()) - {"link", "program.py"}))
answers["processes"] = "" if len([name for name in os.listdir("/proc") if name.isdigit()]) < 9 else "others'"
answers["environment"] = os.environ.get("SECRET", "")
print(json.dumps(answers))
os.kill(-1, signal.SIGKILL)
"""


@pytest.fixture(params=KINDS, ids=lambda kind: sandbox.NAMES[kind])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> sandbox._Kind:
    """Each that works here."""
    kind: sandbox._Kind = request.param
    monkeypatch.setattr(sandbox, "_kinds", lambda: (kind, []))
    return kind


def python(program: str, stdin: str = "", **limits: float) -> Ended:
    job = Job(
        [sys.executable, "-I", "program.py"],
        {"program.py": program},
        stdin,
        PYTHON,
        limits=Limits(**{"seconds": 60, **limits}),  # type: ignore[arg-type]
    )
    return sandbox.run(job)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A port, and a socket's path; under the same path one without a name."""
    path = str(tmp_path / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        for each, address in ((named, path), (unnamed, "\0" + path)):
            each.bind(address)
            each.listen()
        yield tcp.getsockname()[1], path


@needs_sandbox
def test_a_program_runs_with_its_files(kind: sandbox._Kind) -> None:
    program = "import sys; print(open('a/b.txt').read() + sys.stdin.read()); sys.exit(3)"
    job = Job([sys.executable, "-I", "-c", program], {"a/b.txt": "told "}, "more", PYTHON)
    assert sandbox.run(job) == Ended(3, "told more\n")
    assert sandbox.run(Job(["sh", "-c", "kill -9 $$"])).status in (137, -9)


@needs_sandbox
def test_nothing_outside_can_be_reached(
    kind: sandbox._Kind, tmp_path: Path, listening: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "told nobody")
    secret = tmp_path / "secret"
    secret.write_text("told nobody")
    told = {"port": listening[0], "socket": listening[1], "secret": str(secret), "pid": os.getpid()}
    ended = python(TRIES, json.dumps(told), seconds=20)
    answers = json.loads(ended.output.splitlines()[0])
    assert {name: answer for name, answer in answers.items() if answer} == {}
    assert len(answers) > 20 and not ended.good
    assert secret.read_text() == "told nobody"
    assert not [path for path in map(Path, ("/tmp", "/usr", "/", sys.prefix)) if (path / "was_here").exists()]


@needs_sandbox
def test_a_fork_bomb_ends(kind: sandbox._Kind) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: print('no more', flush=True)"
    ended = python(bomb, seconds=2)
    assert ended.broke in ("time", "output", "processes") and not ended.good


@needs_sandbox
def test_no_more_processes_than_allowed(kind: sandbox._Kind) -> None:
    count = "import os, time\ntry:\n    for n in range(999):\n        if not os.fork(): time.sleep(99)\n"
    ended = python(f"{count}except OSError: print(n)", processes=10)
    assert ended.good and 5 <= int(ended.output) <= 10


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        "x = bytearray(3 << 30)",
        "import mmap, os, time\nfor _ in range(40):\n    if not os.fork():\n"
        "        mmap.mmap(-1, 64 << 20).write(bytes(64 << 20))\n        time.sleep(99)\ntime.sleep(99)",
        "import os\nfiles = [os.memfd_create('m') for _ in range(50)]\n"
        "for file in files: os.write(file, bytes(32 << 20))\nimport time; time.sleep(99)",
    ],
    ids=["one process", "many processes", "files without a name"],
)
def test_no_more_memory_than_allowed(kind: sandbox._Kind, program: str) -> None:
    ended = python(program, memory=256 << 20)
    assert ended.broke == "memory" or "MemoryError" in ended.output


@needs_sandbox
def test_a_disk_that_is_full(kind: sandbox._Kind) -> None:
    fill = """\
import os
for n in range(99):
    try:
        with open(f"f{n}", "wb", 0) as file: file.write(bytes(1 << 20))
    except OSError: break
print(sum(os.stat(f).st_blocks * 512 for f in os.listdir()))
"""
    ended = python(fill, disk=8 << 20)
    assert ended.good and 6 << 20 < int(ended.output) <= 8 << 20


@needs_sandbox
def test_a_folder_of_too_many_files(kind: sandbox._Kind) -> None:
    fill = "n = 0\nwhile n < 10**6:\n    open(str(n), 'w').close()\n    n += 1"
    ended = python(fill, files=100)
    assert ended.broke == "files" or "No space left" in ended.output


@needs_sandbox
def test_a_flood_of_words(kind: sandbox._Kind) -> None:
    ended = python("import os\nwhile True: os.write(1, b'x' * 65536)", output=100_000)
    assert ended.broke == "output" and len(ended.output) == 100_000


@needs_sandbox
def test_what_stays_behind_ends_too(kind: sandbox._Kind) -> None:
    name = f"behind-{os.getpid()}"
    behind = (
        f"import subprocess as s\ns.Popen(['sleep', '98765'], start_new_session=True, "
        f"env={{'NAME': '{name}'}}, stdout=s.DEVNULL, stderr=s.DEVNULL)"
    )
    ended = python(behind)
    assert ended.good, ended
    for _ in range(200):
        if not any(_environment(path).count(name) for path in Path("/proc").glob("[0-9]*")):
            return
        time.sleep(0.05)
    pytest.fail("it is still there")


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""


@needs_sandbox
def test_what_never_ends(kind: sandbox._Kind) -> None:
    never = "import signal, time\nfor s in range(1, 60):\n    try: signal.signal(s, signal.SIG_IGN)\n"
    ended = python(f"{never}    except (OSError, ValueError): pass\ntime.sleep(99)", seconds=1.5)
    assert ended.broke == "time"


def test_without_a_sandbox_nothing_runs_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_kinds", lambda: (None, ["bubblewrap isn't installed"]))
    with pytest.raises(Unprotected, match=r"bubblewrap isn't installed.*--unprotected"):
        python("print(1)")
    assert sandbox.protection(unprotected=True) == "none"
    job = Job([sys.executable, "-c", "print(open('a').read())"], {"a": "1"})
    assert sandbox.run(job, unprotected=True) == Ended(0, "1\n")
    never = Job([sys.executable, "-c", "while True: pass"], limits=Limits(1.0))
    assert sandbox.run(never, unprotected=True).broke == "time"


def test_a_sandbox_that_is_there_is_used_even_unprotected(monkeypatch: pytest.MonkeyPatch) -> None:
    if KINDS:
        monkeypatch.setattr(sandbox, "_kinds", lambda: (KINDS[0], []))
        assert sandbox.protection(unprotected=True) in sandbox.NAMES.values()
