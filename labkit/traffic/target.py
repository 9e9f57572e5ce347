"""Where a client is asked to go: URLs and host names checked, resolved and connected to.

Runs inside nodes. What a wrong target means is said here; naming the client is left to `labkit.traffic.remote`.
"""

import contextlib
import re
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from labkit.traffic.failure import Failure
from labkit.wording import shown

HOSTS = Path("/etc/hosts")
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
SECURE = frozenset({"https", "wss"})
NOT_SPOKEN = re.compile(r"[\x00-\x20\x7f]")
AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]@]+))(?::(?P<port>[0-9]*))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart (RFC 9110 §4.2.1). *path* is the origin-form target, byte for byte as written."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What belongs in a Host header: no default port, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken there."""
        return self.scheme in SECURE

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(url: str, schemes: tuple[str, ...] = ("http", "https")) -> Target:
    """Take *url* apart without changing its path: nothing is decoded, encoded or resolved. Failure if it is none."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise Failure("bad url", f"a URL begins with {wanted}, for example {schemes[0]}://lb/")
    if scheme.lower() not in schemes:
        raise Failure("bad url", f"{scheme}:// is not spoken here, only {wanted}")
    if NOT_SPOKEN.search(url) or not url.isascii():
        raise Failure("bad url", "a URL has no spaces, control characters or non-ASCII letters: percent-encode them")
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    host, port = _split_authority(rest[:end], DEFAULT_PORTS[scheme.lower()])
    path = rest[end:].partition("#")[0]
    return Target(scheme.lower(), host, port, path if path.startswith("/") else "/" + path)


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    match = AUTHORITY.fullmatch(authority)
    if match is None:
        raise Failure(
            "bad url", f"{shown(authority)} is not a host, or a host and port (IPv6 addresses stand in brackets)"
        )
    port = int(match["port"] or default_port)
    check_port(port)
    return match["v6"] or match["host"], port


def check_port(port: int) -> None:
    """Failure unless *port* is one that a connection can be made to."""
    if not 1 <= port <= 65535:
        raise Failure("bad port", f"port {port} does not exist: ports go from 1 to 65535")


def known_hosts() -> list[str]:
    """The names of the lab's hosts, sorted, from this node's hosts file."""
    lines = (line.partition("#")[0].split() for line in HOSTS.read_text().splitlines())
    names = {name.lower() for line in lines for name in line[1:]}
    return sorted(names)


def resolve(host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[tuple[Any, ...]]:
    """The addresses of *host* in the order to try them: (family, sockaddr). No DNS is asked, a lab has none."""
    check_port(port)
    try:
        ip_address(host)
    except ValueError:
        names = known_hosts()
        if host.lower() not in names:
            plain = ", ".join(name for name in names if not name.startswith("ip6-"))  # every name again, for IPv6
            detail = f"there is no host called {shown(host)} in this lab; it has {plain}"
            raise Failure("unknown host", detail) from None
    found = socket.getaddrinfo(host, port, type=kind)
    return [(family, address) for family, _, _, _, address in found]


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to the first address of *host* that takes one; small writes leave at once (TCP_NODELAY)."""
    deadline = time.monotonic() + timeout
    failed: OSError | None = None
    for family, address in resolve(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failed = failed or error
        else:
            return sock
    raise failed or Failure("no address", f"{host} has no address here")


def ends(sock: socket.socket) -> dict[str, Any]:
    """Both ends of a connected socket: {"local": [ip, port], "remote": [ip, port]}."""
    return {"local": list(sock.getsockname()[:2]), "remote": list(sock.getpeername()[:2])}


def hang_up(sock: socket.socket) -> None:
    """Close *sock*, waking any thread that waits on it."""
    with contextlib.suppress(OSError):  # never connected, or reset: then nobody waits
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
