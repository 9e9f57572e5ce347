"""One real Envoy on loopback in front of four real backends, shared by the tests of a module."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.topology import Listener
from tests.balancer.mitmproxy.conftest import NAMES, NOBODY, Stand
from tests.balancer.mitmproxy.harness import Backend, Client, LocalNode, free_port


def own_ports(engine: EnvoyEngine, *listeners: Listener) -> list[int]:
    """Where Envoy listens itself: no kernel sends anything on here."""
    return [inward.port for inward in engine.inward(listeners)]


@dataclass
class EnvoyStand(Stand):
    """A running Envoy, its backends, and what is needed to ask both."""

    engine: Any

    def client(self, address: str = "127.0.0.1") -> Client:
        return Client(address, own_ports(self.engine, self.listener)[0])


@pytest.fixture(scope="module")
def stand() -> Iterator[EnvoyStand]:
    with envoy_stand() as stand:
        yield stand


@contextmanager
def envoy_stand() -> Iterator[EnvoyStand]:
    every = ("127.0.0.1", "::1", NOBODY, *NAMES.values())
    listener = Listener(free_port(*every), "http", "http")
    backends = {name: Backend(name, address, listener.port) for name, address in NAMES.items()}
    with LocalNode("lb") as node:
        engine = EnvoyEngine(node, ["127.0.0.1", "::1"], [listener], lambda reason: None)
        engine.start()
        engine.ready()
        yield EnvoyStand(engine, listener, backends)
        engine.stop()
    for backend in backends.values():
        backend.close()
