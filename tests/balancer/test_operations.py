"""Backends taken out, put back and weighed while they serve, on a real lab; what the kernel tracks, and is told."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from labkit import Lab
from labkit.balancer.settings import SETTINGS, Setting
from labkit.errors import EngineError, LabNotRunning, PolicyError, TrafficError
from labkit.topology import direct_return

pytestmark = pytest.mark.needs("netns")
ESTABLISHED = "nf_conntrack_tcp_timeout_established"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def _all_in(lab: Lab) -> Iterator[None]:
    lab.balancer.l4()
    yield
    for backend in lab.backends:
        lab.balancer.add(backend)
    lab.balancer.l4()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def echo(connection: Any) -> str:
    """Who answers on a connection to the echo listener."""
    connection.send(b"hello\n")
    return str(connection.readline()).split('"backend": "')[1].split('"')[0]


def opened(lab: Lab, stack: ExitStack, count: int) -> dict[int, tuple[Any, str]]:
    """Connections from both clients over both families, by the client's port, each with its backend."""
    found = {}
    for number in range(count):
        client = (lab.alice, lab.bob)[number % 2]
        vip = lab.vip if number < count // 2 else str(lab.topology.vip6)
        connection = stack.enter_context(client.tcp(vip, 7))
        found[connection.local[1]] = connection, echo(connection)
    return found


def test_drain_under_load_fails_no_request_and_leaves_old_connections_alone(lab: Lab) -> None:
    with ExitStack() as stack:
        held = opened(lab, stack, 8)
        mine = [connection for connection, backend in held.values() if backend == "api1"]
        assert len(mine) == 2
        load = lab.bob.load("http://lb/api/x", connections=8, seconds=60, background=True)
        until(lambda: load.by_backend.get("api1", 0) > 50)
        drain = lab.api1.drain()
        until(lambda: drain.left == len(mine))  # what the load had open there has ended
        before = dict(load.by_backend)
        until(lambda: load.requests > sum(before.values()) + 500)
        report = load.stop()
        assert (report.failed, report.by_backend["api1"]) == (0, before["api1"])
        assert [echo(connection) for connection in mine] == ["api1", "api1"]
        assert (drain.drained, drain.wait(0)) == (False, False)
        assert "2 connections left" in repr(drain)
        assert "api1: draining" in repr(lab.balancer)
        for connection in mine:
            connection.close()
        assert drain.wait(20)
        assert drain.drained
    lab.balancer.add("api1")
    assert Counter(str(lab.alice.get("http://lb/").backend) for _ in range(8)) == dict.fromkeys(
        ("api1", "api2", "images1", "images2"), 2
    )


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
        packets = cap.packets()
        resets = packets[packets["flags"].fillna("").str.contains("R")]
        at_backend = resets[resets.vantage == "images1"]
        at_clients = resets[resets.vantage.isin(["alice", "bob"])]
        assert sorted(at_backend.sport) == sorted(at_clients.dport) == sorted(doomed)
        assert set(resets.sport) | set(resets.dport) == {7, *doomed}
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


def test_weights_change_live_and_disturb_nobody(lab: Lab) -> None:
    with lab.alice.session() as session:
        first = session.get("http://lb/").backend
        lab.balancer.weigh("api1", 3)
        found = Counter(str(lab.alice.get("http://lb/").backend) for _ in range(12))
        assert found == {"api1": 6, "api2": 2, "images1": 2, "images2": 2}
        assert session.get("http://lb/").backend == first
    assert "api1 3" in repr(lab.balancer)
    lab.balancer.l4()
    assert Counter(str(lab.alice.get("http://lb/").backend) for _ in range(8))["api1"] == 2


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
    assert len(lab.balancer.connections(probes=True).query("leg == 'back'"))


def test_at_l7_front_and_back_are_two_and_draining_moves_new_requests(lab: Lab) -> None:
    lab.balancer.l7()
    with lab.alice.session() as session:
        assert {session.get("http://lb/api/x").backend for _ in range(4)} == {"api1", "api2"}
        table = lab.balancer.connections()
        front = table[(table.leg == "front") & (table.state == "ESTABLISHED")]
        assert front.original_sport.tolist() == [session.get("http://lb/api/x").local[1]]
        assert front.backend.isna().all()
        back = table[(table.leg == "back") & (table.state == "ESTABLISHED")]
        assert {"api1", "api2"} <= set(back.backend)
        drain = lab.balancer.drain("api1")
        assert {session.get("http://lb/api/x").backend for _ in range(4)} == {"api2"}
        assert drain.left >= 1
    assert drain.wait(20)
    with pytest.raises(PolicyError, match="pool 'api' would have no backend left at L7"):
        lab.balancer.drain("api2")
    assert lab.alice.get("http://lb/api/x").backend == "api2"
    with pytest.raises(PolicyError, match=r"at L7 they end in the proxy: use lab\.balancer\.drain"):
        lab.balancer.remove("api2")
    with pytest.raises(PolicyError, match="at L7 the backends of a pool take turns"):
        lab.balancer.weigh("api2", 2)


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


def test_settings_are_what_the_kernel_has(lab: Lab) -> None:
    settings = lab.balancer.settings
    shown = dict(settings)
    assert shown["tcp_max_tw_buckets"] == 500
    assert shown["nf_conntrack_tcp_timeout_time_wait"] == 2
    assert shown["ip_local_port_range"] == (10000, 65000)
    assert lab.alice.run("cat /proc/sys/net/ipv4/tcp_max_tw_buckets").stdout.strip() == "500"
    settings["ip_local_port_range"] = (20000, 60000)
    assert lab.lb.run("cat /proc/sys/net/ipv4/ip_local_port_range").stdout.split() == ["20000", "60000"]
    settings["ip_local_port_range"] = shown["ip_local_port_range"]
    assert len(settings) == len(shown) > 20
    assert "nf_conntrack_tcp_timeout_time_wait" in repr(settings)
    assert "set by the lab" in settings._repr_html_()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nf_conntrack_tcp_timeout_establishd", 2, "did you mean 'nf_conntrack_tcp_timeout_established'"),
        (5, 2, "has no 5"),
        (ESTABLISHED, 0, "seconds, a whole number from 1"),
        (ESTABLISHED, 1.5, "seconds, a whole number from 1"),
        (ESTABLISHED, True, "seconds, a whole number from 1"),
        (ESTABLISHED, "2", "seconds, a whole number from 1"),
        ("nf_conntrack_acct", 2, "from 0 to 1"),
        ("ip_local_port_range", 5, "a pair of ports"),
        ("ip_local_port_range", (5, 4), "a pair of ports"),
        ("nf_conntrack_max", 5, "read-only"),
        ("nf_conntrack_count", 5, "it is what the kernel counts"),
    ],
)
def test_settings_refuse_in_words(lab: Lab, name: Any, value: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        lab.balancer.settings[name] = value


def test_a_value_that_the_kernel_refuses_is_told_by_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "nf_conntrack_max", replace(SETTINGS["nf_conntrack_max"], fixed=""))
    with pytest.raises(EngineError, match=r"kernel of lb refuses nf_conntrack_max = 5: (Permission|Operation)"):
        lab.balancer.settings["nf_conntrack_max"] = 5
    monkeypatch.setitem(SETTINGS, "nf_conntrack_none", Setting("netfilter", "count", ""))
    with pytest.raises(EngineError, match="This kernel has no setting nf_conntrack_none"):
        lab.balancer.settings["nf_conntrack_none"]
    assert "nf_conntrack_none" not in list(lab.balancer.settings)
    with pytest.raises(PolicyError, match="set another value"):
        del lab.balancer.settings[ESTABLISHED]


@pytest.mark.parametrize("wrong", ["api3", "alice", None, 5])
@pytest.mark.parametrize("operation", ["drain", "remove", "add"])
def test_only_backends_are_taken_out_and_put_back(lab: Lab, operation: str, wrong: Any) -> None:
    with pytest.raises(PolicyError, match="there are api1, api2, images1, images2"):
        getattr(lab.balancer, operation)(wrong)


@pytest.mark.parametrize("weight", [0, -1, 1.5, True, "3", 257, None])
def test_weights_are_small_whole_numbers(lab: Lab, weight: Any) -> None:
    with pytest.raises(PolicyError, match="a whole number from 1 to 256"):
        lab.balancer.weigh("api1", weight)


@pytest.mark.parametrize("seconds", [-1, True, "1", float("nan")])
def test_a_wait_has_a_length(lab: Lab, seconds: Any) -> None:
    with pytest.raises(PolicyError, match=r"drain\.wait\(10\)"):
        lab.balancer.drain("api1").wait(seconds)


def test_without_a_running_lab_all_say_how_to_start() -> None:
    lab = Lab()
    balancer = lab.balancer
    asks: list[Callable[[], object]] = [
        lambda: balancer.drain("api1"),
        lambda: balancer.remove("api1"),
        lambda: balancer.add("api1"),
        lambda: balancer.weigh("api1", 2),
        balancer.connections,
        lambda: balancer.health,
        lambda: balancer.settings[ESTABLISHED],
    ]
    for ask in asks:
        with pytest.raises(LabNotRunning, match=r"lab\.start\(\)"):
            ask()


def test_direct_server_return_leaves_no_record_to_show_count_or_reset() -> None:
    with Lab(direct_return()) as lab:
        lab.balancer.l4(style="dsr")
        drain = lab.balancer.drain("api1")
        asks: list[Callable[[], object]] = [
            lab.balancer.connections,
            lambda: drain.left,
            lambda: drain.drained,
            lambda: lab.balancer.remove("api1"),
        ]
        for ask in asks:
            with pytest.raises(PolicyError, match='style="dsr": packets are passed on before connection tracking'):
                ask()
        assert repr(drain) == "<api1 is draining>"
        assert "api1" not in {lab.alice.get("http://lb/").backend for _ in range(6)}


def test_full_nat_too_is_reset_on_both_sides(lab: Lab) -> None:
    lab.balancer.l4(style="full")
    with ExitStack() as stack:
        held = opened(lab, stack, 8)
        with lab.capture("images1", "lb:front") as cap:
            assert lab.balancer.remove("images1") == 2
        packets = cap.packets()
        resets = packets[packets["flags"].fillna("").str.contains("R")]
        assert Counter(resets.vantage.astype(str)) == {"images1": 2, "lb:front": 2}
        for connection, backend in held.values():
            if backend == "images1":
                with pytest.raises(TrafficError, match="reset"):
                    echo(connection)
            else:
                assert echo(connection) == backend


def test_operations_from_many_threads_leave_one_state(lab: Lab) -> None:
    def toggle(name: str) -> None:
        for _ in range(5):
            lab.balancer.drain(name)
            lab.balancer.add(name)

    threads = [threading.Thread(target=toggle, args=(backend.name,)) for backend in lab.backends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(str(lab.alice.get("http://lb/").backend) for _ in range(8)) == dict.fromkeys(
        ("api1", "api2", "images1", "images2"), 2
    )


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


def test_rules_recorded_are_those_of_their_time_whoever_changed_some(lab: Lab) -> None:
    lab.balancer.l4("random")
    with lab.faults.conntrack_full():
        lab.balancer.l4()
        lab.balancer.l4("random")
    with lab.capture("alice") as cap:
        lab.balancer.l4()
        lab.balancer.l4("random")
    assert len(cap.recording.of_kind("rules")) == 3
    assert not [event for event in cap.recording.of_kind("rules") if "labkit_fault" in event["text"]]


def test_the_display_says_where_nobody_is_left(lab: Lab) -> None:
    lab.balancer.drain("api1")
    lab.balancer.l4(backends=["api1"])
    assert "refused: none of its backends takes connections" in repr(lab.balancer)
