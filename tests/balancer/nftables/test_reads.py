"""Which fields rules load: told from base, offset and length, also of rules that somebody adds."""

import pytest

from labkit.balancer.nftables.reads import reads
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.values import Chain, Expression, Family, Rule, Ruleset, Table
from labkit.balancer.policy import Forward
from labkit.topology import Listener

from .samples import API1, DNS, ECHO, HTTP, VIPS


def of(*expressions: Expression, family: int = Family.INET) -> list[str]:
    return reads(Ruleset((Table("t", family, (Chain("c", (Rule(expressions),)),)),)))


def load(base: int, offset: int, length: int) -> Expression:
    return Expression("payload", {"dreg": 1, "base": base, "offset": offset, "len": length})


def meta(key: int, value: bytes) -> tuple[Expression, Expression]:
    return Expression("meta", {"dreg": 1, "key": key}), Expression("cmp", {"sreg": 1, "op": 0, "data": value})


IP, IP6, TCP, UDP = meta(15, b"\x02"), meta(15, b"\x0a"), meta(16, b"\x06"), meta(16, b"\x11")


def test_what_forwards_load() -> None:
    both = ["ip.dst", "ip.proto", "ip6.dst", "ip6.nexthdr", "tcp.dport", "udp.dport", "ct.state", "meta.nfproto"]
    assert reads(render(VIPS, [HTTP, ECHO, DNS])) == both
    only4 = reads(render((VIPS[0], None), [Forward(Listener(80), (API1,))]))
    assert only4 == ["ip.dst", "ip.proto", "tcp.dport", "ct.state", "meta.nfproto"]
    assert reads(render(VIPS, [])) == ["ct.state"]


@pytest.mark.parametrize(
    ("expressions", "names"),
    [
        ((*IP, load(1, 8, 1)), ["ip.ttl", "meta.nfproto"]),
        ((*IP, load(1, 12, 8)), ["ip.dst", "ip.src", "meta.nfproto"]),
        ((*IP6, load(1, 8, 4)), ["ip6.src", "meta.nfproto"]),
        ((load(1, 8, 1),), ["ip.ttl", "ip6.src"]),  # nobody asked which of the two it is
        ((*TCP, load(2, 13, 1)), ["ip.proto", "tcp.flags"]),
        ((*UDP, load(2, 0, 4)), ["ip.proto", "udp.dport", "udp.sport"]),
        ((load(2, 2, 2),), ["tcp.dport", "udp.dport"]),
        ((*IP6, *TCP), ["ip6.nexthdr", "meta.nfproto"]),
        ((*TCP, load(2, 20, 4)), ["ip.proto", "transport[20:4]"]),
        ((load(3, 0, 2),), ["inner[0:2]"]),
        ((load(0, 6, 6),), ["eth.src"]),
        ((*meta(1, b"\x08\x00"), load(1, 16, 4)), ["ip.dst", "meta.protocol"]),
        ((Expression("meta", {"dreg": 1, "key": 99}),), ["meta.99"]),
        ((Expression("ct", {"dreg": 1, "key": 2}),), ["ct.status"]),
        ((Expression("ct", {"dreg": 1, "key": 20, "direction": 0}),), ["ct.dst"]),
        ((Expression("fib", {"dreg": 1, "result": 3, "flags": 2}),), ["ip.dst"]),
        ((Expression("exthdr", {"dreg": 1, "type": 2, "op": 1}),), ["tcp.option.2"]),
        ((Expression("socket", {"dreg": 1, "key": 0}),), ["socket.0"]),
        ((Expression("payload", {"sreg": 1, "base": 1, "offset": 16, "len": 4}),), []),  # written, not read
        ((Expression("meta", {"sreg": 1, "key": 3}), Expression("counter")), []),
    ],
)
def test_each_load_has_a_name(expressions: tuple[Expression, ...], names: list[str]) -> None:
    assert of(*expressions) == names


def test_the_family_of_a_table_says_which_header_it_is() -> None:
    assert of(load(1, 8, 1), family=Family.IP) == ["ip.ttl"]
    assert of(load(1, 7, 1), family=Family.IP6) == ["ip6.hlim"]


def test_a_protocol_told_by_the_ip_header_itself() -> None:
    number = Expression("cmp", {"sreg": 1, "op": 0, "data": b"\x11"})
    assert of(load(1, 9, 1), number, load(2, 2, 2), family=Family.IP) == ["ip.proto", "udp.dport"]
    ether = Expression("cmp", {"sreg": 1, "op": 0, "data": b"\x86\xdd"})
    assert of(load(0, 12, 2), ether, load(1, 24, 16), family=Family.BRIDGE) == ["eth.type", "ip6.dst"]
