"""Python functions run inside a host."""

import os
import signal
import threading
import time

import pytest

from labkit.errors import TaskError
from tests.interrupt import interrupted

pytestmark = pytest.mark.measured

FACTOR = 3


class Own:
    """A class that no host knows by name."""


def test_values_of_plain_data_come_back(alice):
    def work(a, b):
        return {"product": a * b * FACTOR, "host": [1.5, None, b"x", (True, "y")]}

    assert alice.call(work, 2, 5) == {"product": 30, "host": [1.5, None, b"x", [True, "y"]]}
    assert alice.call(os.getpid) not in (os.getpid(), alice.call(os.getpid))


def test_an_exception_comes_back_with_its_traceback(alice):
    def broken():
        return 1 / 0

    with pytest.raises(TaskError, match=r"(?s)broken in alice failed: Traceback .*in broken.*ZeroDivisionError"):
        alice.call(broken)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda: {"a": [1, {2}]}, r"returned a builtins.set \(at \['a'\]\[1\]\); only plain data"),
        (lambda: Own(), r"returned a tests.traffic.test_function_task.Own; only plain data"),
        (lambda: {1: 2}, "a key that is no text"),
        (lambda: 2**70, "only plain data"),
    ],
)
def test_what_is_not_plain_data_is_named(alice, value, words):
    with pytest.raises(TaskError, match=words):
        alice.call(value)


def test_what_cannot_be_sent_is_named(alice):
    lock = threading.Lock()
    with pytest.raises(TaskError, match="cannot be sent into a host"):
        alice.call(lambda: lock.locked())


def test_a_function_that_stays_is_stopped(alice):
    with pytest.raises(TaskError, match=r"sleep in alice did not return within 0.2 s and was stopped"):
        alice.call(time.sleep, 60, timeout=0.2)
    with pytest.raises(KeyboardInterrupt), interrupted(0.3):
        alice.call(time.sleep, 60)
    assert alice.call(abs, -1) == 1


def test_a_function_that_ends_its_process(alice):
    with pytest.raises(TaskError, match=r"raise_signal in alice ended without returning: .*SIGKILL"):
        alice.call(signal.raise_signal, signal.SIGKILL.value)


@pytest.mark.parametrize("odd", [None, 5, "os.getpid", [], object()])
def test_only_functions_are_called(alice, odd):
    with pytest.raises(TaskError, match=r"alice can call a function, as in call\(os.getpid\), not "):
        alice.call(odd)


def nested():
    endless = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 2**70, "more than 64 bits"),
        (lambda: {"a": ["\udc80"]}, "half a character"),
        (lambda: {"\udc80": 1}, "in a key"),
        (nested, "more than 100 levels"),
        (lambda: int("\udc80"), r"ValueError: invalid literal"),
        (lambda: [][len("\udc80")], "IndexError"),
    ],
)
def test_what_cannot_travel_back_is_named(alice, function, words):
    with pytest.raises(TaskError, match=words) as error:
        alice.call(function)
    str(error.value).encode()


def test_an_exception_with_half_a_character_comes_back(alice):
    def broken():
        raise ValueError("\udc80")

    with pytest.raises(TaskError, match=r"ValueError: \\udc80"):
        alice.call(broken)


def test_too_much_to_send_is_refused_before_it_is_sent(alice):
    with pytest.raises(TaskError, match="send less"):
        alice.call(len, bytes(65 * 1024 * 1024))
