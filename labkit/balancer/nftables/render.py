"""What shall be forwarded, as nftables rules. Pure: values in, values out.

The rules of one listener with two backends, in nftables syntax::

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 10.0.1.10 tcp dport 80 goto http_80        # who is asked for: address and port, no more
    }
    chain http_80 {
        numgen inc mod 2 vmap { 0 : goto http_80_api1, 1 : goto http_80_api2 }      # whose turn is it
    }
    chain http_80_api1 {
        counter
        dnat ip to 10.0.2.11                                # the new label on the closed envelope
    }

IPv4 and IPv6 clients of a listener meet in its chain, so that they share one round.

Two things hold in every ruleset, also where nothing is forwarded: the nat base chain is there, and the
chain ``forward`` has a ``ct`` expression. Without either the kernel stops tracking connections, and those
that were translated before are cut. Only the prerouting hook translates, so what lb itself sends (an L7
proxy's connections to its backends) is left alone.
"""

import re
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from labkit.errors import PolicyError

from ..policy import Forward, Target
from .values import (
    TABLE,
    Chain,
    Code,
    Element,
    Expression,
    Family,
    Hook,
    Rule,
    Ruleset,
    Set,
    SetFlag,
    Table,
    Verdict,
    userdata,
)
from .wanted import check

PREROUTING, FORWARD = 0, 2  # hooks
DSTNAT, FILTER = -100, 0  # priorities
LINK, NETWORK, TRANSPORT = 0, 1, 2  # payload bases
NFPROTO, L4PROTO = 15, 16  # meta keys
CT_STATE = 0  # ct key
ESTABLISHED, RELATED, NEW = 2, 4, 8  # bits of the ct state
EQUAL, NOT_EQUAL = 0, 1
PROTOCOLS = {"tcp": 6, "udp": 17}
DESTINATION = {Family.IP: (16, 4), Family.IP6: (24, 16)}  # offset and length in the network header
DNAT, RANGE_SPECIFIED = 1, 2
TYPE_INTEGER, TYPE_VERDICT = 4, 0xFFFFFF00
TCP_RESET, ICMPX_UNREACHABLE, PORT_UNREACHABLE = 1, 2, 1
KEY_BYTE_ORDER, HOST_ORDER = 0, 1  # in a set's userdata
ADDRESS_FAMILY = {Family.IP: socket.AF_INET, Family.IP6: socket.AF_INET6}


def render(vips: tuple[str, str | None], forwards: Sequence[Forward]) -> Ruleset:
    """The rules that forward each listener of *forwards*, on both addresses of the VIP (IPv4, IPv6 or None).

    A target that stands several times in a forward gets as many turns a round. Where a target has no IPv6
    address but the VIP has one, IPv6 clients of that listener are refused by a rule that says so: passed
    by, they would reach whatever listens on lb. A forward without targets is refused so altogether. PolicyError
    for two forwards of one port, and for an algorithm that this engine has not.
    """
    check(forwards)
    chain_of = dict(zip(forwards, _names(forwards), strict=True))
    serving = [forward for forward in forwards if forward.targets]
    sets = tuple(_slots(number, chain_of[forward], forward.targets) for number, forward in enumerate(serving))
    chains = [
        Chain("prerouting", tuple(_dispatch(vips, chain_of)), Hook("nat", PREROUTING, DSTNAT)),
        Chain("forward", tuple(_tracking()), Hook("filter", FORWARD, FILTER)),
    ]
    for forward, slots in zip(serving, sets, strict=True):
        turn = (
            _e("numgen", dreg=1, modulus=len(forward.targets), type=0),
            _e("lookup", set=slots.name, sreg=1, dreg=0),
        )
        about = f"{forward.listener.label}: the next of {len(forward.targets)} in turn, for each new connection"
        chains.append(Chain(chain_of[forward], (Rule(turn),), userdata=_note(about)))
        for target in dict.fromkeys(forward.targets):
            chains.append(_backend(f"{chain_of[forward]}_{target.name}", forward, target))
    if len({chain.name for chain in chains}) != len(chains):
        raise PolicyError("Two listeners would share a chain of rules; give the listeners names that differ more.")
    return Ruleset((Table(TABLE, Family.INET, tuple(chains), sets, userdata=_note("written by labkit")),))


def _names(forwards: Iterable[Forward]) -> Iterator[str]:
    """A name for each listener's chain, as nft accepts it: the label and, if it does not say it, the port."""
    taken: set[str] = set()
    for forward in forwards:
        listener = forward.listener
        words = [word for word in re.split(r"[^A-Za-z0-9]+", listener.label) if word]
        if str(listener.port) not in words[-1:]:
            words.append(str(listener.port))
        if not words[0][0].isalpha():
            words.insert(0, listener.protocol)
        name = "_".join(words)
        if name in taken:
            name = f"{name}_{listener.transport}"
        taken.add(name)
        yield name


def _dispatch(vips: tuple[str, str | None], chain_of: dict[Forward, str]) -> Iterator[Rule]:
    """The rules that know a listener by address, protocol and port."""
    for forward, name in chain_of.items():
        listener = forward.listener
        for family, vip in zip((Family.IP, Family.IP6), vips, strict=True):
            if vip is None:
                continue
            match = (*_address(family, vip), *_port(listener.transport, listener.port))
            lacking = [target.name for target in forward.targets if family == Family.IP6 and not target.address6]
            if (
                why := "no backend takes connections"
                if not forward.targets
                else lacking and f"{lacking[0]} has no IPv6 address"
            ):
                yield Rule((*match, _refusal(listener.transport)), _note(f"{listener.label}: refused, {why}"))
            else:
                go = _e("immediate", dreg=0, data=Verdict(Code.GOTO, name))
                yield Rule((*match, go), _note(f"{listener.label}: known by address and port, on the first packet"))


def _refusal(transport: str) -> Expression:
    """A clear no: a reset for TCP, port unreachable for UDP."""
    if transport == "tcp":
        return _e("reject", type=TCP_RESET, code=0)
    return _e("reject", type=ICMPX_UNREACHABLE, code=PORT_UNREACHABLE)


def _tracking() -> Iterator[Rule]:
    """The rules that keep connection tracking alive, and count."""
    yield Rule((*_state(NEW), _e("counter")), _note("first packets of forwarded connections"))
    yield Rule(
        (*_state(ESTABLISHED | RELATED), _e("counter")),
        _note("all later packets: the backend is not chosen again"),
    )


def _slots(number: int, name: str, targets: Sequence[Target]) -> Set:
    """The map from slot to backend. It has no name of its own: nft shows it inside its rule."""
    elements = tuple(
        Element(struct.pack("=I", slot), Verdict(Code.GOTO, f"{name}_{target.name}"))
        for slot, target in enumerate(targets)
    )
    flags = SetFlag.ANONYMOUS | SetFlag.CONSTANT | SetFlag.MAP
    order = bytes((KEY_BYTE_ORDER, 4)) + struct.pack("=I", HOST_ORDER)
    return Set(f"__map{number}", flags, TYPE_INTEGER, 4, TYPE_VERDICT, 0, elements, size=len(elements), userdata=order)


def _backend(name: str, forward: Forward, target: Target) -> Chain:
    """Count, then give the connection its new destination."""
    listener = forward.listener
    rules = [Rule((_e("counter"),))]
    for family, address in ((Family.IP, target.address4), (Family.IP6, target.address6)):
        if address is None:
            continue
        load = [_e("immediate", dreg=1, data=socket.inet_pton(ADDRESS_FAMILY[family], address))]
        if listener.target_port == listener.port:
            nat = _e("nat", type=DNAT, family=family, addr_min=1)
        else:
            load = [*_protocol(listener.transport), *load, _e("immediate", dreg=2, data=_u16(listener.target_port))]
            nat = _e("nat", type=DNAT, family=family, addr_min=1, proto_min=2, flags=RANGE_SPECIFIED)
        rules.append(Rule((*load, nat)))
    return Chain(name, tuple(rules), userdata=_note(f"{target.name} serves {listener.label}"))


def _e(name: str, /, **values: int | str | bytes | Verdict) -> Expression:
    return Expression(name, values)


def _u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _equal(data: bytes) -> Expression:
    return _e("cmp", sreg=1, op=EQUAL, data=data)


def _protocol(transport: str) -> tuple[Expression, ...]:
    return _e("meta", dreg=1, key=L4PROTO), _equal(bytes([PROTOCOLS[transport]]))


def _address(family: Family, address: str) -> tuple[Expression, ...]:
    offset, length = DESTINATION[family]
    nfproto = 2 if family == Family.IP else 10
    return (
        _e("meta", dreg=1, key=NFPROTO),
        _equal(bytes([nfproto])),
        _e("payload", dreg=1, base=NETWORK, offset=offset, len=length),
        _equal(socket.inet_pton(ADDRESS_FAMILY[family], address)),
    )


def _port(transport: str, port: int) -> tuple[Expression, ...]:
    return *_protocol(transport), _e("payload", dreg=1, base=TRANSPORT, offset=2, len=2), _equal(_u16(port))


def _state(bits: int) -> tuple[Expression, ...]:
    return (
        _e("ct", dreg=1, key=CT_STATE),
        _e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", bits), xor=bytes(4), op=0),
        _e("cmp", sreg=1, op=NOT_EQUAL, data=bytes(4)),
    )


def _note(text: str) -> bytes:
    """A comment; cut where the kernel's 128 bytes end (a listener's label may be long)."""
    return userdata(text.replace('"', "'").encode()[:128].decode(errors="ignore"))
