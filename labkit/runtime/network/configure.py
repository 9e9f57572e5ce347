"""Gives a host its network, from inside its namespace: interfaces up, addresses, routes, offloads off.

Needs the right to administer that namespace. How the interfaces came to be there is the runtime's.
"""

import array
import errno
import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .netlink import IPRoute, NetlinkError

_SIOCETHTOOL = 0x8946
_SHARED_TABLE = 100  # of routes for what leaves from an address on the loopback
_NO_DUPLICATE_CHECK = 0x02  # IFA_F_NODAD: an address can be used at once
_OFFLOADS = {"tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}  # ETHTOOL_S* commands


def configure(node: dict[str, Any]) -> None:
    """Carry out what `plan` says of a node. NetlinkError if the kernel refuses something."""
    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")
        for interface in node["interfaces"]:
            index = netlink.link_lookup(ifname=interface["name"])[0]
            _switch_offloads_off(interface["name"])
            for address, prefix in interface["addresses"]:
                flags = _NO_DUPLICATE_CHECK if ":" in address else 0
                netlink.addr("add", index=index, address=address, prefixlen=prefix, flags=flags)
            netlink.link("set", index=index, state="up")
        for gateway in node["gateways"]:
            netlink.route("add", dst=_anywhere(gateway), gateway=gateway)
        for address, gateway in node["shared"]:
            _share(netlink, address, gateway)


def _share(netlink: Any, address: str, gateway: str) -> None:
    """Have an address that another host answers for: on the loopback; what leaves from it goes over *gateway*."""
    family, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    with there_already():
        netlink.addr("add", index=1, address=address, prefixlen=bits)
    netlink.route("add", dst=_anywhere(gateway), gateway=gateway, table=_SHARED_TABLE)
    with there_already():
        netlink.rule("add", family=family, src=address, src_len=bits, table=_SHARED_TABLE)


@contextmanager
def there_already() -> Iterator[None]:
    """What a host has kept of an earlier configuration is no error."""
    try:
        yield
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _anywhere(gateway: str) -> str:
    return "::/0" if ":" in gateway else "default"


def _switch_offloads_off(name: str) -> None:
    """Merged or half-checksummed packets would not match between vantage points."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in _OFFLOADS.values():
            value = array.array("B", struct.pack("II", command, 0))
            address, _ = value.buffer_info()
            try:
                fcntl.ioctl(handle, _SIOCETHTOOL, struct.pack("16sP", name.encode(), address))
            except OSError:
                continue  # this driver has no such offload, so it is off
