"""Direct server return: what is remembered of its flows, shown, counted and cut, on a real lab with a router."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import TrafficError
from labkit.topology import direct_return
from tests.balancer.operated import all_in, echo, opened, resets, until

pytestmark = [pytest.mark.needs("netns"), pytest.mark.measured]


@pytest.fixture(scope="module")
def operated() -> Iterator[Lab]:
    with Lab(direct_return()) as lab:
        yield lab


@pytest.fixture
def lab(operated: Lab) -> Iterator[Lab]:
    """At L4 with direct server return, every backend in rotation, and no flow remembered."""
    for backend in operated.backends:
        operated.balancer.remove(backend)
    all_in(operated)
    operated.balancer.l4(style="dsr")
    yield operated
    all_in(operated)


def switch(lab: Lab, to: str) -> None:
    if to == "l7":
        lab.balancer.l7()
    else:
        lab.balancer.l4(style=to)


def held_by(lab: Lab, held: dict[int, tuple[Any, str]]) -> dict[int, tuple[str, str]]:
    """State and backend of the flows that are passed on, by the client's port, for those that are held."""
    table = lab.balancer.connections()
    mine = table[(table.leg == "direct") & (table.proto == "TCP") & table.original_sport.isin(list(held))]
    return dict(zip(mine.original_sport, zip(mine.state, mine.backend, strict=True), strict=True))


def test_flows_are_no_rules_that_a_capture_keeps(lab: Lab) -> None:
    """They can be very many: `rules` lists them as nft does, and nothing else reads them with the rules."""
    with ExitStack() as stack:
        opened(lab, stack, 8)
        lab.balancer.weigh("api1", 2)
        with lab.capture() as cap:
            lab.alice.get("http://lb/")
        kept = cap.recording.of_kind("rules")[-1]["text"]
        flow = f"{lab.alice.address} . "
        assert flow in lab.balancer.rules
        assert flow not in kept
        assert "map tcp4 {" in kept


@pytest.mark.parametrize("now", ["dsr", "dnat", "l7"])
def test_flows_are_shown_and_counted_beside_what_is_tracked_whatever_is_switched(lab: Lab, now: str) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 8)
        datagrams = stack.enter_context(lab.alice.udp("lb", 7))
        datagrams.send(b"hello")
        assert datagrams.recv()
        switch(lab, now)
        assert held_by(lab, held) == {port: ("OPEN", backend) for port, (_, backend) in held.items()}
        drain = lab.balancer.drain("api1")
        mine = [connection for connection, backend in held.values() if backend == "api1"]
        assert (drain.left, drain.drained, len(mine)) == (2, False, 2)
        if now == "dnat":
            tracked = stack.enter_context(lab.bob.tcp("lb", 7))
            other = echo(tracked)
            assert other != "api1"
            table = lab.balancer.connections()
            (row,) = table[table.original_sport == tracked.local[1]].to_dict("records")
            assert (row["leg"], row["state"], row["backend"]) == ("through", "ESTABLISHED", other)
            assert row["packets_out"] >= 3
        table = lab.balancer.connections()
        row = table[table.original_sport == datagrams.local[1]].iloc[0]
        assert (row.proto, row.leg, row.original_dst, row.reply_src) == ("UDP", "direct", lab.vip, lab.vip)
        passed = table[table.leg == "direct"]
        assert passed[["packets_out", "packets_in", "bytes_out", "bytes_in", "age_seconds"]].isna().all(axis=None)
        assert passed.timeout_seconds.between(1, 900).all()
        assert [echo(connection) for connection in mine] == ["api1", "api1"]
        port = mine[0].local[1]
        mine[0].close()
        until(lambda: held_by(lab, held)[port] == ("CLOSING", "api1"))  # lb sees no answer to the FIN
        assert drain.left == 2
        assert lab.balancer.remove("api1") == 1  # the other is ended too, and was ending before
        assert drain.drained


@pytest.mark.parametrize("now", ["dsr", "dnat", "l7"])
def test_removal_resets_exactly_the_backends_flows_on_both_sides_whatever_is_switched(lab: Lab, now: str) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 16)
        doomed = {port for port, (_, backend) in held.items() if backend == "images1"}
        switch(lab, now)
        drain = lab.balancer.drain("images1")
        assert drain.left == len(doomed) == 4
        with lab.capture("alice", "bob", *(backend.name for backend in lab.backends)) as cap:
            assert lab.balancer.remove("images1") == 4
        assert drain.drained
        reset = resets(cap)
        assert set(reset.sport) | set(reset.dport) == {7, *doomed}
        vips = (lab.vip, str(lab.topology.vip6))
        at_clients = reset[reset.vantage.isin(["alice", "bob"]) & reset.src.isin(vips)]
        assert sorted(at_clients.dport) == sorted(doomed)
        at_backends = reset[~reset.vantage.isin(["alice", "bob"])]
        assert set(at_backends.vantage.astype(str)) == {"images1"}
        assert set(at_backends.sport) == doomed
        known = lab.images1.run("ss -Htn state established sport = :7").stdout
        assert not [port for port in doomed if f":{port}" in known]
        for port, (connection, backend) in held.items():
            if port in doomed:
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend
        assert set(held_by(lab, held)) == set(held) - doomed
    assert "images1" not in {lab.alice.get("http://lb/api/x").backend for _ in range(6)}


def test_datagrams_go_elsewhere_after_a_removal(lab: Lab) -> None:
    with lab.alice.udp("lb", 7) as datagrams:
        datagrams.send(b"hello")
        first = datagrams.recv().decode().split('"backend": "')[1].split('"')[0]
        assert lab.balancer.remove(first) == 0
        datagrams.send(b"hello")
        assert f'"backend": "{first}"' not in datagrams.recv().decode()


def test_a_drained_backend_gets_nothing_new(lab: Lab) -> None:
    lab.balancer.drain("api1")
    assert Counter(lab.alice.get("http://lb/").backend for _ in range(6)) == dict.fromkeys(
        ("api2", "images1", "images2"), 2
    )
