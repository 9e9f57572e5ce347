"""Rules that send a listener on to a proxy on lb: as nft writes them, and no choice of a backend."""

from labkit.balancer.inward import Inward
from labkit.balancer.nftables.conntrack import Endpoints, Translated
from labkit.balancer.nftables.decisions import Regime, listeners_of
from labkit.balancer.nftables.inward import inward_of, plain
from labkit.balancer.nftables.reads import reads
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.topology import Listener

from .samples import ECHO, VIPS

INWARD = (Inward(Listener(80), 15080),)


def test_the_address_stays_and_the_port_is_the_proxys() -> None:
    lines = [line.strip().partition(" comment ")[0] for line in text(render(VIPS, [], None, INWARD)).splitlines()]
    assert "ip daddr 10.0.1.10 tcp dport 80 dnat ip to 10.0.1.10:15080" in lines
    assert "ip6 daddr fd00:10:0:1::10 tcp dport 80 dnat ip6 to [fd00:10:0:1::10]:15080" in lines
    only4 = text(render((VIPS[0], None), [], None, INWARD))
    assert "ip6" not in only4


def test_it_reads_what_every_listener_is_known_by() -> None:
    assert reads(render(VIPS, [], None, INWARD)) == reads(render(VIPS, [ECHO]))


def test_it_makes_no_decision() -> None:
    regime = Regime(listeners_of(VIPS, [ECHO]), render(VIPS, [ECHO], None, INWARD))
    asked = Endpoints("TCP", "10.0.1.11", 40000, "10.0.1.10", 80)
    answer = Endpoints("TCP", "10.0.1.10", 15080, "10.0.1.11", 40000)
    assert regime.decision(Translated(asked, answer, 1)) is None


QUIC = (Inward(Listener(443, "https"), 15443, transport="udp"),)


def test_quic_comes_over_udp_to_a_listener_of_tcp() -> None:
    listed = text(render(VIPS, [], None, QUIC))
    assert "ip daddr 10.0.1.10 udp dport 443 dnat ip to 10.0.1.10:15443" in listed
    assert "ip6 daddr fd00:10:0:1::10 udp dport 443 dnat ip6 to [fd00:10:0:1::10]:15443" in listed
    assert 'comment "https-443 over QUIC: ends in the proxy on lb' in listed


def test_it_travels_as_plain_data() -> None:
    for each in (INWARD, QUIC):
        assert inward_of(plain(each)) == list(each)
