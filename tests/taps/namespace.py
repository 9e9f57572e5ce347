"""Run a function of a test in a forked process with user, mount and network namespaces of its own."""

import ctypes
import fcntl
import os
import pickle
import socket
import struct
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.forks import bounded

_SIOCSIFFLAGS = 0x8914
_UP_RUNNING = 0x41


def in_namespace(function: Callable[..., Any], *arguments: Any) -> Any:
    """What *function* returns, or its failure as an AssertionError. Skips where namespaces are forbidden."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child uses none
        pid = os.fork()
    if pid == 0:
        os.close(reader)
        status = 1
        try:
            with open(writer, "wb") as pipe:
                pickle.dump(_attempt(function, arguments), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe, bounded(pid):
        answer = pipe.read()
        os.waitpid(pid, 0)
    assert answer, "the process in the namespace died without a word"
    kind, value = pickle.loads(answer)
    if kind == "refused":
        pytest.skip(f"namespaces are not allowed here: {value}")
    assert kind == "done", value
    return value


def _attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        _enter()
    except OSError as error:
        return "refused", str(error)
    try:
        return "done", function(*arguments)
    except BaseException:
        return "failed", traceback.format_exc()


def _enter() -> None:
    uid, gid = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET | os.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    set_up("lo")


def set_up(interface: str, up: bool = True) -> None:
    """Bring an interface up or down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = _UP_RUNNING if up else 0
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", interface.encode(), flags))


def mount_tmpfs(folder: str, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = 1 if options == "ro" else 0  # MS_RDONLY
    data = None if options == "ro" else options.encode()
    if libc.mount(b"tmpfs", folder.encode(), b"tmpfs", flags, data):
        raise OSError(ctypes.get_errno(), "mount")
