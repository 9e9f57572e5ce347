"""What the kernel offers about processes and Python's os module lacks: user maps, death signals, mounts.

Elsewhere than on Linux this can be imported, and nothing more: where the runtime is refused, it is imported first.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

_SYS_MOUNT_SETATTR = 442  # the same on every architecture; Linux 5.12
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1

_PR_SET_PDEATHSIG = 1


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). OSError with the target's name."""
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def set_read_only(target: str, read_only: bool) -> None:
    """mount_setattr(2) for *target* and everything mounted below it. OSError with the target's name."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY * read_only, _MOUNT_ATTR_RDONLY * (not read_only), 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def set_hostname(name: str) -> None:
    """Host name in this process's UTS namespace."""
    encoded = name.encode()
    if _libc.sethostname(encoded, len(encoded)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def refused_by_filter() -> list[str]:
    """Calls of a lab that a seccomp filter refuses to this process, whatever its rights.

    Each is made so that it does nothing, and that the kernel by itself never answers EPERM.
    """
    nothing = ctypes.c_void_p(None)
    trials: dict[str, Callable[[], int]] = {
        "unshare": lambda: _libc.unshare(0),
        "mount": lambda: _libc.mount(nothing, nothing, nothing, ctypes.c_ulong(0), nothing),
        "mount_setattr": lambda: _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR), ctypes.c_int(-1), nothing, ctypes.c_uint(0), nothing, ctypes.c_size_t(0)
        ),
        "setns": lambda: _libc.setns(-1, os.CLONE_NEWNET),
    }
    return [name for name, trial in trials.items() if trial() != 0 and ctypes.get_errno() == errno.EPERM]


def die_with_parent(signal_number: int) -> None:
    """Get *signal_number* when the parent's spawning thread ends; only for single-threaded parents."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def isolate() -> bool:
    """Namespaces around the lab: users, mounts, and process ids from the next child on.

    False where user namespaces are refused and the caller has the right to do without one.
    """
    around = os.CLONE_NEWNS | os.CLONE_NEWPID
    try:
        enter_user_namespace()
    except OSError as refusal:
        if not _mapped():
            raise  # in a user namespace already, but nobody there
        try:
            os.unshare(around)
        except PermissionError:
            raise refusal from None
        return False
    os.unshare(around)
    return True


def settle(*, in_user_namespace: bool) -> None:
    """Namespaces that the lab lives in: mounts, network, host name, IPC.

    With a user namespace of their own the mounts made so far are locked (mount_namespaces(7)): nobody in it, whatever
    its rights there, can undo one and see what lies beneath.
    """
    if in_user_namespace:
        enter_user_namespace()
    os.unshare(os.CLONE_NEWNS | os.CLONE_NEWNET | os.CLONE_NEWUTS | os.CLONE_NEWIPC)


def enter_user_namespace() -> None:
    """Become uid 0 of a new user namespace; root keeps every id, an ordinary user has just its own."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _enter_keeping_every_id()
        return
    os.unshare(os.CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")


def _enter_keeping_every_id() -> None:
    """A map of more than one's own id has to be written from outside the new namespace: by a child that stays there."""
    maps = {name: _identity(Path("/proc/self", name).read_text()) for name in ("uid_map", "gid_map")}
    go_read, go_write = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(go_write)
        try:
            if os.read(go_read, 1):
                for name, text in maps.items():
                    _write(f"/proc/{parent}/{name}", text)
        finally:
            os._exit(0)
    os.close(go_read)
    try:
        os.unshare(os.CLONE_NEWUSER)
        os.write(go_write, b"g")
    finally:
        os.close(go_write)
        os.waitpid(child, 0)
    if not _mapped():
        raise PermissionError(errno.EPERM, "the user map could not be written")


def _mapped() -> bool:
    """Whether this process is anybody in its user namespace."""
    return bool(Path("/proc/self/uid_map").read_text() and Path("/proc/self/gid_map").read_text())


def _identity(outer: str) -> str:
    """The same ids inside as outside, for every range that the outer map has."""
    ranges = (line.split() for line in outer.splitlines())
    return "\n".join(f"{start} {start} {count}" for start, _, count in ranges) + "\n"


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
