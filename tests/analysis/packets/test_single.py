import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from labkit.analysis.packets.single import dissect, packet
from tests.analysis.wire import Link, Talk, Wire, get


def test_a_frame_is_dissected_and_keeps_its_bytes() -> None:
    wire = Wire(("alice",))
    Talk(wire, Link()).open().send(0, "PA", get())
    shown = packet(wire.recording(), 4)
    assert isinstance(shown, Ether)
    assert (shown[IP].dst, shown[TCP].dport, bytes(shown[TCP].payload)) == ("10.0.1.10", 80, get())
    assert bytes(shown) == wire.recording().frame(4)


def test_the_first_layer_is_the_vantage_points() -> None:
    raw = bytes(IP(src="1.1.1.1", dst="2.2.2.2") / TCP(dport=80))
    assert dissect(raw, 228)[TCP].dport == 80
    assert type(dissect(raw, 4711)) is Raw


class Broken(Packet):
    name = "Broken"

    def do_dissect(self, s: bytes) -> bytes:
        raise ValueError("cannot be dissected")


def test_what_cannot_be_dissected_is_shown_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from scapy.config import conf

    monkeypatch.setitem(conf.l2types.num2layer, 9999, Broken)
    shown = dissect(b"\x01\x02", 9999)
    assert (type(shown), bytes(shown)) == (Raw, b"\x01\x02")
    assert bytes(dissect(b"\x45", 1)) == b"\x45"


def test_there_is_no_packet_zero() -> None:
    wire = Wire(("alice",))
    with pytest.raises(IndexError):
        packet(wire.recording(), 0)


def test_where_it_comes_from_is_told_in_scapys_own_attributes() -> None:
    wire = Wire(("alice",))
    wire.see("alice", Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP() / TCP() / Raw(b"x" * 100), cut=60)
    shown = packet(wire.recording(), 1)
    assert (shown.sniffed_on, shown.wirelen, len(shown)) == ("alice", 154, 60)
    assert float(shown.time) == pytest.approx(1_700_000_000)


def test_a_frame_without_bytes_asks_nobody_for_addresses(monkeypatch) -> None:
    from scapy.config import conf

    from labkit.analysis.packets.single import dissect
    from labkit.views.packet import packet_html, packet_text

    def asked(*_: object) -> None:
        raise AssertionError("scapy looked for a neighbour on the machine's own network")

    monkeypatch.setattr(conf.neighbor, "resolve", asked)
    for link_type in (1, 113, 276, 101):
        shown = dissect(b"", link_type)
        assert bytes(shown) == b""
        assert packet_text(shown)
        assert packet_html(shown)
