"""Where the kernel would send a packet, asked from it over rtnetlink: the way out, the source address, neighbours.

Runs inside nodes, for packets that are crafted by hand and so pass the kernel's own routing by. Two questions of a
few bytes each; building links and routes is the runtime's business.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

_GETROUTE, _GETNEIGH, _ERROR, _REQUEST = 26, 30, 2, 1
_DST, _OIF, _GATEWAY, _PREFSRC = 1, 4, 5, 7  # RTA_*
_NEIGHBOUR, _MAC = 1, 2  # NDA_*
_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # NUD_*: reachable, stale, delay, probe, noarp, permanent
_HEADER, _ROUTE, _NEIGH, _ATTRIBUTE = (struct.Struct(f"={code}") for code in ("IHHII", "8BI", "BxHiHBB", "HH"))
_LOCAL, _BROADCAST, _MULTICAST = 2, 3, 5  # RTN_*


@dataclass(frozen=True, slots=True)
class Way:
    """How packets to one destination leave.

    gateway: the router to hand them to, None on the destination's own link. source: the address they would be given.
    local: the destination is this very host. everyone: it is a broadcast address.
    """

    interface: str
    gateway: Address | None
    source: Address | None
    local: bool
    everyone: bool


def way(destination: Address, interface: str | None = None) -> Way:
    """The kernel's route to *destination* (over *interface*, if given). OSError (ENETUNREACH, …) if there is none."""
    attributes = _attribute(_DST, destination.packed)
    if interface is not None:
        attributes += _attribute(_OIF, struct.pack("=I", socket.if_nametoindex(interface)))
    head = _ROUTE.pack(_family(destination), len(destination.packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    answer = _ask(_GETROUTE, head + attributes)
    kind = _ROUTE.unpack_from(answer)[7]
    found = dict(_attributes(answer[_ROUTE.size :]))
    gateway, source = (_address(found[name]) if name in found else None for name in (_GATEWAY, _PREFSRC))
    if _OIF not in found:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    out = socket.if_indextoname(struct.unpack("=I", found[_OIF])[0])
    return Way(out, gateway, source, kind == _LOCAL, kind == _BROADCAST)


def neighbour(address: Address, interface: str) -> bytes | None:
    """The MAC address that the kernel's neighbour table has for *address*, if it has a usable one."""
    head = _NEIGH.pack(_family(address), 0, socket.if_nametoindex(interface), 0, 0, 0)
    try:
        answer = _ask(_GETNEIGH, head + _attribute(_NEIGHBOUR, address.packed))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    state = _NEIGH.unpack_from(answer)[3]
    return dict(_attributes(answer[_NEIGH.size :])).get(_MAC) if state & _VALID else None


def _ask(kind: int, body: bytes) -> bytes:
    """The body of the kernel's answer to one request."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(1.0)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
        data = netlink.recv(1 << 16)
    length, answered, *_ = _HEADER.unpack_from(data)
    if answered == _ERROR:
        number = -struct.unpack_from("=i", data, _HEADER.size)[0]
        raise OSError(number, os.strerror(number))
    return data[_HEADER.size : length]


def _attribute(kind: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + size]
        at += size + -size % 4


def _family(address: Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
