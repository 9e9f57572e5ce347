"""Builds the network of a lab over netlink: namespaces, bridges, cables. What is inside a host is left to `configure`.

Runs in a process of its own inside the lab, so that pyroute2 is
imported while the nodes' own imports run, and never lives on in the nodes.
"""

import os
import socket
from pathlib import Path
from typing import Any

from labkit.runtime.network.configure import configure
from labkit.runtime.network.netlink import IPRoute, NetlinkError

_FOREVER = 30 * 86_400 * 100  # clock ticks; a bridge that forgets a host floods, and others capture its packets


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
            configure(node)
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
