"""mitmproxy's flow objects of a capture, one a request; see `labkit.capture.Capture.flows` for what they say where."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from mitmproxy.connection import Server
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow

from labkit.analysis.evidence.dialogues import Dialogue, Leg, dialogues
from labkit.analysis.messages import http
from labkit.analysis.messages.streams import Stream
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

from . import messages
from .connections import Ends, backend_by_record, by_record, stable_id


class Flows(list[HTTPFlow]):
    """Flows in order of time. lacks: what of the capture's connections could not be read as any flow, in words."""

    def __init__(self, flows: Iterable[HTTPFlow] = (), lacks: Iterable[str] = ()) -> None:
        super().__init__(flows)
        self.lacks = tuple(lacks)


def flows(study: Study, routes: Routes) -> Flows:
    """All requests of a recording."""
    maker = _Maker(study, routes)
    found: list[HTTPFlow] = []
    lacks = list(study.recording.lacks)
    for dialogue in dialogues(study, routes):
        if dialogue.exchange or (dialogue.front and dialogue.front.request):
            found.append(maker.flow(dialogue))
        elif dialogue.front:
            lacks += [f"connection {dialogue.front.connection}: {lack}" for lack in dialogue.lacks]
    found.sort(key=lambda flow: flow.timestamp_start)
    return Flows(found, lacks)


class _Maker:
    def __init__(self, study: Study, routes: Routes) -> None:
        self._study, self._routes, self._ends = study, routes, Ends(study, routes)

    def flow(self, dialogue: Dialogue) -> HTTPFlow:
        event = dialogue.exchange.event if dialogue.exchange else {}
        front, lacks = dialogue.front, [*self._unrecorded(dialogue), *dialogue.lacks]
        quic = (event.get("front") or {}).get("proto") == "UDP"  # its packets tell nothing of a request
        client = self._ends.client(front.connection) if front and not quic else by_record(event)
        flow = HTTPFlow(client, self._server(dialogue, event, lacks))
        to = client.sockname
        if front and front.request:
            times = self._times(front, front.request)
            flow.request = messages.request(front.request, to, times, tls=client.tls)
        else:
            times = self._started(event)
            flow.request = messages.recorded_request(event, to, times, tls=client.tls)
        self._answer(flow, dialogue, event, lacks)
        flow.error = self._error(dialogue, event)
        if dialogue.websocket:
            leg = front if front and front.request else dialogue.back
            ended = self._ends.client(leg.connection).timestamp_end if leg else None
            flow.websocket, told = messages.websocket(dialogue.websocket, self._study.index, ended)
            lacks += told
        flow.id = stable_id("flow", client.id, event.get("request"), front and front.request and front.request.spans[0])
        flow.timestamp_created = times[0]
        self._describe(flow, dialogue, event, lacks)
        return flow

    def _unrecorded(self, dialogue: Dialogue) -> Iterator[str]:
        """What is not known of the client's connection, or of the request on it, though packets are there."""
        if dialogue.front is None:
            return
        number = dialogue.front.connection
        if dialogue.exchange is None and self._routes.all[number - 1].mode == "l7":
            yield "the balancer's record does not tell of this request"
        if dialogue.exchange is None and self._ends.hidden(number):
            yield "what lies before the balancer was not captured: client_conn is the balancer's own side"
        if self._study.story.opened_ns[self._study.connections.home(number)] < 0:
            yield "the beginning of the client's connection was not captured: client_conn's times are not from its SYN"

    def _server(self, dialogue: Dialogue, event: Mapping[str, Any], lacks: list[str]) -> Server:
        if dialogue.exchange is None and dialogue.front:
            server, lack = self._ends.server(dialogue.front.connection)
            lacks += [lack] if lack else []
            return server
        if dialogue.back:
            return self._ends.server(dialogue.back.connection)[0]
        return backend_by_record(event)

    def _answer(self, flow: HTTPFlow, dialogue: Dialogue, event: Mapping[str, Any], lacks: list[str]) -> None:
        """The answer that the client got; without its packets the one that the backend gave, or the status alone."""
        for leg in (dialogue.front, dialogue.back):
            if leg and leg.response:
                flow.response = messages.response(leg.response, self._times(leg, leg.response))
                if leg is not dialogue.front:
                    lacks.append("the answer is the backend's: that to the client was not found")
                return
        if event.get("status"):
            ended = (event.get("ended_ns") or event["time_ns"]) / 1e9
            flow.response = messages.recorded_response(int(event["status"]), flow.request.http_version, (ended, None))
            lacks.append("of the answer only the status is known, by the proxy's record")

    def _error(self, dialogue: Dialogue, event: Mapping[str, Any]) -> Error | None:
        """What the proxy recorded; without it, how a connection ended on which the answer, or its end, is not there."""
        if event.get("error"):
            return Error(str(event["error"]), (event.get("ended_ns") or event["time_ns"]) / 1e9)
        front, story = dialogue.front, self._study.story
        if front is None or front.request is None or (front.response and front.response.complete):
            return None
        home = self._study.connections.home(front.connection)
        content = self._study.content(front.connection)
        if story.state[home] not in ("closed", "reset") or content.why:
            return None
        how = {"closed": "closed", "reset": "reset"}[str(story.state[home])]
        by = f" by the {story.closed_by[home]}" if story.closed_by[home] else ""
        when = "before its answer was whole" if front.response else "without an answer"
        return Error(f"the connection was {how}{by} {when}", int(story.ended_ns[home]) / 1e9)

    def _describe(self, flow: HTTPFlow, dialogue: Dialogue, event: Mapping[str, Any], lacks: list[str]) -> None:
        front, back = dialogue.front, dialogue.back
        seen = [leg for leg in (front, back) if leg]
        mode: str | None = "l7"
        if event:
            rule, backend = event.get("rule"), event.get("backend")
            name = f"labkit exchange {dialogue.row} ({event.get('request')})"
        else:
            assert front is not None, "a request without a record was read on a connection"
            record = self._routes.forwarded.get(front.connection, {})
            route = self._routes.all[front.connection - 1]
            mode, rule, backend = route.mode, record.get("rule"), record.get("backend")
            if backend is None and self._study.nodes.roles.get(route.target) == "backend":
                backend = route.target
            name = f"labkit connection {front.connection}"
        told = (name, rule and f"rule {rule}", backend and f"backend {backend}", *(f"lacks: {lack}" for lack in lacks))
        flow.comment = "; ".join(filter(None, told))
        flow.metadata = {
            "labkit.exchange": dialogue.row,
            "labkit.request": event.get("request"),
            "labkit.mode": mode,
            "labkit.rule": rule,
            "labkit.backend": backend,
            "labkit.front_connection": front.connection if front else None,
            "labkit.back_connection": back.connection if back else None,
            "labkit.packets": sorted({row + 1 for leg in seen for row in self._rows(leg)}),
            "labkit.forwarded": _forwarded(back, event),
            "labkit.answered": messages.plain(back.response) if back and back.response else None,
            "labkit.lacks": lacks,
        }

    def _times(self, leg: Leg, message: http.Request | http.Response) -> messages.Times:
        rows = self._rows_of(leg, message)
        first, last = (int(self._study.index.time_ns[row]) / 1e9 for row in (min(rows), max(rows)))
        return first, last if message.complete else None

    @staticmethod
    def _started(event: Mapping[str, Any]) -> messages.Times:
        return (event.get("started_ns") or event["time_ns"]) / 1e9, None

    def _rows(self, leg: Leg) -> Iterable[int]:
        both = (message for message in (leg.request, leg.response) if message)
        return chain.from_iterable(self._rows_of(leg, message) for message in both)

    def _rows_of(self, leg: Leg, message: http.Request | http.Response) -> list[int]:
        content = self._study.content(leg.connection)
        stream: Stream = content.client if isinstance(message, http.Request) else content.server
        return [row for span in message.spans for row in stream.rows_of(*span)]


def _forwarded(back: Leg | None, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request as the backend got it, by its packets; without them what the proxy recorded of it."""
    if back and back.request:
        return {"source": "packets", **messages.plain(back.request)}
    if event.get("headers_forwarded") is None:
        return None
    return {"source": "record", "headers": [list(pair) for pair in event["headers_forwarded"]]}
