"""`Capture`, as its user holds it; what its tables contain is tested with `analysis`."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from labkit.capture import Capture
from labkit.errors import CaptureError, LabError
from labkit.recording import Loss

from .analysis.wire import Link, Talk, Wire, get, l4_wire, l7_wire


def capture(wire: Wire) -> Capture:
    return Capture(wire.recording())


def test_it_has_every_table_with_the_promised_columns() -> None:
    cap = capture(l7_wire(1))
    promised = {
        "packets": "number time vantage connection src dst sport dport proto flags seq ack window ttl ip_id "
        "payload_length frame_length",
        "connections": "connection seen_at paired_with proto client client_port server server_port state packets_out "
        "packets_in bytes_out bytes_in retransmissions handshake_seconds closed_by",
        "trajectories": "connection packets path rewritten seconds certain",
        "exchanges": "request method target host status rule backend front_connection back_connection front back "
        "seconds",
        "decisions": "time mode connection read rule backend",
        "messages": "request time direction kind length text connection vantage packet note",
        "visibility": "layer field",
        "loss": "vantage captured dropped",
    }
    for name, columns in promised.items():
        frame = getattr(cap, name)()
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns)[: len(columns.split())] == columns.split()
    assert cap.packets().columns[-1] == "comment"
    assert cap.exchanges().columns[-1] == "messages"
    assert str(cap.packets()["time"].dtype) == "datetime64[ns]"
    assert list(cap.visibility().columns)[-2:] == ["state", "rewritten"]


def test_packets_at_one_vantage_point_keep_their_numbers() -> None:
    cap = capture(l4_wire(1))
    there = cap.packets(at="lb:front")
    assert set(there["vantage"]) == {"lb:front"}
    assert there["number"].tolist()[:3] == [2, 7, 10]
    assert len(there) == 10


def test_a_table_that_is_changed_changes_nothing_else() -> None:
    cap = capture(l4_wire(1))
    before = cap.packets(), cap.connections()
    for frame in (cap.packets(), cap.connections(), cap.trajectories()):
        for column in frame.columns:
            frame[column].array[:] = frame[column].array[::-1].copy()
            frame[column] = "overwritten"
    assert cap.packets().equals(before[0])
    assert cap.connections().equals(before[1])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda cap: cap.packets(at="alcie"), "no vantage point 'alcie'. Did you mean 'alice'?"),
        (lambda cap: cap.packets(at="?"), "It has alice, bob, lb:front, lb:back, api1, api2."),
        (lambda cap: cap.packet(0), "no packet 0; it has numbers 1 to 40"),
        (lambda cap: cap.packet(41), "no packet 41"),
        (lambda cap: cap.visibility(connection=7), "no connection 7; it has connections 1 to 1"),
        (lambda cap: cap.connections(per="packet"), 'per="vantage"'),
        (lambda cap: cap.follow(2), "no connection 2; it has connections 1 to 1"),
        (lambda cap: cap.follow(True), "no connection True"),
        (lambda cap: cap.follow("1"), "no connection '1'"),
        (lambda cap: cap.follow(1, limit=-1), "limit is a number of bytes"),
        (lambda cap: cap.headers(), "no requests of a terminating balancer"),
    ],
)
def test_wrong_questions_are_answered_with_the_remedy(ask: object, says: str) -> None:
    with pytest.raises(CaptureError) as caught:
        ask(capture(l4_wire(1)))  # type: ignore[operator]
    assert says in str(caught.value)
    assert isinstance(caught.value, LabError)


def test_a_followed_connection_names_its_ends_and_what_it_ran_through() -> None:
    forwarded, (front, back) = capture(l4_wire(1)).follow(1), map(capture(l7_wire(1)).follow, (1, 2))
    assert forwarded.title.startswith("Connection 1, alice and api1 through lb: HTTP/1.1")
    assert forwarded.text.splitlines()[-5].startswith("api1, ")  # who answered; at L4 the balancer says nothing
    assert front.title.startswith("Connection 1, alice and lb: HTTP/1.1")
    assert back.title.startswith("Connection 2, lb and api1: HTTP/1.1")


def test_headers_by_the_request_s_id_by_its_row_and_of_the_first() -> None:
    cap = capture(l7_wire(2))
    ids = cap.exchanges()["request"].tolist()
    assert [cap.headers(which).request for which in (None, 1, ids[1], ids[0])] == [ids[0], ids[1], ids[1], ids[0]]
    for wrong in (2, -1, True, "r0", 0.5, ["r"]):
        with pytest.raises(CaptureError, match=r"it has rows 0 to 1, the first with the id"):
            cap.headers(wrong)  # type: ignore[arg-type]


def test_an_empty_capture_answers_everything() -> None:
    cap = capture(Wire())
    for name in ("packets", "connections", "trajectories", "exchanges", "decisions", "visibility", "messages", "flows"):
        assert len(getattr(cap, name)()) == 0
    assert (cap.mode, cap.finding, cap.graph().number_of_edges()) == (None, "No connections", 0)
    with pytest.raises(CaptureError, match="it has no packets"):
        cap.packet(1)
    with pytest.raises(CaptureError, match="it has no connections"):
        cap.visibility(connection=1)


def test_until_it_has_ended_it_says_so() -> None:
    cap = Capture()
    assert not cap.complete
    assert repr(cap) == "Capture: still being made"
    assert cap._repr_mimebundle_() == {"text/plain": "Capture: still being made"}
    asked = cap.packets, cap.connections, cap.graph, cap.summary, cap.messages, cap.flows
    for ask in (*asked, lambda: cap.mode, lambda: cap.save("x"), lambda: cap.save("x.har")):
        with pytest.raises(CaptureError, match="has not ended yet"):
            ask()
    cap.fill(l4_wire(1).recording())
    assert cap.complete
    assert len(cap.connections()) == 1


def test_a_saved_capture_loads_with_all_its_evidence(tmp_path: Path) -> None:
    for made in (l4_wire(2), l7_wire(2)):
        cap = capture(made)
        cap.save(tmp_path / "cap.pcapng")
        again = Capture.load(tmp_path / "cap.pcapng")
        for name in ("packets", "connections", "trajectories", "exchanges", "decisions", "visibility"):
            pd.testing.assert_frame_equal(getattr(cap, name)(), getattr(again, name)())
        assert again.finding == cap.finding
        assert again.mode == cap.mode


def test_what_is_shown_is_the_same_for_the_same_traffic() -> None:
    """Ports, sequence numbers and times differ from run to run; a notebook's stored output must not."""
    one, other = Wire(), Wire(now=1_800_000_000_000_000_000)
    for wire, port, seed in ((one, 40000, 1), (other, 51234, 2)):
        wire.events += l4_wire(0).events
        Talk(wire, Link("alice", "lb:front", port), seed=seed).open().ask(get()).close()
    assert repr(capture(one)) == repr(capture(other))
    assert capture(one)._repr_mimebundle_() == capture(other)._repr_mimebundle_()


def test_the_display_states_finding_and_loss() -> None:
    wire = l4_wire(2)
    lost = {name: Loss(10, 2 if name == "api1" else 0) for name in wire.vantages}
    shown = Capture(wire.recording(loss=lost))._repr_mimebundle_()
    assert shown["text/plain"].splitlines() == [
        "Capture: L4: 2 requests, 2 connections, each running through lb to a backend",
        "  seen at: alice, bob, lb:front, lb:back, api1, api2",
        "  lost: 2 at api1",
    ]
    assert shown["image/svg+xml"].startswith("<svg")
    assert "lost: 2 at api1" in shown["text/html"]
    kept = {name: Loss(10, 0) for name in wire.vantages}
    assert "no packet lost" in repr(Capture(wire.recording(loss=kept)))
    assert "loss unknown" in repr(capture(wire))


def test_the_diagram_is_titled_with_the_finding() -> None:
    cap = capture(l7_wire(2))
    assert cap.diagram().title == cap.finding == "L7: 2 requests, 2 client connections, 2 back connections"


def test_importing_it_is_light() -> None:
    heavy = "{'numpy', 'pandas', 'scapy', 'networkx', 'scipy'} - {'numpy'}"  # the recording itself is numpy
    code = f"import sys, labkit.capture; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_packet_is_dissected_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from labkit.capture import Capture; from labkit.recording import *; import numpy as np\n"
        "data = bytes(12) + b'\\x08\\x00' + bytes(20)\n"
        "packets = np.array([(1, 0, 0, 34, 34, 0)], dtype=PACKET_DTYPE)\n"
        "cap = Capture(Recording((Vantage('a'),), packets, data))\n"
        "cap.packets(), cap.connections(), cap.visibility(), cap.summary()\n"
        "print('scapy' in sys.modules); cap.packet(1); print('scapy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "ask", [lambda cap: cap.packets(at=5), lambda cap: cap.packet("a"), lambda cap: cap.visibility(connection="a")]
)
def test_what_is_no_name_and_no_number_is_refused(ask):
    with pytest.raises(CaptureError, match=r"This capture has no (packet 'a'|connection 'a'|vantage point 5)"):
        ask(Capture(l4_wire().recording()))


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda cap: Capture(5), "A Capture is made from a Recording, not 5: Capture.load(path) reads a file"),
        (lambda cap: Capture().fill("out/l4.pcapng"), "A Capture is made from a Recording, not 'out/l4.pcapng'"),
        (lambda cap: cap.visibility(1), "full is True or False, not 1; visibility(connection=1) picks a connection"),
        (lambda cap: cap.visibility(connection=True), "no connection True"),
        (lambda cap: cap.ladder(full=1), "full is True or False, not 1; ladder(1) picks a connection"),
        (lambda cap: cap.packet(True), "no packet True"),
        (lambda cap: cap.packet(10**5000), "no packet <int>"),
    ],
)
def test_what_is_of_a_wrong_kind_is_refused_with_the_remedy(ask, says):
    with pytest.raises(CaptureError) as caught:
        ask(capture(l4_wire(1)))
    assert says in str(caught.value)
