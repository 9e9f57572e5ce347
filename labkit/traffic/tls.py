"""TLS as the lab's hosts speak it: contexts for servers and clients, and the secrets of the clients' handshakes.

Runs inside nodes. Certificates come as PEM text and go to OpenSSL through files in memory: nothing is written to disk.
Who may be asked for which version is checked in `labkit.traffic.spec`; what a failed handshake means is said in
`labkit.traffic.failure`.
"""

import contextlib
import os
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
HTTP1 = ("http/1.1",)
HTTP2 = ("h2",)
_KEPT = 20_000  # handshakes, about 1 kB each; the oldest go first


def server_context(chain: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with the certificate given (PEM), offering HTTP/2 and HTTP/1.1 (ALPN, RFC 7301)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([*HTTP2, *HTTP1])
    with _in_memory(chain + key) as path:
        context.load_cert_chain(path)
    return context


@dataclass(slots=True)
class Secrets:
    """The secrets of one handshake: NSS key log lines, when it was made and when its connection ended; whether QUIC."""

    time_ns: int
    lines: list[str]
    ended_ns: int | None = None
    quic: bool = False

    def end(self) -> None:
        """The connection has ended."""
        self.ended_ns = self.ended_ns or time.time_ns()


class Handshakes:
    """The last handshakes made in this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: deque[Secrets] = deque()
        self._forgotten_ns = 0  # when the newest of them was made (Unix time)

    def put(self, secrets: Secrets) -> None:
        with self._lock:
            self._made.append(secrets)
            if len(self._made) > _KEPT:
                self._forgotten_ns = self._made.popleft().time_ns

    def since(self, since_ns: int) -> list[Secrets]:
        """Of all connections that were open at *since_ns* (Unix time) or later."""
        with self._lock:
            return [one for one in self._made if one.ended_ns is None or one.ended_ns >= since_ns]

    def forgot(self, since_ns: int) -> bool:
        """Whether some that were made since then are no longer kept."""
        return self._forgotten_ns >= since_ns


handshakes = Handshakes()


def secrets(since_ns: int) -> dict[str, Any]:
    """Call target: of this host's TLS connections that were open at *since_ns* or later.

    {"made": [[time_ns, lines, whether QUIC]], "forgot": whether there were more of them}.
    """
    made = [[one.time_ns, one.lines, one.quic] for one in handshakes.since(since_ns)]
    return {"made": made, "forgot": handshakes.forgot(since_ns)}


@contextlib.contextmanager
def handshake(options: dict[str, Any], protocols: Sequence[str]) -> Iterator[tuple[ssl.SSLContext, Secrets]]:
    """A context for one handshake, made within the block, and its secrets, which are complete after it.

    options: {"trust": the root certificate (PEM), "version": "1.2", "1.3" or None for both, and if the client shows one
    "certificate": [its own, its key] (PEM)}. protocols: for ALPN.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    context.load_verify_locations(cadata=options["trust"])
    version = options["version"]
    context.minimum_version = VERSIONS[version or "1.2"]
    context.maximum_version = VERSIONS[version or "1.3"]
    context.set_alpn_protocols(list(protocols))
    if own := options.get("certificate"):
        with _in_memory("".join(own)) as path:
            context.load_cert_chain(path)
    made = Secrets(time.time_ns(), [])
    with _in_memory("") as path:
        context.keylog_filename = path
        try:
            yield context, made
        except BaseException:
            made.end()  # it came to nothing
            raise
        finally:
            with open(path) as log:
                made.lines = [line for line in log.read().splitlines() if line and not line.startswith("#")]
            made.time_ns = time.time_ns()
            if made.lines:
                handshakes.put(made)


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """The path of a file in memory that holds *text*, for those who take nothing but paths."""
    file = os.memfd_create("labkit-tls", os.MFD_CLOEXEC)
    try:
        os.write(file, text.encode())
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
