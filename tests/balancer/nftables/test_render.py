"""Rendering: what forwards become as rules, written as text so that the test reads like the rules."""

from dataclasses import replace

import pytest

from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.policy import Forward, Target
from labkit.errors import PolicyError
from labkit.topology import Listener

from .samples import API1, API2, DNS, HTTP, OLD, VIPS


def rules(*forwards: Forward, vips: tuple[str, str | None] = VIPS) -> dict[str, list[str]]:
    """The rules of each chain, without comments."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text(render(vips, forwards)).splitlines():
        words = line.strip()
        if words.startswith("chain "):
            name = words.split()[1]
            found[name] = []
        elif name and words not in ("", "}") and not words.startswith("comment "):
            found[name].append(words.split(" comment ")[0])
    return found


def test_a_listener_is_known_by_address_and_port_and_takes_turns_over_both_families() -> None:
    found = rules(Forward(Listener(80), (API1, API2)))
    assert list(found) == ["prerouting", "forward", "http_80", "http_80_api1", "http_80_api2"]
    assert found["prerouting"] == [
        "type nat hook prerouting priority dstnat; policy accept;",
        "ip daddr 10.0.1.10 tcp dport 80 goto http_80",
        "ip6 daddr fd00:10:0:1::10 tcp dport 80 goto http_80",
    ]
    assert found["http_80"] == ["numgen inc mod 2 vmap { 0 : goto http_80_api1, 1 : goto http_80_api2 }"]
    assert found["http_80_api2"] == ["counter", "dnat ip to 10.0.2.12", "dnat ip6 to fd00:10:0:2::12"]


def test_a_port_of_the_backends_own_is_written_with_its_protocol() -> None:
    found = rules(DNS)
    assert found["prerouting"][1] == "ip daddr 10.0.1.10 udp dport 53 goto dns_53"
    assert found["dns_53_api1"] == [
        "counter",
        "meta l4proto udp dnat ip to 10.0.2.11:5353",
        "meta l4proto udp dnat ip6 to [fd00:10:0:2::11]:5353",
    ]


def test_a_range_of_ports_keeps_each_at_the_backends() -> None:
    found = rules(Forward(Listener(8000, "tcp", through=8009), (API1,)))
    assert found["prerouting"][1] == "ip daddr 10.0.1.10 tcp dport 8000-8009 goto tcp_8000_8009"
    assert found["tcp_8000_8009_api1"] == ["counter", "dnat ip to 10.0.2.11", "dnat ip6 to fd00:10:0:2::11"]


def test_nothing_forwarded_still_tracks_connections() -> None:
    assert rules() == {
        "prerouting": ["type nat hook prerouting priority dstnat; policy accept;"],
        "forward": [
            "type filter hook forward priority filter; policy accept;",
            "ct state new counter",
            "ct state established,related counter",
        ],
    }


def test_one_target_and_no_ipv6_at_all() -> None:
    found = rules(Forward(Listener(80), (OLD,)), vips=("10.0.1.10", None))
    assert found["prerouting"][1:] == ["ip daddr 10.0.1.10 tcp dport 80 goto http_80"]
    assert found["http_80"] == ["numgen inc mod 1 vmap { 0 : goto http_80_old }"]
    assert found["http_80_old"] == ["counter", "dnat ip to 10.0.2.11"]


def test_ipv6_clients_are_refused_where_a_target_has_no_ipv6() -> None:
    found = rules(Forward(Listener(80), (API1, OLD)), Forward(Listener(53, "udp"), (OLD,)))
    assert found["prerouting"][2] == "ip6 daddr fd00:10:0:1::10 tcp dport 80 reject with tcp reset"
    assert found["prerouting"][4] == "ip6 daddr fd00:10:0:1::10 udp dport 53 reject"
    assert "http-80: refused, old has no IPv6 address" in text(render(VIPS, [Forward(Listener(80), (OLD,))]))


def test_a_target_named_twice_gets_two_turns_of_one_chain() -> None:
    found = rules(Forward(Listener(80), (API1, API2, API1)))
    assert found["http_80"] == [
        "numgen inc mod 3 vmap { 0 : goto http_80_api1, 1 : goto http_80_api2, 2 : goto http_80_api1 }"
    ]
    assert list(found).count("http_80_api1") == 1


@pytest.mark.parametrize(
    ("listeners", "names"),
    [
        ([Listener(6379, "tcp", "redis")], ["redis_6379"]),
        ([Listener(53, "udp", "dns"), Listener(53, "tcp", "dns")], ["dns_53", "dns_53_tcp"]),
        ([Listener(80, "http", "8-bit web")], ["http_8_bit_web_80"]),
        ([Listener(9, "tcp", "écho")], ["cho_9"]),
    ],
)
def test_chains_are_named_as_nft_accepts_it(listeners: list[Listener], names: list[str]) -> None:
    found = rules(*(Forward(listener, (API1,)) for listener in listeners))
    assert [name for name in found if not name.endswith("api1")][2:] == names


@pytest.mark.parametrize(
    ("forwards", "message"),
    [
        ([Forward(Listener(80), (API1,), "least")], "nftables here has no algorithm 'least'; it has round_robin"),  # type: ignore[arg-type]
        ([Forward(Listener(80), (replace(API1, weight=0),))], "api1 has the weight 0; use 1 to 256"),
        ([HTTP, Forward(Listener(80, "tcp", "raw"), (API1,))], "Listeners http and raw both forward tcp port 80"),
        (
            [HTTP, Forward(Listener(70, "tcp", "many", through=90), (API1,))],
            "Listeners http and many both forward tcp port 80",
        ),
        (
            [
                Forward(Listener(80, "tcp", "web"), (Target("x_80", "10.0.2.9"),)),
                Forward(Listener(80, "udp", "web-80-x"), (API1,)),
            ],
            "Two listeners would share a chain of rules",
        ),
    ],
)
def test_what_cannot_be_forwarded_is_refused(forwards: list[Forward], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        render(VIPS, forwards)


def test_a_long_label_is_cut_in_its_comment_not_refused() -> None:
    assert "table inet labkit" in text(render(VIPS, [Forward(Listener(80, "http", 'a"' + "ü" * 120), (API1,))]))
