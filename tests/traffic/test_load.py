"""Loads: their counts add up, their bounds hold, their failures have names."""

import time

import pytest

from labkit.errors import LabError, TrafficError
from tests.interrupt import interrupted
from tests.traffic.peers import RESET, running

pytestmark = pytest.mark.measured

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("new_connections", [True, False])
def test_a_number_of_requests(alice, api1, new_connections):
    report = alice.load("http://api1/x", connections=7, requests=200, seconds=30, new_connections=new_connections)
    assert (report.requests, report.failed, report.answered) == (200, 0, 200)
    assert (report.by_backend, report.by_status, report.errors) == ({"api1": 200}, {200: 200}, {})
    latency = report.latency
    assert 0 < latency.p50 <= latency.p95 <= latency.p99 < report.seconds < 30
    assert report.rate == pytest.approx(200 / report.seconds)
    assert "<td>200</td>" in report._repr_html_()


@pytest.mark.parametrize(("new_connections", "connections"), [(True, [[OK]] * 6), (False, [[OK] * 6])])
def test_connections_are_new_or_kept(alice, node, new_connections, connections):
    """The peer takes exactly as many connections as there should be."""
    with running(node, "canned", port=8030, connections=connections):
        report = alice.load("http://127.0.0.50:8030/", connections=1, requests=6, new_connections=new_connections)
    assert (report.answered, report.errors) == (6, {})


def test_a_number_of_seconds(alice, api1):
    report = alice.load("http://api1/slow/0.5", connections=5, seconds=0.75)
    assert (report.requests, report.failed) == (10, 0)  # 2 rounds of 5; those under way were waited for


def test_statuses_are_counted(alice, api1):
    report = alice.load("http://api1/status/503", connections=2, requests=10)
    assert (report.by_status, report.by_backend, report.failed) == ({503: 10}, {"api1": 10}, 0)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (RESET, "reset"),
        (b"", "closed"),
        (b"SSH-2.0-x\r\n", "not http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "cut short"),
    ],
)
def test_failures_are_counted_by_cause(alice, node, answer, cause):
    unframed = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    with running(node, "canned", port=8031, connections=[[answer], [unframed]]):
        report = alice.load("http://127.0.0.50:8031/", connections=1, requests=2)
    assert (report.requests, report.errors, report.by_status) == (2, {cause: 1}, {200: 1})
    assert f"failed: {cause}" in report._repr_html_()


def test_a_kept_connection_closed_by_the_server_is_no_failure(alice, node):
    with running(node, "canned", port=8032, connections=[[OK], [OK], [OK, RESET], [OK]]):
        report = alice.load("http://127.0.0.50:8032/", connections=1, requests=4, new_connections=False)
    assert (report.answered, report.errors) == (4, {})


def test_refused_timed_out_and_unreachable(alice, node):
    refused = alice.load("http://api1:81/", connections=2, requests=6)
    assert (refused.requests, refused.errors, refused.latency.p50) == (6, {"refused": 6}, None)
    assert "none" in refused._repr_html_()
    assert alice.load("http://10.99.0.1/", requests=1).errors == {"unreachable": 1}
    with running(node, "mute", port=8033, count=1):
        late = alice.load("http://127.0.0.51:8033/", connections=3, requests=3, timeout=0.3)
    assert late.errors == {"timed out": 3}


def test_a_background_load_through_a_kill(alice, spare):
    backend = spare(8034)
    backend.restore()
    load = alice.load("http://api2:8034/", connections=4, seconds=60, background=True)
    while load.requests < 50:
        time.sleep(0.01)
    assert load.running
    assert load.by_backend["api2"] == load.by_status[200] >= 50
    backend.kill()
    while not load.errors.get("refused"):
        time.sleep(0.01)
    backend.restore()
    answered = load.by_status[200]
    while load.by_status[200] <= answered:
        time.sleep(0.01)
    report = load.stop()
    assert load.stop() == report
    assert not load.running
    assert report.failed == sum(report.errors.values()) == load.failed > 0
    assert report.requests == report.failed + sum(report.by_backend.values())
    assert set(report.errors) <= {"refused", "reset", "closed", "cut short"}
    assert load.seconds == report.seconds
    assert repr(load) == "<load on http://api2:8034/ from alice, ended>"


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http://nobody/", {}, "unknown host"),
        ("ftp://api1/", {}, "bad url"),
        ("http://api1/", {"connections": 0}, "whole number from 1, not 0"),
        ("http://api1/", {"connections": 10_001}, "at most 10000"),
        ("http://api1/", {"requests": 0}, "requests is a whole number"),
        ("http://api1/", {"seconds": float("inf")}, "seconds is a number"),
        ("http://api1/", {"requests": 2**70}, "requests is a whole number from 1 to 1000000000"),
        ("http://api1/", {"new_connections": "no"}, "new_connections is True or False"),
        ("http://api1/", {"cookies": 5}, "cookies are a dictionary"),
    ],
)
def test_wrong_loads_are_lessons_at_once(alice, url, options, words):
    with pytest.raises(TrafficError, match=words):
        alice.load(url, background=True, **options)


def test_an_interrupt_ends_the_load(alice, api1):
    with pytest.raises(KeyboardInterrupt), interrupted(0.5):
        alice.load("http://api1/slow/1", seconds=60)
    load = alice.load("http://api1/", seconds=60, background=True)
    load._task.stop(kill=True)
    with pytest.raises(LabError, match="ended without a report"):
        load.stop()


def test_background_is_a_yes_or_a_no(alice):
    with pytest.raises(TrafficError, match="background is True or False, not 'no'"):
        alice.load("http://api1/", background="no")
