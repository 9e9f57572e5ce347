"""Routes with a small MTU, and forgetting what was learned of paths: over rtnetlink, inside nodes.

A route's MTU stands for a link further on that is narrower than the sender's own: the router that has the route
drops what is larger (RFC 1191 §3, RFC 8201 §4) and says so. Unlike the MTU of an interface it leaves what comes in
alone. The routes are put beside the subnet's own, of which each covers a half, so that putting things back is taking
them away.
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

_NEWROUTE, _DELROUTE, _ERROR = 24, 25, 2
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_DST, _OIF, _GATEWAY, _PRIORITY, _METRICS = 1, 4, 5, 6, 8  # RTA_*
_LOCK, _MTU = 1, 2  # RTAX_*
_MAIN, _STATIC, _UNICAST, _ON_LINK, _ANYWHERE = 254, 4, 1, 253, 0
_HEADER, _ROUTE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=8BI"), struct.Struct("=HH")
_VIA_GATEWAY = 0x2  # RTF_GATEWAY
_ROUTES6 = Path("/proc/self/net/ipv6_route")
_FLUSH = Path("/proc/sys/net/ipv4/route/flush")


def narrow(interface: str, subnets: Sequence[str], mtu: int) -> None:
    """Call target: packets that leave for *subnets* by *interface* have *mtu* bytes at most. OSError if refused."""
    for part in _halves(subnets):
        # IPv6 forwarding heeds a route's MTU only when it is locked; a locked one in IPv4 would clear lb's own DF bits.
        lock = _attribute(_LOCK, struct.pack("=I", 1 << _MTU)) if part.version == 6 else b""
        metrics = _attribute(_METRICS, lock + _attribute(_MTU, struct.pack("=I", mtu)))
        _route(_NEWROUTE, part, _out(interface) + metrics, _REPLACE | _CREATE)


def widen(interface: str, subnets: Sequence[str]) -> None:
    """Call target: take the routes of `narrow` away, if they are there."""
    for part in _halves(subnets):
        with suppress(ProcessLookupError):  # ESRCH: there is none
            _route(_DELROUTE, part, _out(interface), 0)


def forget_paths() -> None:
    """Call target: forget every path MTU learned from ICMP, which would be kept for ten minutes otherwise.

    IPv6 keeps them with the route, so each default route is put in its own place.
    """
    with suppress(OSError):  # where it cannot be written there is nothing to forget either
        _FLUSH.write_text("1")
    for gateway, metric, interface in _routers6():
        attributes = _attribute(_GATEWAY, gateway) + _attribute(_PRIORITY, struct.pack("=I", metric))
        _route(_NEWROUTE, IPv6Network("::/0"), attributes + _out(interface), _REPLACE | _CREATE)


def _routers6() -> list[tuple[bytes, int, str]]:
    """Gateway, metric and interface of each default route of IPv6."""
    lines = _ROUTES6.read_text().splitlines() if _ROUTES6.exists() else []
    found = [line.split() for line in lines]
    return [
        (bytes.fromhex(gateway), int(metric, 16), interface)
        for to, length, _, _, gateway, metric, _, _, flags, interface in found
        if (to, length) == ("0" * 32, "00") and int(flags, 16) & _VIA_GATEWAY
    ]


def _halves(subnets: Sequence[str]) -> list[IPv4Network | IPv6Network]:
    return [half for subnet in subnets for half in ip_network(subnet).subnets()]


def _out(interface: str) -> bytes:
    return _attribute(_OIF, struct.pack("=I", socket.if_nametoindex(interface)))


def _attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def _route(kind: int, subnet: IPv4Network | IPv6Network, attributes: bytes, flags: int) -> None:
    family = socket.AF_INET if subnet.version == 4 else socket.AF_INET6
    scope = _ON_LINK if subnet.version == 4 else _ANYWHERE
    body = _ROUTE.pack(family, subnet.prefixlen, 0, 0, _MAIN, _STATIC, scope, _UNICAST, 0)
    if subnet.prefixlen:
        body += _attribute(_DST, subnet.network_address.packed)
    body += attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(5)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags | _REQUEST | _ACK, 1, 0) + body)
        answer = netlink.recv(65536)
    if _HEADER.unpack_from(answer)[1] == _ERROR:
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if number:
            raise OSError(number, f"{errno.errorcode.get(number, number)}: {os.strerror(number)}")
