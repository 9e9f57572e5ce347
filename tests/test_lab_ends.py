"""How a lab ends: let go of, half dead, in the middle of something, in a fork of its owner. Never by halves."""

import os
import threading
import time
from collections.abc import Callable

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning
from tests.forks import bounded

GONE = r"(alice|lb) (is gone|cannot be used): the lab was stopped"


def test_a_lab_that_nobody_holds_any_more_ends_at_once():
    lab = Lab().start()
    supervisor = lab._runtime.pid
    balancer, alice = lab.balancer, lab.alice
    with lab.capture() as cap:
        alice.get("http://lb/")
    del lab  # without a garbage collection
    assert not os.path.exists(f"/proc/{supervisor}")
    assert len(cap.connections()) > 0, "a capture that is kept stays whole, and keeps no lab"
    for use in (balancer.l4, lambda: alice.get("http://lb/")):
        with pytest.raises(LabNotRunning, match=r"its lab was discarded\. Keep the Lab in a variable"):
            use()


def kill_my_agent() -> None:
    """Inside a host: SIGKILL to its agent, which is the parent of the process that this runs in."""
    import os

    os.kill(os.getppid(), 9)


def test_a_lab_without_one_of_its_agents_is_no_lab():
    lab = Lab().start()
    supervisor = lab._runtime.pid
    with pytest.raises(LabNotRunning):
        lab.api1.call(kill_my_agent)
    with pytest.raises(LabNotRunning, match=r"the lab died: the agent of api1 ended\. Call lab\.start\(\)"):
        lab.alice.get("http://lb/")
    assert not lab.running
    assert repr(lab) == "<Lab default: died>"
    lab.start()
    assert lab.alice.get("http://lb/").status == 200
    assert lab._runtime.pid != supervisor
    lab.stop()
    assert not os.path.exists(f"/proc/{supervisor}")


@pytest.mark.parametrize(
    "work",
    [
        lambda lab: lab.alice.get("http://lb/slow/20", timeout=30),
        lambda lab: lab.alice.run("sleep 20"),
        lambda lab: lab.alice.call(time.sleep, 20),
        lambda lab: lab.alice.load("http://lb/slow/20", connections=2, seconds=20, timeout=30),
        lambda lab: [lab.balancer.l7() or lab.balancer.l4() for _ in range(10_000)],
        lambda lab: [lab.balancer.rules for _ in range(10_000)],
    ],
    ids=["request", "program", "function", "load", "switch", "rules"],
)
def test_whoever_is_at_work_when_the_lab_is_stopped_hears_just_that(work: Callable[[Lab], object]):
    lab = Lab().start()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work(lab)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(1.0)
    lab.stop()
    thread.join(5)
    assert [type(error) for error in raised] == [LabNotRunning], raised
    assert "the lab was stopped" in str(raised[0])


def test_a_fork_of_the_owner_cannot_use_the_lab_nor_end_it():
    with Lab() as lab:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = "it could be used"
            try:
                lab.alice.get("http://lb/")
            except LabNotRunning as error:
                said = str(error)
            lab.stop()
            os.write(write, said.encode())
            os._exit(0)
        with bounded(pid):
            os.waitpid(pid, 0)
        os.close(write)
        assert b"belongs to the process that started it" in os.read(read, 1000)
        assert lab.alice.get("http://lb/").status == 200
        os.close(read)
