"""One mode's half of a comparison, on recordings made by hand."""

from labkit.analysis.evidence.contrast import answered, counts, rewrites
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.recording import Loss
from tests.analysis.wire import Wire, get, l4_wire, l7_wire

LOSS = {name: Loss(10, 0) for name in Wire().vantages}


def told(wire, loss=LOSS):
    study = Study(wire.recording(loss=loss))
    return study, Routes(study)


def test_the_counts_of_l4_and_l7():
    assert counts(*told(l4_wire(3))) == {
        "requests seen": 3,
        "TCP connections that clients opened": 3,
        "TCP connections that backends accepted": 3,
        "is it the same connection": "yes",
        "TCP connections in all": 3,
        "UDP conversations": 0,
        "packets captured": 60,
        "packets lost": 0,
    }
    at_l7 = counts(*told(l7_wire(3), {**LOSS, "api1": Loss(10, 4)}))
    assert (at_l7["requests seen"], at_l7["TCP connections in all"], at_l7["packets lost"]) == (3, 6, 4)
    assert at_l7["TCP connections that clients opened"] == at_l7["TCP connections that backends accepted"] == 3
    assert at_l7["is it the same connection"] == "no"
    assert counts(*told(l7_wire(), {}))["packets lost"] == "not counted"


def test_who_answered():
    assert answered(*told(l4_wire(3))) == {"api1": 2, "api2": 1}
    assert answered(*told(l7_wire(3))) == {"api1": 2, "api2": 1}
    assert answered(*told(Wire())) == {}


def test_what_l4_rewrites_of_packets():
    rows = {row["field"]: row for row in rewrites(*told(l4_wire(1)))}
    assert rows["ip.dst"] == {
        "field": "ip.dst",
        "before": "10.0.1.10",
        "after": "10.0.2.11",
        "count": "6 of 10 packets",
    }
    assert rows["ip.src"]["count"] == "4 of 10 packets"
    assert "tcp.seq" not in rows
    assert "http.target" not in rows


def test_what_l7_rewrites_of_requests():
    received = [["Host", "lb"], ["Cookie", "a=1"], ["X-Old", "1"], ["Accept", "a"], ["accept", "b"]]
    forwarded = [["host", "lb"], ["Cookie", "a=2"], ["X-Forwarded-For", "10.0.1.11"], ["Accept", "a, b"]]
    wire = l7_wire(2, received=get(), headers_received=received, headers_forwarded=forwarded)
    assert rewrites(*told(wire)) == [
        {"field": "http.cookie", "before": "a=1", "after": "a=2", "count": "2 of 2 requests"},
        {"field": "http.header.x-old", "before": "1", "after": "(none)", "count": "2 of 2 requests"},
        {"field": "http.header.x-forwarded-for", "before": "(none)", "after": "10.0.1.11", "count": "2 of 2 requests"},
    ]
    assert rewrites(*told(l7_wire(2))) == []
