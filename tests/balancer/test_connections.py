"""The connections as the kernel tracks them, on a real lab."""

from contextlib import ExitStack

import pytest

from labkit import Lab
from labkit.errors import TrafficError
from tests.balancer.operated import echo, opened, until

pytestmark = pytest.mark.needs("netns")
ESTABLISHED = "nf_conntrack_tcp_timeout_established"


def test_connections_as_the_kernel_tracks_them(lab: Lab) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 4)
        datagrams = stack.enter_context(lab.alice.udp("lb", 7))
        datagrams.send(b"hello")
        assert datagrams.recv()
        table = lab.balancer.connections()
        mine = table[table.original_sport.isin([*held, datagrams.local[1]]) & (table.leg == "through")]
        tcp, udp = mine[mine.proto == "TCP"], mine[mine.proto == "UDP"]
        assert tcp.backend.tolist() == [backend for _, backend in held.values()]
        assert tcp.original_sport.tolist() == tcp.reply_dport.tolist() == list(held)
        assert set(tcp.original_dst) == {lab.vip, str(lab.topology.vip6)}
        owners = {address: host.name for host in lab.backends for address in host.addresses}
        assert [owners[address] for address in tcp.reply_src] == tcp.backend.tolist()
        assert set(tcp.state) == {"ESTABLISHED"}
        assert (tcp.timeout_seconds > 400_000).all()
        assert tcp.age_seconds.is_monotonic_decreasing
        assert (tcp.packets_out >= 3).all()
        assert (tcp.bytes_in > tcp.bytes_out).all()  # the echo says who it is
        assert udp.state.tolist() == ["REPLIED"]
        assert udp[["packets_out", "packets_in"]].values.tolist() == [[1, 1]]
    assert not table[table.original_sport.between(600, 999)].size
    until(
        lambda: len(lab.balancer.connections(probes=True).query("leg == 'back'")) > 0
    )  # the first check may be to come


def test_an_idle_connection_outlives_its_entry_and_is_reset_by_the_balancer_not_by_the_backend(lab: Lab) -> None:
    settings = lab.balancer.settings
    before = settings[ESTABLISHED]
    settings[ESTABLISHED] = 2
    try:
        with lab.alice.tcp("lb", 7) as connection:
            backend = echo(connection)
            port = connection.local[1]

            def tracked() -> bool:
                return port in lab.balancer.connections().original_sport.tolist()

            assert tracked()
            until(lambda: not tracked())
            with (
                lab.capture("alice", "lb:front", "lb:back", backend) as cap,
                pytest.raises(TrafficError, match="reset"),
            ):
                echo(connection)
    finally:
        settings[ESTABLISHED] = before
    packets = cap.packets()
    tcp = packets[packets.proto == "TCP"]
    assert set(tcp.vantage) == {"alice", "lb:front"}  # the backend hears nothing, and goes on waiting
    answer = tcp[tcp["flags"].str.contains("R")].iloc[0]
    assert (answer.src, answer.dport) == (lab.vip, port)


def test_at_l7_front_and_back_are_two(lab: Lab) -> None:
    lab.balancer.l7()
    with lab.alice.session() as session:
        assert {session.get("http://lb/api/x").backend for _ in range(4)} == {"api1", "api2"}
        table = lab.balancer.connections()
        front = table[(table.leg == "front") & (table.state == "ESTABLISHED")]
        assert front.original_sport.tolist() == [session.get("http://lb/api/x").local[1]]
        assert front.backend.isna().all()
        back = table[(table.leg == "back") & (table.state == "ESTABLISHED")]
        assert {"api1", "api2"} <= set(back.backend)
