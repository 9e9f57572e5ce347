"""Texts that would act on whoever displays them stay inert: in tables, pictures, pages and on the terminal."""

import json
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from labkit.capture import Capture
from labkit.recording import Recording, read_pcapng, write_pcapng
from labkit.views.packet import packet_html, packet_text
from labkit.wording import inert
from tests.analysis.wire import Nat, Talk, l4_wire, l7_wire
from tests.recording import foreign

EVIL = "<script>alert(1)</script>\x1b[31mred\x07\u202egnp.exe\u2066\x9b2J\u2028end"
WIRE = EVIL.encode()
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def evil_l4() -> Recording:
    """A request in which everything that a client may write is hostile."""
    wire = l4_wire(1)
    request = b"POST /%b HTTP/1.1\r\nHost: %b\r\nCookie: %b\r\nX-Any: %b\r\nContent-Length: %d\r\n\r\n%b"
    target = WIRE.replace(b" ", b"")
    Talk(wire, Nat(sport=45000), seed=9).open().ask(request % (target, WIRE, WIRE, WIRE, len(WIRE), WIRE)).close()
    return wire.recording()


def evil_l7() -> Recording:
    """Events in which every text that can be is hostile: names of nodes, pools, rules, targets, headers, engines."""
    recording = l7_wire(2, target=f"/{EVIL}", host=EVIL, rule=EVIL, error=EVIL, method=EVIL,
                        headers_received=[[EVIL, EVIL]], headers_forwarded=[[EVIL, EVIL]]).recording()  # fmt: skip
    text = json.dumps(list(recording.events)).replace('"api1"', json.dumps(f"api1{EVIL}"))
    return replace(recording, events=json.loads(text.replace('"alice"', json.dumps(f"alice{EVIL}"))))


def evil_names(recording: Recording) -> Recording:
    """The same, and everything that a file may say about interfaces and packets is hostile too."""
    points = tuple(
        replace(each, name=f"{each.name}{EVIL}", node=f"{each.node}{EVIL}", description=EVIL, filter=EVIL)
        for each in recording.vantages
    )
    return replace(recording, vantages=points, comments={1: EVIL, 2: f"{EVIL}\n{EVIL}"}, lacks=(EVIL,))


@pytest.fixture(params=["l4", "l7", "foreign"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Capture, Path]:
    recording = evil_names(evil_l7() if request.param == "l7" else evil_l4())
    path = tmp_path / "evil.pcapng"
    if request.param == "foreign":
        path.write_bytes(foreign.as_pcapng(replace(recording, events=()), ">"))
    else:
        write_pcapng(recording, path)
    return Capture.load(path), path


def test_in_tables(capture: tuple[Capture, Path]) -> None:
    cap, _ = capture
    tables = [cap.packets(), cap.connections(), cap.connections("vantage"), cap.trajectories(), cap.exchanges()]
    tables += [cap.decisions(), cap.loss(), cap.visibility(full=True)]
    tables += [cap.visibility(full=True, connection=number) for number in range(1, len(cap.connections()) + 1)]
    texts = 0
    with pd.option_context("display.max_colwidth", None, "display.max_columns", None, "display.width", 100_000):
        for table in tables:
            assert not ACTS.search(table.to_string())
            page = table._repr_html_()
            assert not ACTS.search(page)
            assert "<script" not in page
            texts += page.count("&lt;script&gt;")
    assert texts, "it is there to be read"


def test_in_pictures_and_summaries(capture: tuple[Capture, Path]) -> None:
    cap, _ = capture
    shown = [repr(cap), cap.finding, cap.diagram().svg, *cap._repr_mimebundle_().values(), str(dict(cap.graph().nodes))]
    shown += [json.dumps(cap.summary(), ensure_ascii=False), cap.diagram().title]
    for text in shown:
        assert not ACTS.search(text)
    for text in (cap.diagram().svg, cap._repr_mimebundle_()["text/html"]):
        assert "<script" not in text
    assert "\\x1b[31mred" in repr(cap)


def test_of_single_packets(capture: tuple[Capture, Path]) -> None:
    cap, _ = capture
    for number in range(1, len(cap.recording) + 1):
        packet = cap.packet(number)
        for text in (repr(packet), packet.summary(), packet_text(packet), packet_html(packet)):
            assert not ACTS.search(text)
        assert "<script" not in packet_html(packet)


def test_of_conversations(capture: tuple[Capture, Path]) -> None:
    cap, _ = capture
    shown: list[Any] = [cap.ladder()]
    shown += [cap.follow(number) for number in range(1, len(cap.connections()) + 1)]
    shown += [cap.headers(number) for number in range(len(cap.exchanges()))]
    for each in shown:
        bundle = each._repr_mimebundle_()
        for text in (repr(each), *bundle.values()):
            assert not ACTS.search(text.replace("\t", ""))
        assert "<script" not in bundle.get("text/html", "") + bundle.get("image/svg+xml", "")


def test_on_the_terminal(capture: tuple[Capture, Path]) -> None:
    _, path = capture
    page = path.with_suffix(".html")
    command = [sys.executable, "-m", "labkit", "open", str(path), "--html", str(page)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert not ACTS.search(done.stdout.decode())
    assert not ACTS.search(done.stderr.decode())
    text = page.read_text(encoding="utf-8")
    assert not ACTS.search(text)
    assert "<script>alert" not in text


def test_what_is_kept_is_not_changed(tmp_path: Path) -> None:
    """The evidence itself stays as it was; only its showing is harmless."""
    recording = evil_l7()
    read = read_pcapng(write_pcapng(replace(recording, comments={1: EVIL}), tmp_path / "a.pcapng"))
    assert read.events == tuple(recording.events)
    assert read.comments == {1: EVIL}


def test_inert() -> None:
    assert inert("plain\\x1b text, ü, 後ろ, 🦊, \u00a0") == "plain\\x1b text, ü, 後ろ, 🦊, \u00a0"
    assert inert("a\x1b[0m\n\x00\x7f\x9b\u202e\u2066\ud800\ufeff") == (
        "a\\x1b[0m\\n\\x00\\x7f\\x9b\\u202e\\u2066\\ud800\\ufeff"
    )
    assert inert(inert(EVIL)) == inert(EVIL)
    for code in range(0x11000):
        letter = chr(code)
        assert inert(letter).encode(), "whatever it is, it can be written"


def test_names_that_become_alike_stay_apart(tmp_path: Path) -> None:
    named = foreign.option("<", 2, b"a\x1b") + foreign.option("<", 0, b"")
    escaped = foreign.option("<", 2, b"a\\x1b") + foreign.option("<", 0, b"")
    content = foreign.section("<") + foreign.interface("<", named) + foreign.interface("<", escaped)
    (tmp_path / "a").write_bytes(content + foreign.packet("<", 1, struct.pack("<60x")))
    names = [vantage.name for vantage in read_pcapng(tmp_path / "a").vantages]
    assert names == ["a\\x1b", "a\\x1b (2)"]
