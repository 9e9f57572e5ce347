"""What of the user's travels by value, and what by name."""

import json
import pickletools
import threading

import pytest

from labkit.errors import TaskError
from labkit.pickled import pickle, unpickle
from labkit.traffic.target import parse_url

HERE = 5


def local(x):
    return x + HERE


def names(data):
    return {argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)}


def test_functions_of_the_users_modules_travel_by_value():
    data = pickle(local, 1)
    function, arguments = unpickle(data)
    assert function(*arguments) == 6
    assert function is not local
    assert "HERE" in names(data)


@pytest.mark.parametrize("thing", [json.dumps, parse_url, len])
def test_installed_things_travel_by_name(thing):
    assert unpickle(pickle(thing))[0] is thing


def test_what_cannot_travel_is_named():
    with pytest.raises(TaskError, match="lock cannot be sent into a host"):
        pickle(threading.Lock())
