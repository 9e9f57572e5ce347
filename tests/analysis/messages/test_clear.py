"""The quick count of requests equals the careful one, whatever the stream is like."""

import random

import pytest

from labkit.analysis.messages import http, streams
from labkit.analysis.messages.clear import requests_sent, tls_begun
from labkit.analysis.study import Study
from tests.analysis.wire import Link, Talk, Wire, get, udp

POST = b"POST /api HTTP/1.1\r\nHost: lb\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n.."
STREAMS = {
    "nothing": [],
    "one": [get()],
    "two in two": [get("/a"), get("/b")],
    "two in one": [get("/a") + get("/b")],
    "in pieces": [get()[:10], get()[10:20], get()[20:]],
    "unfinished": [get() + get()[:30]],
    "a body that looks like a request": [POST, get()],
    "chunks": [b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", get()],
    "an upgrade": [get("/ws", "Upgrade: websocket", "Connection: upgrade"), get()],
    "connect": [b"CONNECT lb:443 HTTP/1.1\r\n\r\n", get()],
    "bare line ends": [b"GET / HTTP/1.0\n\n", get()],
    "blank lines first": [b"\r\n\r\n" + get()],
    "not http": [b"\x16\x03\x01\x02\x00" + bytes(40)],
    "http and then not": [get(), b"\x00\x01\x02\r\n\r\n"],
    "no name": [b"GET / HTTP/1.1\r\nHost lb\r\n\r\n", get()],
}


def careful(study: Study, sighting: int) -> int:
    return sum(1 for _ in http.requests(streams.sent(study.index, study.sightings, sighting).data))


@pytest.mark.parametrize("pieces", STREAMS.values(), ids=STREAMS)
def test_streams(pieces: list[bytes]) -> None:
    wire = Wire(("alice",))
    talk = Talk(wire, Link()).open()
    for piece in pieces:
        talk.send(0, "PA", piece)
        talk.send(1, "PA", b"HTTP/1.1 200 OK\r\n\r\n")
    study = Study(wire.recording())
    assert requests_sent(study.index, study.sightings, [0]) == [careful(study, 0)]


@pytest.mark.parametrize("seed", range(6))
def test_any_streams_lost_repeated_and_out_of_order(seed: int) -> None:
    dice = random.Random(seed)
    wire = Wire(("alice",))
    for number in range(40):
        talk = Talk(wire, Link(sport=41000 + number), seed=number)
        if dice.random() < 0.8:
            talk.open()
        for _ in range(dice.randrange(5)):
            piece = dice.choice((get(), get()[:20], get() * 2, POST, b"?"))
            talk.send(0, "PA", piece)
            if dice.random() < 0.3:
                talk.send(0, "PA", piece, back=len(piece))
        if dice.random() < 0.2:
            wire.carry(Link(sport=41000 + number, dport=53).out(udp(get()), 1))
    wire.seen = [(one[0], one[1], one[2][: dice.choice((70, None, None, None))], *one[3:]) for one in wire.seen]
    wire.seen = [one for one in wire.seen if dice.random() > 0.05]
    study = Study(wire.recording())
    every = list(range(len(study.sightings)))
    assert requests_sent(study.index, study.sightings, every) == [careful(study, sighting) for sighting in every]
    some = every[::3]
    assert requests_sent(study.index, study.sightings, some) == [careful(study, sighting) for sighting in some]


@pytest.mark.parametrize(
    ("pieces", "begun"),
    [
        ([(0, b"\x16\x03\x01\x02\x00\x01")], True),
        ([(0, b"\x16\x03\x03"), (0, get())], True),
        ([(0, get())], False),
        ([(0, get()), (0, b"\x16\x03\x01")], False),  # what came first counts
        ([(1, b"\x16\x03\x03"), (0, get())], False),  # and what the client said
        ([(0, b"\x16")], False),
        ([(0, b"\x17\x03\x03\x00\x10")], False),
        ([], False),
    ],
)
def test_where_a_client_begins_with_tls(pieces: list[tuple[int, bytes]], begun: bool) -> None:
    wire = Wire(("alice",))
    talks = [Talk(wire, Link(sport=40000 + turn), seed=turn).open() for turn in range(3)]
    talks[0].send(0, "PA", get())
    for by, piece in pieces:
        talks[1].send(by, "PA", piece)
    talks[2].send(0, "PA", b"\x16\x03\x01")
    wire.carry(Link(sport=40009, dport=443).out(udp(b"\x16\x03\x01"), 1))  # no TLS over UDP
    study = Study(wire.recording())
    assert tls_begun(study.index, study.sightings).tolist() == [False, begun, True, False]
