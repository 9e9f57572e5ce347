"""A client's port that is used again, after direct server return was left: the flow that had it before is forgotten."""

import itertools
import json
import time
from collections.abc import Callable, Iterator

import pytest
from scapy.layers.inet import IP, TCP

from labkit import Capture, Lab, Route
from labkit.topology import direct_return
from labkit.traffic.report import Load
from tests import inside

pytestmark = pytest.mark.needs("netns")
API2 = ("10.0.2.12", "fd00:10:0:2::12")
LB = ("10.0.2.10", "fd00:10:0:2::10")
PORTS = itertools.count(21_000)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(direct_return()) as lab:
        lab.balancer.l7()  # once in advance: the proxy is up from here on
        yield lab


def to_dnat(lab: Lab) -> None:
    lab.balancer.l4(backends=["api2"])


def to_l7(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="images")])


def arrivals(cap: Capture) -> list[tuple[str, str]]:
    """Source and destination of every SYN that came out of lb."""
    syns = cap.packets(at="lb:back").query("flags == 'S'")
    return list(zip(syns["src"], syns["dst"], strict=True))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("switch", [to_dnat, to_l7])
@pytest.mark.parametrize("ending", ["fin", "reset"])
def test_a_port_used_again_begins_in_the_mode_of_now(
    lab: Lab, ending: str, switch: Callable[[Lab], None], family: int
) -> None:
    six = family == 6
    vip = str(lab.topology.vip6) if six else lab.vip
    port = next(PORTS)
    lab.balancer.l4(style="dsr", backends=["api1"])
    before = json.loads(lab.alice.call(inside.visit, port, vip, ending))
    switch(lab)
    with lab.capture("lb:back", filter="tcp port 80") as cap:
        after = json.loads(lab.alice.call(inside.visit, port, vip, "fin"))
    assert before["backend"] == "api1"
    assert before["peer"][1] == port
    if switch is to_dnat:
        assert after["backend"] == "api2"
        assert after["peer"] == before["peer"]
        assert arrivals(cap) == [(before["peer"][0], API2[six])]  # translated
    else:
        assert after["backend"] in ("images1", "images2")
        assert after["peer"][0] == LB[six]
        assert [source for source, _ in arrivals(cap)] == [LB[six]]  # the proxy's own connection


def test_a_syn_sent_again_stays_with_its_backend_and_another_does_not(lab: Lab) -> None:
    port = next(PORTS)

    def sent_on(*flags: str, seq: int = 1000) -> list[str]:
        """Where such segments go on to: MAC and IP address."""
        with lab.capture("lb:back", filter=f"tcp port {port} and not src host {API2[0]}") as cap:
            lab.alice.send([IP(dst=lab.vip) / TCP(sport=port, dport=80, seq=seq, flags=each) for each in flags])
        seen = cap.packets(at="lb:back")
        return [f"{cap.packet(number).dst} {to}" for number, to in zip(seen["number"], seen["dst"], strict=True)]

    lab.balancer.l4(style="dsr")
    # A reset before it is sent again: what a client does whose old connection of that port a backend still has.
    on = sent_on("S", "S", "R", "S", "A", "FA", "A")
    assert (len(on), len(set(on))) == (7, 1)  # it is no other backend's turn
    assert on[0].endswith(f" {lab.vip}")
    lab.balancer.l4(backends=["api2"])
    assert sent_on("S") == on[:1]
    (other,) = sent_on("S", seq=2000)
    assert other.endswith(f" {API2[0]}")  # translated


def test_new_connections_fail_at_no_switch_into_or_out_of_direct_return(lab: Lab) -> None:
    """The client has so few ports that each is used again within a tenth of a second."""
    lab.alice.call(inside.use_ports_again, 30_000, 30_063)
    lab.balancer.l4(style="dsr")
    load: Load = lab.alice.load("http://lb/", connections=4, seconds=30, background=True)
    ways: list[Callable[[], None]] = [
        lambda: lab.balancer.l4(),
        lambda: lab.balancer.l4(style="dsr"),
        lambda: lab.balancer.l7(),
        lambda: lab.balancer.l4(style="dsr", algorithm="random"),
    ]
    for way in ways * 2:
        answered = load.requests
        way()
        while load.requests < answered + 60 and load.running:
            time.sleep(0.02)
    report = load.stop()
    assert report.failed == 0, report.errors
    assert report.requests > 400
