"""Every HTTP request of a capture, with its answer and the connections that carried both.

At L7 the proxy's record says which requests there were, the packets what stood in them; where it says nothing (at L4,
in a file of other programs), each request on a connection is one of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.analysis.events.carriage import Carried, messages
from labkit.analysis.events.exchanges import Exchange
from labkit.analysis.messages import http
from labkit.analysis.messages.upgraded import Upgraded
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study


@dataclass(frozen=True, slots=True)
class Leg:
    """One connection's part of it. request, response: as they stood in its packets, None where they cannot be read."""

    connection: int
    request: http.Request | None = None
    response: http.Response | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One request and its answer.

    exchange: the proxy's record, and its row in `exchanges()`; None without one. front: on the client's connection;
    back: on the backend's, where that is another one. websocket: what was said after an upgrade.
    lacks: what cannot be read, in words. Without a record and a request it stands for a connection that cannot be read.
    """

    front: Leg | None
    back: Leg | None = None
    exchange: Exchange | None = None
    row: int | None = None
    websocket: Upgraded | None = None
    lacks: tuple[str, ...] = ()


def dialogues(study: Study, routes: Routes) -> Iterator[Dialogue]:
    """The exchanges in their order, then what else stands on connections, one connection after another."""
    claimed: set[tuple[int, tuple[int, int]]] = set()
    silent = set(study.requests_again)  # connections on which nothing may be told apart from the exchanges
    for row, exchange in enumerate(study.exchanges):
        front = _leg(exchange.front, study.carriage.front(exchange))
        back = _leg(exchange.back, study.carriage.back(exchange))
        if front and front.request:
            claimed.add((front.connection, front.request.spans[0]))
        elif front:
            silent.add(front.connection)
        if back:
            silent.add(back.connection)
        yield Dialogue(front, back, exchange, row, _websocket(study, front, back), _lacks(study, front, back, exchange))
    for route in routes.all:
        if route.proto == "TCP" and route.connection not in silent:
            yield from _on(study, route.connection, claimed)


def _on(study: Study, connection: int, claimed: set[tuple[int, tuple[int, int]]]) -> Iterator[Dialogue]:
    content = study.content(connection)
    spoken = messages(content)
    for request, response in spoken:
        if (connection, request.spans[0]) not in claimed:
            leg = Leg(connection, request, response)
            yield Dialogue(leg, websocket=_websocket(study, leg, None), lacks=_lacks(study, leg, None, None))
    if content.why and (spoken or not content.opened):
        yield Dialogue(Leg(connection), lacks=(content.why,))
    elif not spoken and content.begun_before:
        yield Dialogue(Leg(connection), lacks=("its beginning was not captured, and no request is found in the rest",))


def _leg(connection: int | None, carried: Carried) -> Leg | None:
    return None if connection is None else Leg(connection, carried.request, carried.response)


def _websocket(study: Study, front: Leg | None, back: Leg | None) -> Upgraded | None:
    leg = next((leg for leg in (front, back) if leg and leg.request), None)
    if leg is None or leg.request is None or "websocket" not in (leg.request.header("upgrade") or "").lower():
        return None
    return study.websocket(leg.connection)


def _lacks(study: Study, front: Leg | None, back: Leg | None, exchange: Exchange | None) -> tuple[str, ...]:
    told: list[str | None] = []
    if front is None:
        told.append("the packets of the client's connection were not captured")
    elif front.request is None:
        told.append(f"the request was not found on the client's connection{_why(study, front)}")
    elif not front.request.complete:
        told.append(f"the end of the request's body is missing{_why(study, front)}")
    answer = front.response if front else None
    if answer is not None and not answer.complete:
        told.append(f"the end of the answer's body is missing{_why(study, front)}")
    elif answer is None and front and front.request:
        told.append(f"the answer was not found on the client's connection{_why(study, front)}")
    if exchange and exchange.event.get("back"):
        if back is None:
            told.append("the packets of the backend's connection were not captured")
        elif back.request is None:
            told.append(f"the request was not found on the backend's connection{_why(study, back)}")
    return tuple(filter(None, told))


def _why(study: Study, leg: Leg | None) -> str:
    why = study.content(leg.connection).why if leg else None
    return f" ({why})" if why else ""
