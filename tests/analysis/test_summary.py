import json

import pytest

from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.analysis.summary import mode, summary
from labkit.recording import Loss

from .wire import Link, Talk, Wire, get, l4_wire, l7_wire
from .wire import mode as mode_event


def figures(wire: Wire, **more: object) -> dict[str, object]:
    study = Study(wire.recording(**more))  # type: ignore[arg-type]
    return summary(study, Routes(study))


def test_at_l4() -> None:
    found = figures(l4_wire(4), loss={"alice": Loss(20, 0), "api1": Loss(20, 3)})
    assert found["mode"] == "l4"
    assert found["requests"] == 4
    assert found["tcp_connections"] == {"alice": 2, "bob": 2, "lb:front": 4, "lb:back": 4, "api1": 2, "api2": 2}
    assert found["same_connection"] is True
    assert found["rewritten_fields"] == [
        "eth.src", "eth.dst", "ip.src", "ip.dst", "ip.ttl", "ip.checksum", "tcp.checksum",
    ]  # fmt: skip
    assert found["balancer_reads"] == ["ip.dst", "tcp.dport", "ct.state"]
    assert found["loss"] == {
        "alice": {"captured": 20, "dropped": 0}, "bob": {"captured": 20, "dropped": None},
        "lb:front": {"captured": 40, "dropped": None}, "lb:back": {"captured": 40, "dropped": None},
        "api1": {"captured": 20, "dropped": 3}, "api2": {"captured": 20, "dropped": None},
    }  # fmt: skip
    assert found["routes"] == {}
    json.dumps(found)


def test_at_l7() -> None:
    found = figures(l7_wire(4))
    assert (found["mode"], found["requests"], found["same_connection"]) == ("l7", 4, False)
    assert found["tcp_connections"] == {"alice": 2, "bob": 2, "lb:front": 4, "lb:back": 4, "api1": 2, "api2": 2}
    assert found["rewritten_fields"] == []
    assert found["balancer_reads"] == ["http.target", "ip.src", "tcp.sport", "http.method", "http.host", "ct.state"]
    assert found["routes"] == {"/api/*": {"api1": 2, "api2": 2}}
    json.dumps(found)


def test_one_connection_that_ends_in_the_balancer_spoils_it() -> None:
    wire = l4_wire(2)
    Talk(wire, Link("alice", "lb:front", 49000)).open().ask(get()).close()
    assert figures(wire)["same_connection"] is False


@pytest.mark.parametrize(
    ("vantages", "same"),
    [
        (("alice", "lb:front"), None), (("alice",), None), (("alice", "lb:front", "api1"), True),
        (("alice", "api1"), True), (("lb:front", "lb:back"), True), (("lb:front", "lb:back", "api2"), True),
    ],
)  # fmt: skip
def test_what_was_not_captured_behind_the_balancer_is_not_claimed(vantages: tuple[str, ...], same: bool | None) -> None:
    assert figures(l4_wire(1, vantages=vantages))["same_connection"] is same
    wire = l7_wire(1)
    wire.seen = [one for one in wire.seen if one[1] in ("alice", "lb:front")]
    assert figures(wire)["same_connection"] is False  # the proxy's record says where it ended


def test_a_connection_that_should_have_been_seen_behind_and_was_not_is_another() -> None:
    wire = l4_wire(1, vantages=("alice", "lb:front", "api1"))
    wire.seen = [one for one in wire.seen if one[1] != "api1"]
    assert figures(wire)["same_connection"] is False


def test_requests_are_counted_in_the_bytes() -> None:
    wire = Wire()
    wire.events.append(mode_event("l4"))
    Talk(wire, Link()).open().ask(get()).ask(get("/2")).ask(b"GET / not http\r\n")
    assert figures(wire)["requests"] == 2


def test_an_empty_recording_claims_nothing() -> None:
    found = figures(Wire())
    assert (found["mode"], found["requests"], found["same_connection"], found["balancer_reads"]) == (None, 0, None, [])


def test_the_mode_without_connections_is_the_last_that_was_set() -> None:
    wire = Wire()
    wire.events += [mode_event("l4"), mode_event("l7", at=mode_event("l4")["time_ns"] + 1)]
    assert mode(Routes(Study(wire.recording()))) == "l7"
