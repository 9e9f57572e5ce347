"""Rules that break something on purpose, each in a table of its own beside the one that forwards.

Call targets for a node's worker: `put` a table, `remove` it again. The forwarding rules are never touched, and may be
swapped meanwhile. Which fault needs which of these, where and why is `labkit.faults`' business.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

from .encode import DELTABLE, NEWTABLE, swap
from .netlink import CREATE, NFTABLES, Message, Netlink, text
from .pieces import TRANSPORT, destination, e, equal, family_is, note, packed, port, protocol, state, u16
from .values import Chain, Code, Expression, Family, Hook, Rule, Table, Verdict

PREFIX = "labkit_fault_"
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)  # hooks
FILTER, MANGLE, SRCNAT = 0, -150, 100  # priorities; connections are tracked before MANGLE, and translated after it
L4PROTO, CT_STATUS = 16, 2  # keys of meta and ct
NEW, TRANSLATED = 8, 0x20  # bits of the ct state, and of its status: the destination was rewritten
ICMP, ICMP6 = 1, 58
TOO_BIG = {ICMP: bytes((3, 4)), ICMP6: bytes((2,))}  # type and code, RFC 792; type, RFC 4443 §3.2
SNAT, RANGE_SPECIFIED = 0, 2
UNREACHABLE, TCP_RESET = 0, 1  # how to reject
PORT_UNREACHABLE = {Family.IP: 3, Family.IP6: 4}  # codes, RFC 792 and RFC 4443 §3.1
FAMILIES = (Family.IP, Family.IP6)
DROP = Expression("immediate", {"dreg": 0, "data": Verdict(Code.DROP)})


def put(name: str, kind: str, options: Mapping[str, object]) -> None:
    """Call target: load the table of *kind* (a key of `KINDS`) as *name*, in the place of one of that name."""
    with Netlink() as netlink:
        netlink.commit(swap(table(name, kind, **options)))


def remove(name: str) -> None:
    """Call target: take the table away, if it is there."""
    label = f"the removal of table {PREFIX}{name}"
    payload = text(1, PREFIX + name)
    with Netlink() as netlink:
        kinds = ((NEWTABLE, CREATE), (DELTABLE, 0))  # made first, so that there always is one to delete
        netlink.commit([Message(NFTABLES << 8 | kind, Family.INET, payload, label, flags) for kind, flags in kinds])


def table(name: str, kind: str, **options: object) -> Table:
    """The rules of *kind*. Pure."""
    chains, about = KINDS[kind](**options), f"a fault caused on purpose: {name}"
    return Table(PREFIX + name, Family.INET, tuple(chains), userdata=note(about))


def _silent() -> Iterable[Chain]:
    """Neither takes nor sends a segment or datagram."""
    rules = tuple(Rule((*protocol(each), e("counter"), DROP)) for each in ("tcp", "udp"))
    yield Chain("input", rules, Hook("filter", INPUT, FILTER))
    yield Chain("output", rules, Hook("filter", OUTPUT, FILTER))


def _refuse(vips: Sequence[str | None], ports: Sequence[tuple[str, int, int]], reset: bool) -> Iterable[Chain]:
    """New connections to *ports* (transport, first, last) of the VIP are refused, or dropped, before any choice."""
    rules = []
    for transport, first, last in ports:
        for family, vip in zip(FAMILIES, vips, strict=True):
            if vip is not None:
                tcp = e("reject", type=TCP_RESET, code=0)
                udp = e("reject", type=UNREACHABLE, code=PORT_UNREACHABLE[family])
                end = DROP if not reset else tcp if transport == "tcp" else udp
                match = (*destination(family, vip), *port(transport, first, last), *state(NEW))
                rules.append(Rule((*match, e("counter"), end), note("no backend is left")))
    yield Chain("prerouting", tuple(rules), Hook("filter", PREROUTING, MANGLE))


def _full(room: int) -> Iterable[Chain]:
    """First packets are dropped once *room* connections are tracked that began since; later packets pass."""
    over = e("connlimit", count=room, flags=1)
    rule = Rule((*state(NEW), over, e("counter"), DROP), note(f"room for {room} more connections"))
    yield Chain("prerouting", (rule,), Hook("filter", PREROUTING, MANGLE))


def _few_ports(addresses: Sequence[str | None], first: int, last: int) -> Iterable[Chain]:
    """What goes on to a backend gets one of lb's *addresses* (IPv4, IPv6) and a source port of first to last."""
    rules = []
    for family, address in zip(FAMILIES, addresses, strict=True):
        for transport in ("tcp", "udp") if address is not None else ():
            to = (
                e("immediate", dreg=1, data=packed(family, str(address))),
                e("immediate", dreg=2, data=u16(first)),
                e("immediate", dreg=3, data=u16(last)),
                e("nat", type=SNAT, family=family, addr_min=1, proto_min=2, proto_max=3, flags=RANGE_SPECIFIED),
            )
            match = (*family_is(family), *protocol(transport), *_translated())
            rules.append(Rule((*match, e("counter"), *to), note(f"full NAT, source ports {first} to {last}")))
    yield Chain("postrouting", tuple(rules), Hook("nat", POSTROUTING, SRCNAT - 1))


def _black_hole() -> Iterable[Chain]:
    """Nobody is told that a packet was too big."""
    rules = tuple(
        Rule((*_icmp(kind, data), e("counter"), DROP), note("too big: not told")) for kind, data in TOO_BIG.items()
    )
    yield Chain("output", rules, Hook("filter", OUTPUT, FILTER))
    yield Chain("forward", rules, Hook("filter", FORWARD, FILTER))


KINDS: dict[str, Callable[..., Iterable[Chain]]] = {
    "silent": _silent,
    "refuse": _refuse,
    "full": _full,
    "few_ports": _few_ports,
    "black_hole": _black_hole,
}


def _translated() -> tuple[Expression, ...]:
    """``ct status dnat``"""
    return (
        e("ct", dreg=1, key=CT_STATUS),
        e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", TRANSLATED), xor=bytes(4), op=0),
        e("cmp", sreg=1, op=1, data=bytes(4)),
    )


def _icmp(kind: int, data: bytes) -> tuple[Expression, ...]:
    """A message of that protocol that begins with *data*."""
    load = e("payload", dreg=1, base=TRANSPORT, offset=0, len=len(data))
    return e("meta", dreg=1, key=L4PROTO), equal(bytes([kind])), load, equal(data)
