"""Followed connections as text and HTML: bounded, and inert whatever was said."""

from xml.etree import ElementTree

import pytest

from labkit import Capture
from labkit.views.follow import MOST_TURNS, Conversation
from tests.analysis.tls.wires import on_wire
from tests.analysis.wire import Link, l7_wire


def assert_sound(page: str) -> None:
    """Well-formed, and without anything that could act."""
    tags = {node.tag for node in ElementTree.fromstring(f"<page>{page}</page>").iter()}
    assert tags <= {
        "page",
        "div",
        "strong",
        "small",
        "pre",
        "p",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


HOSTILE = "<script>alert(1)</script>\x1b[31m\u202eevil\u2066"


def conversation(*pieces: tuple[int, bytes], limit: int = 2_000) -> Conversation:
    return Capture(on_wire(pieces, Link()).recording()).follow(1, limit)


def answer(body: bytes, *headers: str) -> tuple[int, bytes]:
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}", "", ""]
    return 1, "\r\n".join(lines).encode() + body


ASK = (0, b"GET /a HTTP/1.1\r\nHost: lb\r\n\r\n")


def test_who_said_what_in_which_packets() -> None:
    shown = conversation(ASK, answer(b"two\nlines"))
    lines = shown.text.splitlines()
    assert lines[0] == "Connection 1, 10.0.1.11 and 10.0.1.10: HTTP/1.1, 2 turns"
    assert lines[2].startswith("10.0.1.11, ")
    assert lines[2].endswith(", packet 7:")
    assert lines[3:5] == ["    GET /a HTTP/1.1", "    Host: lb"]
    assert lines[-2:] == ["    two", "    lines"]
    assert repr(shown) == shown.text == shown._repr_mimebundle_()["text/plain"]
    assert shown.client == ASK[1]


@pytest.mark.parametrize("place", ["body", "header", "target"])
def test_what_was_said_is_inert(place: str) -> None:
    said = HOSTILE.encode()
    pieces = {
        "body": (ASK, answer(said)),
        "header": (ASK, answer(b"", f"X: {HOSTILE}")),
        "target": ((0, b"GET /" + said.replace(b" ", b"") + b" HTTP/1.1\r\nHost: lb\r\n\r\n"),),
    }[place]
    shown = conversation(*pieces)
    page = shown._repr_mimebundle_()["text/html"]
    for text in (shown.text, page):
        assert not set(text) & set("\x1b\u202e\u2066\x9b")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert_sound(page)


def test_long_bodies_are_cut_and_it_is_said() -> None:
    shown = conversation(ASK, answer(b"x" * 5_000), limit=100)
    assert "… and 4,900 more bytes, which are not shown" in shown.text
    assert "x" * 101 not in shown.text
    assert "… and 4,900 more bytes" in shown._repr_mimebundle_()["text/html"]
    assert len(shown.turns[1].body) == 5_000


def test_long_conversations_are_cut_and_it_is_said() -> None:
    turns = MOST_TURNS // 2 + 5
    shown = conversation(*[piece for _ in range(turns) for piece in (ASK, answer(b""))])
    assert len(shown.turns) == 2 * turns
    assert shown.text.endswith("… and 10 more turns, which are not shown; .turns has them all")
    assert shown.text.count("GET /a") == MOST_TURNS // 2


def test_bytes_that_are_no_text_are_shown_as_bytes_and_a_cut_character_is_no_reason() -> None:
    assert "00 ff 41" in conversation(ASK, answer(b"\x00\xffA")).text
    assert "ää" in conversation(ASK, answer("ääää".encode()), limit=5).text
    assert "…" in conversation(ASK, answer("€uro".encode()), limit=3).text


def test_what_is_missing_or_coded_is_said() -> None:
    _, whole = answer(b"packed", "Content-Encoding: br")
    shown = conversation(ASK, (1, whole[:-2]))
    assert "(the body is coded: br)" in shown.text
    assert "(the rest is missing)" in shown.text


def test_headers_on_their_way_as_a_table() -> None:
    wire = l7_wire(1)
    wire.events[-1] = dict(wire.events[-1]) | {"headers_forwarded": [["Host", "lb"], ["X", HOSTILE]]}
    shown = Capture(wire.recording()).headers()
    assert "1 added" in shown.title
    page, text = shown._repr_mimebundle_()["text/html"], repr(shown)
    assert "<script" not in page
    assert not set(page + text) & set("\x1b\u202e\u2066")
    assert "added (forwarded), removed (received)" in text
    assert_sound(page)


def test_headers_of_a_request_that_the_balancer_answered_say_so() -> None:
    wire = l7_wire(1)
    wire.events[-1] = dict(wire.events[-1]) | {"back": None, "headers_forwarded": None}
    shown = Capture(wire.recording()).headers()
    assert repr(shown).endswith("the balancer answered this request itself: nothing was passed on")
