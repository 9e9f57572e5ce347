"""The picture read back: how many lines run through the balancer or end in it, where the ◆ stands, what it says."""

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from labkit import Capture
from labkit.recording import Recording
from labkit.views.palette import GREEN, VERMILION
from labkit.views.picture import Picture
from tests.analysis import ladders as made
from tests.analysis import wire as w

from .parsing import NAMESPACE, count, outside, overlaps, parsed, words

SITUATIONS = {
    "l4": lambda: w.l4_wire().recording(),
    "l7": lambda: w.l7_wire().recording(),
    "download": lambda: made.download().recording(),
    "troubled": lambda: made.troubled().recording(),
    "keep alive": lambda: made.keep_alive(3).recording(),
    "refused": lambda: made.refused().recording(),
    "udp": lambda: made.datagrams().recording(),
    "ipv6": lambda: made.six().recording(),
    "bridge": lambda: made.beside_a_bridge().recording(),
    "front alone": lambda: made.only(w.l4_wire(), "lb:front"),
    "back alone": lambda: made.only(w.l4_wire(), "lb:back"),
    "lb alone": lambda: made.only(w.l4_wire(), "lb:front", "lb:back"),
    "ends alone": lambda: made.only(w.l4_wire(), "alice", "api1"),
    "l7 ends alone": lambda: made.only(w.l7_wire(), "alice", "api1"),
    "one foreign": lambda: made.without_events(w.l4_wire(), "alice"),
    "four foreign": lambda: made.without_events(w.l4_wire(), "alice", "lb:front", "lb:back", "api1"),
}


def drawn(recording: Recording, *which: Any, **more: Any) -> Picture:
    return Capture(recording).ladder(*which, **more)


def groups(picture: Picture, name: str) -> list[Element]:
    return [node for node in parsed(picture.svg).iter(f"{NAMESPACE}g") if node.get("class") == name]


def cables(picture: Picture) -> dict[int, tuple[float, float]]:
    """connection -> from where to where its thick line is drawn."""
    return {
        int(node.get("data-connection", 0)): (float(node.get("x1", 0)), float(node.get("x2", 0)))
        for node in parsed(picture.svg).iter(f"{NAMESPACE}line")
        if node.get("stroke-width") == "7" and node.get("data-connection")
    }


def rails(picture: Picture) -> dict[str, float]:
    return {
        node.get("data-rail", ""): float(node.get("x1", 0))
        for node in parsed(picture.svg).iter(f"{NAMESPACE}line")
        if node.get("data-rail")
    }


def inside(picture: Picture) -> tuple[float, float]:
    """From where to where nothing of L7 may be drawn: between the balancer's rails."""
    at = rails(picture)
    return at["lb:front"] + 4, at["lb:back"] - 4


def strokes(node: Element) -> list[tuple[float, float, float]]:
    """left, right and height of the lines of an arrow."""
    found = []
    for line in node.iter(f"{NAMESPACE}line"):
        if line.get("stroke-width") == "2.6":
            x1, x2 = float(line.get("x1", 0)), float(line.get("x2", 0))
            found.append((min(x1, x2), max(x1, x2), float(line.get("y1", 0))))
    return found


def test_at_l4_one_line_runs_through() -> None:
    picture = drawn(w.l4_wire().recording())
    at = rails(picture)
    assert cables(picture) == {1: (at["alice"], at["api1"])}
    assert count(picture.svg, "rect", width=10, height=12) == 0  # no plug
    arrows = groups(picture, "arrow")
    assert len(arrows) == 10
    low, high = inside(picture)
    for arrow in arrows:
        assert any(left <= low and right >= high for left, right, _ in strokes(arrow))
    tags = [node.text for node in parsed(picture.svg).iter(f"{NAMESPACE}text") if node.get("class") == "tag"]
    assert tags.count("dst 10.0.1.10 → 10.0.2.11") == 6
    assert tags.count("src 10.0.2.11 → 10.0.1.10") == 4
    assert all(f"#{number}" in words(picture.svg) for number in range(1, 41))
    assert "L4 · new label" in words(picture.svg)


def test_at_l7_two_lines_end_in_plugs_and_nothing_crosses() -> None:
    picture = drawn(w.l7_wire().recording())
    at = rails(picture)
    shown = cables(picture)
    assert shown.keys() == {1, 2}
    assert shown[1] == (at["alice"], at["lb:front"] - 15)
    assert shown[2] == (at["lb:back"] + 15, at["api1"])
    arrows = groups(picture, "arrow")
    low, high = inside(picture)
    for arrow in arrows:
        assert all(right <= low or left >= high for left, right, _ in strokes(arrow))
    assert count(picture.svg, "rect", width=10, height=12) == len(arrows) + 2
    assert not [node for node in parsed(picture.svg).iter(f"{NAMESPACE}text") if node.get("class") == "tag"]
    colours = {
        (arrow.get("data-connection"), line.get("stroke"))
        for arrow in arrows
        for line in arrow.iter(f"{NAMESPACE}line")
        if line.get("stroke-width") == "2.6"
    }
    assert ("2", GREEN) in colours
    assert len(colours) == 2
    assert "L7 · opens the letter" in words(picture.svg)


def diamond(node: Element) -> tuple[float, float]:
    """The middle of the only diamond in a decision."""
    (path,) = [path for path in node.iter(f"{NAMESPACE}path") if path.get("fill") == VERMILION]
    points = [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", ""))]
    return sum(x for x, _ in points) / 4, sum(y for _, y in points) / 4


def test_at_l4_the_diamond_is_on_the_first_packet_at_the_front() -> None:
    picture = drawn(w.l4_wire().recording())
    (decision,) = groups(picture, "decision")
    assert decision.get("data-packet") == "2"
    arrow = next(one for one in groups(picture, "arrow") if "2" in (one.get("data-packets") or "").split())
    assert diamond(decision) == pytest.approx((rails(picture)["lb:front"], strokes(arrow)[0][2]))


def test_at_l7_the_diamond_stands_after_the_request_and_before_the_back_connection() -> None:
    picture = drawn(w.l7_wire().recording())
    (decision,) = groups(picture, "decision")
    heights = {one.get("data-packets"): strokes(one)[0][2] for one in groups(picture, "arrow")}
    _, y = diamond(decision)
    assert decision.get("data-packet") == "8"
    assert heights["7 8"] < y < heights["9 10"]
    assert "decided after packet 8, holding 37 bytes of the request" in words(picture.svg)


def test_a_run_is_counted_on_its_own_line() -> None:
    picture = drawn(made.download().recording())
    (run,) = groups(picture, "run")
    assert run.get("data-connection") == "1"
    assert "… 37 segments, 53.6 KB api1 → alice; 19 ACKs" in words(picture.svg)
    assert "… 37 segments, 53.6 KB api1 → alice; 19 ACKs (packets 29 to 252)" in picture.text


def test_runs_of_a_pair_stay_on_their_own_sides() -> None:
    wire = w.Wire()
    wire.events += [w.TOPOLOGY, w.mode("l7"), w.rules("ct.state")]
    front, back = w.Link("alice", "lb:front", 41000), w.Link("lb:back", "api1", 51000)
    outer, inner = w.Talk(wire, front, seed=1).open(), w.Talk(wire, back, seed=2)
    outer.send(0, "PA", w.get())
    started, decided = wire.wait(), wire.wait()
    inner.open().send(0, "PA", w.get())
    for _ in range(20):
        inner.send(1, "A", b"x" * 1000)
        outer.send(1, "A", b"x" * 1000)
        outer.send(0, "A")
    wire.events.append(w.request(started, decided, wire.wait(), front, back))
    picture = drawn(wire.recording())
    runs = {node.get("data-connection"): node for node in groups(picture, "run")}
    assert runs.keys() == {"1", "2"}
    low, high = inside(picture)
    for connection, node in runs.items():
        for line in node.iter(f"{NAMESPACE}line"):
            left, right = float(line.get("x1", 0)), float(line.get("x2", 0))
            assert right <= low if connection == "1" else left >= high
    assert any(
        re.fullmatch(r"… \d+ segments, 1\d\.\d KB (←|lb:front → alice); 1\d ACKs", said) for said in words(picture.svg)
    )
    assert overlaps(picture.svg) == []


def test_trouble_is_said_in_words() -> None:
    picture = drawn(made.troubled().recording())
    said = words(picture.svg)
    for mark in ("RETRANSMISSION", "OUT OF ORDER", "ZERO WINDOW", "RESET"):
        assert any(mark in line for line in said)
        assert mark in picture.text
    assert "not seen further on" in said
    assert "┄┄✕" in picture.text


def test_ciphertext_has_a_lock_and_the_word(tmp_path: Path) -> None:
    picture = drawn(made.encrypted(made.self_signed(tmp_path)).recording())
    hidden = sum("encrypted" in line for line in words(picture.svg))
    locks = count(picture.svg, "path", d="M4 7V5a3 3 0 0 1 6 0v2")
    assert hidden >= 3
    assert locks == hidden + 1  # the ServerHello's packet has ciphertext too
    assert picture.text.count("encrypted") == hidden


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nothing_overlaps_or_leaves_the_picture(situation: str) -> None:
    picture = drawn(SITUATIONS[situation](), 1)
    assert overlaps(picture.svg) == []
    assert outside(picture.svg) == []
    assert picture == drawn(SITUATIONS[situation](), 1)
    assert picture.title == parsed(picture.svg).get("aria-label")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_text_says_the_same(situation: str) -> None:
    picture = drawn(SITUATIONS[situation](), 1)
    lines = picture.text.splitlines()
    assert lines[0] == picture.title
    packets = [one.get("data-packets") or "" for one in groups(picture, "arrow")]
    for some in packets:
        ends = " ".join(f"#{number}" for number in some.split())
        assert sum(line.endswith(ends) for line in lines) >= 1
    for decision in groups(picture, "decision"):
        if decision.get("data-packet") != "0":
            assert re.search(rf"◆ decided (on|after) packet {decision.get('data-packet')}, ", picture.text)
    assert max(map(len, lines[2:])) <= 160


def test_hostile_payloads_are_inert() -> None:
    wire, talk = made.opened()
    talk.send(0, "PA", b"GET /<script>alert(1)</script>\x1b[31m HTTP/1.1\r\n\r\n")
    talk.send(0, "PA", "GET /\u202ebidi HTTP/1.1\r\n\r\n".encode())
    picture = drawn(wire.recording())
    assert "<script" not in picture.svg
    for shown in (picture.svg, picture.text):
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_full_is_for_those_who_want_every_packet() -> None:
    recording = made.download().recording()
    assert len(groups(drawn(recording), "arrow")) < len(groups(drawn(recording, full=True), "arrow")) == 68


def test_what_no_host_sent_is_told_below() -> None:
    note = "Not drawn: 8 packets of Docker's bridge, which is no host of this lab (4 ICMPv6, 2 IGMP, 2 UDP)"
    picture = drawn(made.beside_a_bridge().recording())
    assert picture.text.splitlines()[-1] == note
    assert note in words(picture.svg)
    assert "Not drawn" not in drawn(made.beside_a_bridge(tells_macs=False).recording()).text
