"""Gives a container the network of a host: ``python -m labkit.runtime.container.wire``, beside it and with NET_ADMIN.

The engine has put interfaces there, with the addresses that the topology wants and names of its own. They get the
host's names, hardware addresses and routes; the rules by which the engine answers name queries are taken away. A
container that was wired before stays as it is, unless it is told ``--anew``: then everything that was added to its
network is gone, and what the kernel knew of its connections.

``--agents FOLDER --door NAME``: a socket for its owners is made in that folder, and handed in at that door (`handing`).
"""

import argparse
import errno
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.errors import LabError, RuntimeUnavailable
from labkit.runtime.network.configure import configure, there_already
from labkit.runtime.network.netlink import IPRoute, NetlinkError

from .handing import hand
from .order import find
from .wired import MARK, wired

_WIRING, _HANDING = "\0labkit wiring", "\0labkit handing"  # unix(7): abstract names belong to the network namespace
_PATIENCE, _PAUSE = 30.0, 0.02
_TOO_SMALL_FOR_IPV6 = 1279  # bytes of MTU


def main() -> None:
    """Carry out the order of this container."""
    parser = argparse.ArgumentParser("labkit.runtime.container.wire")
    parser.add_argument("--anew", action="store_true", help="as if nobody had been there")
    parser.add_argument("--agents", type=Path, help="where owners look for the sockets of hosts")
    parser.add_argument("--door", help="where the host takes its socket")
    asked = parser.parse_args()
    if bool(asked.agents) != bool(asked.door):
        parser.error("--agents and --door belong together")
    try:
        node = find()["network"]
        with alone():
            if asked.anew:
                wire_anew(node)
            else:
                wire(node)
    except (LabError, NetlinkError) as error:
        sys.exit(f"labkit: the network of this container cannot be set: {error}")
    if asked.agents:  # not before: a host whose owner has just left has itself wired first
        try:
            with alone(_HANDING):
                hand(asked.door, asked.agents / f"{node['name']}.sock")
        except LabError as error:
            sys.exit(f"labkit: {node['name']} cannot be attached to. {error}")


@contextmanager
def alone(name: str = _WIRING, seconds: float = _PATIENCE) -> Iterator[None]:
    """One at a time in this network, whoever wires it: the *name* that is taken meanwhile is the network's own.

    Two at once, one of them slow, would take away the rules of an owner who has come in between.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        late = time.monotonic() + seconds
        while True:
            try:
                taken.bind(name)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > late:
                    raise RuntimeUnavailable(f"somebody else has been wiring it for {seconds:g} s") from error
                time.sleep(_PAUSE)
        yield


def wire(node: dict[str, Any]) -> None:
    """Carry out *node*, as of `plan`. RuntimeUnavailable if the container lacks an interface."""
    if wired(node):
        return
    with IPRoute() as netlink:
        there = {message.get("address"): message["index"] for message in netlink.get_addr(family=2)}
        begun = {message.get("ifname"): message["index"] for message in netlink.link("dump")}
        for interface in node["interfaces"]:
            address = interface["addresses"][0][0]
            index = there.get(address) or begun.get(interface["name"])  # if another wiring came no further
            if index is None:
                raise RuntimeUnavailable(f"{node['name']} has no interface with the address {address}")
            _take_over(netlink, index, interface)
    _settle(node)


def wire_anew(node: dict[str, Any]) -> None:
    """Give *node*, which was wired, its network once more."""
    with IPRoute() as netlink:
        for interface in node["interfaces"]:
            _take_over(netlink, netlink.link_lookup(ifname=interface["name"])[0], interface)
    _settle(node)
    _forget_connections()


def _take_over(netlink: Any, index: int, interface: dict[str, Any]) -> None:
    name = netlink.link("get", index=index)[0].get("ifname")
    netlink.link("set", index=index, state="down")
    netlink.flush_addr(index=index)
    netlink.link("set", index=index, address=interface["mac"], ifname=interface["name"], ifalias="")
    if name != interface["name"]:
        _answer_to(netlink, index, name)
    if _has_ipv6_off(interface["name"]):
        _make_ipv6_anew(netlink, index)


def _answer_to(netlink: Any, index: int, name: str) -> None:
    """Let the engine find an interface by the *name* that it gave: it takes it away when the container ends.

    Otherwise that is left to the kernel, once nobody is in its network any more, and so long it answers for the host
    that was started again, at the same address. Kernels before 5.5 know no second name.
    """
    try:
        netlink.link("property_add", index=index, altname=name)
    except NetlinkError as error:
        if error.code != errno.EOPNOTSUPP:
            raise


def _has_ipv6_off(name: str) -> bool:
    """Engines switch it off at an interface to which they give no such address themselves: 28 does, 26 does not."""
    switch = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
    return switch.exists() and switch.read_text().strip() == "1"


def _make_ipv6_anew(netlink: Any, index: int) -> None:
    """Undo what was set there for IPv6, in a container where /proc/sys cannot be written.

    The kernel has no IPv6 on a link that is too small for it (RFC 8200 §5), and begins anew, with what the network says
    by default, when it is large enough again.
    """
    mtu = netlink.link("get", index=index)[0].get("mtu")
    netlink.link("set", index=index, mtu=_TOO_SMALL_FOR_IPV6)
    netlink.link("set", index=index, mtu=mtu)


def _settle(node: dict[str, Any]) -> None:
    configure(node)
    _leave_the_bridge_alone()
    _forget_tables()
    with IPRoute() as netlink:
        for interface in node["interfaces"]:
            index = netlink.link_lookup(ifname=interface["name"])[0]
            netlink.link("set", index=index, ifalias=MARK)


def _leave_the_bridge_alone() -> None:
    """Nothing goes to link-local addresses: hosts need none of each other's, and the bridge's is the engine's machine.

    Finding neighbours asks no routes, so that a router may still solicit them from its own (RFC 4861 §7.2.2).
    """
    with IPRoute() as netlink, there_already():
        netlink.rule("add", family=socket.AF_INET6, dst="fe80::", dst_len=10, priority=1, action="unreachable")


def _forget_tables() -> None:
    """Take away every table of rules that is not the host's own."""
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=0) as tables:
        for table in list(tables.get_tables()):
            with NFTables(nfgen_family=table["nfgen_family"]) as family:
                family.table("del", name=table.get_attr("NFTA_TABLE_NAME"))


def _forget_connections() -> None:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    with NFCTSocket() as connections:
        connections.flush()


if __name__ == "__main__":
    main()
