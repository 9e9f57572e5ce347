"""Cuts the flows that are passed on to some backends directly, and only those: both of their ends get a reset.

No connection tracking knows them, and lb never sees the backends' answers. First their flows are forgotten, so that
what the clients send is passed on no longer: it comes to lb itself, whose kernel answers it with the reset that fits.
Each client is sent one ACK out of nowhere, for the sake of its answer (RFC 9293 §3.10.7.4). What it sends carries the
sequence number that the backend expects: from it the backend's reset is made, as from the client (RFC 5961 §3). Lest
that number be wrong by what was under way, the backend is sent an ACK too: its answer reaches the client over the
router, and the client, which has been reset, answers with a reset that fits; that is handed on in the same way.
"""

import select
import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from . import segments
from .direct import ETHERTYPES, FAMILIES, Place
from .neighbours import macs
from .netlink import Netlink
from .passed import Passed, forget, passed
from .values import Family

ROUNDS, PATIENCE, AFTERWARDS = 2, 0.3, 0.02  # an end answers such an ACK twice a second at most; seconds
SWEEPS = 3  # of the maps: a flow may move from one to another while they are read
ROOM = 1 << 20  # bytes of packets that wait to be looked at
End = tuple[str, int, int]  # the client's address and port, and the listener's port


def cut_passed(
    netlink: Netlink, vips: Sequence[str | None], place: Place, addresses: Collection[str]
) -> dict[str, int]:
    """Forget what is passed on to *addresses*, and reset it. The counts are those of `cut.cut`.

    All are cut; those are counted that their clients have not begun to end, and do not know for over.
    """
    names = {backend.name for backend in place.backends if {backend.address4, backend.address6} & {*addresses}}
    tcp: dict[End, Passed] = {}
    udp: set[End] = set()
    with _Ends(place) as ends:
        for _ in range(SWEEPS):
            found = [flow for flow in passed(netlink, vips, place) if flow.backend in names]
            if not found:
                break
            tcp |= {_end(flow): flow for flow in found if flow.protocol == "TCP"}
            udp |= {_end(flow) for flow in found if flow.protocol == "UDP"}
            forget(netlink, found)
        heard = _tell(ends, tcp) if tcp else {}
    counted = [end for end, flow in tcp.items() if flow.state == "OPEN" and not heard.get(end)]
    return {"connections": len(counted), "told": sum(end in heard for end in counted), "udp": len(udp)}


def _tell(ends: "_Ends", doomed: Mapping[End, Passed]) -> dict[End, bool]:
    """Provoke both ends until each client has been heard, and hand on what their resets are made of.

    Who was heard, and whether by a reset at first: then its connection had ended before, unseen by lb.
    """
    heard: dict[End, bool] = {}
    for _ in range(ROUNDS):
        for end, flow in doomed.items():
            if end not in heard:
                segments.send(flow.vip, flow.port, flow.client, flow.client_port)
                ends.to_backend(flow, segments.ACK)
        until = time.monotonic() + PATIENCE
        while (left := until - time.monotonic()) > 0:
            for end, flags, sequence in ends.heard(left):
                if end in doomed:
                    ends.to_backend(doomed[end], segments.RST, sequence)
                    heard.setdefault(end, bool(flags & segments.RST))
            if len(heard) == len(doomed) and not ends.waiting(AFTERWARDS):
                return heard
    return heard


def _end(flow: Passed) -> End:
    return flow.client, flow.client_port, flow.port


class _Ends:
    """Hears what comes to lb's front and is passed on to nobody, and speaks to backends as a client would."""

    def __init__(self, place: Place) -> None:
        self._addresses = {backend.name: (backend.address4, backend.address6) for backend in place.backends}
        self._back = socket.if_indextoname(place.back)
        self._macs = macs(place.back)
        self._sockets: dict[socket.socket, Family] = {}
        for family in FAMILIES:
            (ethertype,) = struct.unpack("!H", ETHERTYPES[family])
            # Bound to a protocol, it gets a packet after the rules at ingress: none that they send on.
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
            self._sockets[ear] = family
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            ear.bind((place.front, ethertype))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for ear in self._sockets:
            ear.close()

    def waiting(self, seconds: float) -> bool:
        """Whether something has come, or comes within so long."""
        return bool(select.select(list(self._sockets), [], [], seconds)[0])

    def heard(self, seconds: float) -> Iterator[tuple[End, int, int]]:
        """Who has sent a TCP segment, its flags and sequence number; waits for the first at most so long."""
        for ear in select.select(list(self._sockets), [], [], seconds)[0]:
            while True:
                try:
                    packet, sender = ear.recvfrom(128)
                except BlockingIOError:
                    break
                if sender[2] == socket.PACKET_HOST and (found := _segment(packet, self._sockets[ear])):
                    yield found

    def to_backend(self, flow: Passed, flags: int, sequence: int = 0) -> None:
        """To the flow's backend, as from its client; nothing where the kernel does not know the backend's MAC."""
        address = self._addresses[flow.backend][":" in flow.client]
        if address is None or (mac := self._macs.get(address)) is None:
            return
        packet = segments.segment(flow.client, flow.client_port, flow.vip, flow.port, flags=flags, sequence=sequence)
        ear, family = next(
            (ear, family) for ear, family in self._sockets.items() if (":" in flow.client) == (family == Family.IP6)
        )
        ear.sendto(packet, (self._back, struct.unpack("!H", ETHERTYPES[family])[0], 0, 0, mac))


def _segment(packet: bytes, family: Family) -> tuple[End, int, int] | None:
    """Of an IP packet: the client and the port it talks to, flags, sequence number. None unless it is TCP."""
    if family == Family.IP:
        start, protocol, source = (packet[0] & 15) * 4, packet[9:10], packet[12:16]
    else:
        start, protocol, source = 40, packet[6:7], packet[8:24]
    if protocol != bytes([segments.TCP]) or len(packet) < start + 14:
        return None
    client_port, port, sequence = struct.unpack_from("!HHI", packet, start)
    name = socket.inet_ntop(socket.AF_INET if family == Family.IP else socket.AF_INET6, source)
    return (name, client_port, port), packet[start + 13], sequence
