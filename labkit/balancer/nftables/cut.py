"""Cuts the connections that were forwarded to some backends, and only those: both of their ends get a reset.

Deleting a connection's entry tells nobody: its ends would find out when they next send, if ever. A reset is believed
only if its sequence number is the one that the receiver expects (RFC 5961 §3), which lb does not keep. So, while rules
refuse every packet to and from those backends, each end is sent one ACK out of nowhere (for the sake of the answer, as
keep-alive does); it answers with what it expects (RFC 9293 §3.10.7.4); that answer runs into the rules, and the kernel
makes the reset that fits. Then the entries are deleted. UDP has no resets: its entries are deleted, and the next
datagram goes to another backend.
"""

import struct
import time
from collections.abc import Sequence

from . import segments
from .encode import DELTABLE, swap
from .flows import Flow, flows, forget
from .netlink import NFTABLES, Message, Netlink, text
from .pieces import DESTINATION, NETWORK, NOT_EQUAL, SOURCE, e, equal, family_is, note, packed, protocol
from .values import Chain, Expression, Family, Hook, Rule, Table

TABLE = "labkit_cut"
FORWARD, BEFORE = 2, -10  # the hook, and a priority ahead of every other filter
CT_STATUS, CT_MARK = 2, 3  # ct keys
DNAT_DONE = 0x20  # a bit of the ct status
TCP_RESET = 1
CLIENT_TOLD, BACKEND_TOLD = 0x1, 0x2  # bits of the mark of a connection that is being cut
ROUNDS, PAUSE, PATIENCE = 2, 0.004, 0.3  # an end answers such an ACK twice a second at most


def cut(netlink: Netlink, addresses: Sequence[str]) -> dict[str, int]:
    """Reset what is forwarded to *addresses* and forget it.

    connections: how many there were, closed ones aside; told: of those, how many answered on both sides and were so
    reset at once (who does not answer, answers nobody else either); udp: how many were forgotten only.
    """
    doomed = _to(netlink, addresses)
    tcp = [flow for flow in doomed if flow.original.protocol == "TCP" and flow.open]
    told = 0
    if tcp:
        netlink.commit(swap(_rules(addresses)))
        try:
            told = _tell(netlink, addresses, tcp)
            forget(netlink, _to(netlink, addresses))
        finally:
            netlink.commit([Message(NFTABLES << 8 | DELTABLE, Family.INET, text(1, TABLE), "the removal of the cut")])
    else:
        forget(netlink, doomed)
    udp = sum(flow.original.protocol == "UDP" for flow in doomed)
    return {"connections": len(tcp), "told": told, "udp": udp}


def clear(netlink: Netlink) -> None:
    """Remove what a cut left behind whose process was killed in the midst of it: its rules refuse everything."""
    made, removed, *_ = swap(Table(TABLE, Family.INET, ()))
    netlink.commit([made, removed])


def _to(netlink: Netlink, addresses: Sequence[str]) -> list[Flow]:
    return [flow for flow in flows(netlink) if flow.translated and flow.reply.source in addresses]


def _tell(netlink: Netlink, addresses: Sequence[str], doomed: Sequence[Flow]) -> int:
    """Provoke every end until it has been answered with a reset; how many connections were told on both sides."""
    both, told = CLIENT_TOLD | BACKEND_TOLD, 0
    for _ in range(ROUNDS):
        left = [flow for flow in _to(netlink, addresses) if flow.open and flow.mark & both != both]
        for flow in left:
            _provoke(flow)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
            told = sum(flow.mark & both == both for flow in _to(netlink, addresses))
            if told >= len(doomed):
                return told
    return told


def _provoke(flow: Flow) -> None:
    """To the client as from the VIP, to the backend as from whom it takes for its client."""
    asked, answering = flow.original, flow.reply
    if not flow.mark & CLIENT_TOLD:
        segments.send(asked.destination, asked.destination_port, asked.source, asked.source_port)
    if not flow.mark & BACKEND_TOLD:
        segments.send(answering.destination, answering.destination_port, answering.source, answering.source_port)


def _rules(addresses: Sequence[str]) -> Table:
    told = (CLIENT_TOLD, BACKEND_TOLD)  # who is told, by whether the backend is the receiver or the sender
    rules = [_reset(address, place, told[place]) for address in addresses for place in (0, 1)]
    return Table(TABLE, Family.INET, (Chain("forward", tuple(rules), Hook("filter", FORWARD, BEFORE)),))


def _reset(address: str, place: int, told: int) -> Rule:
    """What is translated and goes to (place 0) or comes from (place 1) *address* is noted on it and reset."""
    family = Family.IP6 if ":" in address else Family.IP
    offset, length = (DESTINATION, SOURCE)[place][family]
    return Rule(
        (
            *family_is(family),
            e("payload", dreg=1, base=NETWORK, offset=offset, len=length),
            equal(packed(family, address)),
            *protocol("tcp"),
            e("ct", dreg=1, key=CT_STATUS),
            _bits(DNAT_DONE, 0),
            e("cmp", sreg=1, op=NOT_EQUAL, data=bytes(4)),
            e("ct", dreg=1, key=CT_MARK),
            _bits(~told & 0xFFFFFFFF, told),
            e("ct", key=CT_MARK, sreg=1),
            e("reject", type=TCP_RESET, code=0),
        ),
        note(f"{address} was removed: its connections are reset"),
    )


def _bits(mask: int, xor: int) -> Expression:
    return e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", mask), xor=struct.pack("=I", xor), op=0)
