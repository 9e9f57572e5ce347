"""A proxy on loopback that ends TLS, with backends in clear and under TLS, and clients for both versions of HTTP."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.l7.tls import Tls
from labkit.balancer.limits import Limits
from labkit.balancer.mitmproxy.engine import MitmproxyEngine
from labkit.balancer.policy import L7Policy, Route, Target
from labkit.balancer.proxy import Proxy
from labkit.certificates import Authority
from labkit.topology import Interface, Listener, default
from labkit.traffic.http import Session

from .harness import Backend, LocalNode, free_port

ADDRESSES = {"api1": "127.0.0.11", "api2": "127.0.0.12"}


def authority() -> Authority:
    """As a lab's, with the balancer and the backends on loopback."""
    lab = default()
    own = {"lb": "127.0.0.1", **ADDRESSES}
    nodes = tuple(
        replace(node, interfaces=(Interface("front", IPv4Interface(f"{own[node.name]}/8")),))
        for node in lab.nodes
        if node.name in own
    )
    return Authority(replace(lab, nodes=nodes))


def under_tls(backend: Backend, signer: Authority, folder: Path) -> None:
    """Make *backend* speak TLS, with its own certificate by *signer*."""
    certificate = signer.certificate(backend.name)
    file = folder / f"{backend.name}.pem"
    file.write_text(certificate.chain + certificate.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    backend.socket = context.wrap_socket(backend.socket, server_side=True, do_handshake_on_connect=False)


@dataclass
class SecureStand:
    """A running proxy and what is needed to ask it."""

    engine: Proxy
    signer: Authority
    listeners: tuple[Listener, Listener]
    backends: list[Backend]
    port: int  # where TLS is spoken

    def route(
        self,
        *routes: Route,
        reencrypt: bool = False,
        limits: Limits | None = None,
        tls: Tls | None = None,
        **pools: str,
    ) -> None:
        """Apply *routes* (all to both backends unless given), over pools of one address given by name."""
        made = {"api": tuple(Target(name, address) for name, address in ADDRESSES.items())}
        made |= {name: (Target(name, address),) for name, address in pools.items()}
        chosen = routes or (Route("/api/*", "api"),)
        http_port = self.listeners[0].target_port
        policy = L7Policy(self.listeners, chosen, made, (), reencrypt, http_port, limits=limits or Limits(), tls=tls)
        self.engine.apply(policy)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def spec(self, path: str, *, method: str = "GET", http2: bool = True, body: bytes = b"", **more: Any) -> Any:
        trust = {"trust": self.signer.trust(), "version": more.pop("version", None)}
        asked = {"method": method, "url": self.url(path), "headers": [], "cookies": {}, "body": body, "timeout": 10.0}
        return asked | {"http2": http2, "http3": False, "tls": trust} | more

    def ask(self, path: str, **how: Any) -> dict[str, Any]:
        """One request on a connection of its own."""
        session = Session()
        try:
            return session.exchange(self.spec(path, **how))
        finally:
            session.close()


@contextmanager
def secure_stand(
    folder: Path, make: type[MitmproxyEngine] | type[EnvoyEngine] = MitmproxyEngine
) -> Iterator[SecureStand]:
    every = ["127.0.0.1", *ADDRESSES.values()]
    plain, secure, inside = (free_port(*every) for _ in range(3))
    listeners = (Listener(plain, "http"), Listener(secure, "https", backend_port=inside))
    signer = authority()
    backends = [Backend(name, address, plain) for name, address in ADDRESSES.items()]
    for name, address in ADDRESSES.items():
        backends.append(Backend(name, address, inside))
        under_tls(backends[-1], signer, folder)
    certificate = signer.certificate("lb")
    identity = [certificate.chain, certificate.key, signer.trust()]
    with LocalNode("lb") as node:
        engine = make(node, ["127.0.0.1"], listeners, lambda reason: None, lambda: identity, signer.named)
        engine.start()
        engine.ready()
        ports = [inward.port for inward in engine.inward(listeners)] or [plain, secure]
        yield SecureStand(engine, signer, listeners, backends, ports[1])
        engine.stop()
    for backend in backends:
        backend.close()
