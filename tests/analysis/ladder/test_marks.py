"""What is remarkable about packets, against what was put on the wire; sequence numbers may wrap anywhere."""

import random
import ssl
from itertools import pairwise

import pytest
from scapy.layers.inet import TCP
from scapy.packet import Raw

from labkit.analysis.ladder import marks as ladder_marks
from labkit.analysis.packets.index import build
from labkit.analysis.study import Study
from labkit.recording import Recording
from tests.analysis import ladders as made
from tests.analysis.tls.handshakes import contexts
from tests.analysis.tls.handshakes import talk as tls_talk
from tests.analysis.tls.test_hello import hello
from tests.analysis.wire import Link, Talk, Wire, get, l7_wire, udp

SPACE = 1 << 32


def marks(recording: Recording) -> dict[int, list[str]]:
    study = Study(recording)
    return ladder_marks.mark(study, range(1, len(study.connections) + 1))


def link_wire() -> tuple[Wire, Link]:
    return Wire(("lb:front",)), Link()


@pytest.mark.parametrize("isn", [1000, SPACE - 1, SPACE - 50, SPACE - 120, SPACE - 2])
def test_segments_at_random_are_marked_as_what_they_are(isn: int) -> None:
    """One side's bytes are sent in pieces; some pieces are put off (out of order), some come again."""
    dice = random.Random(isn)
    for _ in range(20):
        wire, link = link_wire()
        talk = Talk(wire, link, isn=(isn, 7)).open()
        base, wanted, row, at = talk.seq[0], {}, 3, 0
        pieces = []
        for _ in range(12):
            length = dice.randrange(1, 40)
            pieces.append((at, length))
            at += length
        order = list(range(12))
        for place in dice.sample(range(0, 11, 2), 3):  # put off behind the next
            order[place], order[place + 1] = order[place + 1], order[place]
        top, sent = 0, set[int]()
        for number in order:
            begin, length = pieces[number]
            for again in range(dice.choice((1, 1, 1, 2))):
                layer = TCP(flags="PA", seq=(base + begin) % SPACE, ack=8, window=9) / Raw(b"x" * length)
                wire.carry(link.out(layer, row))
                if again:
                    wanted[row] = ["retransmission"]
                elif begin < top:
                    wanted[row] = ["out_of_order"]
                row += 1
            top = max(top, begin + length)
            sent.add(number)
        assert marks(wire.recording()) == wanted


def test_resets_and_closed_windows() -> None:
    wire, link = link_wire()
    talk = Talk(wire, link).open()
    wire.carry(link.out(TCP(flags="A", seq=talk.seq[0], ack=talk.seq[1], window=0), 5))
    wire.carry(link.back(TCP(flags="RA", seq=talk.seq[1], ack=talk.seq[0], window=0), 6))  # of a reset it says nothing
    assert marks(wire.recording()) == {3: ["zero_window"], 4: ["reset"]}


def test_a_handshake_sent_again_and_datagrams() -> None:
    wire, link = link_wire()
    for flags in ("S", "S"):
        wire.carry(link.out(TCP(flags=flags, seq=9), 5))
    for _ in range(2):
        wire.carry(Link(dport=53).out(udp(b"question"), 6))
    assert marks(wire.recording()) == {1: ["retransmission"]}


def test_each_vantage_point_judges_by_what_was_seen_there() -> None:
    wire = made.troubled()
    found = marks(wire.recording())
    points = {row: (wire.vantages[int(one["vantage"])], found[row])
              for row, one in enumerate(wire.recording().packets) if row in found}  # fmt: skip
    again = [vantage for vantage, what in points.values() if what == ["retransmission"]]
    assert again == ["alice", "lb:front", "lb:back"]  # api1 saw the request once


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (get("/api/users"), "GET /api/users"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
        (b"DELETE /x HTTP/1.0\n\n", "DELETE /x"),
        (b"GET /half", ""),
        (b"GETTING there", ""),
        (b"HTTP/3 200\r\n", ""),
        (b"x", ""),
        (b"\x17\x03\x03\x00\x01\x01", ""),
        (b"\x16\x03\x01\x00\x05\x0e\x00\x00\x00", ""),  # another message of a handshake
        (b"\x16\x03\x01\x02\x00\x01\x00", "ClientHello"),  # its name lies in a later segment
        (hello("lb.example"), "ClientHello for lb.example"),
        (hello(None), "ClientHello"),
        (b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", "ServerHello"),
        (b"\x16\x04\x03\x00\x7a\x02", ""),
    ],
)
def test_what_a_payload_begins_with(payload: bytes, told: str) -> None:
    wire, link = link_wire()
    Talk(wire, link).open().send(0, "PA", payload)
    index = build(wire.recording())
    assert ladder_marks.says(index, index.seq.argsort()[:0]) == []
    assert ladder_marks.says(index, index.time_ns.argsort()) == ["", "", "", told]


def said_in_clear(pieces: list[tuple[int, bytes]]) -> dict[int, int]:
    """How many bytes of each side's stream stand before its first protected record (RFC 8446 §5, RFC 5246 §7.1)."""
    found = {}
    for side in (0, 1):
        data, at = b"".join(piece for by, piece in pieces if by == side), 0
        while data[at] == 22:
            at += 5 + int.from_bytes(data[at + 3 : at + 5])
        found[side] = at + 6 if data[at] == 20 else at
    return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_ciphertext_wherever_the_numbers_wrap(version: ssl.TLSVersion) -> None:
    dice = random.Random(int(version))
    conversation = tls_talk(*contexts(version), [(0, get()), (1, b"answer" * 300)])
    clear = said_in_clear(conversation.pieces)
    lengths = {side: sum(len(piece) for by, piece in conversation.pieces if by == side) for side in (0, 1)}
    starts = [(SPACE - 1 - dice.randrange(lengths[0]), SPACE - 1 - dice.randrange(lengths[1])) for _ in range(12)]
    starts += [(5, 6), (SPACE - 1 - clear[0], SPACE - 1 - clear[1])]
    for isn in starts:
        wire, link = link_wire()
        talk = Talk(wire, link, isn=isn).open()
        wanted, come = [], {0: 0, 1: 0}
        for by, piece in conversation.pieces:
            edge = clear[by] - come[by]  # a segment ends just where what is in clear does
            cuts = sorted({*range(0, len(piece), 400), len(piece), edge} & {*range(len(piece) + 1)})
            for begin, end in pairwise(cuts):
                part = piece[begin:end]
                talk.send(by, "PA", part)
                come[by] += len(part)
                wanted.append((by == 0, come[by] > clear[by]))
        study = Study(wire.recording())
        hidden = ladder_marks.hidden_from(study, [1])
        found = [
            (side, hidden[1, side](ladder_marks.end_of(study.index, row)))
            for row in range(3, len(study.index))
            for side in [bool(study.sightings.from_client[row])]
        ]
        assert found == wanted, isn


@pytest.mark.parametrize(
    ("flags", "seq", "payload", "end"),
    [
        ("PA", 100, b"abc", 103),
        ("A", 100, b"", 100),
        ("S", 100, b"", 101),
        ("S", 100, b"abc", 104),  # RFC 7413
        ("PA", SPACE - 2, b"abc", 1),
        ("SA", SPACE - 1, b"", 0),
    ],
)
def test_where_a_payload_ends(flags: str, seq: int, payload: bytes, end: int) -> None:
    wire, link = link_wire()
    wire.carry(link.out(TCP(flags=flags, seq=seq) / Raw(payload), 1))
    assert ladder_marks.end_of(build(wire.recording()), 0) == end


def test_what_is_not_tls_hides_nothing() -> None:
    study = Study(l7_wire(1).recording())
    assert ladder_marks.hidden_from(study, [1, 2]) == {}
    datagrams = Study(made.datagrams().recording())
    assert ladder_marks.hidden_from(datagrams, [1]) == {}
