"""Goes into Linux namespaces and runs a command there; a program of its own that needs nothing but Python.

    python -I -S jail.py '{"command": [...], "root": ..., ...}'

sandbox.py says what for. Every step raises where it fails, and then nothing is run. The exit status is the
command's, or 128 and the signal that ended it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
import warnings  # noqa: F401  os.execvp imports it where there are no modules any more

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes its time
    from collections.abc import Callable
    from typing import Any, NoReturn

# <linux/sched.h>, <sys/mount.h>, <linux/prctl.h>
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
ALONE = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
FIXED = MS_RDONLY | MS_NOSUID | MS_NODEV

libc = ctypes.CDLL(None, use_errno=True)


def main(told: dict[str, Any]) -> NoReturn:
    is_root = os.geteuid() == 0
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    write("/proc/self/oom_score_adj", "1000")
    if is_root:
        call("unshare", ALONE)
    else:
        unshare_user(ALONE)
    # The first process of the new process namespace: all others in it end with it.
    leave_with(forked(lambda: inside(told, is_root)))


def inside(told: dict[str, Any], is_root: bool) -> NoReturn:
    enter(told)
    if is_root:
        become(told["user"])
    else:
        write("/proc/sys/user/max_user_namespaces", "0")
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    capability = 0
    while libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    # Whoever changes user loses this one.
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    child = forked(lambda: command(told))
    call("prctl", PR_SET_DUMPABLE, 0)
    leave_with(child)


def command(told: dict[str, Any]) -> NoReturn:
    for name, value in told["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.execvp(told["command"][0], told["command"])  # noqa: S606


def enter(told: dict[str, Any]) -> None:
    """A root of its own: the folders read-only, few devices, its own processes, and its own folder."""
    root, own = told["root"], told["own"]
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.chdir(root)
    for name in ("proc", "tmp", "dev", "old", own[1:]):
        os.mkdir(name)
    for folder in told["folders"]:
        show(folder)
    read_only(root)
    for device in told["devices"]:
        show(f"/dev/{device}")
    size = f"size={told['disk']},nr_inodes={told['files']},mode=755"
    mount("none", own[1:], "tmpfs", MS_NOSUID | MS_NODEV, size)
    os.chown(own[1:], told["user"], told["user"])
    copy(told["given"], own[1:], told["user"])
    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    call("pivot_root", b".", b"old")
    os.chdir("/")
    call("umount2", b"old", MNT_DETACH)
    os.rmdir("old")
    mount(None, "/", None, MS_REMOUNT | MS_BIND | FIXED)
    os.chdir(own)


def show(path: str) -> None:
    """What is at the path outside, at the same path below the working directory."""
    here = path[1:]
    os.makedirs(os.path.dirname(here) or ".", exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), here)
    elif os.path.isdir(path):
        os.makedirs(here, exist_ok=True)
        mount(path, here, None, MS_BIND | MS_REC)
    else:
        os.close(os.open(here, os.O_CREAT | os.O_WRONLY))
        mount(path, here, None, MS_BIND)


def read_only(root: str) -> None:
    """All that is mounted below it."""
    with open("/proc/self/mountinfo") as lines:
        places = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for place in places:
        if place.startswith(root + "/"):
            mount(None, place, None, MS_REMOUNT | MS_BIND | FIXED)


def copy(source: str, target: str, user: int) -> None:
    for entry in os.scandir(source):
        path = os.path.join(target, entry.name)
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            os.mkdir(path)
            copy(entry.path, path, user)
        else:
            with open(entry.path, "rb") as read, open(path, "wb") as write:
                write.write(read.read())
        os.chown(path, user, user)


def become(user: int) -> None:
    """A user that owns nothing, and can't make namespaces, in which it would have more rights."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    call("prctl", PR_SET_DUMPABLE, 1)
    try:
        unshare_user(0)
    except OSError:
        return  # it may make none anyway
    write("/proc/sys/user/max_user_namespaces", "0")


def unshare_user(more: int) -> None:
    """Root of a new user namespace, and there alone."""
    user, group = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER | more)
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"0 {user} 1")
    write("/proc/self/gid_map", f"0 {group} 1")


def forked(work: Callable[[], NoReturn]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(125)
    return child


def leave_with(child: int) -> NoReturn:
    """Wait for the child, and for all that are left to this process until then; end as it did."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [text and text.encode() for text in (source, target, kind, options)]
    call("mount", *texts[:3], ctypes.c_ulong(flags), texts[3], what=target)


def call(name: str, *arguments: object, what: str = "") -> None:
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {what}: {os.strerror(number)}")


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.exit(f"{error}")
