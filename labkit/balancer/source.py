"""The address that health checks come from: one of the balancer's own that nothing else uses.

A check is known by it, whatever the ports: neither the kernel nor NAT takes the address of a connection's own accord
where the interface has another one for the subnet, so no other packet bears it. It is there as long as the lab is.
"""

import errno
import os
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from labkit.topology import Topology

ELSEWHERE = IPv4Address("169.254.77.77")  # backends answer it over their default route
_NEWADDR, _ERROR = 20, 2
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ADDRESS, _LOCAL = 1, 2  # IFA_*
_ALONE, _EVERYWHERE = 32, 0  # the prefix, and the scope
_HEADER, _ATTRIBUTE, _WHERE = struct.Struct("=IHHII"), struct.Struct("=HH"), struct.Struct("=BBBBI")
_AS_ITSELF = "2"  # requests of ARP name lb's own address, so that backends learn it, not the one of their cause


def source_of(topology: Topology) -> str:
    """The last address of the back link's subnet that no node has; a link-local one if none is left."""
    subnet = topology.back.subnet4
    taken = {interface.address4.ip for node in topology.nodes for interface in node.interfaces}
    hosts = range(int(subnet.broadcast_address) - 1, int(subnet.network_address), -1)
    return str(next((free for free in map(IPv4Address, hosts) if free not in taken), ELSEWHERE))


def give(address: str, interface: str) -> None:
    """Run in the balancer's node: it has *address* on *interface*, also if it had it before. OSError if refused."""
    with suppress(OSError):  # where it cannot be set, backends learn lb's own address by asking
        Path(f"/proc/sys/net/ipv4/conf/{interface}/arp_announce").write_text(_AS_ITSELF)
    packed = socket.inet_aton(address)
    body = _WHERE.pack(socket.AF_INET, _ALONE, 0, _EVERYWHERE, socket.if_nametoindex(interface))
    for kind in (_LOCAL, _ADDRESS):
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), kind) + packed
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(1.0)
        flags = _REQUEST | _ACK | _CREATE | _REPLACE
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _NEWADDR, flags, 1, 0) + body)
        answer = netlink.recv(1 << 16)
    number = -struct.unpack_from("=i", answer, _HEADER.size)[0]
    if _HEADER.unpack_from(answer)[1] != _ERROR or number:
        raise OSError(number or errno.EPROTO, os.strerror(number or errno.EPROTO))
