"""The secrets of an NSS key log (draft-ietf-tls-keylogfile): by the client's random, which stands in every ClientHello.

Lines that are none, or of a kind that opens nothing here, are left out without a word: a log may hold anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MASTER = "CLIENT_RANDOM"  # up to TLS 1.2
EARLY = "CLIENT_EARLY_TRAFFIC_SECRET"
CLIENT_HANDSHAKE, SERVER_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"
CLIENT_TRAFFIC, SERVER_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"
_LABELS = frozenset((MASTER, EARLY, CLIENT_HANDSHAKE, SERVER_HANDSHAKE, CLIENT_TRAFFIC, SERVER_TRAFFIC))


@dataclass(frozen=True)
class KeyLog:
    """secrets: client random -> label -> secret."""

    secrets: Mapping[bytes, Mapping[str, bytes]]

    @classmethod
    def of(cls, lines: Iterable[str]) -> "KeyLog":
        found: dict[bytes, dict[str, bytes]] = {}
        for line in lines:
            label, *values = line.split() or [""]
            if label not in _LABELS or len(values) != 2:
                continue
            try:
                random, secret = map(bytes.fromhex, values)
            except ValueError:
                continue
            found.setdefault(random, {})[label] = secret
        return cls(found)

    def of_random(self, random: bytes) -> Mapping[str, bytes]:
        """The secrets of one connection by their labels; empty if there are none."""
        return self.secrets.get(random, {})
