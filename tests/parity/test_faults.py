"""Faults on both runtimes: each is caused, the client and the captures show the same of it, and it is put back."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from labkit import Lab
from labkit.errors import TrafficError

from . import seeing
from .conftest import Pair, Scenario
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")

SHORT = 1.4  # seconds: the kernel sends a SYN again after one
LARGE = b"x" * 20_000

FAULTS: dict[str, tuple[Callable[[Lab], AbstractContextManager[object]], str]] = {
    "backend killed": (lambda lab: lab.faults.backend_killed("api1"), "refused"),
    "backend silent": (lambda lab: lab.faults.backend_killed("api1", silently=True), "timed out"),
    "all down, reset": (lambda lab: lab.faults.all_backends_down(), "refused"),
    "all down, drop": (lambda lab: lab.faults.all_backends_down(answer="drop"), "timed out"),
    "table full": (lambda lab: lab.faults.conntrack_full(), "timed out"),
    "small MTU": (lambda lab: lab.faults.small_mtu("front", mtu=1300), "200 api1"),
    "small MTU behind": (lambda lab: lab.faults.small_mtu("back", mtu=1300), "200 api1"),
    "black hole": (lambda lab: lab.faults.small_mtu("back", mtu=1300, icmp=False), "timed out"),
}


def under(fault: Callable[[Lab], AbstractContextManager[object]]) -> Scenario:
    """The scenario of one large request while *fault* is in force."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        lab.alice.get("http://lb/")
        with fault(lab) as broken, lab.capture() as cap:
            try:
                reply = lab.alice.post("http://lb/api/x", body=LARGE, timeout=SHORT)
                came = f"{reply.status} {reply.backend}"
            except TrafficError as error:
                came = error.cause
        packets = cap.packets()
        told = packets[packets["proto"] == "ICMP"]
        mine = packets[packets["proto"] == "TCP"]
        largest = {str(at): int(rows["payload_length"].max()) for at, rows in mine.groupby("vantage", observed=True)}
        return {
            "came of it": came,
            "said": names.text(str(broken)),
            "flags": {at: set(seeing.flags(cap, at)) - {"A", "PA"} for at in ("alice", "lb:front", "lb:back", "api1")},
            "largest segment": largest,
            "ICMP": {(row.vantage, names.address(row.src), names.address(row.dst)) for row in told.itertuples()},
            "put back": lab.faults.active == () and all(backend.serving for backend in lab.backends),
        }

    return scenario


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault(pair: Pair, name: str) -> None:
    fault, cause = FAULTS[name]
    seen = pair.same(under(fault))
    assert seen["came of it"] == cause
    assert seen["put back"]


def test_ports_run_out(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> list[object]:
        lab.balancer.l4(backends=["api1"])
        with lab.faults.ports_exhausted(ports=2):
            held, causes = [], []
            for _ in range(3):
                try:
                    held.append(lab.alice.tcp("lb", 7, timeout=SHORT))
                except TrafficError as error:
                    causes.append(error.cause)
            for one in held:
                one.close()
        return [len(held), causes]

    assert pair.same(scenario) == [2, ["timed out"]]
