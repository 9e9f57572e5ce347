"""From conntrack's reports to decisions: what is one of ours, and how many are kept."""

import socket
import struct

from labkit.balancer.nftables.conntrack import parse
from labkit.balancer.nftables.decisions import Record, Regime, listeners_of
from labkit.balancer.nftables.netlink import BODY, attribute, nested
from labkit.balancer.nftables.render import render
from labkit.balancer.policy import Forward
from labkit.topology import Listener

from .samples import API1, API2, DNS, HTTP, VIPS

ORIGINAL, REPLY, TIME = 1, 2, 27


def endpoints(kind: int, protocol: int, source: str, sport: int, destination: str, dport: int) -> bytes:
    family, first = (socket.AF_INET6, 3) if ":" in source else (socket.AF_INET, 1)
    numbers = (source, destination)
    addresses = [attribute(first + place, socket.inet_pton(family, each)) for place, each in enumerate(numbers)]
    ports = [attribute(2, struct.pack("!H", sport)), attribute(3, struct.pack("!H", dport))]
    return nested(kind, nested(1, *addresses), nested(2, attribute(1, bytes([protocol])), *ports))


def report(backend: str = "10.0.2.12", port: int = 80, *, client_port: int = 4000, time_ns: int = 0) -> bytes:
    """A report of alice's connection to the VIP's port 80, answered by *backend*."""
    original = endpoints(ORIGINAL, 6, "10.0.1.11", client_port, "10.0.1.10", 80)
    reply = endpoints(REPLY, 6, backend, port, "10.0.1.11", client_port)
    stamp = attribute(TIME, struct.pack("!Q", time_ns)) if time_ns else b""
    return bytes(BODY) + original + reply + stamp


def regime(*forwards: Forward, before: Regime | None = None) -> Regime:
    return Regime(listeners_of(VIPS, forwards), render(VIPS, forwards), before)


def test_a_report_has_the_kernels_time_or_else_that_of_its_receipt() -> None:
    seen, unstamped = parse(report(time_ns=123), 456), parse(report(), 456)
    assert seen is not None
    assert unstamped is not None
    assert (seen.time_ns, unstamped.time_ns) == (123, 456)
    assert (seen.original.source, seen.reply.source_port) == ("10.0.1.11", 80)


def test_what_is_neither_tcp_nor_udp_is_passed_over() -> None:
    icmp = endpoints(ORIGINAL, 1, "fd00::1", 0, "fd00::2", 0) + endpoints(REPLY, 1, "fd00::2", 0, "fd00::1", 0)
    assert parse(bytes(BODY) + icmp, 1) is None
    assert parse(bytes(BODY), 1) is None
    record = Record()
    record.add([(1, bytes(BODY) + icmp)], regime(HTTP))
    assert record.read(0, 10, 0) == ([], 1)


def decide(rules: Regime, event: bytes) -> tuple[str, str] | None:
    seen = parse(event, 1)
    assert seen is not None
    made = rules.decision(seen)
    return (made["rule"], made["backend"]) if made else None


def test_a_decision_is_a_listener_of_ours_and_a_backend_of_its() -> None:
    assert decide(regime(HTTP), report()) == ("http", "api2")
    assert decide(regime(DNS), report()) is None
    assert decide(regime(HTTP), report("10.0.2.99")) is None
    assert decide(regime(HTTP), report(port=8080)) is None
    moved = Forward(Listener(80, "http", "moved", 8080), (API1, API2))
    assert decide(regime(moved), report(port=8080)) == ("moved", "api2")


def test_a_report_that_was_under_way_at_a_switch_belongs_to_the_rules_before() -> None:
    assert decide(regime(before=regime(HTTP)), report()) == ("http", "api2")
    assert decide(regime(HTTP, before=regime(DNS)), report()) == ("http", "api2")


def test_only_the_newest_are_kept_and_the_rest_is_counted() -> None:
    record, rules = Record(kept=3), regime(HTTP)
    record.add([(number, report(client_port=number)) for number in range(1, 6)], rules)
    assert (record.forgotten, record.end) == (2, 5)
    made, following = record.read(0, 10, 0)
    assert [each["client_port"] for each in made] == [3, 4, 5]
    assert following == 5


def test_decisions_are_read_in_parts_and_from_a_time_on() -> None:
    record, rules = Record(), regime(HTTP)
    record.add([(1000 + number, report(client_port=number, time_ns=100 + number)) for number in range(1, 6)], rules)
    first, following = record.read(0, 2, 0)
    rest, end = record.read(following, 10, 0)
    assert [each["client_port"] for each in [*first, *rest]] == [1, 2, 3, 4, 5]
    assert (following, end) == (2, record.end)
    late, _ = record.read(0, 10, 104)
    assert [each["time_ns"] for each in late] == [104, 105]
    assert record.read(0, 10, 2000) == ([], 5)
