"""The proxy's life as its owner sees it: starting, dying, being told, being asked."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.balancer.mitmproxy.engine import MitmproxyEngine
from labkit.balancer.policy import Route
from labkit.balancer.proxy import Told
from labkit.errors import EngineError, LabNotRunning
from tests.balancer.lives import BACKEND, REQUEST, Life

from .harness import Backend, Client, LocalNode

pytestmark = pytest.mark.measured


@pytest.fixture
def life() -> Iterator[Life]:
    with LocalNode("lb") as node:
        yield Life(node, MitmproxyEngine)


def test_a_killed_proxy_is_told_once_by_name_and_another_takes_its_place(life: Life) -> None:
    engine = life.engine
    backend = Backend("one", BACKEND, life.listener.port)
    try:
        engine.start()
        engine.start()
        engine.ready()
        assert len(life.node.task_pids()) == 1, "a second start is the same proxy"
        engine.apply(life.policy)
        with Client("127.0.0.1", life.listener.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 200
            assert [event["status"] for event in engine.events()] == [200]
            os.kill(life.node.task_pids()[0], signal.SIGKILL)
            assert client.at_end()
        assert life.died.wait(10)
        assert life.deaths == ["ended by SIGKILL"]
        for ask in (lambda: engine.apply(life.policy), engine.routes, engine.ready):
            with pytest.raises(EngineError, match=r"L7 engine mitmproxy died \(ended by SIGKILL\)"):
                ask()
        assert [event["status"] for event in engine.events()] == [200], "what it told stays"
        engine.start()
        engine.ready()
        assert engine.routes()[0].routes == (), "the new one knows nothing yet"
        engine.apply(life.policy)
        with Client("127.0.0.1", life.listener.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 200
        assert len(engine.events()) == 2
        assert life.deaths == ["ended by SIGKILL"]
    finally:
        backend.close()


def _loops(request: object) -> bool:
    while True:
        pass


def test_processes_of_functions_end_with_their_proxy_whatever_they_do(life: Life) -> None:
    engine = life.engine
    engine.start()
    engine.ready()
    engine.apply(replace(life.policy, routes=(Route("*", "one", when=_loops),)))
    with Client("127.0.0.1", life.listener.port) as client:
        client.send(REQUEST)
        (proxy,) = life.node.task_pids()
        children = Path(f"/proc/{proxy}/task/{proxy}/children")
        assert until(lambda: any(_state(int(pid)) == "R" for pid in children.read_text().split()))
        pids = [int(pid) for pid in children.read_text().split()]
        os.kill(proxy, signal.SIGKILL)
        assert until(lambda: all(_state(pid) in ("", "Z") for pid in pids))
    assert life.died.wait(10)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def until(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_silent_proxy_is_not_waited_for_forever(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.balancer.proxy_life.SECONDS", 0.2)
    life.engine.start()
    with pytest.raises(EngineError, match="does not listen after 0 s"):
        life.engine.ready(0)
    life.engine.ready()
    (pid,) = life.node.task_pids()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineError, match="did not answer 'policy'"):
        life.engine.apply(life.policy)
    with pytest.raises(EngineError, match="did not answer 'flush'"):
        life.engine.events()
    os.kill(pid, signal.SIGCONT)
    life.engine.ready()


def test_a_node_that_goes_ends_the_proxy_and_abandoning_it_first_keeps_that_quiet() -> None:
    for abandon, deaths in ((True, 0), (False, 1)):
        node = LocalNode("lb")
        life = Life(node, MitmproxyEngine)
        life.engine.start()
        life.engine.ready()
        if abandon:
            life.engine.abandon()
        node.close()
        assert len(life.deaths) == deaths
        with pytest.raises(LabNotRunning):
            life.engine.start()
    life.engine.abandon()


def test_the_owner_being_gone_ends_the_proxy() -> None:
    node = LocalNode("lb")
    life = Life(node, MitmproxyEngine)
    life.engine.start()
    life.engine.ready()
    (pid,) = node.task_pids()
    watch = os.pidfd_open(pid)
    node.close()
    try:
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(watch, signal.SIGCONT)
    finally:
        os.close(watch)


def test_the_oldest_events_go_and_are_counted() -> None:
    told = Told(maxlen=2)
    for number in range(5):
        told.append({"number": number, "ended_ns": 10 + number})
    assert ([event["number"] for event in told], told.forgotten, told.forgotten_ns) == ([3, 4], 3, 12)
