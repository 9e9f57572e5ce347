"""The form of each algorithm: what nft makes of it, what it reads, and what it chooses, foretold by its own hash."""

from dataclasses import replace

import pytest

from labkit.balancer.nftables.choose import SEED
from labkit.balancer.nftables.path import First, fields_read
from labkit.balancer.nftables.reads import reads
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.wanted import forwards_of, plain
from labkit.balancer.policy import ALGORITHMS, Algorithm, Forward, Target
from labkit.runtime import Runtime
from labkit.topology import Listener

from .samples import ALL, API1, API2, IMAGES1, VIPS

Targets = tuple[Target, ...]
INSIDE = "tests.balancer.nftables.peers:"
WEIGHTED = (replace(API1, weight=3), API2, replace(IMAGES1, weight=2))
WEB, DNS, MANY = Listener(80, "http", "http"), Listener(53, "udp", "dns", 5353), Listener(8000, "tcp", through=8009)


def of(algorithm: str, targets: Targets = ALL) -> list[Forward]:
    return [Forward(listener, targets, algorithm) for listener in (WEB, DNS, MANY)]  # type: ignore[arg-type]


def chains(forwards: list[Forward], vips: tuple[str, str | None] = VIPS) -> dict[str, list[str]]:
    """The rules of each chain, with their comments."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text(render(vips, forwards)).splitlines():
        words = line.strip()
        if line.startswith("\tchain "):
            name = words.split()[1]
            found[name] = []
        elif name and words not in ("", "}") and not words.startswith("comment "):
            found[name].append(words)
    return found


@pytest.mark.needs("netns", "nft")
@pytest.mark.parametrize("targets", [ALL, WEIGHTED], ids=["alike", "weighted"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_lists_as_nft_does_and_nft_takes_the_listing_back(
    runtime: Runtime, algorithm: str, targets: Targets
) -> None:
    forwards = of(algorithm, targets)
    bob = runtime.nodes["bob"]
    expected, ours = bob.call(f"{INSIDE}load", plain(forwards))
    assert ours == expected == text(render(VIPS, forwards))
    assert bob.call(f"{INSIDE}reload", ours) == [0, ""]


def test_weights_are_turns_far_apart() -> None:
    (rule,) = chains(of("round_robin", WEIGHTED))["http_80"]
    order = [part.split("http_80_")[1].strip(" }") for part in rule.split(", ")]
    assert rule.startswith("numgen inc mod 6 vmap { 0 : goto http_80_")
    assert order == ["api1", "images1", "api1", "api2", "images1", "api1"]
    (rule,) = chains(of("random", WEIGHTED))["http_80"]
    assert rule.startswith("numgen random mod 6 vmap { ")


def test_hashes_are_made_of_the_header_of_each_family() -> None:
    four, six = chains(of("source_hash"))["http_80"]
    slots = "vmap { " + ", ".join(f"{n} : goto http_80_{target.name}" for n, target in enumerate(ALL)) + " }"
    why = 'comment "the same backend for all connections of a client\'s address"'
    assert four == f"jhash ip saddr mod 4 seed 0x{SEED:x} {slots} {why}"
    assert six == f"jhash ip6 saddr mod 4 seed 0x{SEED:x} {slots} {why}"
    four, six = chains(of("flow_hash"))["dns_53"]
    assert four.startswith("jhash ip saddr . ip daddr . meta l4proto . udp sport . udp dport mod 4 ")
    assert six.startswith("jhash ip6 saddr . ip6 daddr . meta l4proto . udp sport . udp dport mod 4 ")
    assert len(chains(of("flow_hash"), (VIPS[0], None))["dns_53"]) == 1


def test_maglev_is_one_table_for_all_listeners_of_the_same_backends() -> None:
    other = Forward(Listener(7, "tcp"), (API1, API2), "maglev")
    listing = text(render(VIPS, [*of("maglev"), other]))
    assert listing.count("map maglev {") == listing.count("map maglev2 {") == 1
    assert "typeof numgen inc mod 1021 : meta mark" in listing
    assert 'comment "slot to backend: 1 is api1, 2 is api2, 3 is images1, 4 is images2"' in listing
    four, six, then = chains(of("maglev"))["tcp_8000_8009"]
    assert four.startswith("meta mark set jhash ip saddr . ip daddr . meta l4proto . tcp sport . tcp dport mod 1021 ")
    assert "map @maglev" in four
    assert six.startswith("meta mark set jhash ip6 saddr . ip6 daddr . ")
    assert then.startswith(
        "meta mark vmap { 0x00000001 : goto tcp_8000_8009_api1, 0x00000002 : goto tcp_8000_8009_api2"
    )


FIVE = ["ip.dst", "ip.proto", "ip.src", "tcp.dport", "tcp.sport", "meta.nfproto"]
STEP = ["ip.dst", "ip.proto", "tcp.dport", "meta.nfproto"]


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        ("round_robin", STEP),
        ("random", STEP),
        ("source_hash", ["ip.dst", "ip.proto", "ip.src", "tcp.dport", "meta.nfproto"]),
        ("flow_hash", FIVE),
        ("maglev", [*FIVE[:-1], "meta.mark", "meta.nfproto"]),
    ],
)
def test_a_connection_reads_what_its_algorithm_loads(algorithm: Algorithm, names: list[str]) -> None:
    rules = render(VIPS, of(algorithm))
    for port in (80, 8003):
        first = First("TCP", "10.0.1.11", 40000, VIPS[0], port, "10.0.2.12")
        assert fields_read(rules, first) == names
    six = First("TCP", "fd00:10:0:1::11", 40000, VIPS[1], 80, "fd00:10:0:2::12")
    assert fields_read(rules, six) == [
        {"ip.proto": "ip6.nexthdr"}.get(name, name.replace("ip.", "ip6.")) for name in names
    ]
    assert set(names) < set(reads(rules))


def test_it_travels_as_plain_data() -> None:
    for algorithm in ALGORITHMS:
        assert forwards_of(plain(of(algorithm, WEIGHTED))) == of(algorithm, WEIGHTED)
