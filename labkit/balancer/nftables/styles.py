"""What stands in a backend's chain: how a packet is sent on to it, by the forward's style. Pure.

``dnat``: a new destination; the client's address stays, so the answer must pass lb again to be given back its source::

    counter
    dnat ip to 10.0.2.11

``full``: the same, and where the packet leaves, one more rule gives it lb's own address as its source. Answers come to
lb from wherever a backend is, and no backend ever sees the client's address::

    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ct original ip daddr 10.0.1.10 meta l4proto tcp ct original proto-dst 80 ct status dnat masquerade
    }

``dsr`` translates nothing, and has rules in a table of its own: see `direct`.
"""

import struct
from collections.abc import Iterable, Iterator

from ..policy import Forward, Target
from .pieces import AT_LEAST, AT_MOST, EQUAL, NOT_EQUAL, e, equal, note, packed, protocol, u16
from .values import Chain, Expression, Family, Hook, Rule

POSTROUTING, SRCNAT = 4, 100
DNAT, RANGE_SPECIFIED = 1, 2
CT_STATUS, CT_DESTINATION_PORT, CT_DESTINATION = 2, 12, {Family.IP: 20, Family.IP6: 22}  # ct keys
ORIGINAL = 0  # the direction in which the connection began
DNATED = 0x20  # a bit of the ct status
FAMILIES = (Family.IP, Family.IP6)


def backend(name: str, forward: Forward, target: Target) -> Chain:
    """Count, then give the connection its new destination."""
    listener = forward.listener
    rules = [Rule((e("counter"),))]
    for family, address in zip(FAMILIES, (target.address4, target.address6), strict=True):
        if address is None:
            continue
        load = [e("immediate", dreg=1, data=packed(family, address))]
        if listener.target_port == listener.port:  # a range of ports, too, stays as it is
            nat = e("nat", type=DNAT, family=family, addr_min=1)
        else:
            load = [*protocol(listener.transport), *load, e("immediate", dreg=2, data=u16(listener.target_port))]
            nat = e("nat", type=DNAT, family=family, addr_min=1, proto_min=2, flags=RANGE_SPECIFIED)
        rules.append(Rule((*load, nat)))
    return Chain(name, tuple(rules), userdata=note(f"{target.name} serves {listener.label}"))


def sources(vips: tuple[str, str | None], forwards: Iterable[Forward]) -> Iterator[Chain]:
    """The chain that rewrites sources; none if no forward's style asks for it."""
    rules = tuple(
        Rule(_begun(family, vip, forward), note(f"{forward.listener.label}: lb's own address hides the client's"))
        for forward in forwards
        if forward.style == "full"
        for family, vip in zip(FAMILIES, vips, strict=True)
        if vip
    )
    if rules:
        yield Chain("postrouting", rules, Hook("nat", POSTROUTING, SRCNAT))


def _begun(family: Family, vip: str, forward: Forward) -> tuple[Expression, ...]:
    """A connection that began towards this listener and was given another destination."""
    listener = forward.listener
    ports = e("ct", dreg=1, key=CT_DESTINATION_PORT, direction=ORIGINAL)
    if listener.port == listener.last_port:
        wanted: tuple[Expression, ...] = (ports, equal(u16(listener.port)))
    else:
        bounds = ((AT_LEAST, listener.port), (AT_MOST, listener.last_port))
        wanted = (ports, *(e("cmp", sreg=1, op=op, data=u16(port)) for op, port in bounds))
    return (
        e("ct", dreg=1, key=CT_DESTINATION[family], direction=ORIGINAL),
        e("cmp", sreg=1, op=EQUAL, data=packed(family, vip)),
        *protocol(listener.transport),
        *wanted,
        e("ct", dreg=1, key=CT_STATUS),
        e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", DNATED), xor=bytes(4), op=0),
        e("cmp", sreg=1, op=NOT_EQUAL, data=bytes(4)),
        e("masq"),
    )
