"""What the tests of drain, remove, add and weigh share: connections that are held, and who answers on them."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from labkit import Capture, Lab


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def echo(connection: Any) -> str:
    """Who answers on a connection to the echo listener."""
    connection.send(b"hello\n")
    return str(connection.readline()).split('"backend": "')[1].split('"')[0]


def opened(lab: Lab, stack: ExitStack, count: int) -> dict[int, tuple[Any, str]]:
    """Connections from both clients over both families, by the client's port, each with its backend."""
    found = {}
    for number in range(count):
        client = (lab.alice, lab.bob)[number % 2]
        vip = lab.vip if number < count // 2 else str(lab.topology.vip6)
        connection = stack.enter_context(client.tcp(vip, 7))
        found[connection.local[1]] = connection, echo(connection)
    return found


def resets(cap: Capture) -> Any:
    """The packets that are resets."""
    packets = cap.packets()
    return packets[packets["flags"].astype(str).str.contains("R")]  # what is not TCP has no flags


def all_in(lab: Lab) -> None:
    """Every backend takes connections, and the policy is what a lab begins with."""
    for backend in lab.backends:
        lab.balancer.add(backend)
    lab.balancer.l4()
