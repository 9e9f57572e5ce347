"""Gives a container the network of a host: ``python -m labkit.runtime.container.wire``, beside it and with NET_ADMIN.

The engine has put interfaces there, with the addresses that the topology wants and names of its own. They get the
host's names, hardware addresses and routes; the rules by which the engine answers name queries are taken away. A
container that was wired before stays as it is.
"""

import socket
import sys
from typing import Any

from labkit.errors import LabError, RuntimeUnavailable
from labkit.runtime.network.configure import configure
from labkit.runtime.network.netlink import IPRoute, NetlinkError

from .order import find


def main() -> None:
    """Carry out the order of this container."""
    try:
        wire(find()["network"])
    except (LabError, NetlinkError) as error:
        sys.exit(f"labkit: the network of this container cannot be set: {error}")


def wire(node: dict[str, Any]) -> None:
    """Carry out *node*, as of `plan`. RuntimeUnavailable if the container lacks an interface."""
    with IPRoute() as netlink:
        if all(netlink.link_lookup(ifname=interface["name"]) for interface in node["interfaces"]):
            return
        there = {message.get("address"): message["index"] for message in netlink.get_addr(family=2)}
        for interface in node["interfaces"]:
            address = interface["addresses"][0][0]
            if address not in there:
                raise RuntimeUnavailable(f"{node['name']} has no interface with the address {address}")
            _take_over(netlink, there[address], interface)
    configure(node)
    _leave_the_bridge_alone()
    _forget_the_engine()


def _take_over(netlink: Any, index: int, interface: dict[str, Any]) -> None:
    netlink.link("set", index=index, state="down")
    netlink.flush_addr(index=index)
    netlink.link("set", index=index, address=interface["mac"], ifname=interface["name"])


def _leave_the_bridge_alone() -> None:
    """Nothing goes to link-local addresses: hosts need none of each other's, and the bridge's is the engine's machine.

    Finding neighbours asks no routes, so that a router may still solicit them from its own (RFC 4861 §7.2.2).
    """
    with IPRoute() as netlink:
        netlink.rule("add", family=socket.AF_INET6, dst="fe80::", dst_len=10, priority=1, action="unreachable")


def _forget_the_engine() -> None:
    """Take away every table of rules that is there before the host's own."""
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=0) as tables:
        for table in list(tables.get_tables()):
            with NFTables(nfgen_family=table["nfgen_family"]) as family:
                family.table("del", name=table.get_attr("NFTA_TABLE_NAME"))


if __name__ == "__main__":
    main()
