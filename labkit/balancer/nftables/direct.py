"""Direct server return: packets sent on as they are, where they enter, and never translated or tracked. Pure.

The rules of one TCP listener with two backends, in nftables syntax (IPv4 alone)::

    chain arriving {
        type filter hook ingress device "front" priority filter; policy accept;
        ip daddr 10.0.1.10 meta l4proto tcp jump tcp4                       # a flow that is known goes where it went
        ip daddr 10.0.1.10 tcp dport 80 tcp flags syn / syn,ack goto http_80
    }
    chain tcp4 {
        tcp flags syn / syn,ack FLOW . tcp sequence != @tcp4_opening delete @tcp4 { FLOW : 0 } delete … return
        tcp flags syn / syn,ack meta mark set FLOW map @tcp4_closing add @tcp4 { … } delete @tcp4_closing { … }
        tcp flags fin,rst meta mark set FLOW map @tcp4 update @tcp4_closing { FLOW : meta mark } delete @tcp4 { … }
        meta mark set FLOW map @tcp4 update @tcp4 { FLOW : meta mark } meta mark vmap { 1 : goto to_api1, … }
        meta mark set FLOW map @tcp4_closing update @tcp4_closing { … } meta mark vmap { … }
    }
    chain http_80 { numgen inc mod 2 vmap { 0 : goto http_80_api1, … } }   # as everywhere: see `choose`
    chain http_80_api1 {
        counter
        meta mark set 1 add @tcp4_opening { FLOW . tcp sequence } add @tcp4 { FLOW timeout 1m : meta mark } log … fwd …
        drop
    }
    chain to_api1 { counter fwd ip to 10.0.2.11 device "back" }

FLOW is ``ip saddr . tcp sport . tcp dport``. The maps remember each flow's backend by number; they outlive every swap
of the rules (`encode.refill`), so a flow stays where it began whatever is switched. Why it is so, docs/decisions/0007
says. A flow that is not known, and does not begin, is none of these rules' business: it may be one that is translated.
A SYN begins a flow unless it repeats the one that began it (``@tcp4_opening``); whatever was known of its addresses and
ports is forgotten, also where it goes on to another style or to L7.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..policy import Forward, Target
from .choose import Chooser
from .nflog import GROUP, SNAPLEN
from .pieces import (
    DESTINATION,
    EQUAL,
    MARK,
    NETWORK,
    NFPROTO,
    NOT_EQUAL,
    PROTOCOLS,
    SOURCE,
    TRANSPORT,
    e,
    equal,
    note,
    packed,
    port,
    protocol,
)
from .typeof import note as typeof
from .values import TABLE, Chain, Code, Element, Expression, Family, Hook, Rule, Set, SetFlag, Table, Verdict

INGRESS, FILTER = 0, 0  # hook and priority of the netdev family
PROTOCOL = 1  # meta key: the ethertype, which in this family takes the place of nfproto
ETHERTYPES = {Family.IP: b"\x08\x00", Family.IP6: b"\x86\xdd"}
FAMILIES = (Family.IP, Family.IP6)
NUMBER = {Family.IP: "4", Family.IP6: "6"}
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
ADD, UPDATE, DELETE = 0, 1, 2  # of a map, while packets pass
TYPE_MARK, TYPE_PORT, TYPE_INTEGER, TYPE_VERDICT = 19, 13, 4, 0xFFFFFF00
TYPE_ADDRESS = {Family.IP: 7, Family.IP6: 8}
FLOWS_AT_MOST = 1 << 20
HOST_ORDER_KEYS, HOST_ORDER_DATA = (struct.pack("=BBI", kind, 4, 1) for kind in (0, 1))  # a set's userdata
MINUTES = 60_000  # milliseconds
IDLE = {"tcp": 15 * MINUTES, "udp": 2 * MINUTES}  # a flow that is silent for so long is forgotten
OPENING, CLOSING = 1 * MINUTES, MINUTES // 6  # before its second packet; after a FIN or RST from the client
KEY, NUMBERED = 1, 3  # registers: where a flow's key begins (28 bytes at most), and the number of its backend
PORTS = {Family.IP: (9, 10), Family.IP6: (2, 13)}  # registers: what follows the address without a gap
SEQUENCE = {Family.IP: 11, Family.IP6: 14}  # registers: what follows the ports
INVERTED = 1  # a lookup that matches what is not there
DEVICE, ADDRESS = 1, 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where packets enter (*front*, an interface's name) and leave (*back*, its number), and every backend there is."""

    front: str
    back: int
    backends: tuple[Target, ...]

    def number(self, name: str) -> bytes:
        """By which a map remembers the backend called *name*: the same after every switch."""
        names = [backend.name for backend in self.backends]
        return struct.pack("=I", names.index(name) + 1)


def direct(vips: tuple[str, str | None], chain_of: Mapping[Forward, str], place: Place) -> Table:
    """The table that sends on the packets of known flows, and of new ones to the listeners in *chain_of*."""
    known = [(family, vip) for family, vip in zip(FAMILIES, vips, strict=True) if vip]
    arriving: list[Rule] = []
    chains: list[Chain] = []
    maps: list[Set] = []
    chooser = Chooser()
    numbered = _Numbered(place)
    for family, vip in known:
        for transport in PROTOCOLS:
            name = f"{transport}{NUMBER[family]}"
            to_vip = (*_destination(family, vip), *protocol(transport))
            arriving.append(Rule((*to_vip, _go(Code.JUMP, name)), note("a flow that is known goes where it went")))
            maps += _flows(family, transport)
            chains.append(Chain(name, tuple(_known(family, transport, numbered)), userdata=note(_ABOUT[transport])))
    for forward, name in chain_of.items():
        listener = forward.listener
        lacking = any(target.address6 is None for target in forward.targets)
        families = [(family, vip) for family, vip in known if family == Family.IP or not lacking]
        for family, vip in families:
            ports = port(listener.transport, listener.port, listener.last_port)
            begins = _flags(SYN | ACK, EQUAL, SYN) if listener.transport == "tcp" else ()
            match = (*_destination(family, vip), *ports, *begins)
            about = note(f"{listener.label}: a flow begins; known by address and port")
            arriving.append(Rule((*match, _go(Code.GOTO, name)), about))
        choice = chooser.choice(forward, name, [family for family, _ in families])
        maps += choice.maps
        chains.append(Chain(name, tuple(map(_by_ethertype, choice.rules)), userdata=note(choice.about)))
        for target in dict.fromkeys(forward.targets):
            chains.append(_begun(f"{name}_{target.name}", forward, target, place, [family for family, _ in families]))
    for target in place.backends:
        chains.append(Chain(f"to_{target.name}", tuple(_sent(target, place, [family for family, _ in known]))))
    base = Chain("arriving", tuple(arriving), Hook("filter", INGRESS, FILTER, devices=(place.front,)))
    own = {found.name: found for found in (*maps, *numbered.maps)}
    about = note("written by labkit: direct server return, untranslated and untracked")
    return Table(TABLE, Family.NETDEV, (base, *chains), tuple(own.values()), userdata=about)


def is_flows(name: str) -> bool:
    """Whether the map or set of that name remembers flows, so that it must outlive a swap."""
    flows = {f"{word}{number}" for word in PROTOCOLS for number in NUMBER.values()}
    return name.removesuffix("_opening").removesuffix("_closing") in flows


_ABOUT = {
    "tcp": "connections known by address and ports: no choice is made again",
    "udp": "exchanges known by address and ports: no choice is made again",
}


class _Numbered:
    """Verdict maps from a backend's number to the chain that sends to it: one for each rule that needs one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.maps: list[Set] = []

    def verdict(self) -> tuple[Expression, Expression]:
        """``meta mark vmap { 0x00000001 : goto to_api1, … }``"""
        elements = tuple(
            Element(self._place.number(target.name), Verdict(Code.GOTO, f"to_{target.name}"))
            for target in self._place.backends
        )
        flags = SetFlag.ANONYMOUS | SetFlag.CONSTANT | SetFlag.MAP
        name = f"__flows{len(self.maps)}"
        self.maps.append(
            Set(name, flags, TYPE_MARK, 4, TYPE_VERDICT, 0, elements, size=len(elements), userdata=HOST_ORDER_KEYS)
        )
        return e("meta", dreg=1, key=MARK), e("lookup", set=name, sreg=1, dreg=0)


def _known(family: Family, transport: str, numbered: _Numbered) -> Iterator[Rule]:
    """The rules for packets of flows that have their backend."""
    name = f"{transport}{NUMBER[family]}"
    key, closing = _key(family, transport), f"{name}_closing"
    if transport == "tcp":
        begins = note("no repetition of the SYN that began it: another flow, for which no choice is made yet")
        anew = (*protocol(transport), *_flags(SYN | ACK, EQUAL, SYN), *key, _sequence(family))
        unknown = e("lookup", set=f"{name}_opening", sreg=KEY, flags=INVERTED)
        whichever = e("immediate", dreg=NUMBERED, data=bytes(4))  # a deletion must give a number, and heeds none
        forgotten = (whichever, _into(name, DELETE), _into(closing, DELETE))
        yield Rule((*anew, unknown, *forgotten, _go(Code.RETURN)), begins)
        again = note("sent again after a reset: its backend still had an older connection of that port")
        syn = (*protocol(transport), *_flags(SYN | ACK, EQUAL, SYN))
        back = (_into(name, ADD, OPENING), _into(closing, DELETE))
        yield Rule((*syn, *_recalled(key, closing), *back), again)
        moved = (_into(closing, UPDATE), _into(name, DELETE))
        ends = note("the client ends it: kept for a few seconds more")
        ending = (*_is(family), *protocol(transport), *_flags(FIN | RST, NOT_EQUAL, 0))
        yield Rule((*ending, *_recalled(key, name), *moved), ends)
    yield Rule((*_recalled(key, name), _into(name, UPDATE), *numbered.verdict()))
    if transport == "tcp":
        yield Rule((*_recalled(key, closing), _into(closing, UPDATE), *numbered.verdict()))


def _recalled(key: tuple[Expression, ...], name: str) -> tuple[Expression, ...]:
    """``meta mark set FLOW map @tcp4``; then key and mark are in their registers for what follows."""
    return (
        *key,
        e("lookup", set=name, sreg=KEY, dreg=NUMBERED),
        e("meta", key=MARK, sreg=NUMBERED),
        e("meta", dreg=NUMBERED, key=MARK),
    )


def _into(name: str, operation: int, timeout: int = 0) -> Expression:
    """``update @tcp4 { FLOW : meta mark }``, of a key and a number that were loaded before."""
    more = {"timeout": timeout} if timeout else {}
    return e("dynset", set=name, op=operation, key=KEY, data=NUMBERED, **more)


def _begun(name: str, forward: Forward, target: Target, place: Place, families: Sequence[Family]) -> Chain:
    """Count, remember the flow, say so (to `nflog`), send its first packet on."""
    transport = forward.listener.transport
    rules = [Rule((e("counter"),))]
    for family in families:
        flows = f"{transport}{NUMBER[family]}"
        opening = _sequence(family), e("dynset", set=f"{flows}_opening", op=ADD, key=KEY)
        remembered = (
            e("immediate", dreg=1, data=place.number(target.name)),
            e("meta", key=MARK, sreg=1),
            *_key(family, transport),
            *(opening if transport == "tcp" else ()),
            e("meta", dreg=NUMBERED, key=MARK),
            _into(flows, ADD, OPENING if transport == "tcp" else 0),
        )
        address = target.address4 if family == Family.IP else target.address6
        said = e("log", group=GROUP, prefix=f"{target.name} {address}", snaplen=SNAPLEN)
        rules.append(Rule((*remembered, said, *_forwarded(family, target, place))))
    full = note("nowhere to remember it: a flow that would be forgotten at once must not begin")
    return Chain(
        name, (*rules, Rule((_go(Code.DROP),), full)), userdata=note(f"{target.name} serves {forward.listener.label}")
    )


def _sent(target: Target, place: Place, families: Sequence[Family]) -> Iterator[Rule]:
    """Towards one backend: its neighbour's MAC address is found by the kernel, and the TTL goes down by one."""
    yield Rule((e("counter"),))
    for family in families:
        if family == Family.IP or target.address6:
            yield Rule((*_is(family), *_forwarded(family, target, place)))


def _forwarded(family: Family, target: Target, place: Place) -> tuple[Expression, ...]:
    """``fwd ip to 10.0.2.11 device "back"``"""
    address = target.address4 if family == Family.IP else target.address6 or "::"
    return (
        e("immediate", dreg=DEVICE, data=struct.pack("=I", place.back)),
        e("immediate", dreg=ADDRESS, data=packed(family, address)),
        e("fwd", device=DEVICE, addr=ADDRESS, family=2 if family == Family.IP else 10),
    )


def _flows(family: Family, transport: str) -> Iterator[Set]:
    name, parts = f"{transport}{NUMBER[family]}", (TYPE_ADDRESS[family], TYPE_PORT, TYPE_PORT)
    kind = parts[0] << 12 | parts[1] << 6 | parts[2]
    flags, length = SetFlag.MAP | SetFlag.TIMEOUT | SetFlag.DYNAMIC, SOURCE[family][1] + 8
    endings = (("", IDLE[transport]), *([("_closing", CLOSING)] if transport == "tcp" else []))
    for ending, timeout in endings:
        made = Set(name + ending, flags, kind, length, TYPE_MARK, 4, userdata=HOST_ORDER_DATA)
        yield replace(made, timeout=timeout, size=FLOWS_AT_MOST)
    if transport == "tcp":
        ip = "ip" if family == Family.IP else "ip6"
        key = typeof(f"{ip} saddr", "tcp sport", "tcp dport", "tcp sequence")  # a number of 32 bits has no type's name
        flags = SetFlag.TIMEOUT | SetFlag.DYNAMIC
        made = Set(f"{name}_opening", flags, kind << 6 | TYPE_INTEGER, length + 4, userdata=key)
        yield replace(made, timeout=OPENING, size=FLOWS_AT_MOST)


def _key(family: Family, transport: str) -> tuple[Expression, ...]:
    """``ip saddr . tcp sport . tcp dport``: who talks, from which port, to which listener (there is one VIP)."""
    offset, length = SOURCE[family]
    source, target = PORTS[family]
    return (
        *_is(family),
        *protocol(transport),
        e("payload", dreg=KEY, base=NETWORK, offset=offset, len=length),
        e("payload", dreg=source, base=TRANSPORT, offset=0, len=2),
        e("payload", dreg=target, base=TRANSPORT, offset=2, len=2),
    )


def _sequence(family: Family) -> Expression:
    """``. tcp sequence``, after the key: by it a SYN that is sent again is told from one that begins another flow."""
    return e("payload", dreg=SEQUENCE[family], base=TRANSPORT, offset=4, len=4)


def _is(family: Family) -> tuple[Expression, ...]:
    """``meta protocol ip``"""
    return e("meta", dreg=1, key=PROTOCOL), equal(ETHERTYPES[family])


def _destination(family: Family, address: str) -> tuple[Expression, ...]:
    offset, length = DESTINATION[family]
    load = e("payload", dreg=1, base=NETWORK, offset=offset, len=length)
    return *_is(family), load, equal(packed(family, address))


def _flags(mask: int, op: int, value: int) -> tuple[Expression, ...]:
    """``tcp flags syn / syn,ack``"""
    return (
        e("payload", dreg=1, base=TRANSPORT, offset=13, len=1),
        e("bitwise", sreg=1, dreg=1, len=1, mask=bytes([mask]), xor=bytes(1), op=0),
        e("cmp", sreg=1, op=op, data=bytes([value])),
    )


def _go(code: Code, chain: str = "") -> Expression:
    return e("immediate", dreg=0, data=Verdict(code, chain))


def _by_ethertype(rule: Rule) -> Rule:
    """A rule of the inet family for netdev, where ``meta nfproto`` says "netdev": the ethertype is asked instead."""
    asked, found = False, []
    for expression in rule.expressions:
        if expression.name == "meta" and expression.number("key") == NFPROTO:
            expression, asked = e("meta", dreg=expression.number("dreg"), key=PROTOCOL), True
        elif asked and expression.name == "cmp":
            family = Family.IP if expression.data() == b"\x02" else Family.IP6
            expression, asked = equal(ETHERTYPES[family]), False
        found.append(expression)
    return Rule(tuple(found), rule.userdata)
