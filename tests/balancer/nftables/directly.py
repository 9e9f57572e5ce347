"""What tests of direct server return try with the kernel inside a host."""

import socket
import subprocess
from dataclasses import replace
from typing import Any

from labkit.balancer.nftables import decode, encode
from labkit.balancer.nftables.direct import Place, is_flows
from labkit.balancer.nftables.netlink import Netlink
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.values import Chain, Family, Table
from labkit.balancer.nftables.wanted import forwards_of
from labkit.balancer.policy import Target
from labkit.errors import EngineError


def _nft(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["nft", *words], input=given, capture_output=True, text=True, check=False)


def load(vips: list[str | None], targets: list[dict[str, Any]], device: str, *several: list[dict[str, Any]]) -> Any:
    """Load each of several lots of forwards after the other into an emptied namespace.

    Of each lot: nft's listing, ours of the kernel's, ours of what was rendered (tables in nft's order), and what
    nft said to its own listing.
    """
    _nft("flush", "ruleset")
    place = Place(device, socket.if_nametoindex(device), tuple(Target(**each) for each in targets))
    found = []
    with Netlink() as netlink:
        for lot in several:
            wanted = render((vips[0] or "", vips[1]), forwards_of(lot), place)
            there = {table.family: table for table in decode.live(netlink)[1].tables}
            inet, direct = wanted.tables
            before = there.get(Family.NETDEV)
            kept = [each.name for each in direct.sets if is_flows(each.name)]
            netlink.commit(
                [*encode.swap(inet), *(encode.refill(direct, before, kept) if before else encode.swap(direct))]
            )
            listed = _nft("-s", "list", "ruleset").stdout
            ours = sorted(text(wanted).splitlines()) == sorted(listed.splitlines())
            found.append([listed, text(decode.live(netlink)[1]), ours, _nft("-c", "-f", "-", given=listed).stderr])
    _nft("flush", "ruleset")
    return found


def refill_that_fails(vips: list[str | None], targets: list[dict[str, Any]], device: str, lot: Any) -> list[str]:
    """A transaction that takes away a chain which is not there: the error, and the listings before and after it."""
    _nft("flush", "ruleset")
    place = Place(device, socket.if_nametoindex(device), tuple(Target(**each) for each in targets))
    inet, direct = render((vips[0] or "", vips[1]), forwards_of(lot), place).tables
    thought = replace(direct, chains=(*direct.chains, Chain("nowhere")))
    error = ""
    with Netlink() as netlink:
        netlink.commit([*encode.swap(inet), *encode.swap(direct)])
        before = text(decode.live(netlink)[1])
        try:
            netlink.commit([*encode.swap(Table(inet.name, inet.family)), *encode.refill(direct, thought, ())])
        except EngineError as refused:
            error = str(refused)
        return [error, before, text(decode.live(netlink)[1])]
