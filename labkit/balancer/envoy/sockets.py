"""Ends a process's own TCP connections from outside it, with a reset."""

import contextlib
import os
import socket
from collections.abc import Collection
from ipaddress import ip_address

from labkit.balancer import sock_diag


def reset(pid: int, addresses: Collection[str]) -> int:
    """Reset the connections that process *pid* has to one of *addresses*; how many those were.

    The peer gets a RST, the process an error. EngineError where the kernel cannot do it.
    """
    wanted = {str(ip_address(address)) for address in addresses}
    own = _inodes(pid)
    count = 0
    with sock_diag.opened() as kernel:
        for family in (socket.AF_INET, socket.AF_INET6):
            for one in [*sock_diag.listed(kernel, family)]:
                if one.inode in own and one.remote[0] in wanted:
                    count += sock_diag.destroy(kernel, one)
    return count


def _inodes(pid: int) -> set[int]:
    """The sockets that a process has open."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            kind, _, inode = os.readlink(f"/proc/{pid}/fd/{name}").partition(":")
            if kind == "socket":
                found.add(int(inode.strip("[]")))
    return found
