"""The TCP sockets of this network namespace, as the kernel lists them (see sock_diag(7)); no library of ours speaks it.

`listed` says where each leads, how many bytes of buffers the kernel holds for it, and whose it is by its inode.
`destroy` ends one with a reset.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from labkit.errors import EngineError

_SOCK_DIAG, _BY_FAMILY, _DESTROY = 4, 20, 21
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_STATES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8  # established, both FIN-WAITs, CLOSE-WAIT
_MEMORY = 7  # INET_DIAG_SKMEMINFO
_HELD = (
    0,
    2,
    4,
    5,
    6,
    7,
)  # of its numbers those that say what is held: received, sent, forward, queued, options, backlog
_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI")  # family, protocol, extensions, states; then the socket
_ID = struct.Struct("=HH16s16sI8s")  # ports, addresses, interface, cookie
_FOUND = struct.Struct("=BBBB48sIIIII")  # family, state, timer, retransmissions, socket, ..., inode
_ATTRIBUTE = struct.Struct("=HH")
End = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Tcp:
    """One connection's socket. identity: what the kernel knows it by. held: bytes of its buffers in the kernel."""

    family: int
    identity: bytes
    inode: int
    local: End
    remote: End
    held: int


def opened() -> socket.socket:
    """A socket to ask the kernel by, of this namespace."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG)
    kernel.settimeout(3)
    return kernel


def listed(kernel: socket.socket, family: int) -> Iterator[Tcp]:
    """Every TCP connection of *family* here. EngineError where the kernel does not say."""
    kernel.send(_message(_BY_FAMILY, _REQUEST | _DUMP, family, bytes(_ID.size), 1 << (_MEMORY - 1)))
    while True:
        for kind, body in _messages(kernel.recv(1 << 18)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise EngineError(f"The kernel does not list its sockets ({os.strerror(_number(body))}).")
            yield _socket(family, body)


def destroy(kernel: socket.socket, one: Tcp) -> bool:
    """End it with a reset; False if it has ended meanwhile. EngineError where the kernel cannot do it."""
    kernel.send(_message(_DESTROY, _REQUEST | _ACK, one.family, one.identity))
    for kind, body in _messages(kernel.recv(1 << 16)):
        if kind == _ERROR and (number := _number(body)):
            if number == errno.ENOENT:
                return False
            raise EngineError(
                f"The kernel does not reset another process's connections ({os.strerror(number)}; it needs "
                "CONFIG_INET_DIAG_DESTROY): drain the backend instead, or use l7(engine='mitmproxy')."
            )
    return True


def weighed() -> list[list[str | int]]:
    """Run in the node: the ends of every TCP connection there, its own first, and the bytes held, in one list each."""
    with opened() as kernel:
        every = [one for family in (socket.AF_INET, socket.AF_INET6) for one in [*listed(kernel, family)]]
    return [[*one.local, *one.remote, one.held] for one in every]


def _socket(family: int, body: bytes) -> Tcp:
    fields = _FOUND.unpack_from(body)
    length = 4 if family == socket.AF_INET else 16
    _, _, source, destination, _, _ = _ID.unpack(fields[4])
    ports = struct.unpack_from("!HH", fields[4])
    ends = [(str(ip_address(raw[:length])), port) for raw, port in zip((source, destination), ports, strict=True)]
    return Tcp(family, fields[4], fields[9], ends[0], ends[1], _held(body[_FOUND.size :]))


def _held(attributes: bytes) -> int:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, offset)
        if kind == _MEMORY:
            numbers = struct.unpack_from(f"={(length - _ATTRIBUTE.size) // 4}I", attributes, offset + _ATTRIBUTE.size)
            return sum(numbers[place] for place in _HELD if place < len(numbers))
        offset += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return 0


def _message(kind: int, flags: int, family: int, identity: bytes, extensions: int = 0) -> bytes:
    body = _ASKED.pack(family, socket.IPPROTO_TCP, extensions, _STATES) + identity
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _number(body: bytes) -> int:
    return -int(struct.unpack_from("=i", body)[0])
