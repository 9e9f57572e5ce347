"""Both directions of a TLS connection, opened with the secrets of a key log as far as they go.

Each direction is read on its own: which keys a record needs follows from the handshake messages before it. What could
not be opened is told with the reason and the place; nothing is taken for plain text that has not proved itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from . import keylog
from .hello import TLS_1_0, TLS_1_3, ClientHello, ServerHello, chosen_protocol, client_hello, server_hello
from .keylog import KeyLog
from .protection import Opener, Tls13, up_to_12
from .records import APPLICATION, CHANGE_CIPHER_SPEC, HANDSHAKE, Messages, Record, records
from .schedule import key_block, next_secret, traffic_keys
from .suites import SUITES, Suite, suite_name

_ENCRYPTED_EXTENSIONS, _FINISHED, _KEY_UPDATE = 8, 20, 24
_WRONG = "a record does not open with the keys that this file has"
_LACKING = "this file lacks keys of this direction"


@dataclass(frozen=True, slots=True)
class Plain:
    """The plain text of one record. kind: its true content type. begin, end: the record in the stream."""

    kind: int
    data: bytes
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Direction:
    """What one side said. why: what kept the rest closed, from *at* in the stream on; None if all was opened."""

    plain: tuple[Plain, ...] = ()
    why: str | None = None
    at: int = 0

    @property
    def application(self) -> tuple[Plain, ...]:
        """The records of application data alone."""
        return tuple(one for one in self.plain if one.kind == APPLICATION and one.data)


@dataclass(frozen=True, slots=True)
class Session:
    """client_hello, server_hello: None where they were not captured. protocol: what ALPN chose, if it can be known.

    why: why nothing could be opened, in words that follow "encrypted: "; None if the keys were there.
    """

    client_hello: ClientHello | None
    server_hello: ServerHello | None
    protocol: str | None
    client: Direction
    server: Direction
    why: str | None

    @property
    def version(self) -> str:
        """What was agreed on, or the highest offered, or "TLS" if neither is known."""
        if self.server_hello:
            return self.server_hello.version
        return self.client_hello.version if self.client_hello else "TLS"

    @property
    def cipher(self) -> str | None:
        return suite_name(self.server_hello.cipher) if self.server_hello else None


def open_session(client: bytes, server: bytes, keys: KeyLog) -> Session:
    """The TLS connection whose two streams these are, from their beginnings on."""
    hello, answer = client_hello(client), server_hello(server)
    secrets = keys.of_random(hello.random) if hello else {}
    why = _obstacle(hello, answer, secrets)
    bare = Session(hello, answer, answer.protocol if answer else None, Direction(), Direction(), why)
    if why or hello is None or answer is None:
        return bare
    suite = SUITES[answer.cipher]
    if answer.number == TLS_1_3:
        early = [keylog.EARLY] if hello.early_data else []
        from_client = _Tls13(suite, secrets, [*early, keylog.CLIENT_HANDSHAKE, keylog.CLIENT_TRAFFIC]).read(client)
        reader = _Tls13(suite, secrets, [keylog.SERVER_HANDSHAKE, keylog.SERVER_TRAFFIC])
        from_server = reader.read(server)
        return replace(bare, client=from_client, server=from_server, protocol=reader.protocol)
    both = key_block(secrets[keylog.MASTER], (hello.random, answer.random), suite, answer.number)
    openers = (up_to_12(side, suite, answer.number, encrypt_then_mac=answer.encrypt_then_mac) for side in both)
    from_client, from_server = (_read_12(data, one) for data, one in zip((client, server), openers, strict=True))
    return replace(bare, client=from_client, server=from_server)


def _obstacle(hello: ClientHello | None, answer: ServerHello | None, secrets: Mapping[str, bytes]) -> str | None:
    """What stands in the way of opening anything; None if nothing does."""
    if hello is None:
        return "TLS, and this capture does not have the whole ClientHello"
    if answer is None:
        return f"TLS (up to {hello.version.removeprefix('TLS ')}), and this capture does not have the whole ServerHello"
    if answer.cipher not in SUITES or answer.compressed or not TLS_1_0 <= answer.number <= TLS_1_3:
        compressed = " with compression" if answer.compressed else ""
        return f"{answer.version} with {suite_name(answer.cipher)}{compressed}, which labkit does not decrypt"
    wanted = {keylog.CLIENT_TRAFFIC, keylog.SERVER_TRAFFIC} if answer.number == TLS_1_3 else {keylog.MASTER}
    return None if wanted & secrets.keys() else f"{answer.version}, and this file has no keys for it"


def _read_12(data: bytes, opener: Opener) -> Direction:
    """Up to TLS 1.2: everything after the ChangeCipherSpec is under the keys."""
    plain: list[Plain] = []
    protected = False
    for record in records(data):
        if record.kind == CHANGE_CIPHER_SPEC and not protected:
            protected = True
            continue
        opened = opener.open(record) if protected else (record.kind, record.body)
        if opened is None:
            return Direction(tuple(plain), _WRONG, record.begin)
        plain.append(Plain(*opened, record.begin, record.end))
    return _ended(data, plain)


class _Tls13:
    """One direction of TLS 1.3: its secrets in the order of their use, each until the message that ends its time.

    A secret that the log lacks is passed over: its records stay closed, the next secret's are known by their opening.
    """

    def __init__(self, suite: Suite, secrets: Mapping[str, bytes], labels: Sequence[str]) -> None:
        self._suite = suite
        self._complete = all(label in secrets for label in labels)
        self._secrets = [secrets[label] for label in labels if label in secrets]
        self._openers: list[Opener] = [Tls13(traffic_keys(secret, suite), suite) for secret in self._secrets]
        self._messages = Messages()
        self._current = 0
        self._any = False
        self.protocol: str | None = None

    def read(self, data: bytes) -> Direction:
        plain: list[Plain] = []
        closed: int | None = None
        for record in records(data):
            if record.kind != APPLICATION:
                if record.kind != CHANGE_CIPHER_SPEC:
                    plain.append(Plain(record.kind, record.body, record.begin, record.end))
                continue
            opened = self._open(record)
            if opened is None:
                if self._any or self._complete:
                    return Direction(tuple(plain), _WRONG if self._complete else _LACKING, record.begin)
                closed = record.begin if closed is None else closed
                continue
            self._any = True
            kind, text = opened
            plain.append(Plain(kind, text, record.begin, record.end))
            if kind == HANDSHAKE:
                self._heed(self._messages.feed(text))
        if closed is not None and not self._any:
            return Direction(tuple(plain), _LACKING, closed)
        return _ended(data, plain)

    def _open(self, record: Record) -> tuple[int, bytes] | None:
        for number in range(self._current, len(self._openers)):
            opened = self._openers[number].open(record)
            if opened is not None:
                self._current = number
                return opened
        return None

    def _heed(self, messages: Iterator[tuple[int, bytes]]) -> None:
        for kind, body in messages:
            if kind == _ENCRYPTED_EXTENSIONS:
                self.protocol = chosen_protocol(body)
            elif kind == _FINISHED:
                self._current = min(self._current + 1, len(self._openers) - 1)
            elif kind == _KEY_UPDATE:
                self._secrets[self._current] = next_secret(self._secrets[self._current], self._suite)
                self._openers[self._current] = Tls13(
                    traffic_keys(self._secrets[self._current], self._suite), self._suite
                )


def _ended(data: bytes, plain: list[Plain]) -> Direction:
    """All whole records are read; a rest that is not one is told."""
    last = 0
    for record in records(data):
        last = record.end
    return Direction(tuple(plain), "its last record is not whole" if last < len(data) else None, last)
