"""Rules that break something on purpose, each in a table of its own beside the one that forwards.

Call targets for a node's worker: `put` a table, `remove` it again. The forwarding rules are never touched, and may be
swapped meanwhile. Which fault needs which of these, where and why is `labkit.faults`' business.
"""

import socket
import struct
from collections.abc import Callable, Iterable, Sequence

from .encode import DELTABLE, NEWTABLE, swap
from .netlink import CREATE, NFTABLES, Message, Netlink, text
from .values import Chain, Code, Expression, Family, Hook, Rule, Table, Verdict, userdata

PREFIX = "labkit_fault_"
PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)  # hooks
FILTER, MANGLE, SRCNAT = 0, -150, 100  # priorities
NFPROTO, L4PROTO = 15, 16  # meta keys
TRANSPORT = 2  # payload base
CT_STATE, CT_STATUS = 0, 2  # ct keys
NEW, TRANSLATED = 8, 0x20  # bits of the state and of the status: its destination was rewritten
EQUAL, NOT_EQUAL = 0, 1
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
TOO_BIG = {ICMP: bytes((3, 4)), ICMP6: bytes((2,))}  # type and code, RFC 792; type, RFC 4443 §3.2
SNAT, RANGE_SPECIFIED = 0, 2
TCP_RESET, ICMPX_UNREACHABLE, PORT_UNREACHABLE = 1, 2, 1
DROP = Expression("immediate", {"dreg": 0, "data": Verdict(Code.DROP)})


def put(name: str, kind: str, **options: object) -> None:
    """Call target: load the table of *kind* (a key of `KINDS`) as *name*, in the place of one of that name."""
    with Netlink() as netlink:
        netlink.commit(swap(table(name, kind, **options)))


def put_with(name: str, kind: str, options: dict[str, object]) -> None:
    """Call target: `put` with its options as plain data."""
    put(name, kind, **options)


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
    return Table(PREFIX + name, Family.INET, tuple(chains), userdata=userdata(about))


def _silent() -> Iterable[Chain]:
    """Neither takes nor sends a segment or datagram."""
    rules = tuple(Rule((*_is(L4PROTO, protocol), _e("counter"), DROP)) for protocol in (TCP, UDP))
    yield Chain("input", rules, Hook("filter", INPUT, FILTER))
    yield Chain("output", rules, Hook("filter", OUTPUT, FILTER))


def _refuse(reset: bool) -> Iterable[Chain]:
    """New connections for which a backend was chosen are refused or dropped, short of the back link."""
    chosen = (*_has(CT_STATE, NEW), *_has(CT_STATUS, TRANSLATED))
    if not reset:
        rules = [Rule((*chosen, _e("counter"), DROP), userdata("no backend is left: not answered"))]
    else:
        over_tcp = (*_is(L4PROTO, TCP), *chosen, _e("counter"), _e("reject", type=TCP_RESET, code=0))
        else_ = (*chosen, _e("counter"), _e("reject", type=ICMPX_UNREACHABLE, code=PORT_UNREACHABLE))
        rules = [Rule(over_tcp, userdata("no backend is left: refused")), Rule(else_, userdata("no backend is left"))]
    yield Chain("forward", tuple(rules), Hook("filter", FORWARD, FILTER - 1))


def _full(room: int) -> Iterable[Chain]:
    """First packets are dropped once *room* connections are tracked that began since; later packets pass."""
    over = _e("connlimit", count=room, flags=1)
    rule = Rule((*_has(CT_STATE, NEW), over, _e("counter"), DROP), userdata(f"room for {room} more connections"))
    yield Chain("prerouting", (rule,), Hook("filter", PREROUTING, MANGLE))


def _few_ports(addresses: Sequence[str | None], first: int, last: int) -> Iterable[Chain]:
    """What goes on to a backend gets one of lb's *addresses* (IPv4, IPv6) and a source port of first to last."""
    rules = []
    for family, number, address in zip(
        (Family.IP, Family.IP6), (socket.AF_INET, socket.AF_INET6), addresses, strict=True
    ):
        for protocol in (TCP, UDP):
            if address is None:
                continue
            to = (
                _e("immediate", dreg=1, data=socket.inet_pton(number, address)),
                _e("immediate", dreg=2, data=first.to_bytes(2, "big")),
                _e("immediate", dreg=3, data=last.to_bytes(2, "big")),
                _e("nat", type=SNAT, family=family, addr_min=1, proto_min=2, proto_max=3, flags=RANGE_SPECIFIED),
            )
            match = (*_is(NFPROTO, family), *_is(L4PROTO, protocol), *_has(CT_STATUS, TRANSLATED))
            rules.append(Rule((*match, _e("counter"), *to), userdata(f"full NAT with {last - first + 1} source ports")))
    yield Chain("postrouting", tuple(rules), Hook("nat", POSTROUTING, SRCNAT - 1))


def _black_hole() -> Iterable[Chain]:
    """Nobody is told that a packet was too big."""
    rules = tuple(
        Rule((*_is(L4PROTO, protocol), *_starts(data), _e("counter"), DROP), userdata("too big: not told"))
        for protocol, data in TOO_BIG.items()
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


def _e(name: str, /, **values: int | str | bytes | Verdict) -> Expression:
    return Expression(name, values)


def _is(key: int, value: int) -> tuple[Expression, ...]:
    return _e("meta", dreg=1, key=key), _e("cmp", sreg=1, op=EQUAL, data=bytes([value]))


def _has(key: int, bit: int) -> tuple[Expression, ...]:
    return (
        _e("ct", dreg=1, key=key),
        _e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", bit), xor=bytes(4), op=0),
        _e("cmp", sreg=1, op=NOT_EQUAL, data=bytes(4)),
    )


def _starts(data: bytes) -> tuple[Expression, ...]:
    """The transport header begins with *data*."""
    load = _e("payload", dreg=1, base=TRANSPORT, offset=0, len=len(data))
    return load, _e("cmp", sreg=1, op=EQUAL, data=data)
