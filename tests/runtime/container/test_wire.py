"""A network is wired by one at a time; what it becomes is seen in labs of containers (tests/parity, tests/compose)."""

import select
import threading
import time

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.container import wire
from labkit.runtime.container.handing import Door
from labkit.runtime.container.wire import alone


def test_who_comes_second_waits_until_the_first_is_done():
    order = []
    with alone():
        second = threading.Thread(target=lambda: wait_for_it(order))
        second.start()
        time.sleep(0.2)
        order.append("first")
    second.join(10)
    assert order == ["first", "second"]


def wait_for_it(order: list[str]) -> None:
    with alone():
        order.append("second")


def test_who_waits_too_long_says_so():
    with (
        alone(),
        pytest.raises(RuntimeUnavailable, match=r"somebody else has been wiring it for 0\.1 s"),
        alone(seconds=0.1),
    ):
        raise AssertionError("two at once")


def test_an_end_in_the_middle_lets_the_next_one_in():
    with pytest.raises(ZeroDivisionError), alone():
        _ = 1 // 0
    with alone(seconds=0.1):
        pass


def test_a_host_that_is_wired_anew_first_takes_its_socket_afterwards(folder, monkeypatch):
    """As one does whose owner has just left: the wiring must not hold the network while it waits for the host."""
    monkeypatch.setenv("LABKIT_NODE", "api1")
    monkeypatch.setattr(wire, "wire", lambda node: None)  # it has its network
    door = Door(str(folder))
    monkeypatch.setattr("sys.argv", ["wire", "--agents", str(folder), "--door", str(folder)])
    handing = threading.Thread(target=wire.main)
    handing.start()
    assert select.select([door], [], [], 5)[0], "nobody came"
    with alone(seconds=5):
        pass
    listening = door.take()
    assert listening
    handing.join(5)
    assert [path.name for path in folder.iterdir()] == ["api1.sock"]
    listening.close()
    door.close()


def test_a_place_without_a_door_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["wire", "--agents", "/dev/shm/labkit"])
    with pytest.raises(SystemExit):
        wire.main()
    assert "--agents and --door belong together" in capsys.readouterr().err
