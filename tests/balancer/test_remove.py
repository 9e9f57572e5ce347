"""Backends taken out at once: their connections are reset on both sides, and no others."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from labkit import Lab, Route
from labkit.errors import PolicyError, TrafficError
from tests.balancer.operated import echo, opened, resets, until

pytestmark = pytest.mark.needs("netns")


def test_hard_removal_resets_exactly_its_connections_and_both_ends_see_it(lab: Lab) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 16)
        doomed = {port: connection for port, (connection, backend) in held.items() if backend == "images1"}
        assert len(doomed) == 4
        with lab.capture() as cap:
            for connection in (connection for connection, _ in held.values()):
                connection.send(b"before\n")
                connection.readline()
            assert lab.balancer.remove(lab.images1) == 4
        reset = resets(cap)
        at_backend = reset[reset.vantage == "images1"]
        at_clients = reset[reset.vantage.isin(["alice", "bob"])]
        assert sorted(at_backend.sport) == sorted(at_clients.dport) == sorted(doomed)
        assert set(reset.sport) | set(reset.dport) == {7, *doomed}
        table = cap.connections()
        assert Counter(zip(table.state == "reset", table.client_port.isin(list(doomed)), strict=True)) == {
            (True, True): 4,
            (False, False): 12,
        }
        for port, (connection, backend) in held.items():
            if port in doomed:
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend
    assert "images1: removed" in repr(lab.balancer)
    assert "images1" not in {lab.alice.get("http://lb/").backend for _ in range(8)}
    tables = [line for line in lab.balancer.rules.splitlines() if line.startswith("table")]
    assert tables == ["table inet labkit {"]


def test_full_nat_too_is_reset_on_both_sides(lab: Lab) -> None:
    lab.balancer.l4(style="full")
    with ExitStack() as stack:
        held = opened(lab, stack, 8)
        with lab.capture("images1", "lb:front") as cap:
            assert lab.balancer.remove("images1") == 2
        reset = resets(cap)
        assert Counter(reset.vantage.astype(str)) == {"images1": 2, "lb:front": 2}
        for connection, backend in held.values():
            if backend == "images1":
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend


def test_at_l7_its_connections_are_reset_whoever_waits_is_told_and_nobody_else_is_touched(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")])
    with ExitStack() as stack:
        held = opened(lab, stack, 4)  # not HTTP: forwarded
        session = stack.enter_context(lab.alice.session())
        assert {session.get("http://lb/").backend for _ in range(2)} == {"api1", "api2"}  # kept, and idle
        pool = stack.enter_context(ThreadPoolExecutor(2))
        asked = [pool.submit(client.get, "http://lb/slow/0.6") for client in (lab.alice, lab.bob)]  # one at each
        until(lambda: len(lab.balancer.connections().query("leg == 'back'")) == 4)
        with lab.capture("api1", "api2", "lb:front") as cap:
            assert lab.balancer.remove("api2") == 3
        reset = resets(cap)
        assert Counter(reset.vantage.astype(str)) == {"api2": 3, "lb:front": 1}
        statuses = {future.result(20).status: future.result().text for future in asked}
        assert set(statuses) == {200, 502}
        assert "got no whole answer from api2" in statuses[502]
        assert {session.get("http://lb/").backend for _ in range(4)} == {"api1"}
        for connection, backend in held.values():
            if backend == "api2":
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend
    with pytest.raises(PolicyError, match="pool 'api' would have no backend left at L7"):
        lab.balancer.remove("api1")
