"""Runs a program without what Python has on Linux alone: ``python -m tests.runtime.not_linux MODULE ARGUMENT ...``.

What cannot be made up is macOS's own (kqueue in epoll's place, say); polling stands in. Third-party packages keep
``sys.platform``, by which they choose their files; ``/proc`` and ``/sys`` are missing for labkit's own files alone.
"""

import ctypes
import os
import resource
import runpy
import select
import selectors
import signal
import socket
import sys
import time
from types import ModuleType
from typing import Any

import psutil  # noqa: F401  # these two look at this machine, on each system in a way of their own
import scapy.layers.inet  # noqa: F401

_LINUX: dict[ModuleType, tuple[str, ...]] = {  # names, and beginnings of names
    os: (
        *("eventfd", "EFD_", "unshare", "setns", "CLONE_", "pidfd_open", "PIDFD_", "P_PIDFD", "memfd_create", "MFD_"),
        *("pipe2", "splice", "SPLICE_", "sched_getaffinity", "sched_setaffinity", "sched_setscheduler", "timerfd_"),
        *("TFD_", "O_PATH", "O_DIRECT", "O_NOATIME", "getrandom", "GRND_", "copy_file_range"),
        *("posix_fadvise", "posix_fallocate", "getresuid", "setresuid", "getxattr", "setxattr", "listxattr"),
    ),
    socket: (
        *("AF_PACKET", "PF_PACKET", "PACKET_", "AF_NETLINK", "NETLINK_", "AF_VSOCK", "AF_ALG", "SO_PEERCRED"),
        *("SO_BINDTODEVICE", "SO_MARK", "SO_DOMAIN", "SO_PROTOCOL", "SOCK_CLOEXEC", "SOCK_NONBLOCK"),
        *("MSG_CMSG_CLOEXEC", "MSG_ERRQUEUE", "TCP_QUICKACK", "TCP_USER_TIMEOUT", "TCP_DEFER_ACCEPT"),
    ),
    signal: ("pidfd_send_signal", "sigwaitinfo", "sigtimedwait", "SIGPWR", "SIGRTMIN", "SIGRTMAX"),
    select: ("epoll", "EPOLL"),
    resource: ("prlimit", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE"),
    time: ("CLOCK_BOOTTIME", "CLOCK_TAI"),
}
_CALLS = frozenset(("prctl", "mount", "unshare", "setns", "syscall", "mount_setattr"))
_LOOKS = frozenset(("open", "os.listdir", "os.scandir"))


def take_away() -> None:
    """For good, from this process."""
    for module, names in _LINUX.items():
        for name in [name for name in vars(module) if name.startswith(names)]:
            delattr(module, name)
    del selectors.EpollSelector
    selectors.DefaultSelector = selectors.PollSelector
    sys.modules["envoy"] = None  # type: ignore[assignment]  # there are wheels for Linux alone
    ctypes.CDLL = _Library  # type: ignore[misc]
    sys.addaudithook(_refuse)


class _Library(ctypes.CDLL):
    """A library without the system calls of Linux."""

    def __getattr__(self, name: str) -> Any:
        if name in _CALLS:
            raise AttributeError(f"there is no {name}")
        return super().__getattr__(name)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: what labkit itself opens below /proc and /sys is not there."""
    if event in _LOOKS and str(arguments[0]).startswith(("/proc", "/sys/")):
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename.startswith((os.path.dirname(os.__file__), "<frozen")):
            if "site-packages" in frame.f_code.co_filename:
                return
            frame = frame.f_back
        if frame.f_globals.get("__name__", "").startswith("labkit."):
            raise FileNotFoundError(2, "not on this system", arguments[0])


if __name__ == "__main__":
    take_away()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__")
