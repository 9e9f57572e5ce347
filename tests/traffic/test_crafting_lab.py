"""Crafted packets in a real lab, at L4 and at L7, each experiment held against what the vantage points captured."""

import json
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import ARP, Ether
from scapy.plist import PacketList, SndRcvList
from scapy.volatile import RandInt, RandNum

from labkit import Lab
from labkit.errors import TrafficError
from tests.interrupt import interrupted

pytestmark = pytest.mark.needs("netns")
SIX = IPv6(dst="fd00:10:0:1::10")
PORTS = iter(range(20_001, 30_000))  # below those that the kernel takes: each experiment has one of its own
REQUEST = b"GET /api/users HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def running():
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module", params=["l4", "l7"])
def lab(running, request):
    getattr(running.balancer, request.param)()
    return running


def seen(cap, vantage, flags=None):
    table = cap.packets(at=vantage)
    return table if flags is None else table[table["flags"] == flags]


def vip6(lab):
    return str(lab.topology.vip6)


def sent_by(cap, host, vantage):
    """Flags of the TCP packets that *host* sent, in order."""
    table = cap.packets(at=vantage)
    return table[table["src"].isin(host.addresses)]["flags"].dropna().tolist()


@pytest.mark.parametrize("version", [4, 6])
def test_a_lone_syn_is_answered_and_no_reset_follows(lab, version):
    port = next(PORTS)
    head = IP(dst=lab.vip) if version == 4 else IPv6(dst=vip6(lab))
    with lab.capture() as cap:
        answer = lab.alice.sr1(head / TCP(sport=port, dport=80, flags="S", seq=1000))
        time.sleep(1.3)  # the SYN-ACK is sent again after a second: the kernel is kept from answering that too
    assert (str(answer[TCP].flags), answer[TCP].ack, answer[TCP].dport) == ("SA", 1001, port)
    assert answer.src == (lab.vip if version == 4 else vip6(lab))
    assert sent_by(cap, lab.alice, "alice") == ["S"]
    assert sent_by(cap, lab.alice, "lb:front") == ["S"]
    assert len(seen(cap, "alice", "SA")) >= 2
    assert "R" not in "".join(cap.packets()["flags"].dropna())
    at_backends = sum(len(seen(cap, backend.name, "S")) for backend in lab.backends)
    assert at_backends == (1 if lab.balancer.mode == "l4" else 0)


def test_a_handshake_by_hand_carries_a_request(lab):
    port = next(PORTS)
    to = IP(dst=lab.vip)
    with lab.capture() as cap:
        synack = lab.alice.sr1(to / TCP(sport=port, dport=80, flags="S", seq=1000))[TCP]
        ack = {"sport": port, "dport": 80, "seq": 1001, "ack": synack.seq + 1}
        assert lab.alice.send(to / TCP(**ack, flags="A")) == 1
        answered, unanswered = lab.alice.sr(to / TCP(**ack, flags="PA") / REQUEST, multi=True, timeout=0.7)
    assert isinstance(answered, SndRcvList)
    assert isinstance(unanswered, PacketList)
    assert len(unanswered) == 0
    bodies = [bytes(received[TCP].payload) for _, received in answered]
    assert any(body.startswith(b"HTTP/1.1 200 ") and b"x-backend: " in body.lower() for body in bodies)
    assert sent_by(cap, lab.alice, "alice") == ["S", "A", "PA"]  # its kernel acknowledges nothing, and resets nothing
    assert "F" in "".join(seen(cap, "alice")["flags"].dropna())  # the FIN of the answer met the same silence
    reached = [backend.name for backend in lab.backends if len(seen(cap, backend.name, "PA"))]
    assert len(reached) == 1


def test_a_forged_ack_is_reset(lab):
    port = next(PORTS)
    with lab.capture() as cap:
        answer = lab.alice.sr1(IP(dst=lab.vip) / TCP(sport=port, dport=80, flags="A", seq=7, ack=4242))
    assert (str(answer[TCP].flags), answer[TCP].seq) == ("R", 4242)
    assert sent_by(cap, lab.alice, "alice") == ["A"]


def test_a_datagram_is_echoed_and_its_answer_not_refused(lab):
    port = next(PORTS)
    with lab.capture() as cap:
        answer = lab.alice.sr1(IP(dst=lab.vip) / UDP(sport=port, dport=7) / b"hello")
    told = json.loads(bytes(answer[UDP].payload))
    assert answer.src == lab.vip
    assert told["backend"] in [backend.name for backend in lab.backends]
    assert told["peer"] == [lab.alice.address, port]
    assert "ICMP" not in seen(cap, "alice")["proto"].tolist()


def test_fragments_are_put_together_by_who_gets_them(lab):
    port = next(PORTS)
    whole = IP(src=lab.alice.address, dst=lab.vip, id=port) / UDP(sport=port, dport=7) / (b"x" * 1100)
    with lab.capture() as cap:
        answer = lab.alice.sr1(fragment(whole, fragsize=400))
    assert json.loads(bytes(answer[UDP].payload))["backend"] in [backend.name for backend in lab.backends]
    left = seen(cap, "alice")
    assert len(left[(left["ip_id"] == port) & (left["src"] == lab.alice.address)]) == 3


def test_pings_and_arp_of_the_vip(lab):
    assert lab.alice.sr1(IP(dst=lab.vip) / ICMP(id=5))[ICMP].type == 0
    assert ICMPv6EchoReply in lab.alice.sr1(IPv6(dst=vip6(lab)) / ICMPv6EchoRequest(id=5))
    reply = lab.alice.sr1(Ether() / ARP(pdst=lab.vip))
    assert (reply[ARP].op, reply[ARP].psrc, reply[ARP].hwsrc) == (2, lab.vip, reply.src)


def test_what_is_sent_is_what_was_written(lab, tmp_path):
    """A forged source, a wrong checksum and an odd TTL, to the byte; the answer goes to whom the source names."""
    port = next(PORTS)
    forged = IP(src=lab.bob.address, dst=lab.vip, id=4711, ttl=9) / TCP(sport=port, dport=80, flags="S", chksum=0x1234)
    good = IP(src=lab.bob.address, dst=lab.vip, id=4712) / TCP(sport=port, dport=80, flags="S")
    with lab.capture() as cap:
        assert lab.alice.sr1([forged, good], timeout=0.4) is None
    left = [
        bytes(cap.packet(number)[IP])
        for number in seen(cap, "alice")["number"]
        if cap.packet(number).haslayer(IP) and cap.packet(number)[IP].id in (4711, 4712)
    ]
    assert left == [bytes(forged), bytes(good)]
    assert len(seen(cap, "bob", "SA")) >= 1
    assert len(seen(cap, "bob", "R")) >= 1  # bob's kernel knows nothing of it, and is not kept from saying so


def test_every_packet_of_a_set_is_sent_and_answered(lab):
    ports = [next(PORTS) for _ in range(20)]
    answered, unanswered = lab.alice.sr(IP(dst=lab.vip) / TCP(sport=ports, dport=[80, 81], flags="S"), timeout=2)
    flags = {(sent[TCP].sport, sent[TCP].dport): str(got[TCP].flags) for sent, got in answered}
    assert flags == {(port, 80): "SA" for port in ports} | {(port, 81): "RA" for port in ports}
    assert len(unanswered) == 0
    sent, got = answered[0]
    assert 0 < got.time - sent.sent_time < 2
    spoofed = IP(src=lab.bob.address, dst=lab.vip) / ICMP()  # answered, but not to alice
    answered, unanswered = lab.alice.sr([IP(dst=lab.vip) / ICMP(), spoofed], timeout=0.3)
    assert [len(answered), len(unanswered)] == [1, 1]


def test_a_whole_subnet_is_asked_and_those_that_exist_answer(running):
    """Nobody is at most of its addresses: packets for these do not leave, as the kernel would not send them either."""
    network = f"{running.topology.front.subnet4.network_address}/27"
    with running.capture("alice") as cap:
        answered, unanswered = running.alice.sr(IP(dst=network) / ICMP(), timeout=1)
    assert {received.src for _, received in answered} == {running.vip, running.bob.address}
    assert len(answered) + len(unanswered) == 32
    table = cap.packets()
    asked = table[(table["src"] == running.alice.address) & (table["proto"] == "ICMP")]
    assert set(asked["dst"]) >= {running.vip, running.bob.address}
    assert running.alice.send(IP(dst=[running.vip, "10.0.1.99", running.alice.address]) / ICMP()) == 1


def test_random_fields_are_fixed_when_they_are_sent(running):
    sent = IP(dst=running.vip) / TCP(sport=RandNum(30_000, 31_000), dport=80, flags="S", seq=RandInt())
    answered, _ = running.alice.sr([sent, sent], timeout=2)
    assert len(answered) == 2
    for query, received in answered:
        assert received[TCP].ack == (query[TCP].seq + 1) % 2**32


def test_an_interrupt_ends_the_waiting_and_the_listening(running):
    began = time.monotonic()
    silent = IP(src=running.bob.address, dst=running.vip) / ICMP()
    with pytest.raises(KeyboardInterrupt), interrupted(0.3):
        running.alice.sr1(silent, timeout=60)
    assert time.monotonic() - began < 10
    for _ in range(100):
        if not running.alice._node().call("tests.traffic.crafted_jobs:listeners"):
            break
        time.sleep(0.05)
    assert running.alice._node().call("tests.traffic.crafted_jobs:listeners") == 0
    assert running.alice.sr1(IP(dst=running.vip) / ICMP()) is not None


def test_any_host_can_send(lab):
    assert lab.api1.sr1(IP(dst=lab.alice.address) / ICMP()).src == lab.alice.address
    assert lab.lb.sr1(IP(dst=lab.api1.address) / ICMP()).src == lab.api1.address
    frame = lab.lb.sr1(Ether() / ARP(pdst=lab.api1.address), interface="back")
    assert frame[ARP].psrc == lab.api1.address
    with pytest.raises(TrafficError, match="lb has the interfaces front, back: say which, with interface="):
        lab.lb.send(Ether() / b"hello")
    assert lab.lb.send(Ether(dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"hello", interface="front") == 1
    with pytest.raises(TrafficError, match=r"unreachable.*a lab has no way out"):
        lab.lb.send(IP(dst="192.0.2.1") / ICMP())
    with pytest.raises(TrafficError, match=r"lb has no interface 'fromt'; it has front, back"):
        lab.lb.send(Ether() / b"hello", interface="fromt")


def test_a_port_that_a_host_uses_itself_is_refused_by_name(running):
    with pytest.raises(TrafficError, match=r"TCP port 80 of 10\.0\.2\.11 is in use") as refused:
        running.api1.send(IP(dst=running.alice.address) / TCP(sport=80, dport=20_000, flags="SA"))
    assert refused.value.cause == "port in use"
    with pytest.raises(TrafficError, match=r"UDP port 7 of 10\.0\.2\.11 is in use"):
        running.api1.send(IP(dst=running.alice.address) / UDP(sport=7, dport=20_000))


def test_a_connection_of_the_hosts_own_can_be_forged_into(running):
    """A RST with a number the backend expects ends it: the kernel has that connection, so nothing need be held."""
    running.balancer.l4()
    with running.alice.tcp(running.api1.address, 7) as conn:
        conn.send("x\n")
        conn.readline()
        with running.capture() as cap:
            conn.send("y\n")
            conn.readline()
        last = seen(cap, "alice")
        acked = int(last[last["sport"] == 7]["ack"].iloc[-1])
        reset = TCP(sport=conn.local[1], dport=7, flags="R", seq=acked)
        with running.capture() as cap:
            assert running.alice.send(IP(dst=running.api1.address) / reset) == 1
            conn.send("z\n")
            with pytest.raises(TrafficError, match="reset"):
                conn.readline(timeout=3)
        assert sent_by(cap, running.alice, "alice")[0] == "R"


def test_guards_are_few_and_end(running):
    running.bob.send(IP(dst=running.vip) / TCP(sport=(21_000, 21_009), dport=80, flags="S"))
    assert running.bob._node().call("tests.traffic.crafted_jobs:guards_held") == 10
    assert running.bob._node().call("tests.traffic.crafted_jobs:end_guards") == 0
    with running.capture("bob") as cap:  # with nothing held, the kernel speaks again
        answer = running.bob.sr1(IP(dst=running.vip) / TCP(sport=21_100, dport=80, flags="S"))
        running.bob._node().call("tests.traffic.crafted_jobs:end_guards")
        time.sleep(1.3)
    assert str(answer[TCP].flags) == "SA"
    table = cap.packets()
    assert set(table[table["sport"] == 21_100]["flags"]) == {"S", "R"}


def test_many_ports_can_be_held_at_once(running):
    """More than a process may commonly have open, and more than select() can wait for."""
    many = IP(dst=running.vip) / TCP(sport=(21_200, 22_300), dport=9, flags="S")
    answered, unanswered = running.bob.sr(many, timeout=5)
    assert (len(answered), len(unanswered)) == (1_101, 0)
    assert running.bob.sr1(IP(dst=running.vip) / ICMP()) is not None
    with pytest.raises(TrafficError, match="2001 source ports, over the 2000"):
        running.bob.send(IP(dst=running.vip) / TCP(sport=(21_000, 23_000), flags="S"))
    assert running.bob.get("http://lb/").status == 200
    assert running.bob._node().call("tests.traffic.crafted_jobs:end_guards") == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda lab: IP(dst=lab.alice.address) / ICMP(), "10.0.1.11 is this host itself"),
        (lambda lab: IP(dst="10.0.1.99") / ICMP(), "nobody on the link at front answers for 10.0.1.99"),
        (
            lambda lab: IP(dst=lab.vip) / UDP() / (b"x" * 1473),
            r"1,501 bytes in one packet: front takes 1,500 \(its MTU\)",
        ),
        (lambda lab: Ether() / IP(dst=lab.vip) / (b"x" * 1500), "its MTU"),
        (lambda lab: fragment(IP(dst=lab.vip) / UDP() / (b"x" * 900), 400), "a fragment without a source"),
        (
            lambda lab: fragment6(SIX / IPv6ExtHdrFragment() / UDP() / (b"x" * 3000), 1280),
            "a fragment without a source",
        ),
        (lambda lab: IP(dst=lab.vip) / TCP(dport=(1, 10_001)), "more than 10,000 packets"),
        (lambda lab: IP(dst=lab.vip, ttl=300), "scapy cannot build it"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_leaves(running, make, words):
    with running.capture("alice") as cap, pytest.raises(TrafficError, match=words):
        running.alice.send(make(running))
    table = cap.packets()
    sent = table[table["src"].isin(running.alice.addresses)]
    assert set(sent["proto"]) <= {"ICMPv6"}  # its kernel answers neighbours' questions at any time
