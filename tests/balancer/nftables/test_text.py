"""The listing against the real nft's, byte for byte: what labkit writes, and what somebody may add by hand."""

import pytest

from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.values import Chain, Expression, Rule, Ruleset, Table, Verdict
from labkit.balancer.nftables.wanted import plain
from labkit.balancer.policy import Forward, Target
from labkit.runtime import Runtime
from labkit.topology import Listener
from tests.balancer.nftables import rules
from tests.balancer.nftables.filter_rules import KINDS
from tests.balancer.nftables.filter_spellings import SPELLINGS
from tests.balancer.nftables.samples import DNS, ECHO, HTTP, OLD, VIPS

INSIDE = "tests.balancer.nftables.peers:"
UNWORDED = "ct label 1 counter\nvlan id 5 counter\nfrag more-fragments 1 drop"
BOB = "bob"  # a host that nothing else uses


def chain(head: str, lines: str) -> str:
    return f"chain {head}\n{lines}\n}}\n"


def compare(runtime: Runtime, written: str) -> str:
    expected, ours = runtime.nodes[BOB].call(f"{INSIDE}both", written)
    assert ours.splitlines() == expected.splitlines()
    assert ours == expected
    assert len(expected.splitlines()) >= len(written.splitlines()) // 2  # nft listed what was loaded
    return str(ours)


@pytest.mark.needs("netns", "nft")
@pytest.mark.parametrize(
    "forwards",
    [
        [],
        [HTTP],
        [HTTP, ECHO, DNS, Forward(Listener(54, "udp"), (OLD,)), Forward(Listener(81), (OLD,))],
        [Forward(Listener(80), tuple(Target(f"api{n}", f"10.0.3.{n}", f"fd00::{n}") for n in range(250)))],
    ],
    ids=["nothing", "one", "all kinds", "250 backends"],
)
def test_what_is_rendered_lists_as_nft_does_before_and_after_the_kernel(
    runtime: Runtime, forwards: list[Forward]
) -> None:
    expected, ours = runtime.nodes[BOB].call(f"{INSIDE}load", plain(forwards))
    assert ours == expected == text(render(VIPS, forwards))


@pytest.mark.needs("netns", "nft")
def test_rules_added_by_hand_list_as_nft_does(runtime: Runtime) -> None:
    written = (
        'table inet t {\ncomment "by hand"\nchain reg { }\nchain z { }\n'
        + rules.SETS
        + chain('filter { comment "c"; type filter hook input priority 0; policy drop;', KINDS + SPELLINGS)
        + chain("post { type nat hook postrouting priority 100;", rules.POSTROUTING)
        + chain("pre { type nat hook prerouting priority -100;", rules.PREROUTING)
        + rules.CHAINS
        + '}\ntable ip t4 {\ncomment "asleep"\nflags dormant\n'
        + chain("p { type filter hook prerouting priority 0;", rules.IP_FILTER)
        + chain("q { type nat hook prerouting priority 0;", "dnat to 1.2.3.4\ntcp dport 80 dnat to 1.2.3.4:80")
        + "}\ntable ip6 t6 {\n"
        + chain("p { type filter hook prerouting priority 0;", rules.IP6_FILTER)
        + chain("q { type nat hook prerouting priority 0;", "tcp dport 80 dnat to [fd00::1]:80")
        + "}\ntable netdev nd {\n"
        + chain('p { type filter hook ingress device "lo" priority 0;', "ip saddr 1.2.3.4 drop")
        + "}\n"
    )
    listed = compare(runtime, written)
    assert 'ip saddr 1.2.3.4 tcp dport 80 counter log prefix "x" accept comment "all of it"' in listed


@pytest.mark.needs("netns", "nft")
def test_what_has_no_words_here_is_shown_not_dropped(runtime: Runtime) -> None:
    written = "table inet t {\n" + chain("c {", UNWORDED) + "}\n"
    _, ours = runtime.nodes[BOB].call(f"{INSIDE}both", written)
    assert "ct 13 & 0x2 != 0x0 counter" in ours
    assert "@ll,112,16 & 0xfff == 0x5 counter" in ours
    assert "exthdr @frag,24,8 & 0x1 == 0x1 drop" in ours


def line(*expressions: Expression) -> str:
    table = Table("t", 1, (Chain("c", (Rule(expressions),)),))
    return text(Ruleset((table,))).splitlines()[2].strip()


def test_an_unknown_expression_keeps_its_name_and_bytes() -> None:
    unknown = Expression("teleport", raw=b"\x08\x00\x01\x00")
    assert line(unknown, Expression("counter")) == "teleport 0x08000100 counter"
    loading = Expression("oracle", {"dreg": 1}, b"\xab")
    compared = Expression("cmp", {"sreg": 1, "op": 0, "data": b"\x05"})
    assert line(loading, compared) == "oracle 0xab 0x5"


def test_a_lookup_in_a_set_that_is_not_there_is_shown() -> None:
    assert line(Expression("lookup", {"set": "gone", "sreg": 1}, b"\x01")) == "lookup 0x01"
    assert line(Expression("dynset", {"set": "gone"}, b"\x02")) == "dynset 0x02"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (Expression("queue", {"num": 5, "total": 1, "flags": 0}), "queue to 5"),
        (Expression("queue", {"num": 1, "total": 3, "flags": 3}), "queue flags bypass,fanout to 1-3"),
        (Expression("immediate", {"dreg": 0, "data": Verdict(-9)}), "-9"),
        (Expression("last"), "last"),
        (Expression("limit", {"rate": 5, "unit": 7, "burst": 5}), "limit rate 5/7s"),
        (Expression("objref", {"type": 99, "name": "x"}), 'object "x"'),
    ],
)
def test_statements_that_cannot_be_loaded_everywhere(expression: Expression, expected: str) -> None:
    assert line(expression) == expected
