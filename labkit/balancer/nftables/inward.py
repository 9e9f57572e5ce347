"""Rules that send a listener's new connections on to a proxy on lb itself, at a port of the proxy's own. Pure::

    ip daddr 10.0.1.10 tcp dport 80 dnat ip to 10.0.1.10:15080

The address stays, so client and captures see VIP:80 on both ways. No backend is chosen by it, and no decision made.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from labkit.topology import Listener

from ..inward import Inward
from .pieces import destination, e, note, packed, port, u16
from .styles import DNAT, RANGE_SPECIFIED
from .values import Family, Rule

UNREACHABLE, TCP_RESET = 0, 1  # how to reject
PORT_UNREACHABLE = {Family.IP: 3, Family.IP6: 4}


def rules(vips: Sequence[str | None], inward: Iterable[Inward]) -> Iterator[Rule]:
    """One rule for each address of the VIP; those that are closed have one that refuses whoever asks there himself."""
    for each in inward:
        listener = each.listener
        if each.closed:
            yield from _refusals(vips, each)
            continue
        quic = "" if each.transport == listener.transport else " over QUIC"
        for family, vip in zip((Family.IP, Family.IP6), vips, strict=True):
            if vip is None:
                continue
            match = (*destination(family, vip), *port(each.transport, listener.port, listener.last_port))
            load = e("immediate", dreg=1, data=packed(family, vip)), e("immediate", dreg=2, data=u16(each.port))
            nat = e("nat", type=DNAT, family=family, addr_min=1, proto_min=2, flags=RANGE_SPECIFIED)
            how = "which opens it" if each.opened else "which does not read it"
            yield Rule((*match, *load, nat), note(f"{listener.label}{quic}: ends in the proxy on lb, {how}"))


def _refusals(vips: Sequence[str | None], each: Inward) -> Iterator[Rule]:
    for family, vip in zip((Family.IP, Family.IP6), vips, strict=True):
        if vip is not None:
            match = (*destination(family, vip), *port(each.transport, each.port, each.port))
            no = e("reject", type=TCP_RESET, code=0)
            if each.transport == "udp":
                no = e("reject", type=UNREACHABLE, code=PORT_UNREACHABLE[family])
            yield Rule((*match, no), note("a port of the proxy's own: by way of a listener alone"))


def plain(inward: Iterable[Inward]) -> list[dict[str, Any]]:
    """As it travels into the node."""
    return [asdict(each) for each in inward]


def inward_of(data: Iterable[Mapping[str, Any]]) -> list[Inward]:
    """What `plain` made plain."""
    return [Inward(**{**each, "listener": Listener(**each["listener"])}) for each in data]
