"""The matrix of header fields: what stood on the wire at each vantage point, and what the balancer did with it.

One request is shown (at L7 on its two connections), or one connection. Addresses, ports and numbers are those of the
client's first packet; HTTP is parsed from the captured bytes. The verdicts are `handling`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from labkit.analysis import tls
from labkit.analysis.events.carriage import Carried, messages
from labkit.analysis.events.exchanges import Exchange
from labkit.analysis.events.relays import Relayed
from labkit.analysis.messages import fields, http
from labkit.analysis.messages.fields import Values
from labkit.analysis.messages.streams import Stream, sent
from labkit.analysis.packets import headers
from labkit.analysis.packets.index import protocol_name
from labkit.analysis.packets.tables import records
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from . import handling
from .handling import ENCRYPTED

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


@dataclass(frozen=True)
class Subject:
    """What the matrix is about. fronts, backs: sightings on the way; backs only where another connection goes on.

    Of an exchange one of both may be missing: it was not captured.
    """

    mode: str | None
    fronts: tuple[int, ...]
    backs: tuple[int, ...]
    exchange: Exchange | None
    relayed: Relayed | None = None

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
    captured = [e for e in study.exchanges if e.front is not None or e.back is not None]
    mine = [e for e in captured if connection in (None, e.front, e.back)]
    if mine:
        chosen = next((e for e in mine if e.front is not None and e.back is not None), mine[0])
        fronts, backs = (members[side - 1] if side is not None else () for side in (chosen.front, chosen.back))
        return Subject("l7", fronts, backs, chosen)
    relayed = [one for one in study.relays if connection in (None, one.front, one.back) and one.front is not None]
    if relayed and connection is None:
        carried = [one for one in relayed if one.front is not None and _carries(study, one.front)]
        relayed = carried[:1] or relayed
    if relayed:
        fronts, backs = (members[side - 1] if side is not None else () for side in (relayed[0].front, relayed[0].back))
        return Subject("l4", fronts, backs, None, relayed[0])
    if connection is None:
        carrying = (number for number in range(1, len(members) + 1) if _carries(study, number))
        connection = next(carrying, 1 if members else None)
    if connection is None:
        return None
    own = members[connection - 1]
    asked = tuple(s for s in own if study.scene.first_sent(s) is not None)  # where answers alone pass, nothing is told
    return Subject(routes.modes.get(connection), asked or own, (), None)


def _carries(study: Study, connection: int) -> bool:
    rows = study.sightings.packets(study.connections.home(connection))
    return bool((study.index.payload_length[rows] > 0).any())


class _Seen:
    """The values of all fields at every vantage point of a subject, as they stood on the wire there."""

    def __init__(self, study: Study, subject: Subject) -> None:
        self._study, self._subject = study, subject
        first = [study.scene.first_sent(s) for s in subject.sightings]
        pairs = zip(subject.sightings, first, strict=True)
        self.rows = np.array(
            [int(study.sightings.first[s]) if row is None else row for s, row in pairs], dtype=np.int64
        )
        lower = {field.name: field.shown(study.index, self.rows) for field in headers.FIELDS}
        streams = [sent(study.index, study.sightings, s) for s in subject.sightings]
        quic = len(subject.fronts) if subject.exchange and _is_quic(subject.exchange) else 0
        self._tls = [place < quic or _is_tls(stream) for place, stream in enumerate(streams)]
        self._carried = self._on_its_connections()
        upper = [self._content(place, stream) for place, stream in enumerate(streams)]
        self.values: list[Values] = [
            {**{name: shown[place] for name, shown in lower.items() if shown[place] is not None}, **content}
            for place, content in enumerate(upper)
        ]

    @property
    def names(self) -> list[str]:
        """All fields that have a value somewhere: headers in their order, then content in the order it was sent."""
        found = dict.fromkeys(name for values in self.values for name in values)
        return sorted(found, key=_place)

    @property
    def telling(self) -> list[str]:
        proto = protocol_name(int(self._study.sightings.proto[self._subject.sightings[0]])) or ""
        kind = "http" if any("http.target" in values for values in self.values) else proto
        names = set(self.names)
        chosen = (next((name for name in choice if name in names), choice[0]) for choice in _TELLING[kind])
        return sorted(chosen, key=_place)

    def layer(self, name: str) -> str:
        known = headers.BY_NAME.get(name)
        return known.layer if known else fields.layer(name)

    def hidden(self, name: str) -> bool:
        """Whether the balancer had only ciphertext of this field: TLS that it did not terminate."""
        return self._subject.exchange is None and self.layer(name) in fields.INSIDE_TLS and any(self._tls)

    def rewritten(self, name: str) -> str | bool:
        """ "before → after" for each change on the way, or False.

        Where one connection ends and another begins, only the request goes on: of the layers below, nothing is
        rewritten, everything is new. What is relayed unread is not rewritten at all.
        """
        count = len(self._subject.fronts)
        fronts = [values.get(name) for values in self.values[:count]]
        backs = [values.get(name) for values in self.values[count:]]
        steps = [*pairwise(fronts), *pairwise(backs)]
        if backs and self._subject.relayed is None and self.layer(name) in fields.INSIDE_TLS:
            before = fronts[-1] if fronts and not self._tls[0] else self._inside(0, name)
            after = self._inside(1, name) if self._tls[count] else backs[0]
            steps += [] if after is ENCRYPTED or before is ENCRYPTED else [(before, after)]
        changes = [f"{_word(before)} → {_word(after)}" for before, after in steps if before != after]
        return ", ".join(changes) or False

    def _inside(self, side: int, name: str) -> object:
        """What TLS hid on the front (0) or back (1): decrypted, or by the proxy's record; ENCRYPTED if untold."""
        request = self._carried[side].request
        if request is not None:
            return fields.of_request(request).get(name, ENCRYPTED if self.layer(name) == "WebSocket" else None)
        event = self._subject.exchange.event if self._subject.exchange else {}
        listed = event.get(("headers_received", "headers_forwarded")[side])
        if event.get("headers_partly") and name.startswith(("http.header.", "http.cookie")):
            told = {_field_of(pair[0]) for pair in listed or ()}
            listed = listed if name in told else None
        if listed is None or (side == 1 and not name.startswith(("http.header.", "http.cookie"))):
            return ENCRYPTED
        pairs = tuple((str(name), str(value)) for name, value in listed)
        streamed = event.get("front_stream") is not None or event.get("version") == "HTTP/3"
        host = event.get("host") if streamed else None
        record = http.Request(
            str(event.get("method")), str(event.get("target")), str(event.get("version")), pairs, b"", True, host
        )
        return fields.of_request(record).get(name, ENCRYPTED if name in ("http.body",) else None)

    def _on_its_connections(self) -> tuple[Carried, Carried]:
        """The subject's request as it stands on the front and on the back, decrypted where it can be."""
        study, exchange = self._study, self._subject.exchange
        if exchange is not None:
            return study.carriage.front(exchange), study.carriage.back(exchange)
        front, *back = (
            messages(study.content(int(study.connections.of_sighting[side[0]])))
            for side in (self._subject.fronts, self._subject.backs)
            if side
        )
        behind = back[0] if back else []
        return (Carried(*front[0]) if front else Carried()), (Carried(*behind[0]) if behind else Carried())

    def _content(self, place: int, stream: Stream) -> Values:
        """The fields above TCP and UDP at one vantage point."""
        carried = self._carried[place >= len(self._subject.fronts)]
        upgraded = carried.response is not None and carried.response.status == 101
        if self._tls[place]:
            sighting = self._subject.sightings[place]
            server = sent(self._study.index, self._study.sightings, sighting, by_client=False)
            inside = fields.of_request(carried.request) if carried.request else dict.fromkeys(fields.SECRET)
            if upgraded:
                inside |= dict.fromkeys(("websocket.opcode", "websocket.payload_length"))
            return {**fields.of_hellos(stream.data, server.data), **dict.fromkeys(inside, ENCRYPTED)}
        request = _alike(stream, carried.request)
        if request is not None:
            return fields.of_request(request) | (fields.of_websocket(stream.data, request) if upgraded else {})
        return {"payload": fields.as_text(stream.data)} if stream.data else {}


def _field_of(header: object) -> str:
    """The name here of a header field."""
    lowered = str(header).lower()
    return f"http.{lowered}" if lowered in ("host", "cookie") else f"http.header.{lowered}"


def _is_tls(stream: Stream) -> bool:
    """Whether it begins with a hello, or, where its beginning was not captured, with some TLS record."""
    return tls.is_tls(stream.data) or (not stream.from_start and tls.is_record(stream.data))


def _is_quic(exchange: Exchange) -> bool:
    """Whether the client's side was QUIC, whose TLS is in its packets (RFC 9001 §4)."""
    return (exchange.event.get("front") or {}).get("proto") == "UDP"


def _alike(stream: Stream, wanted: http.Request | None) -> http.Request | None:
    """The request *wanted* in this stream, which may have been captured at another place or from another moment on."""
    if wanted is None:
        return None
    found = [one for one in fields.requests_in(stream.data) if _head(one) == _head(wanted)]
    same_place = [one for one in found if one.spans[0][0] == wanted.spans[0][0]] if stream.from_start else []
    chosen = same_place or found
    return chosen[0] if len(chosen) == 1 else None


def _head(request: http.Request) -> tuple[object, ...]:
    return request.method, request.target, request.headers, request.stream


def _place(name: str) -> int:
    if name in headers.RANK:
        return headers.RANK[name]
    return len(headers.RANK) + fields.rank(name)


def _word(value: object) -> str:
    return "(none)" if value is None else str(value)


def _judge(study: Study, subject: Subject, seen: _Seen) -> handling.Evidence:
    """What the record says about this subject's decision."""
    rules = study.recording.of_kind("rules")
    if subject.exchange is not None:
        event = subject.exchange.event
        return handling.terminated(event, handling.rules_at(rules, event.get("decided_ns") or event["time_ns"]))
    if subject.relayed is not None:
        event = subject.relayed.event
        return handling.terminated(event, handling.rules_at(rules, event.get("decided_ns") or event["time_ns"]))
    connection = int(study.connections.of_sighting[subject.fronts[0]])
    made = next((d for d in study.decisions if d.connection == connection), None)
    row = made.row if made is not None and made.row is not None else int(seen.rows[0])
    held = {name for name in seen.values[0] if name in headers.BY_NAME}
    if study.index.payload_length[row] > 0:
        held.add("payload")
    decision: Mapping[str, Any] | None = made.event if made else None
    return handling.forwarded(decision, handling.rules_at(rules, int(study.index.time_ns[row])), held)
