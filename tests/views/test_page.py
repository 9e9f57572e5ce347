"""The page of a capture: everything in it, nothing that acts, and a bound on all of it."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from labkit import Capture
from labkit.recording import Recording
from labkit.views.page import capture_page
from tests.analysis import ladders as made
from tests.analysis import wire as w

RECORDED = Path(__file__).parents[2] / "captures"
EMPTY = ("br", "meta", "hr", "path", "rect", "line", "circle")


class Page(HTMLParser):
    """Headings, tags, ids, and what would be loaded from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.elsewhere: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in EMPTY:
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href") and not (value or "").startswith("#"):
                self.elsewhere.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "h2":
            self.headings.append(data)


def page_of(recording: Recording, name: str = "some.pcapng") -> tuple[str, Page]:
    html = capture_page(Capture(recording), name)
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    assert page.elsewhere == []
    assert "script" not in page.tags
    return html, page


@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_recorded_captures(mode: str) -> None:
    capture = Capture.load(RECORDED / f"{mode}.pcapng")
    html, page = page_of(capture.recording, f"{mode}.pcapng")
    headings = ["What it shows", "How much was captured", "Packet by packet", "Connections", "Requests", "Decisions",
                "What could be seen", "Conversations", "Packets"]  # fmt: skip
    assert page.headings == [heading for heading in headings if mode == "l7" or heading != "Requests"]
    assert f"<h1>{mode}.pcapng: {capture.finding}</h1>" in html
    assert html.count("<svg") == 5 + html.count('<svg viewBox="0 0 14 14"')  # the diagram and four ladders
    assert "decided on packet 7" in html if mode == "l4" else "decided after packet 8" in html
    rest = len(capture.packets()) - 200
    assert f"{rest:,} more rows are not shown." in html
    assert len(html) < 2_500_000


def test_at_l7_a_pair_has_one_ladder() -> None:
    html, _ = page_of(w.l7_wire(2).recording())
    assert html.count('data-packet="') == 2
    assert "more connection" not in html


@pytest.mark.parametrize(
    "make",
    [
        lambda: w.Wire().recording(),
        lambda: made.without_events(w.l4_wire(), "alice"),
        lambda: made.without_events(w.l7_wire(), "alice", "lb:front", "lb:back", "api1"),
        lambda: made.datagrams().recording(),
        lambda: made.six().recording(),
        lambda: made.troubled().recording(),
    ],
)
def test_any_capture_has_a_page(make: Callable[[], Recording]) -> None:
    html, page = page_of(make())
    assert page.headings[:2] == ["What it shows", "How much was captured"]
    assert "Traceback" not in html


def test_hostile_content_is_text() -> None:
    wire, talk = made.opened()
    for target in ("<script>alert(1)</script>", "\x1b[31mred", "\u202eevil", '"onmouseover="x'):
        talk.send(0, "PA", f"GET /{target} HTTP/1.1\r\nHost: {target}\r\nCookie: {target}\r\n\r\n".encode())
    html, _ = page_of(wire.recording(), "<script>alert(2)</script>\x1b.pcap")
    assert "&lt;script&gt;alert(2)" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)


def test_what_a_file_lacks_is_said(tmp_path: Path) -> None:
    path = tmp_path / "some.pcapng"
    Capture(w.l4_wire().recording()).save(path)
    path.write_bytes(path.read_bytes()[:-7])
    capture = Capture.load(path)
    html, _ = page_of(capture.recording)
    assert capture.recording.lacks
    assert "Not in the file: " in html
