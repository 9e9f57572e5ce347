"""Ends a process's own TCP connections from outside it, with a reset (SOCK_DESTROY, see sock_diag(7))."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import ip_address

from labkit.errors import EngineError

_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_STATES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8  # established, both FIN-WAITs, CLOSE-WAIT
_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI")  # family, protocol, extensions, states; then the socket
_ID = struct.Struct("=2s2s16s16sI8s")  # ports, addresses, interface, cookie
_FOUND = struct.Struct("=BBBB48sIIIII")  # family, state, timer, retransmissions, socket, ..., inode


def reset(pid: int, addresses: Collection[str]) -> int:
    """Reset the connections that process *pid* has to one of *addresses*; how many those were.

    The peer gets a RST, the process an error. EngineError where the kernel cannot do it.
    """
    wanted = {ip_address(address).packed for address in addresses}
    own = _inodes(pid)
    count = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
        kernel.settimeout(3)
        for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            found = [*_listed(kernel, family)]
            for identity, inode in found:
                if inode in own and _ID.unpack(identity)[3][:length] in wanted:
                    count += _destroy(kernel, family, identity)
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


def _listed(kernel: socket.socket, family: int) -> Iterator[tuple[bytes, int]]:
    """Every TCP connection here: what the kernel knows it by, and its inode."""
    kernel.send(_message(_BY_FAMILY, _REQUEST | _DUMP, family, bytes(_ID.size)))
    while True:
        for kind, body in _messages(kernel.recv(1 << 18)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise _refused(_number(body))
            fields = _FOUND.unpack_from(body)
            yield fields[4], fields[9]


def _destroy(kernel: socket.socket, family: int, identity: bytes) -> bool:
    kernel.send(_message(_DESTROY, _REQUEST | _ACK, family, identity))
    for kind, body in _messages(kernel.recv(1 << 16)):
        if kind == _ERROR and (number := _number(body)):
            if number == errno.ENOENT:
                return False  # it has ended meanwhile
            raise _refused(number)
    return True


def _message(kind: int, flags: int, family: int, identity: bytes) -> bytes:
    body = _ASKED.pack(family, socket.IPPROTO_TCP, 0, _STATES) + identity
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _number(body: bytes) -> int:
    return -int(struct.unpack_from("=i", body)[0])


def _refused(number: int) -> EngineError:
    return EngineError(
        f"The kernel does not reset another process's connections ({os.strerror(number)}; it needs "
        "CONFIG_INET_DIAG_DESTROY): drain the backend instead, or use l7(engine='mitmproxy')."
    )
