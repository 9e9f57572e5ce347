"""An engine that is elsewhere: a port of the loopback, plain or under TLS, that leads to the engine of this machine."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.certificates import Authority
from labkit.topology import default


@contextmanager
def elsewhere(folder: Path, *, tls: bool) -> Iterator[dict[str, str]]:
    """What the environment says of it. With TLS it demands a client certificate, as a remote engine does."""
    here = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    context = _secured(folder) if tls else None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, here, context), daemon=True).start()
        said = {"DOCKER_HOST": f"tcp://localhost:{listener.getsockname()[1]}"}
        yield said | ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)} if tls else {})
        listener.shutdown(socket.SHUT_RDWR)


def _secured(folder: Path) -> ssl.SSLContext:
    authority = Authority(default())
    (folder / "ca.pem").write_text(authority.trust())
    certificate, key = authority.client("alice")
    (folder / "cert.pem").write_text(certificate)
    (folder / "key.pem").write_text(key)
    chain, key = authority.named("localhost")
    (folder / "engine.pem").write_text(chain + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.trust())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "engine.pem")
    return context


def _accept(listener: socket.socket, here: str, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, here, context), daemon=True).start()


def _serve(client: socket.socket, here: str, context: ssl.SSLContext | None) -> None:
    engine = socket.socket(socket.AF_UNIX)
    with suppress(OSError), engine, client:
        engine.connect(here)
        if context is None:
            threading.Thread(target=_copy, args=(client, engine), daemon=True).start()
            _copy(engine, client)
            return
        # TLS is for one thread at a time: a pair stands between the two.
        from labkit.runtime.docker.bridged import _carry

        near, far = socket.socketpair()
        secured = context.wrap_socket(client, server_side=True)
        threading.Thread(target=_carry, args=(far, secured), daemon=True).start()
        threading.Thread(target=_copy, args=(near, engine), daemon=True).start()
        _copy(engine, near)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
