"""A network is wired by one at a time; what it becomes is seen in labs of containers (tests/parity, tests/compose)."""

import threading
import time

import pytest

from labkit.errors import RuntimeUnavailable
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
        alone(0.1),
    ):
        raise AssertionError("two at once")


def test_an_end_in_the_middle_lets_the_next_one_in():
    with pytest.raises(ZeroDivisionError), alone():
        _ = 1 // 0
    with alone(0.1):
        pass
