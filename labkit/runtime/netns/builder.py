"""Builds the network of a lab over netlink: namespaces, bridges, cables, addresses, routes.

Runs in a process of its own inside the lab, so that pyroute2 is
imported while the nodes' own imports run, and never lives on in the nodes.
"""

import array
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Any

from .netlink import IPRoute, NetlinkError

_FOREVER = 30 * 86_400 * 100  # clock ticks; a bridge that forgets a host floods, and others capture its packets
_SIOCETHTOOL = 0x8946
_SHARED_TABLE = 100  # of routes for what leaves from an address on the loopback
_OFFLOADS = {"tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}  # ETHTOOL_S* commands


class BuildError(Exception):
    """A step of the building failed: (step, errno)."""


def build(plan: dict[str, Any]) -> list[int]:
    """Make everything in *plan*; returns one network namespace descriptor a node, in the plan's order."""
    switch = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _set(plan["sysctls"])
    namespaces = [_new_namespace(node["sysctls"]) for node in plan["nodes"]]
    os.setns(switch, os.CLONE_NEWNET)
    try:
        with IPRoute() as netlink:
            bridges = {link: _bridge(netlink, f"br{number}") for number, link in enumerate(plan["links"])}
            for number, (node, namespace) in enumerate(zip(plan["nodes"], namespaces, strict=True)):
                for index, interface in enumerate(node["interfaces"]):
                    _cable(netlink, f"n{number}.{index}", interface, namespace, bridges)
        for node, namespace in zip(plan["nodes"], namespaces, strict=True):
            os.setns(namespace, os.CLONE_NEWNET)
            _configure(node)
    except NetlinkError as error:
        raise BuildError("network", error.code) from error
    finally:
        os.setns(switch, os.CLONE_NEWNET)
        os.close(switch)
    return namespaces


def send_namespaces(channel: socket.socket, namespaces: list[int]) -> None:
    """Pass the descriptors on, a hundred at a time."""
    for start in range(0, len(namespaces), 100):
        socket.send_fds(channel, [b"n"], namespaces[start : start + 100])


def _new_namespace(sysctls: dict[str, str]) -> int:
    os.unshare(os.CLONE_NEWNET)
    _set(sysctls)
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set(sysctls: dict[str, str]) -> None:
    """In the network namespace of the moment."""
    for name, value in sysctls.items():
        path = Path("/proc/sys", *name.split("."))
        if path.exists():  # a kernel without IPv6 has fewer
            path.write_text(value)


def _bridge(netlink: Any, name: str) -> int:
    netlink.link("add", ifname=name, kind="bridge", br_mcast_snooping=0, br_ageing_time=_FOREVER, state="up")
    return int(netlink.link_lookup(ifname=name)[0])


def _cable(netlink: Any, name: str, interface: dict[str, Any], namespace: int, bridges: dict[str, int]) -> None:
    peer = {"ifname": interface["name"], "address": interface["mac"], "net_ns_fd": namespace}
    netlink.link("add", ifname=name, kind="veth", peer=peer, master=bridges[interface["link"]], state="up")


def _configure(node: dict[str, Any]) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")
        for interface in node["interfaces"]:
            index = netlink.link_lookup(ifname=interface["name"])[0]
            _switch_offloads_off(interface["name"])
            for address, prefix in interface["addresses"]:
                netlink.addr("add", index=index, address=address, prefixlen=prefix)
            netlink.link("set", index=index, state="up")
        for gateway in node["gateways"]:
            netlink.route("add", dst=_anywhere(gateway), gateway=gateway)
        for address, gateway in node["shared"]:
            _share(netlink, address, gateway)


def _share(netlink: Any, address: str, gateway: str) -> None:
    """Have an address that another host answers for: on the loopback; what leaves from it goes over *gateway*."""
    family, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    netlink.addr("add", index=1, address=address, prefixlen=bits)
    netlink.route("add", dst=_anywhere(gateway), gateway=gateway, table=_SHARED_TABLE)
    netlink.rule("add", family=family, src=address, src_len=bits, table=_SHARED_TABLE)


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
