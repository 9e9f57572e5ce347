"""Flow files and HAR files of a real lab, read back by mitmproxy itself and checked against the format."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from labkit import Capture, Lab
from labkit.errors import CaptureError, NotACapture
from labkit.traffic.open_things import WebSocket
from tests.analysis.messages.test_mutants import mutants
from tests.analysis.wire import Nat, Talk, get, l4_wire, l7_wire

from .har12 import check
from .test_flows import state

real = pytest.mark.needs("netns")
FORM = {"content-type": "application/x-www-form-urlencoded"}
TARGETS = ["/api/users?x=1", "/api/form", "/api/h2", "/api/old", "/ws/chat", "/ws/secret"]


@pytest.fixture(scope="module")
def captures() -> Iterator[dict[str, Capture]]:
    """The same traffic at L4 and at L7 with TLS ended: HTTP/1.1, a form, HTTP/2, TLS 1.2, two WebSockets, a refusal."""
    found = {}
    with Lab() as lab:
        for mode in ("l4", "l7"):
            lab.balancer.l4() if mode == "l4" else lab.balancer.l7(tls=True)
            with lab.capture() as cap:
                lab.alice.get("http://lb/api/users?x=1")
                lab.alice.post("http://lb/api/form", body=b"a=1&b=%C3%A4", headers=FORM)
                lab.alice.get("https://lb/api/h2", http2=True)
                lab.alice.get("https://lb/api/old", tls="1.2")
                for url in ("ws://lb/ws/chat", "wss://lb/ws/secret"):
                    with lab.alice.websocket(url) as chat:
                        echo(chat)
                if mode == "l7":
                    lab.api1.kill()
                    lab.api2.kill()
                    assert lab.alice.get("http://lb/api/down").status == 502
            found[mode] = cap
        yield found


def echo(chat: WebSocket) -> None:
    for said in ("hi", b"\0\xff"):
        chat.send(said)
        assert chat.recv() == said


@real
def test_real_requests_as_flows(captures: dict[str, Capture]) -> None:
    for mode, cap in captures.items():
        flows = cap.flows()
        assert flows.lacks == ()
        assert [flow.request.path for flow in flows] == TARGETS + ["/api/down"] * (mode == "l7")
        assert [flow.metadata["labkit.lacks"] for flow in flows] == [[]] * len(flows)
        plain, form, h2, old, chat, secret = flows[:6]
        assert (form.request.raw_content, dict(form.request.urlencoded_form)) == (b"a=1&b=%C3%A4", {"a": "1", "b": "ä"})
        versions = [flow.client_conn.tls_version for flow in (plain, h2, old, secret)]
        assert versions == [None, "TLSv1.3", "TLSv1.2", "TLSv1.3"]
        assert (h2.request.http_version, h2.request.pretty_url, h2.client_conn.sni) == (
            "HTTP/2.0", "https://lb/api/h2", "lb"
        )  # fmt: skip
        for flow in flows[:4]:
            received = json.loads(flow.response.content)  # the backend says what reached it, and from where
            assert [received["backend"], received["method"]] == [flow.metadata["labkit.backend"], flow.request.method]
            assert received["peer"] == list(flow.server_conn.sockname), "the backend's connection as the backend has it"
            assert received["local"] == list(flow.server_conn.peername)
            assert (received["peer"] == list(flow.client_conn.peername)) == (mode == "l4")
        for flow in (chat, secret):
            assert [(one.from_client, one.content) for one in flow.websocket.messages] == [
                (True, b"hi"), (False, b"hi"), (True, b"\0\xff"), (False, b"\0\xff")
            ]  # fmt: skip
            assert (flow.websocket.closed_by_client, flow.websocket.close_code) == (True, 1000)
        if mode == "l7":
            assert "cannot reach" in str(flows[6].error)
            assert flows[6].response.status_code == 502
            assert "host" not in h2.request.headers, "HTTP/2 says it otherwise"
            forwarded = h2.metadata["labkit.forwarded"]
            assert (forwarded["version"], forwarded["headers"][0]) == ("HTTP/1.1", ["Host", "lb"])


@real
def test_real_websocket_messages(captures: dict[str, Capture]) -> None:
    ways = {"l4": [("client", "backend")], "l7": [("client", "balancer"), ("balancer", "backend")]}
    for mode, cap in captures.items():
        frame = cap.messages()
        data = frame[frame["kind"].isin(["text", "binary"])]
        for near, far in ways[mode]:
            for one, two in ((near, far), (far, near)):
                said = data[data["direction"] == f"{one} → {two}"]
                assert said[["kind", "length", "text"]].values.tolist() == [["text", 2, "hi"], ["binary", 2, None]] * 2
        assert len(data) == 8 * len(ways[mode]), "in clear and in TLS"
        assert frame.attrs["lacks"] == ()
    exchanges = captures["l7"].exchanges()
    assert exchanges["messages"].tolist() == [None] * 4 + [4, 4, None]
    opened = captures["l7"].messages()["request"]
    assert set(opened) == set(exchanges["request"][exchanges["messages"].notna()])


@real
def test_a_saved_capture_gives_the_same_flows(captures: dict[str, Capture], tmp_path: Path) -> None:
    for cap in captures.values():
        again = Capture.load(cap.save(tmp_path / "a.pcapng")).flows()
        assert list(map(state, again)) == list(map(state, cap.flows()))


@real
def test_mitmdump_reads_the_flow_file(captures: dict[str, Capture], tmp_path: Path) -> None:
    cap = captures["l7"]
    path = cap.save(tmp_path / "a.mitm")
    assert path == tmp_path / "a.mitm"
    with open(path, "rb") as file:
        read = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
    assert list(map(state, read)) == list(map(state, cap.flows()))
    mitmdump = Path(sys.executable).with_name("mitmdump")
    command = [mitmdump, "-nr", path, "--set", f"confdir={tmp_path}", "--set", "showhost=true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for target in (*TARGETS, "/api/down"):
        assert f"{'https' if target in ('/api/h2', '/api/old', '/ws/secret') else 'http'}://lb{target}" in done.stdout


@real
def test_a_har_file_is_what_har_1_2_says(captures: dict[str, Capture], tmp_path: Path) -> None:
    for mode, cap in captures.items():
        har = json.loads(cap.save(tmp_path / "a.har").read_bytes())
        check(har)
        entries = har["log"]["entries"]
        assert [entry["request"]["url"].partition("//lb")[2] for entry in entries][:6] == TARGETS
        assert entries[1]["request"]["postData"]["params"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "ä"}]
        assert [message["data"] for message in entries[4]["_webSocketMessages"]] == ["hi", "hi", "AP8=", "AP8="]
        assert [entry["comment"] for entry in entries] == [flow.comment for flow in cap.flows()]
        assert (entries[0]["timings"]["connect"] >= 0) == (mode == "l4")
        with open(tmp_path / "a.har", "rb") as file:
            assert len(list(FlowReader(file).stream())) == len(entries)


def test_what_a_har_file_cannot_know_it_says(tmp_path: Path) -> None:
    recorded = l7_wire(1, method="POST", status=None)
    recorded.seen = []
    waiting = l4_wire(0)
    Talk(waiting, Nat()).open().send(0, "PA", get())
    for wire in (recorded, waiting):
        har = json.loads(Capture(wire.recording()).save(tmp_path / "a.har").read_bytes())
        check(har)
        (entry,) = har["log"]["entries"]
        assert (entry["response"]["status"], entry["response"]["bodySize"]) == (0, -1)
        assert entry["request"]["bodySize"] == (-1 if wire is recorded else 0)
        assert "lacks: " in entry["comment"]


def test_an_early_answer_makes_no_negative_times(tmp_path: Path) -> None:
    wire = l4_wire(0)
    talk = Talk(wire, Nat()).open()
    talk.send(0, "PA", b"POST /a HTTP/1.1\r\nHost: lb\r\nContent-Length: 2\r\n\r\n")
    talk.send(1, "PA", b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    talk.send(0, "PA", b"ab")
    check(json.loads(Capture(wire.recording()).save(tmp_path / "a.har").read_bytes()))


def test_of_damaged_messages_and_strange_records_files_are_written_that_read_back(tmp_path: Path) -> None:
    asked = (
        b"POST http://[::1]:99999/a?x=%ff HTTP/1.1\r\nHost: [\r\nCookie: =;\r\nContent-Type: text/html; charset=foo\r\n"
    )
    asked += b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\xff\0"
    for damaged in islice(mutants(asked, seed=5), 12):
        wire = l7_wire(1, received=damaged or b"x", sni=5, method="\ud800ä\u20ac", host=None, version=None)
        cap = Capture(wire.recording())
        check(json.loads(cap.save(tmp_path / "a.har").read_bytes()))
        with open(cap.save(tmp_path / "a.mitm"), "rb") as file:
            assert list(map(state, FlowReader(file).stream())) == list(map(state, cap.flows()))


@pytest.mark.parametrize("name", ["a.mitm", "a.HAR"])
def test_what_keeps_requests_alone_is_not_loaded_and_says_why(tmp_path: Path, name: str) -> None:
    Capture(l4_wire(1).recording()).save(tmp_path / name)
    with pytest.raises(NotACapture, match=r"keeps requests, not packets; load the \.pcapng of the same capture"):
        Capture.load(tmp_path / name)
    with pytest.raises(CaptureError, match="its folder does not exist"):
        Capture(l4_wire(1).recording()).save(tmp_path / "none" / name)


def test_other_names_are_capture_files(tmp_path: Path) -> None:
    for name in ("a.pcapng", "a", "a.mitm.pcapng"):
        assert len(Capture.load(Capture(l4_wire(1).recording()).save(tmp_path / name)).connections()) == 1


def test_mitmproxy_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from labkit.capture import Capture\n"
        "cap = Capture.load(sys.argv[1]); cap.messages(), cap.exchanges(), cap.packets()\n"
        "print('mitmproxy' in sys.modules); cap.flows(); print('mitmproxy' in sys.modules)"
    )
    file = Path(__file__).parents[2] / "captures" / "l7.pcapng"
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
