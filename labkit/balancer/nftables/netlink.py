"""Netlink messages to and from the kernel's netfilter: packing, unpacking, transactions, dumps.

Only what this engine needs, over a plain AF_NETLINK socket (see docs/decisions/0003-netlink.md). What the
attributes mean is left to the modules that use them.

The kernel handles a message while it is being sent, so every answer is in the socket's queue when `send`
returns: nothing here ever waits for an answer that might not come.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import errorcode
from typing import Self

from labkit.errors import EngineError

NETLINK_NETFILTER = 12
SOL_NETLINK, ADD_MEMBERSHIP, CAP_ACK, EXT_ACK = 270, 1, 10, 11
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
REQUEST, ACK, DUMP, CREATE, APPEND = 0x1, 0x4, 0x300, 0x400, 0x800
DUMP_INTERRUPTED, CAPPED, EXT_ACK_ATTRIBUTES = 0x10, 0x100, 0x200
ERROR, DONE = 2, 3
BATCH_BEGIN, BATCH_END = 16, 17
NFTABLES = 10  # the subsystem; the high byte of a message's type
NESTED = 0x8000

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
FAMILY = struct.Struct("!BBH")  # address family, version, resource id
ATTRIBUTE = struct.Struct("=HH")  # length with this header, type
BODY = HEADER.size + FAMILY.size  # offset of a message's first attribute


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes. struct.error if the payload is over 65,531 bytes."""
    return ATTRIBUTE.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def u32(kind: int, number: int) -> bytes:
    """A number in network byte order; negative ones as two's complement."""
    return attribute(kind, struct.pack("!I", number & 0xFFFFFFFF))


def u64(kind: int, number: int) -> bytes:
    return attribute(kind, struct.pack("!Q", number))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in *data*: (type without its flag bits, payload)."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def as_int(data: bytes) -> int:
    """A number in network byte order, of any length."""
    return int.from_bytes(data, "big")


def as_text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Message:
    """One request. *label* says in words what it is, for the error that may come back."""

    kind: int  # subsystem << 8 | message
    family: int
    payload: bytes
    label: str
    flags: int = 0
    resource: int = 0

    def pack(self, sequence: int) -> bytes:
        """The bytes to send."""
        body = FAMILY.pack(self.family, 0, self.resource) + self.payload
        return HEADER.pack(HEADER.size + len(body), self.kind, self.flags | REQUEST, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages in what was received: (type, flags, sequence, the bytes after the netlink header)."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def refusal(flags: int, body: bytes) -> tuple[int, str]:
    """An error message's number (0: it is an acknowledgement) and the kernel's words, if it sent any."""
    (number,) = struct.unpack_from("=i", body)
    words = ""
    if flags & EXT_ACK_ATTRIBUTES:
        (request,) = struct.unpack_from("=I", body, 4)
        start = 4 + (HEADER.size if flags & CAPPED else (request + 3) & ~3)
        words = next((as_text(value) for kind, value in attributes(body[start:]) if kind == 1), "")
    return -number, words


class Netlink:
    """A socket to netfilter in the network namespace of the moment it is made. Not thread-safe."""

    def __init__(self, receive_buffer: int = 8 << 20) -> None:
        try:
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        except OSError as error:
            raise EngineError(f"This kernel gives no netfilter socket ({error.strerror}); load nf_tables.") from error
        self._room(SO_SNDBUFFORCE, socket.SO_SNDBUF, 8 << 20)
        self._room(SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        self.socket.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        self.socket.bind((0, 0))
        self.socket.setblocking(False)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self.socket.close()

    def _room(self, force: int, ask: int, size: int) -> None:
        """A buffer of *size* bytes, or without root as much as the machine allows everybody."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, force, size)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, ask, size)

    def join(self, group: int) -> None:
        """Receive what the kernel sends to a multicast group."""
        self.socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)

    @property
    def port(self) -> int:
        """The address the kernel gave this socket, as in /proc/net/netlink."""
        return int(self.socket.getsockname()[0])

    def commit(self, requests: Sequence[Message]) -> None:
        """All of *requests* as one transaction of nftables: either every one takes effect, or none.

        EngineError names the first request the kernel refused, and why.
        """
        batch = [
            Message(BATCH_BEGIN, 0, b"", "the transaction", resource=NFTABLES),
            *requests,
            Message(BATCH_END, 0, b"", "the end of the transaction", resource=NFTABLES),
        ]
        first = self._sequence + 1
        self._sequence += len(batch)
        answers: dict[int, tuple[int, str]] = {}
        self._send(b"".join(message.pack(first + place) for place, message in enumerate(batch)))
        for kind, flags, sequence, body in self._received():
            if kind == ERROR and 0 <= sequence - first < len(batch):
                answers[sequence - first] = refusal(flags, body)
        # The transaction's own refusal (place 0) is about the whole; a member's says more.
        refused = [place for place, (number, _) in answers.items() if number]
        if refused:
            place = min(refused, key=lambda place: (place == 0, place))
            number, words = answers[place]
            raise EngineError(_refused(batch[place].label, number, words))

    def dump(self, request: Message) -> list[bytes]:
        """Everything the kernel lists in answer to *request*: each message's family header and attributes.

        InterruptedError if the rules changed meanwhile: ask again. EngineError if the kernel refuses.
        """
        self._sequence += 1
        self._send(request.pack(self._sequence))
        found: list[bytes] = []
        for kind, flags, sequence, body in self._received():
            if sequence != self._sequence:
                continue
            if flags & DUMP_INTERRUPTED:
                raise InterruptedError(request.label)
            if kind == DONE:
                break
            if kind == ERROR:
                number, words = refusal(flags, body)
                if number:
                    raise EngineError(_refused(request.label, number, words))
                break
            found.append(body)
        return found

    def _send(self, data: bytes) -> None:
        with suppress(BlockingIOError):  # answers nobody read, of a request that failed half-way
            while True:
                self.socket.recv(1 << 16)
        try:
            self.socket.sendto(data, (0, 0))
        except OSError as error:
            raise EngineError(
                f"The kernel takes no {len(data)} bytes of rules in one transaction ({error.strerror}); "
                "forward fewer listeners or to fewer backends, or raise net.core.wmem_max."
            ) from error

    def _received(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Every message that is in the queue; reading part of a dump makes the kernel queue the next part."""
        while True:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError as error:
                raise EngineError(f"Netfilter's answer was lost: {error.strerror}; ask again.") from error
            yield from messages(data)


def _refused(label: str, number: int, words: str) -> str:
    reason = f"{os.strerror(number)} ({errorcode.get(number, number)}{': ' + words if words else ''})"
    return f"The kernel refuses {label}: {reason}. The rules that were in force stay in force."
