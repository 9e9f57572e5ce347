"""The matrix of header fields: what stood on the wire at each vantage point, and what the balancer did with it.

One request is shown (at L7 on its two connections), or one connection. Addresses, ports and numbers are those of the
client's first packet; HTTP is parsed from the captured bytes. The verdicts are `evidence`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from labkit.wording import inert

from . import evidence, headers, http, tls
from .exchanges import Exchange
from .index import protocol_name
from .routes import Routes
from .streams import Stream, sent
from .study import Study
from .tables import records

Values = dict[str, object]  # field -> value on the wire at one vantage point

# The eight telling rows; "ip" stands for the version's own prefix. The first name that has a value stands for its row.
_TELLING: dict[str, tuple[tuple[str, ...], ...]] = {
    "http": (
        ("eth.dst",), ("ip.src", "ip6.src"), ("ip.dst", "ip6.dst"), ("tcp.dport",), ("tcp.seq",),
        ("http.target",), ("http.host",), ("tls.sni", "http.cookie", "ip.ttl", "ip6.hlim"),
    ),
    "TCP": (
        ("eth.dst",), ("ip.src", "ip6.src"), ("ip.dst", "ip6.dst"), ("ip.ttl", "ip6.hlim"),
        ("tcp.sport",), ("tcp.dport",), ("tcp.seq",), ("payload",),
    ),
    "UDP": (
        ("eth.dst",), ("ip.src", "ip6.src"), ("ip.dst", "ip6.dst"), ("ip.ttl", "ip6.hlim"),
        ("ip.id", "ip6.flow"), ("udp.sport",), ("udp.dport",), ("payload",),
    ),
}  # fmt: skip
_LAYERS = {"tls": "TLS", "http": "HTTP", "payload": "Payload"}
_SECRET = ("http.method", "http.target", "http.host", "http.cookie", "http.body")  # what TLS hides of a request
_SHOWN = 60  # bytes of a body or payload that are shown as they are


@dataclass(frozen=True)
class Subject:
    """What the matrix is about. fronts, backs: sightings on the way; backs only where another connection goes on."""

    mode: str | None
    fronts: tuple[int, ...]
    backs: tuple[int, ...]
    exchange: Exchange | None

    @property
    def sightings(self) -> tuple[int, ...]:
        return (*self.fronts, *self.backs)


def table(study: Study, routes: Routes, connection: int | None = None, *, full: bool = False) -> pd.DataFrame:
    """The matrix for *connection* (None: the first request, or else the first connection); no rows without packets."""
    subject = _subject(study, routes, connection)
    if subject is None:
        return records([], ("layer", "field", "state", "rewritten"))
    seen = _Seen(study, subject)
    names = seen.names if full else seen.telling
    judge = _judge(study, subject, seen)
    vantages = [study.vantages[int(study.sightings.vantage[s])] for s in subject.sightings]
    rows = [
        {
            "layer": seen.layer(name),
            "field": name,
            **{vantage: values.get(name) for vantage, values in zip(vantages, seen.values, strict=True)},
            "state": judge.state(name, encrypted=seen.hidden(name)),
            "rewritten": seen.rewritten(name),
        }
        for name in names
    ]
    return records(rows, ("layer", "field", *vantages, "state", "rewritten"))


def _subject(study: Study, routes: Routes, connection: int | None) -> Subject | None:
    members = study.connections.members
    mine = [e for e in study.exchanges if e.front is not None and connection in (None, e.front, e.back)]
    if mine:
        chosen = next((e for e in mine if e.back is not None), mine[0])
        assert chosen.front is not None
        return Subject("l7", members[chosen.front - 1], members[chosen.back - 1] if chosen.back else (), chosen)
    if connection is None:
        carrying = (number for number in range(1, len(members) + 1) if _carries(study, number))
        connection = next(carrying, 1 if members else None)
    if connection is None:
        return None
    return Subject(routes.modes.get(connection), members[connection - 1], (), None)


def _carries(study: Study, connection: int) -> bool:
    rows = study.sightings.packets(study.connections.home(connection))
    return bool((study.index.payload_length[rows] > 0).any())


class _Seen:
    """The values of all fields at every vantage point of a subject."""

    def __init__(self, study: Study, subject: Subject) -> None:
        self._study, self._subject = study, subject
        first = [study.scene.first_sent(s) for s in subject.sightings]
        pairs = zip(subject.sightings, first, strict=True)
        self.rows = np.array(
            [int(study.sightings.first[s]) if row is None else row for s, row in pairs], dtype=np.int64
        )
        lower = {field.name: field.shown(study.index, self.rows) for field in headers.FIELDS}
        streams = [sent(study.index, study.sightings, s) for s in subject.sightings]
        self._tls = [tls.is_tls(stream.data) for stream in streams]
        upper = [self._content(place, stream) for place, stream in enumerate(streams)]
        self.values: list[Values] = [
            {**{name: shown[place] for name, shown in lower.items() if shown[place] is not None}, **_inert(content)}
            for place, content in enumerate(upper)
        ]

    @property
    def names(self) -> list[str]:
        """All fields that have a value somewhere: headers in their order, then content in the order it was sent."""
        found = dict.fromkeys(name for values in self.values for name in values)
        return sorted(found, key=_place)

    @property
    def telling(self) -> list[str]:
        proto = protocol_name(int(self._study.sightings.proto[self._subject.fronts[0]])) or ""
        kind = "http" if any("http.target" in values for values in self.values) else proto
        names = set(self.names)
        chosen = (next((name for name in choice if name in names), choice[0]) for choice in _TELLING[kind])
        return sorted(chosen, key=_place)

    def layer(self, name: str) -> str:
        known = headers.BY_NAME.get(name)
        return known.layer if known else _LAYERS[name.partition(".")[0]]

    def hidden(self, name: str) -> bool:
        """Whether the balancer had only ciphertext of this field: TLS that it did not terminate."""
        return self._subject.exchange is None and self.layer(name) == "HTTP" and any(self._tls)

    def rewritten(self, name: str) -> str | bool:
        """ "before → after" for each change on the way, or False.

        Where one connection ends and another begins, only the request goes on: of the layers below, nothing is
        rewritten, everything is new.
        """
        fronts = [values.get(name) for values in self.values[: len(self._subject.fronts)]]
        backs = [values.get(name) for values in self.values[len(self._subject.fronts) :]]
        steps = [*pairwise(fronts), *pairwise(backs)]
        if backs and self.layer(name) == "HTTP":
            steps.append((self._received(name) if self._tls[0] else fronts[-1], backs[0]))
        changes = [f"{_word(before)} → {_word(after)}" for before, after in steps if before != after]
        return ", ".join(changes) or False

    def _received(self, name: str) -> object:
        """What the proxy found when it had decrypted the request, by its own record."""
        event = self._subject.exchange.event if self._subject.exchange else {}
        pairs = tuple((str(name), str(value)) for name, value in event.get("headers_received") or ())
        record = http.Request(
            str(event.get("method")), str(event.get("target")), str(event.get("version")), pairs, b"", complete=True
        )
        return _inert(_fields_of(record)).get(name)

    def _content(self, place: int, stream: Stream) -> Values:
        """The fields above TCP and UDP at one vantage point."""
        if self._tls[place]:
            return {**_in_clear(stream.data), **dict.fromkeys(_SECRET, evidence.ENCRYPTED)}
        request = self._request(place, stream)
        if request is not None:
            return _fields_of(request)
        return {"payload": _bytes(stream.data)} if stream.data else {}

    def _request(self, place: int, stream: Stream) -> http.Request | None:
        """The subject's request in this stream: by its turn on the connection, or by method and target."""
        found = list(http.requests(stream.data))
        exchange = self._subject.exchange
        if exchange is None:
            return found[0] if found else None
        front = place < len(self._subject.fronts)
        turn = _turn(self._study.exchanges, exchange, front=front)
        if stream.from_start:
            return found[turn] if turn < len(found) else None
        wanted = (exchange.event.get("method"), exchange.event.get("target"))
        alike = [request for request in found if (request.method, request.target) == wanted]
        return alike[0] if len(alike) == 1 else None


def _turn(every: Iterable[Exchange], exchange: Exchange, *, front: bool) -> int:
    """Which request on its connection this is, from 0."""
    mine = [e for e in every if (e.front == exchange.front if front else e.back == exchange.back)]
    return mine.index(exchange)


def _in_clear(data: bytes) -> Values:
    """What a TLS client said before encryption began."""
    hello = tls.client_hello(data)
    if hello is None:
        return {}
    values = {"tls.version": hello.version, "tls.sni": hello.server_name, "tls.alpn": ", ".join(hello.protocols)}
    return {name: value for name, value in values.items() if value}


def _fields_of(request: http.Request) -> Values:
    values: Values = {"http.method": request.method, "http.target": request.target, "http.version": request.version}
    for name, _ in request.headers:
        lowered = name.lower()
        values[f"http.{lowered}" if lowered in ("host", "cookie") else f"http.header.{lowered}"] = request.header(name)
    if request.body:
        values["http.body"] = _bytes(request.body)
    return values


def _inert(values: Values) -> Values:
    """Texts off the wire as they may be shown (`labkit.wording.inert`)."""
    return {name: inert(value) if isinstance(value, str) else value for name, value in values.items()}


def _bytes(data: bytes) -> str:
    """Bytes as text if they are short and printable, else how many there are."""
    shown = data[:_SHOWN].decode("utf-8", errors="replace").strip()
    plain = all(letter.isprintable() or letter in "\r\n\t" for letter in shown) and "\ufffd" not in shown
    return shown if plain and len(data) <= _SHOWN else f"{len(data):,} bytes"


_CONTENT = (
    "tls.", "http.method", "http.target", "http.version", "http.host", "http.cookie", "http.header.", "http.body",
    "payload",
)  # fmt: skip


def _place(name: str) -> int:
    if name in headers.RANK:
        return headers.RANK[name]
    return len(headers.RANK) + next(place for place, start in enumerate(_CONTENT) if name.startswith(start))


def _word(value: object) -> str:
    return "(none)" if value is None else str(value)


def _judge(study: Study, subject: Subject, seen: _Seen) -> evidence.Evidence:
    """What the record says about this subject's decision."""
    rules = study.recording.of_kind("rules")
    if subject.exchange is not None:
        event = subject.exchange.event
        return evidence.terminated(event, evidence.rules_at(rules, event.get("decided_ns") or event["time_ns"]))
    connection = int(study.connections.of_sighting[subject.fronts[0]])
    made = next((d for d in study.decisions if d.connection == connection), None)
    row = made.row if made is not None and made.row is not None else int(seen.rows[0])
    held = {name for name in seen.values[0] if name in headers.BY_NAME}
    if study.index.payload_length[row] > 0:
        held.add("payload")
    decision: Mapping[str, Any] | None = made.event if made else None
    return evidence.forwarded(decision, evidence.rules_at(rules, int(study.index.time_ns[row])), held)
