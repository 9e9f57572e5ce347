"""Which message on a connection is an exchange's own: its request and its answer as they stood in the packets.

In HTTP/2 the stream's number says it; if the proxy did not tell that, the target, and the order of those that do not
overlap. In HTTP/1.1 messages have no numbers: if a connection was captured from its beginning and has as many requests
as exchanges, their order says it; else the times do. On a client's connection a request stands between the decision on
the one before and its own; on a backend's, between its own decision and its end. What that leaves open is None.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from labkit.analysis.messages import http, http2
from labkit.analysis.messages.content import Content
from labkit.analysis.messages.streams import Stream
from labkit.analysis.packets.index import Index
from labkit.wording import inert

from .exchanges import Exchange

_KEPT = 256  # connections whose messages are remembered
_LONG_AGO, _NEVER = -1, 1 << 63


@dataclass(frozen=True, slots=True)
class Carried:
    """One exchange on one of its connections. packets: numbers of the packets that carried request and answer."""

    request: http.Request | None = None
    response: http.Response | None = None
    packets: tuple[int, ...] = ()


_Pair = tuple[http.Request, http.Response | None]


class Carriage:
    """Looks up what carried each exchange."""

    def __init__(self, exchanges: Sequence[Exchange], content: Callable[[int], Content], index: Index) -> None:
        self._exchanges, self._content, self._index = exchanges, content, index
        self._on: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for number, exchange in enumerate(exchanges):
            for connection, front in ((exchange.front, True), (exchange.back, False)):
                if connection is not None:
                    self._on[connection, front].append(number)
        self._assigned = lru_cache(_KEPT)(self._assign)
        self._numbers = {id(exchange): number for number, exchange in enumerate(exchanges)}

    def front(self, exchange: Exchange) -> Carried:
        """On the client's connection."""
        return self._find(exchange, exchange.front, front=True)

    def back(self, exchange: Exchange) -> Carried:
        """On the backend's connection."""
        return self._find(exchange, exchange.back, front=False)

    def _find(self, exchange: Exchange, connection: int | None, *, front: bool) -> Carried:
        if connection is None:
            return Carried()
        return self._assigned(connection, front).get(self._numbers[id(exchange)], Carried())

    def _assign(self, connection: int, front: bool) -> dict[int, Carried]:
        content = self._content(connection)
        pairs = messages(content)
        mine = sorted(self._on[connection, front], key=self._decided)
        streams = {number: self._exchanges[number].event.get(_STREAM[front]) for number in mine}
        multiplexed = any(request.stream is not None for request, _ in pairs)
        if multiplexed and not any(streams.values()):
            found = self._by_name(pairs, mine) if content.client.from_start else {}
        elif multiplexed:
            of_stream = {request.stream: (request, response) for request, response in pairs}
            found = {number: of_stream[stream] for number, stream in streams.items() if stream in of_stream}
        elif content.client.from_start and len(pairs) == len(mine):
            found = dict(zip(mine, pairs, strict=True))
        else:
            found = self._by_time(content.client, pairs, mine, front=front)
        return {
            number: self._carried(content, pair)
            for number, pair in found.items()
            if self._is_it(pair[0], number, front=front)
        }

    def _is_it(self, request: http.Request, number: int, *, front: bool) -> bool:
        """Whether a request can be this exchange's; the proxy may have passed it on with another target."""
        event = self._exchanges[number].event
        told = event.get("method"), event.get("target")
        return told[0] == inert(request.method) and (not front or told[1] == inert(request.target))

    def _by_time(self, stream: Stream, pairs: Sequence[_Pair], mine: Sequence[int], *, front: bool) -> dict[int, _Pair]:
        began = [self._began(stream, request) for request, _ in pairs]
        decided = [self._decided(number) for number in mine]
        ended = [self._ended(number) for number in mine]
        if front:
            windows = list(pairwise([_LONG_AGO, *decided]))
        else:
            windows = [
                (one - 1, min(two - 1, end))
                for (one, two), end in zip(pairwise([*decided, _NEVER]), ended, strict=True)
            ]
        found = {}
        for number, (after, before) in zip(mine, windows, strict=True):
            inside = [pair for pair, time_ns in zip(pairs, began, strict=True) if after < time_ns <= before]
            chosen = [pair for pair in inside if self._is_it(pair[0], number, front=front)]
            again = not front and len({(pair[0].method, pair[0].target) for pair in chosen}) == 1
            if len(chosen) == 1 or again:  # the proxy's attempts at one request: the last one is answered
                found[number] = chosen[-1]
        return found

    def _by_name(self, pairs: Sequence[_Pair], mine: Sequence[int]) -> dict[int, _Pair]:
        """Streams whose numbers nobody told: by method and target, in their order where none of them overlap."""
        asked: dict[tuple[str, str], list[_Pair]] = defaultdict(list)
        told: dict[tuple[str, str], list[int]] = defaultdict(list)
        for pair in pairs:
            asked[inert(pair[0].method), inert(pair[0].target)].append(pair)
        for number in mine:
            event = self._exchanges[number].event
            told[str(event.get("method")), str(event.get("target"))].append(number)
        found: dict[int, _Pair] = {}
        for name, numbers in told.items():
            apart = all(self._ended(one) <= self._decided(two) for one, two in pairwise(numbers))
            if apart and len(asked[name]) == len(numbers):
                found.update(zip(numbers, asked[name], strict=True))
        return found

    def _began(self, stream: Stream, request: http.Request) -> int:
        rows = stream.rows_of(*request.spans[0])
        return int(self._index.time_ns[rows[0]]) if rows else _NEVER

    def _decided(self, number: int) -> int:
        event = self._exchanges[number].event
        return int(event.get("decided_ns") or event.get("ended_ns") or event["time_ns"])

    def _ended(self, number: int) -> int:
        event = self._exchanges[number].event
        return int(event.get("ended_ns") or event["time_ns"])

    def _carried(self, content: Content, pair: _Pair) -> Carried:
        request, response = pair
        rows = [row for span in request.spans for row in content.client.rows_of(*span)]
        rows += [row for span in (response.spans if response else ()) for row in content.server.rows_of(*span)]
        return Carried(request, response, tuple(row + 1 for row in sorted(set(rows))))


_STREAM = {True: "front_stream", False: "back_stream"}


def messages(content: Content) -> list[_Pair]:
    """The requests on a connection in their order, each with its final answer, if that is there."""
    client, server = content.client.data, content.server.data
    if http2.spoken(client):
        answers = {one.stream: one for one in http2.by_server(server).responses if one.status >= 200}
        return [(request, answers.get(request.stream)) for request in http2.by_client(client).requests]
    asked = list(http.requests(client))
    answered = http.responses(server, (request.method for request in asked), closed=content.server.missing is None)
    final = [one for one in answered if one.status >= 200 or one.status == 101]
    return [(request, final[place] if place < len(final) else None) for place, request in enumerate(asked)]
