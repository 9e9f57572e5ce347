"""A stream of bytes as TLS records (RFC 8446 §5.1, RFC 5246 §6.2), and handshake records as messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
HEADER = 5
LARGEST = (1 << 14) + 2048  # bytes of a protected record's body: TLS 1.2 allows the most
_KINDS = range(20, 25)


@dataclass(frozen=True, slots=True)
class Record:
    """kind: content type. version: as the record says. body: what follows its header. begin, end: in the stream."""

    kind: int
    version: int
    body: bytes
    begin: int
    end: int


def is_record(data: bytes) -> bool:
    """Whether *data* begins like a TLS record of any kind."""
    return len(data) >= HEADER and data[0] in _KINDS and data[1] == 3 and data[2] <= 4 and _length(data, 0) <= LARGEST


def records(data: bytes) -> Iterator[Record]:
    """The whole records in order; ends at the first that is cut off or is none."""
    at = 0
    while at + HEADER <= len(data) and data[at] in _KINDS and data[at + 1] == 3:
        end = at + HEADER + _length(data, at)
        if end > len(data) or end - at - HEADER > LARGEST:
            return
        yield Record(data[at], int.from_bytes(data[at + 1 : at + 3]), data[at + HEADER : end], at, end)
        at = end


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 3 : at + 5])


class Messages:
    """Handshake messages out of the bodies of handshake records, which may split or join them (RFC 8446 §5.1)."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, body: bytes) -> Iterator[tuple[int, bytes]]:
        """The type and body of each message that is now whole."""
        self._rest += body
        while len(self._rest) >= 4:
            end = 4 + int.from_bytes(self._rest[1:4])
            if len(self._rest) < end:
                return
            message = bytes(self._rest[:end])
            del self._rest[:end]
            yield message[0], message[4:]


def clear_messages(every: Iterable[Record]) -> Iterator[tuple[int, bytes]]:
    """The handshake messages before the first protected record."""
    messages = Messages()
    for record in every:
        if record.kind == HANDSHAKE:
            yield from messages.feed(record.body)
        elif record.kind != CHANGE_CIPHER_SPEC:
            return
