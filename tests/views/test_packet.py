"""The packet's page: fields and bytes refer to each other, hostile bytes are inert, and a browser lights both."""

import re
import shutil
from html.parser import HTMLParser
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from labkit.views.packet import packet_html, packet_text, show_in_notebooks

HOSTILE = b"<script>alert(1)</script>\x1b[31m\xe2\x80\xae&\"'"
SHOWN = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(dst="10.0.1.10") / TCP(dport=80) / Raw(HOSTILE)


class Page(HTMLParser):
    """Which tags there are, and for each field number its row's text and the text of its bytes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: dict[str, list[str]] = {}
        self.bytes: dict[str, str] = {}
        self._into: list[tuple[str, list[str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        fields = (dict(attrs).get("data-f") or "").split()
        if tag in ("tr", "span"):
            self._into.append((tag, fields))

    def handle_endtag(self, tag: str) -> None:
        if self._into and self._into[-1][0] == tag:
            self._into.pop()

    def handle_data(self, data: str) -> None:
        for tag, fields in self._into:
            for field in fields:
                if tag == "tr":
                    self.rows.setdefault(field, []).append(data)
                else:
                    self.bytes[field] = self.bytes.get(field, "") + data + "|"


def test_every_field_has_a_row_and_its_bytes() -> None:
    html = packet_html(SHOWN)
    page = Page(html)
    assert page.rows.keys() == page.bytes.keys()
    number = next(number for number, row in page.rows.items() if row[:2] == ["dst", "10.0.1.10"])
    assert page.rows[number][2] == "bytes 30 to 33"
    assert page.bytes[number].startswith("0a 00|")  # the rest is on the next line
    assert "01 0a" in page.bytes[number]
    for rule in (f'[data-f~="{number}"]:is(:hover,:focus)', f') [data-f~="{number}"]{{'):
        assert rule in html
    assert html.count("tabindex") == len(page.rows)


def test_fields_that_share_a_byte_both_own_it() -> None:
    html = packet_html(SHOWN)
    shared = re.search(r'data-f="(\d+) (\d+)" data-l="1">45<', html)
    assert shared is not None
    page = Page(html)
    assert [page.rows[number][0] for number in shared.groups()] == ["version", "ihl"]


def test_hostile_bytes_are_inert() -> None:
    html, text = packet_html(SHOWN), packet_text(SHOWN)
    assert Page(html).tags <= {
        "div",
        "style",
        "b",
        "details",
        "summary",
        "small",
        "table",
        "tr",
        "th",
        "td",
        "pre",
        "span",
    }
    for shown in (html, text):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "<script" not in html
    assert "3c 73 63 72" in text


def test_the_text_names_bytes_too_and_is_the_same_every_time() -> None:
    text = packet_text(SHOWN)
    assert text.splitlines()[0].endswith("on the wire: Ethernet / IP / TCP / Raw")
    assert re.search(r"^  dport +http \(80\)  \[bytes 36 to 37\]$", text, re.MULTILINE)
    assert (packet_text(SHOWN), packet_html(SHOWN)) == (text, packet_html(SHOWN))


def test_a_long_packet_is_counted() -> None:
    for shown in (packet_html(Raw(b"x" * 5000)), packet_text(Raw(b"x" * 5000))):
        assert "… 2,952 more bytes" in shown
        assert len(shown) < 60_000


def test_a_notebook_uses_it_for_every_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()
    try:
        show_in_notebooks()
        data, _ = shell.display_formatter.format(SHOWN)
        assert data["text/html"] == packet_html(SHOWN)
        assert data["text/plain"] == packet_text(SHOWN)
    finally:
        interactive.InteractiveShell.clear_instance()


@pytest.mark.needs("chromium")
def test_pointing_at_one_lights_the_other() -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

    def lit(page: Any) -> set[str]:
        script = """[...document.querySelectorAll('[data-f]')].filter(e => getComputedStyle(e).outlineStyle == 'solid')
                    .map(e => e.dataset.f)"""
        return set(page.evaluate(script))

    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        page = browser.new_context(java_script_enabled=True).new_page()
        page.set_content(packet_html(SHOWN))
        assert lit(page) == set()
        row = page.locator("tr", has_text="10.0.1.10")
        number = row.get_attribute("data-f")
        row.hover()
        assert lit(page) == {number}
        page.mouse.move(0, 0)
        assert lit(page) == set()
        page.locator(f'span[data-f="{number}"]').first.hover()
        assert lit(page) == {number}
        page.mouse.move(0, 0)
        row.focus()
        assert lit(page) == {number}
        browser.close()
