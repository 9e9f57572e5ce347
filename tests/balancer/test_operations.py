"""Backends put back, weighed, and taken out by many at once; and what is refused."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning, PolicyError

pytestmark = pytest.mark.needs("netns")
ESTABLISHED = "nf_conntrack_tcp_timeout_established"


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


@pytest.mark.parametrize("wrong", ["api3", "alice", None, 5])
@pytest.mark.parametrize("operation", ["drain", "remove", "add"])
def test_only_backends_are_taken_out_and_put_back(lab: Lab, operation: str, wrong: Any) -> None:
    with pytest.raises(PolicyError, match="there are api1, api2, images1, images2"):
        getattr(lab.balancer, operation)(wrong)


def test_another_labs_hosts_are_not_taken_by_their_names(lab: Lab) -> None:
    other = Lab()
    asks: list[Callable[[], object]] = [
        lambda: lab.balancer.drain(other.api1),
        lambda: lab.balancer.remove(other.api1),
        lambda: lab.balancer.add(other.api1),
        lambda: lab.balancer.weigh(other.api1, 2),
        lambda: lab.balancer.l4(backends=[lab.api2, other.api1]),
        lambda: lab.balancer.l4(weights={other.api1: 2}),
        lambda: lab.balancer.l7(weights={other.api1: 2}),
    ]
    for ask in asks:
        with pytest.raises(PolicyError, match="api1 is a host of another lab; give one of this lab"):
            ask()
    lab.balancer.add(lab.api1)
    lab.balancer.l4(backends=[lab.api1, "api2"])
    lab.balancer.l7()
    with pytest.raises(PolicyError, match="alice is a host of another lab; give one of this lab"):
        lab.balancer.explain("GET /", client=other.alice)
    assert lab.balancer.explain("GET /", client=lab.alice)
    lab.balancer.l4()


@pytest.mark.parametrize("weight", [0, -1, 1.5, True, "3", 257, None])
def test_weights_are_small_whole_numbers(lab: Lab, weight: Any) -> None:
    with pytest.raises(PolicyError, match="a whole number from 1 to 256"):
        lab.balancer.weigh("api1", weight)


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


def test_who_is_not_forwarded_to_has_no_weight(lab: Lab) -> None:
    lab.balancer.l4(pool="api")
    with pytest.raises(PolicyError, match=r"images1, only to api1, api2\. Name it there, as in l4\(backends="):
        lab.balancer.weigh("images1", 3)
    assert "weights" not in repr(lab.balancer)
    lab.balancer.drain("api1")
    lab.balancer.weigh("api1", 3)  # for when it comes back
    lab.balancer.add("api1")
    assert "api1 3" in repr(lab.balancer)
