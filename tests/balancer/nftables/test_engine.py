"""The engine in a real lab: real connections over real rules, switched while they run."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from labkit.balancer.nftables import NftablesEngine
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.policy import Forward, Target
from labkit.errors import EngineError, PolicyError
from labkit.runtime import Runtime
from labkit.topology import Listener, default
from tests.balancer.nftables.peers import BACKENDS
from tests.balancer.nftables.samples import ALL, API1, ECHO, HTTP, OLD, VIPS

pytestmark = [pytest.mark.needs("netns"), pytest.mark.measured]

PEERS = "tests.balancer.nftables.peers:"
VIP, VIP6 = VIPS
UDP = Forward(Listener(7, "udp", "udp-echo", 5353), ALL)
FIELDS4 = ["ip.dst", "ip.proto", "tcp.dport", "meta.nfproto"]


@pytest.fixture(scope="module")
def resident(runtime: Runtime) -> Iterator[NftablesEngine]:
    engine = NftablesEngine(runtime.nodes["lb"], default())
    yield engine
    engine.stop()


@pytest.fixture
def engine(resident: NftablesEngine) -> NftablesEngine:
    resident.apply([HTTP])
    return resident


def test_2000_connections_in_strict_turns_each_with_its_decision(runtime: Runtime, engine: NftablesEngine) -> None:
    since = time.time_ns()
    counted = runtime.nodes["alice"].call(f"{PEERS}count", VIP, 80, 2000)
    assert set(counted) == set(BACKENDS)
    assert all(abs(number - 500) <= 1 for number in counted.values())
    made = engine.decisions(since)
    assert Counter(each["backend"] for each in made) == counted
    assert [made[0]["backend"], made[4]["backend"]] == [made[0]["backend"]] * 2
    assert all(first["time_ns"] < second["time_ns"] for first, second in pairwise(made))
    assert since < made[0]["time_ns"] <= made[-1]["time_ns"] < time.time_ns()
    assert (engine.lost, engine.forgotten) == (0, 0)


def test_a_decision_says_who_asked_what_was_read_and_who_was_chosen(runtime: Runtime, engine: NftablesEngine) -> None:
    since = time.time_ns()
    (backend,) = runtime.nodes["bob"].call(f"{PEERS}connect", VIP, 80)
    (made,) = engine.decisions(since)
    target = next(target for target in ALL if target.name == backend)
    assert made == {
        "kind": "decision",
        "time_ns": made["time_ns"],
        "mode": "l4",
        "proto": "TCP",
        "client": "10.0.1.12",
        "client_port": made["client_port"],
        "server": VIP,
        "server_port": 80,
        "backend": backend,
        "backend_address": target.address4,
        "backend_port": 80,
        "rule": "http",
        "read": FIELDS4,
    }


def test_ipv4_and_ipv6_clients_share_one_round(runtime: Runtime, engine: NftablesEngine) -> None:
    since = time.time_ns()
    alice = runtime.nodes["alice"]
    answered = [alice.call(f"{PEERS}connect", vip, 80)[0] for vip in (VIP, VIP6) * 4]
    assert Counter(answered) == dict.fromkeys(BACKENDS, 2)
    made = engine.decisions(since)
    assert [each["server"] for each in made] == [VIP, VIP6] * 4
    assert made[1]["read"] == ["ip6.dst", "ip6.nexthdr", "tcp.dport", "meta.nfproto"]
    assert made[1]["backend_address"].startswith("fd00:10:0:2::")


def test_udp_to_another_port_over_both_families(runtime: Runtime, engine: NftablesEngine) -> None:
    engine.apply([HTTP, UDP])
    since = time.time_ns()
    alice = runtime.nodes["alice"]
    assert Counter(alice.call(f"{PEERS}ask", VIP, 7, 8)) == dict.fromkeys(BACKENDS, 2)
    assert Counter(alice.call(f"{PEERS}ask", VIP6, 7, 4)) == dict.fromkeys(BACKENDS, 1)
    made = engine.decisions(since)
    assert {(each["proto"], each["server_port"], each["backend_port"]) for each in made} == {("UDP", 7, 5353)}
    assert made[0]["rule"] == "udp-echo"
    assert made[0]["read"] == ["ip.dst", "ip.proto", "udp.dport", "meta.nfproto"]


def test_ipv6_is_refused_where_a_backend_has_none(runtime: Runtime, engine: NftablesEngine) -> None:
    engine.apply([Forward(Listener(80), (OLD,)), Forward(Listener(7, "udp"), (OLD,))])
    alice = runtime.nodes["alice"]
    assert alice.call(f"{PEERS}connect", VIP, 80, 2) == ["api1", "api1"]
    assert alice.call(f"{PEERS}connect", VIP6, 80) == ["refused"]  # lb listens there itself, as a proxy would
    assert alice.call(f"{PEERS}ask", VIP6, 7) == ["refused"]


def test_what_lb_itself_sends_is_left_alone_and_is_no_decision(runtime: Runtime, engine: NftablesEngine) -> None:
    since = time.time_ns()
    lb = runtime.nodes["lb"]
    assert lb.call(f"{PEERS}connect", "10.0.2.11", 80, 2) == ["api1", "api1"]
    assert lb.call(f"{PEERS}connect", VIP, 80) == ["lb"]
    assert engine.decisions(since) == []


def test_established_connections_survive_every_swap_in_the_mode_they_began_in(
    runtime: Runtime, engine: NftablesEngine
) -> None:
    alice = runtime.nodes["alice"]
    held, began = [], []
    for step in range(6):
        task = alice.start(f"{PEERS}hold", address=VIP if step % 3 else VIP6, port=80)
        began.append(task.receive(10))
        held.append(task)
        engine.apply([] if step % 2 == 0 else [HTTP])
        for number, each in enumerate(held):
            each.send(f"step {step} of {number}")
            assert each.receive(10) == f"step {step} of {number}"
    assert [name == "lb" for name in began] == [False, True] * 3
    for each in held:
        each.stop()


def test_200_swaps_under_connects_fail_none(runtime: Runtime, engine: NftablesEngine) -> None:
    task = runtime.nodes["alice"].start(f"{PEERS}hammer", address=VIP, port=80)
    assert task.receive(10) == "begun"
    for number in range(200):
        engine.apply([] if number % 2 == 0 else [HTTP])
        (answered,) = runtime.nodes["bob"].call(f"{PEERS}connect", VIP, 80)
        assert (answered == "lb") is (number % 2 == 0)  # the first connection after the call is in the new mode
    task.send("stop")
    counted = task.receive(10)
    assert set(counted) == {*BACKENDS, "lb"}
    task.stop()


def test_a_refused_transaction_leaves_every_rule_as_it_was(runtime: Runtime, engine: NftablesEngine) -> None:
    before = engine.text()
    with pytest.raises(PolicyError, match="both forward tcp port 9"):
        engine.apply([Forward(Listener(9, "tcp"), ()), Forward(Listener(9, "tcp", "again"), ())])
    broken = Forward(HTTP.listener, (API1, Target("x" * 300, "10.0.2.9", "fd00::9")))
    with pytest.raises(EngineError, match=r"The kernel refuses chain http_80_x+: .*The rules that were in force stay"):
        engine.apply([broken])
    assert engine.text() == before == text(render(VIPS, [HTTP]))
    assert runtime.nodes["alice"].call(f"{PEERS}connect", VIP, 80)[0] in BACKENDS


@pytest.mark.needs("nft")
def test_a_rule_added_by_hand_shows_in_text_reads_and_decisions(runtime: Runtime, engine: NftablesEngine) -> None:
    lb = runtime.nodes["lb"]
    assert engine.reads() == ["ip.dst", "ip.proto", "ip6.dst", "ip6.nexthdr", "tcp.dport", "ct.state", "meta.nfproto"]
    by_hand = ["inet", "labkit", "prerouting", "ip", "ttl", "63-64", "counter"]
    assert lb.call(f"{PEERS}program", "nft", "insert", "rule", *by_hand)[0] == 0
    assert "\t\tip ttl 63-64 counter\n" in engine.text()
    assert engine.text() == lb.call(f"{PEERS}program", "nft", "-s", "list", "ruleset")[1]
    assert "ip.ttl" in engine.reads()
    since = time.time_ns()
    runtime.nodes["alice"].call(f"{PEERS}connect", VIP, 80)
    assert engine.decisions(since)[0]["read"] == ["ip.dst", "ip.proto", "ip.ttl", "tcp.dport", "meta.nfproto"]
    engine.apply([HTTP])
    assert "ip.ttl" not in engine.reads()


@pytest.mark.needs("nft")
def test_a_translation_of_somebody_elses_is_no_decision_of_ours(runtime: Runtime, engine: NftablesEngine) -> None:
    lb = runtime.nodes["lb"]
    chain = "chain c { type nat hook prerouting priority -150; tcp dport 8080 dnat to 10.0.2.11; }"
    rules = f"table ip other {{ {chain}\n}}\n"
    assert lb.call(f"{PEERS}nft", rules) == ""
    since = time.time_ns()
    assert runtime.nodes["alice"].call(f"{PEERS}connect", VIP, 8080) == ["api1"]
    assert engine.decisions(since) == []
    assert lb.call(f"{PEERS}nft", "delete table ip other") == ""


def test_decisions_belong_to_the_rules_of_their_time(runtime: Runtime, engine: NftablesEngine) -> None:
    since = time.time_ns()
    alice = runtime.nodes["alice"]
    alice.call(f"{PEERS}connect", VIP, 80)
    engine.apply([ECHO, Forward(Listener(80, "http", "renamed"), (API1,))])
    alice.call(f"{PEERS}connect", VIP, 80)
    engine.apply([])
    alice.call(f"{PEERS}connect", VIP, 80)
    assert [each["rule"] for each in engine.decisions(since)] == ["http", "renamed"]


def test_a_dead_task_is_named_and_the_next_apply_starts_another(runtime: Runtime, engine: NftablesEngine) -> None:
    task = engine._task
    assert task is not None
    task.stop(kill=True)
    with pytest.raises(EngineError, match=r"The L4 engine on lb ended; its rules stay in the kernel"):
        engine.text()
    assert runtime.nodes["alice"].call(f"{PEERS}connect", VIP, 80)[0] in BACKENDS  # the kernel goes on
    engine.apply([HTTP])
    assert engine.text() == text(render(VIPS, [HTTP]))


def test_a_cut_whose_task_was_killed_refuses_nobody_for_long(runtime: Runtime, engine: NftablesEngine) -> None:
    runtime.nodes["lb"].call(f"{PEERS}begin_a_cut", ["10.0.2.11"])
    task = engine._task
    assert task is not None
    assert "table inet labkit_cut" in engine.text()
    task.stop(kill=True)
    engine.apply([HTTP])
    assert engine.text() == text(render(VIPS, [HTTP]))


def test_every_change_of_the_rules_makes_a_generation(runtime: Runtime, engine: NftablesEngine) -> None:
    before, after = engine.apply([HTTP])
    assert before < after == engine.apply([ECHO])[0]
    runtime.nodes["lb"].call(f"{PEERS}begin_a_cut", ["10.0.2.11"])
    assert engine.apply([HTTP])[0] > after + 1
    runtime.nodes["lb"].call(f"{PEERS}end_a_cut")


def test_many_threads_get_each_its_own_answer(engine: NftablesEngine) -> None:
    found: list[object] = []
    calls = [engine.text, engine.reads, lambda: engine.apply([HTTP]), engine.settings] * 5
    threads = [threading.Thread(target=lambda call=call: found.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = Counter(type(each).__name__ for each in found)
    assert kinds == {"str": 5, "list": 10, "tuple": 5}


def test_reports_that_found_no_room_are_counted(runtime: Runtime, engine: NftablesEngine) -> None:
    lb = runtime.nodes["lb"]
    lb.call(f"{PEERS}listen_with_little_room")
    runtime.nodes["alice"].call(f"{PEERS}connect", VIP, 80, 100)
    kept, lost = lb.call(f"{PEERS}drained")
    assert kept + lost == 100
    assert 0 < lost < 100


def test_an_engine_that_was_not_started_says_so(runtime: Runtime) -> None:
    engine = NftablesEngine(runtime.nodes["bob"], default())
    with pytest.raises(EngineError, match="The L4 engine on bob is not started"):
        engine.text()
    engine.stop()


def test_the_settings_are_in_force(runtime: Runtime, engine: NftablesEngine) -> None:
    assert engine.settings() == []
    names = ("net/ipv4/ip_forward", "net/netfilter/nf_conntrack_tcp_loose")
    values = [runtime.nodes["lb"].call(f"{PEERS}program", "cat", f"/proc/sys/{name}")[1] for name in names]
    assert values == ["1\n", "0\n"]
