"""Every algorithm with real connections through the kernel to ten backends: who got how many, and who was foretold."""

import ipaddress
import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from math import sqrt

import pytest

from labkit.balancer import maglev
from labkit.balancer.jhash import slot
from labkit.balancer.nftables import PRELOAD, NftablesEngine
from labkit.balancer.nftables.choose import SEED
from labkit.balancer.plan import plan_l4
from labkit.runtime import Runtime, candidates
from labkit.topology import Listener, sized
from tests.balancer.nftables.peers import UDP_PORTS

pytestmark = pytest.mark.needs("netns")

PEERS = "tests.balancer.nftables.peers:"
LAB = replace(
    sized(backends=10),
    listeners=(
        Listener(80, "http", "http"),
        Listener(7, "udp", "udp-echo"),
        Listener(81, "tcp", "moved", backend_port=8080),
        Listener(53, "udp", "dns", backend_port=5353),
        Listener(8070, "tcp", through=8090),
        Listener(5350, "udp", through=5360),
    ),
)
NAMES = [node.name for node in LAB.backends]
VIP, VIP6 = str(LAB.vip4), str(LAB.vip6)
CLIENT, CLIENT6 = "10.1.0.11", "fd00:10:1::b"
MANY = [f"10.1.9.{host}" for host in range(1, 101)]  # addresses of a hundred clients, all in one host
WEIGHTS = {"api1": 5, "api2": 3, "images5": 2}
FIRST = 20_000  # of the ports that connections are made from
SMALL, FULL = 200, pytest.param(10_000, marks=pytest.mark.slow)
COUNTS = pytest.mark.parametrize("count", [SMALL, FULL])


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = next(candidates("netns"))
    runtime.start(LAB, PRELOAD)
    try:
        for name in NAMES:
            task = runtime.nodes[name].start(f"{PEERS}serve", name=name)
            assert task.receive(10) == "listening"
        runtime.nodes["client1"].call(f"{PEERS}call_oneself", "front", MANY, 16)
        yield runtime
    finally:
        runtime.stop()


@pytest.fixture(scope="module")
def engine(runtime: Runtime) -> Iterator[NftablesEngine]:
    engine = NftablesEngine(runtime.nodes["lb"], LAB)
    yield engine
    engine.stop()


def forward(engine: NftablesEngine, algorithm: str, names: list[str] | None = None, **asked: object) -> None:
    engine.apply(plan_l4(LAB, algorithm, names, **asked).forwards)


def flows(
    runtime: Runtime, count: int, vip: str = VIP, sources: list[str] | None = None, at_once: int = 64
) -> list[str]:
    """Who answered *count* connections to port 80, from each of *sources*, always from the same ports."""
    at = sources or [CLIENT6 if vip == VIP6 else CLIENT]
    return list(runtime.nodes["client1"].call(f"{PEERS}flows", vip, 80, at, FIRST, count, at_once, timeout=120))


def five(port: int, vip: str = VIP, client: str = CLIENT) -> bytes:
    """The five fields of a TCP connection from *port* to port 80, each at a multiple of four bytes."""
    ends = ipaddress.ip_address(client).packed + ipaddress.ip_address(vip).packed
    return ends + bytes((6, 0, 0, 0)) + struct.pack("!HxxHxx", port, 80)


def within(counted: Mapping[str, int], shares: Mapping[str, float], deviations: float = 5) -> bool:
    """Whether no backend is further from its share of the sum than that many standard deviations of chance."""
    total, whole = sum(counted.values()), sum(shares.values())
    return all(
        abs(counted.get(name, 0) - total * share / whole)
        <= deviations * sqrt(total * share / whole * (1 - share / whole))
        for name, share in shares.items()
    )


ALIKE = dict.fromkeys(NAMES, 1.0)


@COUNTS
def test_round_robin_gives_each_the_same_to_within_one(runtime: Runtime, engine: NftablesEngine, count: int) -> None:
    forward(engine, "round_robin")
    counted = Counter(flows(runtime, count + 3))
    assert set(counted) == set(NAMES)
    assert max(counted.values()) - min(counted.values()) <= 1


@COUNTS
def test_weighted_gives_each_its_weight_in_every_cycle(runtime: Runtime, engine: NftablesEngine, count: int) -> None:
    forward(engine, "weighted", weights=WEIGHTS)
    weights = dict.fromkeys(NAMES, 1) | WEIGHTS
    cycle = sum(weights.values())
    answered = flows(runtime, count, at_once=1)  # so that they come in the order of their answers
    for start in range(len(answered) - cycle):
        assert Counter(answered[start : start + cycle]) == weights
    runs = max(len(list(group)) for group in _runs(answered))
    assert runs <= 2  # the turns of the heaviest are spread over the cycle


def _runs(answered: list[str]) -> Iterator[list[str]]:
    """Neighbours that are the same, together."""
    begin = 0
    for place in range(1, len(answered) + 1):
        if place == len(answered) or answered[place] != answered[begin]:
            yield answered[begin:place]
            begin = place


@COUNTS
def test_random_is_within_five_deviations_of_chance(runtime: Runtime, engine: NftablesEngine, count: int) -> None:
    forward(engine, "random")
    answered = flows(runtime, count)
    assert within(Counter(answered), ALIKE)
    assert answered[:SMALL] != flows(runtime, SMALL)  # the same flows, other backends
    forward(engine, "random", weights=WEIGHTS)
    assert within(Counter(flows(runtime, count)), ALIKE | WEIGHTS)


@COUNTS
def test_source_hash_gives_a_client_one_backend_always(runtime: Runtime, engine: NftablesEngine, count: int) -> None:
    forward(engine, "source_hash")
    each = count // len(MANY)
    answered = flows(runtime, each, sources=MANY)
    backend = {source: answered[number * each] for number, source in enumerate(MANY)}
    assert answered == list(chain.from_iterable([backend[source]] * each for source in MANY))
    assert backend == {source: NAMES[slot(ipaddress.ip_address(source).packed, 10, SEED)] for source in MANY}
    assert within(Counter(backend.values()), ALIKE)
    assert flows(runtime, 1, sources=MANY[::7]) == [backend[source] for source in MANY[::7]]
    forward(engine, "source_hash")  # a switch to the same changes nothing
    assert flows(runtime, 1, sources=MANY[::7]) == [backend[source] for source in MANY[::7]]
    assert set(flows(runtime, 5, VIP6)) == {NAMES[slot(ipaddress.ip_address(CLIENT6).packed, 10, SEED)]}


@COUNTS
def test_flow_hash_is_within_five_deviations_and_foretold(runtime: Runtime, engine: NftablesEngine, count: int) -> None:
    forward(engine, "flow_hash")
    answered = flows(runtime, count)
    assert answered == [NAMES[slot(five(port), 10, SEED)] for port in range(FIRST, FIRST + count)]
    assert within(Counter(answered), ALIKE)
    six = [NAMES[slot(five(port, VIP6, CLIENT6), 10, SEED)] for port in range(FIRST, FIRST + 50)]
    assert flows(runtime, 50, VIP6) == six


@COUNTS
def test_maglev_moves_few_flows_of_others_and_restores_them(
    runtime: Runtime, engine: NftablesEngine, count: int
) -> None:
    forward(engine, "maglev")
    before = flows(runtime, count)
    owners = maglev.table((name, 1) for name in NAMES)
    assert before == [owners[slot(five(port), maglev.SIZE, SEED)] for port in range(FIRST, FIRST + count)]
    assert within(Counter(before), ALIKE)
    gone = "api3"
    forward(engine, "maglev", [name for name in NAMES if name != gone])
    without = flows(runtime, count)
    assert gone not in without
    moved = sum(one != other for one, other in zip(before, without, strict=True) if one != gone)
    assert moved / count <= 0.15
    assert moved / count <= 0.05  # what the table promises; flow_hash moves 24 in 100 here
    forward(engine, "maglev", NAMES[::-1])  # back again, and named in another order
    assert flows(runtime, count) == before
    assert flows(runtime, 20, VIP6) == [
        owners[slot(five(port, VIP6, CLIENT6), maglev.SIZE, SEED)] for port in range(FIRST, FIRST + 20)
    ]


READS = {
    "round_robin": [],
    "random": [],
    "source_hash": ["ip.src"],
    "flow_hash": ["ip.src", "udp.sport"],
    "maglev": ["ip.src", "udp.sport", "meta.mark"],
}


@pytest.mark.parametrize("algorithm", READS)
def test_datagrams_too_and_each_decision_says_what_was_read(
    runtime: Runtime, engine: NftablesEngine, algorithm: str
) -> None:
    forward(engine, algorithm)
    since = time.time_ns()
    answered = runtime.nodes["client2"].call(f"{PEERS}ask", VIP, 7, 20)
    made = engine.decisions(since)
    assert [each["backend"] for each in made] == answered
    assert {each["rule"] for each in made} == {"udp-echo"}
    assert all(
        set(each["read"]) == {"ip.dst", "ip.proto", "udp.dport", "meta.nfproto", *READS[algorithm]} for each in made
    )
    assert (len(set(answered)) == 1) is (algorithm == "source_hash")


def test_ports_are_translated_and_ranges_keep_theirs(runtime: Runtime, engine: NftablesEngine) -> None:
    forward(engine, "round_robin", ["api1"])
    since = time.time_ns()
    client = runtime.nodes["client2"]
    assert client.call(f"{PEERS}connect", VIP, 81) == ["api1"]
    assert client.call(f"{PEERS}ask", VIP6, 53) == ["api1"]
    assert client.call(f"{PEERS}connect", VIP, 8080) == ["api1"]
    assert client.call(f"{PEERS}ask", VIP6, UDP_PORTS[1]) == ["api1"]
    assert client.call(f"{PEERS}connect", VIP, 8090) == ["refused"]  # by api1, which does not listen there
    assert client.call(f"{PEERS}connect", VIP, 8091) == ["refused"]  # by lb: it is in no range
    made = [(each["rule"], each["server_port"], each["backend_port"]) for each in engine.decisions(since)]
    assert made == [
        ("moved", 81, 8080),
        ("dns", 53, 5353),
        ("tcp-8070-8090", 8080, 8080),
        ("udp-5350-5360", 5353, 5353),
        ("tcp-8070-8090", 8090, 8090),
    ]
