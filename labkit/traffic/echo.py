"""TCP and UDP echo: each piece received is answered with one line (or datagram) of JSON saying who got what from whom.

{"backend": name, "peer": [ip, port], "data": str, "encoding": "text" or "base64"}. A UDP answer leaves from the
address the datagram was sent to, which need not be the one a plain socket would choose.
"""

import asyncio
import contextlib
import errno
import json
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from labkit.traffic.answers import as_text

PIECE = 65536
LINES = re.compile(rb"[^\n]*\n|[^\n]+")
CONTROL = socket.CMSG_SPACE(20)
PACKET_INFO = {socket.IPPROTO_IP: socket.IP_PKTINFO, socket.IPPROTO_IPV6: socket.IPV6_PKTINFO}


def answer(backend: str, peer: Any, data: bytes) -> bytes:
    """The JSON answer to *data*, without a line end."""
    text, encoding = as_text(data)
    return json.dumps({"backend": backend, "peer": list(peer[:2]), "data": text, "encoding": encoding}).encode()


class TcpEcho:
    """Serves TCP connections: an answer for every line, and for what is left of a piece without a line end."""

    def __init__(self, backend: str, pause: Callable[[], Awaitable[None]]) -> None:
        self._backend = backend
        self._pause = pause

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        try:
            while data := await reader.read(PIECE):
                await self._pause()
                lines = LINES.findall(data)
                writer.write(b"".join(answer(self._backend, peer, line) + b"\n" for line in lines))
                await writer.drain()
        except OSError:
            return  # the client has gone: nothing is left to answer
        finally:
            writer.close()


class UdpEcho:
    """Serves one UDP socket (see `labkit.traffic.sockets`: it must report where a datagram was sent to)."""

    def __init__(self, backend: str, sock: socket.socket, delay: Callable[[], float]) -> None:
        self._backend = backend
        self._sock = sock
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    def _read(self) -> None:
        try:
            data, control, _, peer = self._sock.recvmsg(PIECE, CONTROL)
        except OSError:
            return  # an ICMP error for an earlier answer: the client has gone
        reply = answer(self._backend, peer, data)
        self._loop.call_later(self._delay(), self._send, reply, _from_same_address(control), peer)

    def _send(self, reply: bytes, control: list[tuple[int, int, bytes]], peer: Any) -> None:
        with contextlib.suppress(OSError):  # the way back is gone: UDP has nobody to tell
            try:
                self._sock.sendmsg([reply], control, 0, peer)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                too_long = {"backend": self._backend, "peer": list(peer[:2]), "error": "the answer is too long for UDP"}
                self._sock.sendmsg([json.dumps(too_long).encode()], control, 0, peer)


def _from_same_address(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Control data that sends from the address given in *control*: the same, but through any interface."""
    same = []
    for level, kind, value in control:
        if PACKET_INFO.get(level) == kind:
            is_v4 = level == socket.IPPROTO_IP  # in_pktinfo: index, local, destination; in6_pktinfo: address, index
            same.append((level, kind, bytes(4) + value[8:12] + bytes(4) if is_v4 else value[:16] + bytes(4)))
    return same
