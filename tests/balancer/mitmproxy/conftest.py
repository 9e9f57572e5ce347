"""One real proxy on loopback in front of four real backends, shared by the tests of a module."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.balancer.limits import Limits
from labkit.balancer.mitmproxy.engine import MitmproxyEngine
from labkit.balancer.policy import L7Policy, Route, Target
from labkit.balancer.proxy import Proxy
from labkit.topology import Listener

from .harness import Backend, Client, LocalNode, free_port
from .secure import SecureStand, secure_stand

NAMES = {"api1": "127.0.0.11", "api2": "127.0.0.12", "images1": "127.0.0.21", "images2": "127.0.0.22"}
NOBODY = "127.0.0.99"  # an address of this host where nothing listens


@dataclass
class Stand:
    """A running proxy, its backends, and what is needed to ask both."""

    engine: Proxy
    listener: Listener
    backends: dict[str, Backend]

    @property
    def port(self) -> int:
        return self.listener.port

    def route(self, *routes: Route, limits: Limits | None = None, **pools: str) -> L7Policy:
        """Apply *routes* over the standing pools, or over pools of the one address given by name."""
        made: dict[str, tuple[Target, ...]] = {
            "api": (Target("api1", NAMES["api1"]), Target("api2", NAMES["api2"])),
            "images": (Target("images1", NAMES["images1"]), Target("images2", NAMES["images2"])),
        } | {name: (Target(name, address),) for name, address in pools.items()}
        chosen = routes or (Route("/api/*", "api"), Route("/images/*", "images"))
        used = {route.pool: made[route.pool] for route in chosen}
        policy = L7Policy((self.listener,), chosen, used, limits=limits or Limits())
        self.engine.apply(policy)
        return policy

    def client(self, address: str = "127.0.0.1") -> Client:
        return Client(address, self.port)

    def ask(self, request: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """One raw request on a connection of its own."""
        with self.client() as client:
            client.send(request)
            return client.reply(method)

    def during(self, act: Callable[[], Any]) -> list[dict[str, Any]]:
        """The request events that *act* causes."""
        before = len(self.engine.events())
        act()
        return self.engine.events()[before:]


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with mitmproxy_stand() as stand:
        yield stand


@contextmanager
def mitmproxy_stand() -> Iterator[Stand]:
    port = free_port("127.0.0.1", "::1", NOBODY, *NAMES.values())
    listener = Listener(port, "http", "http")
    backends = {name: Backend(name, address, port) for name, address in NAMES.items()}
    with LocalNode("lb") as node:
        engine = MitmproxyEngine(node, ["127.0.0.1", "::1"], [listener], lambda reason: None)
        engine.start()
        engine.ready()
        yield Stand(engine, listener, backends)
        engine.stop()
    for backend in backends.values():
        backend.close()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStand]:
    with secure_stand(tmp_path_factory.mktemp("certificates")) as stand:
        yield stand
