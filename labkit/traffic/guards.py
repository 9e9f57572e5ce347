"""Ports held for packets crafted by hand, so that the host's own kernel does not answer what is not its own.

The kernel knows nothing of a SYN that was sent past it, so it would answer the SYN-ACK with RST (RFC 9293 §3.10.7.1),
and a datagram with "port unreachable". A listening TCP socket, or a bound UDP one, takes the packets in its stead, and
a socket filter that keeps 0 bytes of each drops them before anything is answered. Captures see them all the same.
Where the kernel keeps filters of TCP from a host that may not administer its network, as in a container, the listening
socket asks for signatures (RFC 2385) that nobody makes: what comes without one is dropped as silently.

Runs inside nodes. A guard stays for `KEPT` seconds after its last use: in a handshake made by hand, cell by cell, the
other side sends its SYN-ACK again and again meanwhile.
"""

import ctypes
import errno
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.traffic.failure import Failure
from labkit.traffic.packet_ends import TCP, UDP, Ends
from labkit.traffic.routing import Address
from labkit.traffic.sockets import allow_many_files

KEPT = 120.0
MOST = 2_000
_KINDS = {TCP: ("TCP", socket.SOCK_STREAM), UDP: ("UDP", socket.SOCK_DGRAM)}
_ATTACH_FILTER = 26
_RETURN = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: keep 0 bytes
_TIME_WAIT = "06"
_MD5_OF_ANY, _BY_PREFIX = 32, 1  # TCP_MD5SIG_EXT, TCP_MD5SIG_FLAG_PREFIX: here of length 0, so for everybody
_MD5 = struct.Struct("=H126xBBHI80s")  # struct tcp_md5sig

Place = tuple[int, Address, int]
"""protocol, local address, local port"""


@dataclass(slots=True)
class _Guard:
    sock: socket.socket
    used: float


class Guards:
    """The ports held in this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Place, _Guard] = {}
        self._timer: threading.Timer | None = None

    def hold(self, sent: Iterable[Ends]) -> None:
        """Hold the local ports that *sent* come from. Failure, with nothing sent yet, if one is in use."""
        wanted: dict[Place, Ends] = {}
        for ends in sent:
            if ends.proto in _KINDS and ends.sport and not ends.source.is_unspecified:
                wanted.setdefault((ends.proto, ends.source, ends.sport), ends)
        if len(wanted) > MOST:
            raise Failure("too many ports", f"{len(wanted)} source ports, over the {MOST} that can be held: use fewer")
        allow_many_files()
        with self._lock:
            now = time.monotonic()
            self._end_before(now - KEPT)
            for place, ends in wanted.items():
                if place in self._held:
                    self._held[place].used = now
                elif (sock := _guard(place, ends)) is not None:
                    self._held[place] = _Guard(sock, now)
            self._end_oldest(len(self._held) - MOST)
            self._rewind()

    def __len__(self) -> int:
        return len(self._held)

    def _end_oldest(self, many: int) -> None:
        if many > 0:
            for place in sorted(self._held, key=lambda place: self._held[place].used)[:many]:
                self._held.pop(place).sock.close()

    def _end_before(self, when: float) -> None:
        for place in [place for place, guard in self._held.items() if guard.used < when]:
            self._held.pop(place).sock.close()

    def _rewind(self) -> None:
        """Look again when the last of them may have come to its end."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._held:
            self._timer = threading.Timer(KEPT, self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        with self._lock:
            self._end_before(time.monotonic() - KEPT)
            self._rewind()


guards = Guards()


def _guard(place: Place, ends: Ends) -> socket.socket | None:
    """A socket that takes and drops what comes for *place*; None where the address is not this host's.

    None also if the kernel itself has the very connection: it will not be surprised by an answer.
    """
    proto, address, port = place
    name, kind = _KINDS[proto]
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, kind)
    try:
        drop_all(sock)  # before it listens: nothing comes through in between
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((str(address), port))
        if kind == socket.SOCK_STREAM:
            sock.listen(1)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return None
        if error.errno == errno.EADDRINUSE and _connected(name, ends):
            return None
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                "port in use",
                f"{name} port {port} of {address} is in use by a connection or a server of this host, so its kernel "
                "would meddle with the answers: choose another sport",
            ) from error
        if error.errno == errno.EACCES:
            raise Failure(
                "port refused", f"{name} port {port} may not be used here: choose a sport above 1023"
            ) from error
        raise
    return sock


def drop_all(sock: socket.socket) -> None:
    """Have the kernel drop every packet that arrives for *sock*."""
    code = ctypes.create_string_buffer(_RETURN)
    program = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", 1, ctypes.addressof(code))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
    except PermissionError:
        if sock.type != socket.SOCK_STREAM:
            raise
        want_signatures(sock)


def want_signatures(sock: socket.socket) -> None:
    """Have the kernel drop every segment that comes for a TCP socket, which listens later, without a signature."""
    key = secrets.token_bytes(16)
    wanted = _MD5.pack(sock.family, _BY_PREFIX, 0, len(key), 0, key)
    sock.setsockopt(socket.IPPROTO_TCP, _MD5_OF_ANY, wanted)


def _connected(name: str, ends: Ends) -> bool:
    """Whether the kernel has a connection with these very ends."""
    wanted = tuple(f"{_hex(address)}:{port:04X}" for address, port in _places(ends))
    for table in (name.lower(), f"{name.lower()}6"):
        path = Path("/proc/self/net", table)
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) == wanted and fields[3] != _TIME_WAIT:
                return True
    return False


def _places(ends: Ends) -> tuple[tuple[Address, int], tuple[Address, int]]:
    return (ends.source, ends.sport or 0), (ends.target, ends.dport or 0)


def _hex(address: Address) -> str:
    """An address as /proc/net writes it: words of 4 bytes in this machine's order."""
    packed = address.packed
    return "".join(f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, len(packed), 4))
