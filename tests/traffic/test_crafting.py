"""What is said before anything is sent: kinds, options, bounds; and answers matched as scapy matches them."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPerror, TCPerror
from scapy.layers.l2 import ARP, Ether

from labkit.errors import TrafficError
from labkit.runtime.fake import FakeRuntime
from labkit.topology import default
from labkit.traffic.crafting import Crafted, _Matcher
from labkit.traffic.host import Host

pytestmark = pytest.mark.measured

SYN = IP(src="10.0.1.11", dst="10.0.1.10") / TCP(sport=40000, dport=80, flags="S", seq=5)


@pytest.fixture(scope="module")
def fake():
    runtime = FakeRuntime()
    runtime.start(default())
    yield Host(default().node("alice"), lambda: runtime.nodes["alice"])
    runtime.stop()


class Real:
    """A node that has raw sockets and never uses them: whatever is refused is refused before it is asked."""

    name = "alice"
    raw_sockets = True

    def call(self, target, *arguments, timeout=None):
        raise AssertionError(f"asked for {target}")


@pytest.fixture
def alice():
    return Host(default().node("alice"), Real)


@pytest.mark.parametrize("act", ["send", "sr", "sr1"])
def test_a_runtime_without_raw_sockets_says_so(fake, act):
    with pytest.raises(TrafficError, match="alice cannot send crafted packets: its runtime has no raw sockets"):
        getattr(fake, act)(SYN)


@pytest.mark.parametrize("act", ["send", "sr", "sr1"])
@pytest.mark.parametrize(
    ("packets", "words"),
    [
        (5, "what is sent is a scapy packet"),
        (None, "not None"),
        ("SYN", "not 'SYN'"),
        (bytes(SYN), r"IP\(data\) or Ether\(data\) makes a packet of bytes"),
        ([SYN, 5], "not 5"),
        ({"dst": 1}, "what is sent is a scapy packet"),
        ([], "the list is empty"),
        (IP, "what is sent is a scapy packet"),
        (TCP(dport=80), r"begins with IP\(\), IPv6\(\) or Ether\(\), not with TCP\(\)"),
        (ARP(pdst="10.0.1.10"), r"not with ARP\(\)"),
    ],
    ids=str,
)
def test_what_is_no_packet_to_send(alice, act, packets, words):
    class Facts(Real):
        def call(self, target, *arguments, timeout=None):
            assert target.endswith(("crafted:interfaces", "held:close"))
            return {"interfaces": [{"interface": "front", "mac": b"\2\0\0\0\0\1", "mtu": 1500}]}

    with pytest.raises(TrafficError, match=words):
        getattr(Host(default().node("alice"), Facts), act)(packets)


@pytest.mark.parametrize(
    ("act", "options", "words"),
    [
        ("sr1", {"timeout": 0}, "timeout is a number of seconds"),
        ("sr", {"timeout": "2"}, "timeout is a number of seconds"),
        ("sr", {"multi": 1}, "multi is True or False"),
        ("send", {"interface": 5}, "interface is text"),
        ("send", {"iface": "front"}, "interface= names the way out"),
        ("send", {"timeout": 2}, r"send\(\) has no option 'timeout'.*it takes interface"),
        ("sr1", {"verbose": 0}, "it prints nothing anyway"),
        ("sr", {"retry": 3}, "send in a loop of your own"),
        ("sr1", {"tiemout": 3}, "did you mean 'timeout'"),
    ],
)
def test_options_are_checked_before_anything_else(alice, act, options, words):
    with pytest.raises(TrafficError, match=words):
        getattr(alice, act)(SYN, **options)


def crafted(*packets):
    return [Crafted(type(packet)(bytes(packet)), "front", b"") for packet in packets]


def framed(packet):
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)


def reply(to, **fields):
    return IP(src=to.dst, dst=to.src) / TCP(sport=to.dport, dport=to.sport, **fields)


def test_each_packet_gets_its_own_answer_once():
    other = IP(src="10.0.1.11", dst="10.0.1.10") / TCP(sport=40001, dport=80, flags="S", seq=9)
    ready = crafted(SYN, other, SYN)
    matcher = _Matcher(ready, multi=False)
    matcher.hear(5_000_000_000, framed(reply(other, flags="SA", ack=10)))
    for _ in range(3):
        matcher.hear(6_000_000_000, framed(reply(SYN, flags="SA", ack=6)))
    assert [id(query) for query, _ in matcher.pairs] == [id(ready[i].query) for i in (1, 0, 2)]
    assert matcher.pairs[0][1].time == 5


def test_with_multi_a_packet_has_as_many_answers_as_come():
    matcher = _Matcher(crafted(SYN), multi=True)
    for _ in range(3):
        matcher.hear(1, framed(reply(SYN, flags="SA", ack=6)))
    assert len(matcher.pairs) == 3


def test_an_error_from_a_router_answers_what_it_quotes():
    matcher = _Matcher(crafted(SYN), multi=False)
    error = IP(src="10.0.2.1", dst=SYN.src) / ICMP(type=11)
    quoted = IPerror(src=SYN.src, dst=SYN.dst, proto=6) / TCPerror(sport=40000, dport=80, seq=5)
    matcher.hear(1, framed(error / quoted))
    assert len(matcher.pairs) == 1


def test_what_answers_nothing_is_passed_over():
    matcher = _Matcher(crafted(SYN), multi=False)
    for data in (
        b"", b"x" * 14, framed(SYN), framed(ARP(op=2, hwsrc="02:00:00:00:00:01", psrc="10.0.1.10", pdst="10.0.1.11")),
        framed(reply(SYN, flags="SA", ack=6))[:30], 
        framed(IP(src="10.0.1.10", dst=SYN.src) / TCP(sport=81, dport=40000)),
    ):  # fmt: skip
        matcher.hear(1, data)
    assert matcher.pairs == []


def test_a_frame_is_answered_by_a_frame():
    ask = Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc="02:00:00:00:00:01", psrc="10.0.1.11", pdst="10.0.1.10"
    )
    matcher = _Matcher(crafted(ask), multi=False)
    told = ARP(op=2, hwsrc="02:00:00:00:00:02", psrc="10.0.1.10", hwdst="02:00:00:00:00:01", pdst="10.0.1.11")
    matcher.hear(1, bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / told))
    assert type(matcher.pairs[0][1]) is Ether
