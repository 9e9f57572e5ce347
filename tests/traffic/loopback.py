"""A real agent in a network namespace of its own, whose hosts are loopback addresses: run as ``python -m … FD``.

Client and backends share it, so that the tests of traffic need no lab and no free ports.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
import tempfile
from importlib import import_module

HOSTS = "127.0.0.1 localhost alice\n127.0.0.11 api1 # a backend\n127.0.0.12 api2\n127.0.0.99 silent\n::1 ip6-api1\n"
SIOCSIFFLAGS, IFF_UP, MS_BIND = 0x8914, 1, 4096


def enter() -> None:
    """New user, network and mount namespaces, with lo up and `HOSTS` for a hosts file."""
    uid, gid = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET | os.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    with tempfile.NamedTemporaryFile("w", suffix="hosts") as file:
        file.write(HOSTS)
        file.flush()
        os.chmod(file.name, 0o644)
        if ctypes.CDLL(None, use_errno=True).mount(file.name.encode(), b"/etc/hosts", None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), "cannot mount the hosts file")


def main(number: int) -> None:
    enter()
    from labkit.runtime.agent.serve import Agent
    from labkit.traffic import PRELOAD

    for name in PRELOAD:
        import_module(name)
    Agent(socket.socket(fileno=number), "loopback").serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
