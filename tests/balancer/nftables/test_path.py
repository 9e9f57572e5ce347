"""The way of a first packet through the rules: what was loaded before its backend was chosen."""

from dataclasses import replace

import pytest

from labkit.balancer.nftables.path import First, fields_read
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.values import (
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
)

from .samples import DNS, ECHO, HTTP, VIPS

WEB = First("TCP", "10.0.1.11", 40000, "10.0.1.10", 80, "10.0.2.12")
WEB6 = First("TCP", "fd00:10:0:1::11", 40000, "fd00:10:0:1::10", 80, "fd00:10:0:2::12")
NAME = First("UDP", "10.0.1.11", 40000, "10.0.1.10", 53, "10.0.2.11")
TTL = Expression("payload", {"dreg": 1, "base": 1, "offset": 8, "len": 1})
SOURCE = Expression("payload", {"dreg": 1, "base": 1, "offset": 12, "len": 4})
MARK = Expression("meta", {"dreg": 1, "key": 3})
STEP4 = ["ip.dst", "ip.proto", "tcp.dport", "meta.nfproto"]


def equal(data: bytes, op: int = 0) -> Expression:
    return Expression("cmp", {"sreg": 1, "op": op, "data": data})


def do(code: int, chain: str = "") -> Expression:
    return Expression("immediate", {"dreg": 0, "data": Verdict(code, chain)})


def before(*rules: tuple[Expression, ...], chains: tuple[Chain, ...] = (), sets: tuple[Set, ...] = ()) -> Ruleset:
    """The forwards of HTTP, with a table of somebody's own that sees packets first."""
    own = Chain("own", tuple(Rule(each) for each in rules), Hook("filter", 0, -150))
    table = Table("own", Family.IP, (own, *chains), sets)
    return Ruleset((render(VIPS, [HTTP]).table(), table))


def test_a_connection_loads_what_its_listener_and_those_before_it_compare() -> None:
    assert fields_read(render(VIPS, [HTTP, ECHO]), WEB) == STEP4
    assert fields_read(render(VIPS, [HTTP, ECHO]), WEB6) == ["ip6.dst", "ip6.nexthdr", "tcp.dport", "meta.nfproto"]


def test_a_comparison_that_fails_ends_its_rule() -> None:
    # the rule of TCP port 80 stops at the protocol: no port was loaded as TCP's
    assert fields_read(render(VIPS, [HTTP, DNS]), NAME) == ["ip.dst", "ip.proto", "udp.dport", "meta.nfproto"]


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ((TTL, equal(b"\x40"), Expression("counter")), ["ip.ttl"]),
        ((TTL, equal(b"\x40"), do(Code.ACCEPT)), ["ip.ttl"]),  # not known: the packet may have gone on
        ((SOURCE, equal(b"\x0a\x00\x01\x0b"), MARK, equal(b"\0\0\0\1")), ["ip.src", "meta.mark"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x63"), MARK, equal(b"\0\0\0\1")), ["ip.src"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x63", 1), MARK), ["ip.src", "meta.mark"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x00", 4), MARK), ["ip.src", "meta.mark"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x00", 2), MARK), ["ip.src"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x0b", 5), equal(b"\x0a\x00\x01\x0b", 3), MARK), ["ip.src", "meta.mark"]),
        ((SOURCE, equal(b"\x0a\x00\x01\x00", 5), equal(b"\x0a\x00\x01\x0a", 3), MARK), ["ip.src"]),
        ((MARK, Expression("lookup", {"sreg": 1, "set": "some"}), TTL), ["ip.ttl", "meta.mark"]),
    ],
)
def test_rules_of_others_on_the_way_count(rule: tuple[Expression, ...], more: list[str]) -> None:
    assert set(fields_read(before(rule), WEB)) == {*STEP4, *more}


@pytest.mark.parametrize(("flags", "more"), [(0, []), (1, ["ip.ttl"])])
def test_a_first_packet_is_in_no_set_that_packets_fill(flags: int, more: list[str]) -> None:
    flows = Set("flows", SetFlag.DYNAMIC, 7, 4)
    asked = Expression("lookup", {"sreg": 1, "set": "flows", "flags": flags})
    assert set(fields_read(before((SOURCE, asked, TTL), sets=(flows,)), WEB)) == {*STEP4, "ip.src", *more}


def test_a_jump_comes_back_and_a_goto_does_not() -> None:
    side = Chain("side", (Rule((TTL,)),))
    tail = (MARK,)
    assert set(fields_read(before((do(Code.JUMP, "side"),), tail, chains=(side,)), WEB)) == {
        *STEP4,
        "ip.ttl",
        "meta.mark",
    }
    assert set(fields_read(before((do(Code.GOTO, "side"),), tail, chains=(side,)), WEB)) == {*STEP4, "ip.ttl"}
    back = Chain("side", (Rule((do(Code.RETURN),)), Rule((TTL,))))
    assert set(fields_read(before((do(Code.JUMP, "side"),), tail, chains=(back,)), WEB)) == {*STEP4, "meta.mark"}


def test_other_hooks_and_families_are_not_on_the_way() -> None:
    rules = (Rule((TTL,)),)
    late = Chain("late", rules, Hook("filter", 2, 0))
    six = Table("six", Family.IP6, (Chain("own", rules, Hook("filter", 0, -150)),))
    four = Table("four", Family.IP, (late,))
    base = render(VIPS, [HTTP])
    assert fields_read(replace(base, tables=(*base.tables, six, four)), WEB) == STEP4


def test_what_comes_after_the_translation_was_not_read_for_it() -> None:
    after = Table("after", Family.IP, (Chain("own", (Rule((TTL,)),), Hook("filter", 0, 0)),))
    base = render(VIPS, [HTTP])
    assert fields_read(replace(base, tables=(*base.tables, after)), WEB) == STEP4


def test_a_map_of_verdicts_without_chains_decides_nothing_here() -> None:
    some = Set("some", SetFlag.MAP, 19, 4, 0, 0, (Element(b"\0\0\0\1", Verdict(1)), Element(b"\0\0\0\2", Verdict(0))))
    rule = (MARK, Expression("lookup", {"sreg": 1, "set": "some", "dreg": 0}))
    assert set(fields_read(before(rule, sets=(some,)), WEB)) == {*STEP4, "meta.mark"}
