"""One agent over a socket pair, no namespaces: what every runtime's nodes do, whatever carries their stream."""

import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labkit.errors import LabNotRunning, TaskError, TrafficError
from labkit.runtime.loop import StreamLoop
from labkit.runtime.stream import StreamNode
from labkit.runtime.wire import HEADER, Kind, frame, pack

JOBS = "tests.runtime.jobs:"


@contextmanager
def lone_agent(*order: str) -> Iterator[tuple[StreamNode, StreamLoop, subprocess.Popen[bytes]]]:
    """An agent in a process of its own, and this side of its stream."""
    near, far = socket.socketpair()
    with far:
        command = [sys.executable, "-m", "tests.runtime.lone", str(far.fileno()), *order]
        process = subprocess.Popen(command, pass_fds=[far.fileno()])
    loop = StreamLoop("test")
    try:
        yield StreamNode("n1", near, loop), loop, process
    finally:
        loop.close()
        assert process.wait(10) == 7


@pytest.fixture
def node() -> Iterator[StreamNode]:
    with lone_agent() as (node, _, _):
        yield node


def test_a_task_says_and_hears(node):
    task = node.start(JOBS + "echo", greeting="hello")
    assert task.receive(5) == ["hello", "n1"]
    task.send({"x": b"\x00"})
    assert task.receive(5) == {"x": b"\x00"}
    task.stop()
    assert task.wait(1) is None
    with pytest.raises(TaskError, match="it was stopped"):
        task.send(1)


def test_a_task_can_be_driven_by_readiness(node):
    task = node.start(JOBS + "polled_echo")
    for number in range(50):
        task.send(number)
    assert [task.receive(5) for _ in range(50)] == list(range(50))


def test_many_and_large_messages_arrive_whole_and_in_order(node):
    task = node.start(JOBS + "burst", count=200, size=100_000)
    got = [task.receive(10) for _ in range(200)]
    assert [number for number, _ in got] == list(range(200))
    assert all(len(body) == 100_000 for _, body in got)
    assert task.wait(5) is None


def test_a_task_that_never_reads_does_not_hold_up_the_others(node):
    deaf = node.start(JOBS + "deaf")
    assert deaf.receive(5) == "deaf"
    for _ in range(50):
        deaf.send(bytes(1 << 20))
    other = node.start(JOBS + "echo", greeting="still here")
    assert other.receive(5) == ["still here", "n1"]
    deaf.stop(kill=True)
    assert not deaf.running


def test_events_and_the_exit_reach_callbacks(node):
    seen: list[object] = []
    over = threading.Event()
    task = node.start(
        JOBS + "burst", on_event=seen.append, on_exit=lambda reason: (seen.append(reason), over.set()), count=3, size=1
    )
    assert over.wait(5)
    assert seen == [[0, b"\0"], [1, b"\0"], [2, b"\0"], None]
    assert not task.running


def test_a_failing_task_tells_its_reason(node):
    task = node.start(JOBS + "fails")
    assert "ValueError: the reason" in (task.wait(5) or "")
    with pytest.raises(TaskError, match="the reason"):
        task.receive(1)


def test_an_unknown_target_is_named(node):
    task = node.start("labkit.no_such:thing")
    assert "labkit.no_such" in (task.wait(5) or "")


def test_a_killed_task_is_reported_by_its_signal(node):
    assert node.start(JOBS + "vanishes").wait(5) == "ended by SIGKILL"


def test_stop_lets_a_task_tidy_up_and_kills_one_that_will_not_go(node):
    tidy = node.start(JOBS + "tidy")
    assert tidy.receive(5) == "ready"
    tidy.stop()
    assert tidy.receive(1) == "tidied up"
    stubborn = node.start(JOBS + "stubborn")
    assert stubborn.receive(5) == "ready"
    stubborn.stop(timeout=0.1)
    assert stubborn.wait(1) is None


def test_silence_is_a_timeout(node):
    task = node.start(JOBS + "deaf")
    assert task.receive(5) == "deaf"
    with pytest.raises(TimeoutError, match="said nothing"):
        task.receive(0.05)
    with pytest.raises(TimeoutError, match="still runs"):
        task.wait(0.05)


def test_calls_share_the_worker_and_its_state(node):
    node.call(JOBS + "keep", "session", [1, 2])
    assert node.call(JOBS + "kept", "session") == [1, 2]
    assert node.call(JOBS + "where")["pid"] == node.call(JOBS + "where")["pid"]


def test_calls_run_side_by_side(node):
    met: list[int] = []
    threads = [threading.Thread(target=lambda: met.append(node.call(JOBS + "meet", 8))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met == [8] * 8  # one after the other, nobody would meet


@pytest.mark.parametrize(
    ("job", "kind", "words"),
    [
        ("refuses", TrafficError, "alice cannot"),
        ("breaks", TaskError, "KeyError"),
        ("not_plain", TaskError, "only plain data"),
        ("no_such", TaskError, "no_such"),
        ("too_much", TaskError, "return it in parts"),
        ("dies", TaskError, "SIGKILL"),
    ],
)
def test_what_goes_wrong_in_a_call_is_raised_here(node, job, kind, words):
    with pytest.raises(kind, match=words):
        node.call(JOBS + job, timeout=5)
    assert node.call(JOBS + "sleep", 0) == "slept"  # the node works on, with a new worker if need be


def test_a_call_that_takes_too_long_is_given_up(node):
    with pytest.raises(TaskError, match="no answer within"):
        node.call(JOBS + "sleep", 5, timeout=0.1)


def test_the_agent_outlives_a_task_whose_end_it_hears_of_before_its_last_words():
    """A task's end and its stream's are two events, which may come in one round and in either order."""
    with lone_agent("ends-first") as (node, _, _):
        for _ in range(3):
            task = node.start(JOBS + "burst", count=1, size=1)
            assert task.receive(5) == [0, bytes(1)]
            assert task.wait(5) is None
        assert node.call(JOBS + "where")["pid"] > 0


def test_when_the_owner_is_gone_the_agent_ends_its_tasks():
    with lone_agent() as (node, loop, process):
        task = node.start(JOBS + "stubborn")
        assert task.receive(5) == "ready"
        inner = node.call(JOBS + "where")["pid"]
        loop.close()
        assert process.wait(10) == 7
        assert not os.path.exists(f"/proc/{inner}")
        assert not task.running
        with pytest.raises(LabNotRunning, match="n1 is gone"):
            node.start(JOBS + "deaf")


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"Traceback (most recent call last):", r"a frame announces \d+ bytes"),
        (HEADER.pack(0, 1, 99), "of an unknown kind, 99"),
        (frame(1, Kind.DATA, b"\xc1"), "a body is no message"),
    ],
)
def test_who_does_not_speak_the_protocol_is_gone_at_once_and_what_came_before_counts(garbage, reason, capfd):
    near, far = socket.socketpair()
    loop, ended = StreamLoop("test"), queue.SimpleQueue[str]()
    node = StreamNode("n1", near, loop, ended.put)
    with far:
        task = node.start("any:thing")
        far.sendall(frame(1, Kind.DATA, pack("before")) + garbage)
        assert task.receive(5) == "before"
        with pytest.raises(LabNotRunning, match=rf"n1 is gone: what came from it is no agent's \(.*{reason}"):
            task.receive(5)
        assert ended.get(timeout=5) == "n1"
        with pytest.raises(LabNotRunning, match="no agent's"):
            node.call("any:thing")
    loop.close()
    assert capfd.readouterr().err == ""
