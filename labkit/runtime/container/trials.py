"""What a host of a lab has to be able to do, tried in it: for the doctor. OSError where the kernel refuses."""

import os
import socket


def nat_rule() -> None:
    """Call target: make a table with a NAT chain, and take it away."""
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.nftables.main import NFTables

    try:
        with NFTables(nfgen_family=2) as tables:
            tables.table("add", name="probe")
            tables.chain("add", table="probe", name="nat", type="nat", hook="prerouting", priority=-100)
            tables.table("del", name="probe")
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def packet_socket() -> None:
    """Call target: open a packet socket."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
