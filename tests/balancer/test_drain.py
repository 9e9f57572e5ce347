"""Backends that get nothing new while their connections go on, on a real lab."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from labkit import Lab, Route
from labkit.errors import PolicyError, TrafficError
from tests.balancer.operated import echo, opened, until

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def operated() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("requests_after", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_drain_under_load_fails_no_request_and_leaves_old_connections_alone(lab: Lab, requests_after: int) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 8)
        mine = [connection for connection, backend in held.values() if backend == "api1"]
        assert len(mine) == 2
        clients = (lab.alice, lab.bob)
        loads = [client.load("http://lb/api/x", connections=8, seconds=100, background=True) for client in clients]

        def requests() -> int:
            return sum(load.requests for load in loads)

        def of_api1() -> int:
            return sum(load.by_backend.get("api1", 0) for load in loads)

        until(lambda: of_api1() > 50)
        began, so_far = time.monotonic(), requests()
        drain, drained_ns = lab.api1.drain(), time.time_ns()
        until(lambda: drain.left == len(mine))  # what the load had open there has ended
        for load in loads * 2:  # live counts come ten times a second: the first to come may be older than that
            until(lambda load=load, known=load.requests: load.requests > known)
        before, drained_at = of_api1(), requests()
        until(lambda: requests() > drained_at + requests_after, 90)
        print(f"{(requests() - so_far) / (time.monotonic() - began):,.0f} requests/s meanwhile")  # pytest -rP shows it
        reports = [load.stop() for load in loads]
        assert [report.failed for report in reports] == [0, 0]
        assert sum(report.by_backend.get("api1", 0) for report in reports) == before
        decided = [event for event in lab.balancer.events(drained_ns) if event["kind"] == "decision"]
        assert "api1" not in {event["backend"] for event in decided}
        assert len(decided) > requests_after
        assert [echo(connection) for connection in mine] == ["api1", "api1"]
        assert (drain.drained, drain.wait(0)) == (False, False)
        assert "2 connections left" in repr(drain)
        assert "api1: draining" in repr(lab.balancer)
        for connection in mine:
            connection.close()
        assert drain.wait(20)
        assert drain.drained
    lab.balancer.add("api1")
    assert (drain.drained, repr(drain)) == (False, "<api1 is in rotation again>")
    assert Counter(str(lab.alice.get("http://lb/").backend) for _ in range(8)) == dict.fromkeys(
        ("api1", "api2", "images1", "images2"), 2
    )


def test_when_nobody_is_left_clients_are_refused_at_once(lab: Lab) -> None:
    for backend in lab.backends:
        lab.balancer.drain(backend)
    with lab.capture("alice", "lb:back") as cap:
        for vip in ("lb", "ip6-lb"):
            with pytest.raises(TrafficError) as caught:
                lab.alice.get(f"http://{vip}/")
            assert caught.value.cause == "refused"
    packets = cap.packets()
    tcp = packets[packets.proto == "TCP"]
    assert (tcp.vantage.tolist(), tcp["flags"].tolist()) == (["alice"] * 4, ["S", "RA"] * 2)
    assert lab.balancer.rules.count("refused, no backend takes connections") == 8


def test_at_l7_new_requests_avoid_it_and_what_is_under_way_counts_until_it_ends(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")])
    with ExitStack() as stack:
        session = stack.enter_context(lab.alice.session())
        assert {session.get("http://lb/").backend for _ in range(4)} == {"api1", "api2"}
        stack.enter_context(lab.alice.websocket("ws://lb/ws/chat"))
        websocket = stack.enter_context(lab.alice.websocket("ws://lb/ws/chat"))  # the backends take turns: api2 has it
        pool = stack.enter_context(ThreadPoolExecutor(1))
        drain = lab.balancer.drain("api2")
        assert {session.get("http://lb/").backend for _ in range(4)} == {"api1"}
        until(lambda: drain.left == 1)  # the session's, kept and idle, is closed by the proxy
        websocket.send("still")
        assert (websocket.recv(), drain.left) == ("still", 1)
        lab.balancer.add("api2")
        slow = pool.submit(lambda: [lab.bob.get("http://lb/slow/0.4") for _ in range(2)])
        until(lambda: drain.left == 2)
        lab.balancer.drain("api2")
        assert drain.left == 2
        assert [reply.status for reply in slow.result(20)] == [200, 200]
        until(lambda: drain.left == 1)
        websocket.close()
        assert drain.wait(20)
    with pytest.raises(PolicyError, match="pool 'api' would have no backend left at L7"):
        lab.balancer.drain("api1")
    assert lab.alice.get("http://lb/api/x").backend == "api1"
    with pytest.raises(PolicyError, match=r"at L7 .* as in lab\.balancer\.l7\(weights={.api1.: 2}\)"):
        lab.balancer.weigh("api1", 2)


def test_a_drained_backend_stays_out_over_switches_and_in_kept(lab: Lab) -> None:
    lab.balancer.drain("api1")
    lab.balancer.weigh("api2", 2)
    with lab.balancer.kept():
        lab.balancer.l4(pool="api")
        assert {lab.alice.get("http://lb/").backend for _ in range(4)} == {"api2"}
        lab.balancer.l7()
        assert {lab.alice.get("http://lb/api/x").backend for _ in range(4)} == {"api2"}
    assert Counter(str(lab.alice.get("http://lb/").backend) for _ in range(8)) == {
        "api2": 4,
        "images1": 2,
        "images2": 2,
    }


@pytest.mark.parametrize("seconds", [-1, True, "1", float("nan")])
def test_a_wait_has_a_length(lab: Lab, seconds: Any) -> None:
    with pytest.raises(PolicyError, match=r"drain\.wait\(10\)"):
        lab.balancer.drain("api1").wait(seconds)


def test_who_is_out_stays_out_however_often_the_policy_changes_meanwhile(lab: Lab) -> None:
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            lab.balancer.l4()

    switching = threading.Thread(target=switch)
    switching.start()
    try:
        for _ in range(10):
            lab.balancer.drain("api1")
            time.sleep(0.01)
            assert "goto http_80_api1 " not in lab.balancer.rules
            lab.balancer.add("api1")
    finally:
        stop.set()
        switching.join()


def test_the_display_says_where_nobody_is_left(lab: Lab) -> None:
    lab.balancer.l4(backends=["api1"])
    lab.balancer.drain("api1")
    assert "refused: none of its backends takes connections" in repr(lab.balancer)


def test_a_policy_of_nobody_but_drained_backends_is_refused_and_changes_nothing(lab: Lab) -> None:
    lab.balancer.drain("api1")
    with pytest.raises(PolicyError, match=r'takes connections: api1 \(draining\)\..*lab\.balancer\.add\("api1"\)'):
        lab.balancer.l4(backends=["api1"])
    assert {lab.alice.get("http://lb/").backend for _ in range(6)} == {"api2", "images1", "images2"}
    lab.balancer.l4(pool="api")  # one is left
    assert {lab.alice.get("http://lb/").backend for _ in range(4)} == {"api2"}
    assert "api1: draining" in repr(lab.balancer)
    with lab.balancer.kept():
        lab.balancer.l4()
        lab.balancer.drain("api2")
    assert "refused: none of its backends takes connections" in repr(lab.balancer)  # put back all the same
