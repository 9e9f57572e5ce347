"""Health checks on a real lab: a dead backend leaves the rules and comes back; captures leave the checks out."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit import Capture, Lab
from labkit.balancer.source import source_of
from labkit.errors import CaptureError, LabError, PolicyError, TrafficError
from tests.inside import connect_from, hang_up, kill_by_name

pytestmark = [pytest.mark.needs("netns"), pytest.mark.measured]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        until(lambda: set(lab.balancer.health.values()) == {"up"})
        yield lab


@pytest.fixture(autouse=True)
def _checked_as_by_default(lab: Lab) -> Iterator[None]:
    yield
    lab.api1.restore()
    lab.balancer.health.check()
    until(lambda: set(lab.balancer.health.values()) == {"up"})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_backend_is_out_within_two_seconds_and_requests_fail_in_that_window_alone(lab: Lab) -> None:
    failed: list[tuple[int, int]] = []
    served: set[object] = set()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            begun = time.time_ns()
            try:
                served.add(lab.bob.get("http://lb/").backend)
            except TrafficError:
                failed.append((begun, time.time_ns()))

    with lab.capture("lb:back") as cap:
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            killed = time.time_ns()
            lab.api1.kill()
            while lab.balancer.health["api1"] != "down":  # a notebook that is busy with something else
                sum(range(10_000))
            until(lambda: "api1: its health checks fail" in repr(lab.balancer))
            since = time.time_ns()
            until(lambda: len([kind for kind in kinds(lab, since) if kind == "decision"]) > 20)
            lab.api1.restore()
            until(lambda: lab.balancer.health["api1"] == "up")
            served.clear()
            until(lambda: "api1" in served)
        finally:
            over.set()
            thread.join(20)
    events = cap.recording.of_kind("health")
    down = [event for event in events if event["state"] == "down"]
    assert {event["backend"] for event in events} == {"api1"}
    assert {(event["transport"], event["port"], event["was"], event["reason"]) for event in down} == {
        ("tcp", port, "up", "connection refused") for port in (80, 443, 7)
    }
    http = next(event["time_ns"] for event in down if event["port"] == 80)
    out = next(
        event["time_ns"]
        for event in cap.recording.of_kind("rules")
        if event["time_ns"] >= http and "goto http_80_api1" not in event["text"]
    )
    assert out - killed < 2_000_000_000  # the window that is promised
    assert failed
    offsets = [(begun - out, ended - killed) for begun, ended in failed]
    assert [(begun, ended) for begun, ended in offsets if begun > 0 or ended < 0] == []
    assert {event["port"] for event in events if (event["was"], event["state"]) == ("down", "up")} == {80, 443, 7}


def kinds(lab: Lab, since_ns: int) -> list[str]:
    return [str(event["kind"]) for event in lab.balancer.events(since_ns)]


def test_captures_leave_checks_out_unless_they_are_asked_for(lab: Lab, tmp_path: Path) -> None:
    source = source_of(lab.topology)
    with lab.capture() as without:
        lab.alice.get("http://lb/")
        time.sleep(0.6)  # more than one round of checks
    assert not without.packets()[["src", "dst"]].isin([source]).any(axis=None)
    assert [vantage.filter for vantage in without.recording.vantages] == [""] * 8
    with pytest.raises(CaptureError, match=r"lab\.capture\(probes=True\)"):
        without.packets(probes=True)
    with lab.capture(probes=True) as cap:
        lab.alice.get("http://lb/")
        time.sleep(0.6)
    assert len(cap.connections()) == len(without.connections()) == 1
    assert "1 connection" in cap.finding
    assert not cap.packets()[["src", "dst"]].isin([source]).any(axis=None)
    assert cap.loss().captured.sum() == len(cap.packets())
    everything = cap.connections(probes=True)
    probes = everything[everything.client == source]
    assert len(everything) == len(probes) + 1
    assert {(row.server, row.server_port) for row in probes.itertuples()} == {
        (host.address, port) for host in lab.backends for port in (80, 443, 7)
    }
    again = Capture.load(cap.save(tmp_path / "probes.pcapng"))
    assert len(again.packets()) == len(cap.packets())
    assert len(again.packets(probes=True)) == len(cap.packets(probes=True))
    left_out = cap.packets(probes=True).proto.value_counts().sub(cap.packets().proto.value_counts(), fill_value=0)
    assert left_out.get("TCP") == sum(everything.loc[probes.index, ["packets_out", "packets_in"]].sum()) * 2  # 2 places
    assert not left_out.drop(["TCP", "ARP"], errors="ignore").any()


def test_what_lb_sends_otherwise_is_captured_whatever_its_ports(lab: Lab) -> None:
    default = lab.balancer.settings["ip_local_port_range"]
    lab.balancer.settings["ip_local_port_range"] = (600, 999)  # ports of an L7 proxy, and of checks too
    try:
        with lab.capture("lb:back", "api1") as cap:
            assert lab.lb.call(connect_from, 700, lab.api1.address, 7) == 700
            assert lab.lb.call(connect_from, 0, lab.api1.address, 7) in range(600, 1000)
            lab.lb.call(hang_up)
    finally:
        lab.balancer.settings["ip_local_port_range"] = default
    found = cap.connections()[["client", "server", "seen_at", "packets_out", "packets_in"]].values.tolist()
    assert [row[:3] for row in found] == [["10.0.2.10", lab.api1.address, ("lb:back", "api1")]] * 2
    assert all(out >= 3 and back >= 2 for *_, out, back in found)


def test_a_check_never_reaches_the_program_that_listens(lab: Lab) -> None:
    """Its handshake is not completed, so a program that accepts one connection gets a client's."""
    lab.api1.kill()
    accepting = lab.api1.run([sys.executable, "-c", ACCEPT_ONE], background=True)
    try:
        until(lambda: "0A" in lab.api1.run("grep ':0007 00000000:0000 0A' /proc/net/tcp").stdout)  # it listens
        until(lambda: lab.balancer.health["api1"] == "partly" and "7/tcp up" in states(lab, "api1"))
        time.sleep(0.6)  # more than one round of checks
        lab.balancer.l4(backends=["api1"])
        with lab.alice.tcp("lb", 7) as connection:
            assert connection.readline() == b"10.0.1.11\n"
    finally:
        accepting.stop()
        lab.balancer.l4()


def states(lab: Lab, name: str) -> str:
    """The line of the display about a backend."""
    return next(line for line in repr(lab.balancer.health).splitlines() if line.startswith(name))


ACCEPT_ONE = """
import socket
with socket.create_server(("0.0.0.0", 7)) as server:
    connection, peer = server.accept()
    connection.sendall(peer[0].encode() + b"\\n")
    connection.recv(1)
"""


def test_who_dies_before_the_first_check_is_down(lab: Lab) -> None:
    lab.balancer.health.off()
    lab.balancer.health.check(interval=0.1)  # as at the lab's start, the first check comes in a moment
    lab.api1.kill()
    until(lambda: lab.balancer.health["api1"] == "down")
    until(lambda: "api1: its health checks fail (7/tcp, 80/tcp, 443/tcp, 7/udp)" in repr(lab.balancer))
    assert "goto http_80_api1" not in lab.balancer.rules
    for _ in range(8):  # datagrams go past it too, though nobody asks its UDP port
        with lab.alice.udp("lb", 7) as connection:
            connection.send(b"one")
            assert connection.recv()


def test_what_is_known_outlives_another_kind_of_check(lab: Lab) -> None:
    lab.balancer.health.check(interval=3600)  # none will come by itself
    lab.api1.kill()
    lab.balancer.health.check(kind="http", interval=0.1)
    until(lambda: lab.balancer.health["api1"] == "down")
    until(lambda: "goto http_80_api1" not in lab.balancer.rules)
    for kind in ("tcp", "udp"):
        lab.balancer.health.check(kind=kind, interval=3600)
        assert "80/tcp down, 443/tcp down, 7/tcp down" in states(lab, "api1")
        assert "goto http_80_api1" not in lab.balancer.rules


def test_datagrams_are_not_refused_for_a_dead_server_of_connections(lab: Lab) -> None:
    lab.api1.kill()
    answering = lab.api1.run([sys.executable, "-c", ANSWER_DATAGRAMS], background=True)
    try:
        lab.balancer.health.check(kind="udp", interval=0.1)
        until(lambda: "80/tcp down, 443/tcp down, 7/tcp down, 7/udp up" in states(lab, "api1"))
        lab.balancer.l4(backends=["api1"])
        with lab.alice.udp("lb", 7) as connection:
            connection.send(b"one")
            assert connection.recv() == b"api1: one"
        with pytest.raises(TrafficError, match="refused"):
            lab.alice.tcp("lb", 7)
    finally:
        answering.stop()
        lab.balancer.l4()


def test_datagrams_are_forwarded_again_when_they_are_checked_themselves(lab: Lab) -> None:
    lab.balancer.health.check(kind="http", interval=0.1)  # its connects tell that a backend is dead as well
    lab.api1.kill()
    answering = lab.api1.run([sys.executable, "-c", ANSWER_DATAGRAMS], background=True)
    try:
        until(lambda: ("api1", "udp", 7) in lab.balancer.health.down)
        until(lambda: "goto udp_echo_7_api1" not in lab.balancer.rules)
        lab.balancer.health.check(kind="udp", interval=0.1)
        until(lambda: "7/udp up" in states(lab, "api1"))
        until(lambda: "goto udp_echo_7_api1" in lab.balancer.rules)
    finally:
        answering.stop()


ANSWER_DATAGRAMS = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as server:
    server.bind(("0.0.0.0", 7))
    while True:
        data, peer = server.recvfrom(100)
        server.sendto(b"api1: " + data, peer)
"""


def test_http_checks_ask_the_server_and_its_status_counts(lab: Lab) -> None:
    lab.balancer.health.check(kind="http", path="/health", interval=0.1, rise=1, fall=1)
    assert "GET /health every 0.1 s" in repr(lab.balancer.health)
    until(lambda: lab.balancer.health["api1"] == "up")
    lab.api1.serve(unwell)
    until(lambda: lab.balancer.health["api1"] == "partly")
    (event,) = [one for one in lab.balancer.events(0) if one.get("check") == "http" and one["state"] == "down"][-1:]
    assert (event["backend"], event["port"]) == ("api1", 80)
    assert "api1" not in {lab.alice.get("http://lb/").backend for _ in range(8)}
    with lab.alice.tcp("lb", 7) as connection:  # its other ports are still served
        connection.send(b"x\n")
        assert connection.readline()
    lab.api1.serve(None)
    until(lambda: lab.balancer.health["api1"] == "up")


async def unwell(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def test_udp_checks_want_an_answer(lab: Lab) -> None:
    lab.balancer.health.check(kind="udp", interval=0.1)
    until(lambda: "7/tcp up, 7/udp up" in states(lab, "api1"))
    lab.api1.kill()
    until(lambda: "7/tcp down, 7/udp down" in states(lab, "api1"))
    assert {"tcp", "udp"} <= {event["check"] for event in lab.balancer.events(0) if event["kind"] == "health"}


def test_without_checks_a_dead_backend_stays_in_rotation(lab: Lab) -> None:
    lab.api1.kill()
    until(lambda: lab.balancer.health["api1"] == "down")
    until(lambda: "its health checks fail" in repr(lab.balancer))
    lab.balancer.health.off()
    assert repr(lab.balancer.health).startswith("health checks: off")
    until(lambda: "its health checks fail" not in repr(lab.balancer))
    assert "goto http_80_api1" in lab.balancer.rules


def test_the_checks_go_on_when_their_task_is_killed_and_what_they_found_stands(lab: Lab) -> None:
    lab.balancer.health.check(interval=0.1)
    assert lab.lb.call(kill_by_name, "balancer.prober") == 1
    lab.api1.kill()
    until(lambda: lab.balancer.health["api1"] == "down")
    until(lambda: "goto http_80_api1" not in lab.balancer.rules)
    assert lab.lb.call(kill_by_name, "balancer.prober") == 1
    assert lab.balancer.health["api1"] == "down"
    assert "goto http_80_api1" not in lab.balancer.rules
    lab.api1.restore()
    until(lambda: set(lab.balancer.health.values()) == {"up"})


def test_the_display_names_every_backend_and_port(lab: Lab) -> None:
    lines = repr(lab.balancer.health).splitlines()
    assert lines[0] == "health checks: TCP every 0.5 s, down after 2, up after 2"
    assert [line.split()[0] for line in lines[1:]] == ["api1", "api2", "images1", "images2"]
    assert all(line.endswith("up (80/tcp up, 443/tcp up, 7/tcp up)") for line in lines[1:])
    assert "<th>images2</th>" in lab.balancer.health._repr_html_()
    assert (len(lab.balancer.health), "api1" in lab.balancer.health) == (4, True)
    assert ("api9" in lab.balancer.health, lab.balancer.health.get("api9")) == (False, None)
    with pytest.raises(LabError, match=r"has no 'api9' .*there are api1, api2, images1, images2") as unknown:
        lab.balancer.health["api9"]
    assert isinstance(unknown.value, KeyError)
    with pytest.raises(PolicyError, match="did you mean 'interval'"):
        lab.balancer.health.check(intervall=1)
