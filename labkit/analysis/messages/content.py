"""What the two sides of a connection said: their streams as captured, or decrypted where the recording has the keys.

A decrypted stream still knows which packets carried each of its bytes. Where plain text, or the rest of it, cannot
be had, the reason is told in words.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from labkit.analysis import tls
from labkit.analysis.connections.sightings import Sightings
from labkit.analysis.packets.index import TCP, Index

from .streams import Stream, datagrams, sent


@dataclass(frozen=True, slots=True)
class Content:
    """client, server: plain text; of TLS that cannot be opened, nothing. wire: both as they stood on the wire.

    tls: None unless TLS was spoken. why: why the plain text is missing ("encrypted: …"), or where it ends and why.
    """

    client: Stream
    server: Stream
    wire: tuple[Stream, Stream]
    tls: tls.Session | None
    why: str | None

    @property
    def encrypted(self) -> bool:
        """Whether it went over the wire as ciphertext, decrypted here or not."""
        return self.tls is not None

    @property
    def opened(self) -> bool:
        """Whether there is plain text."""
        return self.tls is None or self.tls.why is None

    @property
    def begun_before(self) -> bool:
        """Whether there is plain text, but not from the connection's beginning on."""
        return not self.client.from_start and bool(self.client.data or self.server.data)


def content(index: Index, sightings: Sightings, members: Iterable[int], keys: tls.KeyLog) -> Content:
    """The content of a connection: at the first of its sightings, or where most of it was captured."""
    best: tuple[Stream, Stream] | None = None
    for sighting in members:
        said = sent if int(sightings.proto[sighting]) == TCP else datagrams
        found = said(index, sightings, sighting), said(index, sightings, sighting, by_client=False)
        if best is None or _length(found) > _length(best):
            best = found
        if _whole(found) or int(sightings.proto[sighting]) != TCP:
            break
    assert best is not None, "a connection has at least one sighting"
    return of_streams(*best, keys)


def of_streams(client: Stream, server: Stream, keys: tls.KeyLog) -> Content:
    """The content of the two streams of one TCP connection or UDP conversation."""
    wire = client, server
    if tls.is_tls(client.data) and client.from_start and server.from_start:
        return _opened(wire, tls.open_session(client.data, server.data, keys))
    if any(tls.is_record(stream.data) for stream in wire):
        nothing = tls.open_session(b"", b"", keys)
        why = "encrypted: TLS, and the beginning of this connection was not captured"
        return Content(_bare(client), _bare(server), wire, replace(nothing, why=why.removeprefix("encrypted: ")), why)
    told = ((name, stream.missing) for name, stream in (("client", client), ("server", server)) if stream.missing)
    return Content(client, server, wire, None, _joined(f"of what the {name} said, {words}" for name, words in told))


def _opened(wire: tuple[Stream, Stream], session: tls.Session) -> Content:
    if session.why:
        return Content(_bare(wire[0]), _bare(wire[1]), wire, session, f"encrypted: {session.why}")
    pairs = (("client", wire[0], session.client), ("server", wire[1], session.server))
    told = ((name, _ending(stream, direction)) for name, stream, direction in pairs)
    why = _joined(f"of what the {name} said, {words}" for name, words in told if words)
    client, server = (_plain(stream, direction) for _, stream, direction in pairs)
    return Content(client, server, wire, session, why)


def _plain(stream: Stream, direction: tls.Direction) -> Stream:
    """Application data as a stream that knows the packets of its ciphertext."""
    data = bytearray()
    starts: list[int] = []
    rows: list[int] = []
    for record in direction.application:
        carriers = stream.rows_of(record.begin, record.end)
        starts += [len(data)] * len(carriers)
        rows += carriers
        data += record.data
    return Stream(bytes(data), True, starts, rows, stream.missing)


def _ending(stream: Stream, direction: tls.Direction) -> str | None:
    """What of a direction is not in plain text, and why."""
    if direction.why and (direction.at < len(stream.data)):
        carriers = stream.rows_of(direction.at, direction.at + 1)
        place = f" (from packet {carriers[0] + 1} on)" if carriers else ""
        return _joined(filter(None, (f"the rest is encrypted: {direction.why}{place}", stream.missing)))
    return stream.missing


def _bare(stream: Stream) -> Stream:
    return Stream(b"", stream.from_start)


def _whole(found: tuple[Stream, Stream]) -> bool:
    return all(stream.from_start and stream.missing is None for stream in found)


def _length(found: tuple[Stream, Stream]) -> int:
    return sum(len(stream.data) for stream in found)


def _joined(words: Iterable[str]) -> str | None:
    return "; ".join(words) or None
