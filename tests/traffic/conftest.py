"""Hosts on one loopback: the real agent, worker, tasks and owner's objects, without a lab around them."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from labkit.runtime.loop import StreamLoop
from labkit.runtime.stream import StreamNode
from labkit.topology import Interface, Node
from labkit.traffic.host import Backend, Host


def spec(name: str, role: str, address4: str, address6: str | None = None) -> Node:
    six = IPv6Interface(address6) if address6 else None
    return Node(name, role, (Interface("front", IPv4Interface(address4), six),))


def end(backend: Backend) -> None:
    """End its server by SIGTERM, so that what it covered is written down."""
    life = backend._server._life
    if life is not None:
        life.task.stop(5)


@pytest.fixture(scope="session")
def node() -> Iterator[StreamNode]:
    near, far = socket.socketpair()
    command = [sys.executable, "-m", "tests.traffic.loopback", str(far.fileno())]
    agent = subprocess.Popen(command, pass_fds=[far.fileno()])
    far.close()
    loop = StreamLoop("loopback")
    yield StreamNode("loopback", near, loop)
    loop.close()
    agent.wait(10)


@pytest.fixture(scope="session")
def alice(node: StreamNode) -> Host:
    return Host(spec("alice", "client", "127.0.0.1/8"), lambda: node)


@pytest.fixture(scope="module")
def api1(node: StreamNode) -> Iterator[Backend]:
    """A backend on ports 80 and 7, the same for all tests of a module: leave it as it was."""
    backend = Backend(spec("api1", "backend", "127.0.0.11/8", "::1/128"), lambda: node)
    backend.restore()
    yield backend
    end(backend)


@pytest.fixture
def spare(node: StreamNode) -> Iterator[Callable[..., Backend]]:
    """Makes further backends, on ports of the test's own."""
    made: list[Backend] = []

    def make(port: int, name: str = "api2") -> Backend:
        backend = Backend(spec(name, "backend", "127.0.0.12/8"), lambda: node, http_port=port, tcp_port=0, udp_port=0)
        made.append(backend)
        return backend

    yield make
    for backend in made:
        end(backend)
