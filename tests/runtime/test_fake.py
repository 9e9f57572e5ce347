"""The fake runtime keeps the contract of the real ones, as far as one process can."""

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network

import pytest

from labkit.errors import LabNotRunning, TaskError, TrafficError
from labkit.runtime.fake import FakeRuntime
from labkit.topology import Interface, Link, Node, Topology

JOBS = "tests.runtime.jobs:"
TOPOLOGY = Topology(
    "one",
    (Link("front", IPv4Network("10.0.1.0/24")),),
    (Node("alice", "client", (Interface("front", IPv4Interface("10.0.1.11/24")),)),),
)


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    runtime = FakeRuntime({"elsewhere:answer": lambda number: number * 2})
    runtime.start(TOPOLOGY, ["json"])
    yield runtime
    runtime.stop()


def test_tasks_talk_and_end(runtime):
    task = runtime.nodes["alice"].start(JOBS + "echo", greeting="hello")
    assert task.receive(5) == ["hello", "alice"]
    task.send((1, 2))
    assert task.receive(5) == [1, 2]
    task.stop()
    assert not task.running
    with pytest.raises(TaskError, match="it was stopped"):
        task.send(1)


def test_tasks_can_be_driven_by_readiness(runtime):
    task = runtime.nodes["alice"].start(JOBS + "polled_echo")
    task.send("x")
    assert task.receive(5) == "x"


def test_a_failure_is_told_and_heard(runtime):
    reasons: list[str | None] = []
    task = runtime.nodes["alice"].start(JOBS + "fails", on_exit=reasons.append)
    assert task.wait(5) == "ValueError: the reason"
    assert reasons == ["ValueError: the reason"]


def test_events_reach_the_callback_and_silence_is_a_timeout(runtime):
    events: list[object] = []
    runtime.nodes["alice"].start(JOBS + "burst", on_event=events.append, count=2, size=1).wait(5)
    assert events == [[0, b"\0"], [1, b"\0"]]
    deaf = runtime.nodes["alice"].start(JOBS + "echo", greeting="")
    deaf.receive(5)
    with pytest.raises(TimeoutError):
        deaf.receive(0.01)
    with pytest.raises(TimeoutError):
        deaf.wait(0.01)


def test_calls_answer_refuse_and_break(runtime):
    alice = runtime.nodes["alice"]
    assert alice.call("elsewhere:answer", 21) == 42
    with pytest.raises(TrafficError):
        alice.call(JOBS + "refuses")
    with pytest.raises(TaskError, match="breaks in alice failed: KeyError"):
        alice.call(JOBS + "breaks")
    with pytest.raises(TaskError, match="only plain data"):
        alice.call(JOBS + "not_plain")


def test_after_stop_nothing_runs(runtime):
    task = runtime.nodes["alice"].start(JOBS + "echo", greeting="")
    assert runtime.running
    runtime.stop()
    assert not runtime.running
    assert not task.running
    with pytest.raises(LabNotRunning, match=r"lab\.start"):
        runtime.nodes["alice"].call(JOBS + "where")
