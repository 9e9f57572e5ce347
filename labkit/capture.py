"""`Capture`: a recording with analysis and views as its methods; what the user holds.

Everything is derived from the recording when it is first asked for. A `Capture` made without a recording is one
that is still being made (`lab.capture()`); it is given its recording by `fill`.
"""

from difflib import get_close_matches
from html import escape
from numbers import Integral
from operator import index
from os import PathLike
from os.path import splitext
from typing import TYPE_CHECKING, Any, Literal, Self

from labkit.errors import CaptureError
from labkit.recording import Recording
from labkit.wording import inert, shown

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from labkit.analysis.routes import Routes
    from labkit.analysis.study import Study
    from labkit.export.flows import Flows
    from labkit.views.follow import Conversation
    from labkit.views.headers import Headers
    from labkit.views.picture import Picture


class Capture:
    """Packets seen at vantage points, and everything that can be told from them.

    >>> cap = Capture.load("out/l4.pcapng")
    >>> cap.connections()
    """

    def __init__(self, recording: Recording | None = None) -> None:
        self._recording: Recording | None = None
        self._found: tuple[Recording, str] | None = None  # what `finding` said, of which recording
        if recording is not None:
            self.fill(recording)

    @classmethod
    def load(cls, path: str | PathLike[str], *, packets: int | None = None) -> "Capture":
        """A capture from a pcapng or pcap file. NotACapture if it is something else, CaptureError if unreadable.

        packets: read the first ones alone (None: 20 million at most).
        """
        from labkit.recording.pcapng import MOST_PACKETS, read_pcapng

        if packets is not None and not (_is_number(packets) and packets > 0):
            raise CaptureError(f"packets says how many are read at most: a number from 1, not {shown(packets)}.")
        return Capture(read_pcapng(_path(path), MOST_PACKETS if packets is None else index(packets)))

    def save(self, path: str | PathLike[str]) -> Any:
        """Write a pcapng file with all the evidence; gives its path. CaptureError if it cannot be written.

        A path that ends in .mitm becomes a flow file of mitmproxy's (``mitmproxy -r``), one in .har a HAR 1.2 file:
        both keep the requests (`flows`) and not the packets, so `load` reads neither.
        """
        from labkit.recording.pcapng import write_pcapng

        everything, suffix = self._with_probes, splitext(_path(path))[1]
        if suffix.lower() in (".mitm", ".har"):
            from labkit.export.files import save

            return save(self.flows(), path, suffix.lower())
        return write_pcapng(everything, path)

    def fill(self, recording: Recording) -> None:
        """Give a capture that was being made what it recorded."""
        from labkit.analysis.events.probes import without_probes

        if not isinstance(recording, Recording):
            raise CaptureError(
                f"A Capture is made from a Recording, not {shown(recording)}: "
                "Capture.load(path) reads a file, and lab.capture() makes a new one."
            )
        self._study_of(recording, without_probes(recording))

    def _study_of(self, everything: Recording, shown: Recording) -> Self:
        """Stand on *shown*, which is *everything* that a file keeps, or a part of it."""
        from labkit.analysis.routes import Routes
        from labkit.analysis.study import Study

        self._everything, self._recording = everything, shown
        self._the_study = Study(shown)
        self._the_routes = Routes(self._the_study)
        return self

    @property
    def complete(self) -> bool:
        """Whether it has its recording; until then every other method raises CaptureError."""
        return self._recording is not None

    @property
    def recording(self) -> Recording:
        """The raw packets and events, health checks' left out. CaptureError while the capture is still being made."""
        if self._recording is None:
            raise CaptureError(
                "This capture has not ended yet, so it cannot be read. Leave its with block, or end it with stop()."
            )
        return self._recording

    @property
    def mode(self) -> str | None:
        """How the captured connections were handled: "l4", "l7", "mixed", or None if the recording does not say."""
        from labkit.analysis.summary import mode

        return mode(self._routes)

    @property
    def finding(self) -> str:
        """What it shows, in one sentence: "L7: 40 requests, 40 client connections, 8 back connections"."""
        from labkit.analysis.graph import finding

        recording = self.recording
        if self._found is None or self._found[0] is not recording:
            self._found = recording, finding(self._study, self._routes)
        return self._found[1]

    def packets(self, at: str | None = None, *, probes: bool = False) -> "pd.DataFrame":
        """One row per observation, in order of time; *at* a vantage point, its own alone (CaptureError if unknown).

        probes: with the packets of health checks, and numbers as in the saved file (which keeps them, so that all else
        has other numbers there than here); CaptureError if it was made without them (``lab.capture(probes=True)`` keeps
        them).
        """
        if probes:
            return self._all.packets(at)
        return self._study.packets_table(None if at is None else self._vantage(at))

    def packet(self, number: int) -> Any:
        """Packet *number* (from 1) as a scapy Packet; a notebook shows its fields and bytes. CaptureError if none."""
        from labkit.analysis.packets.single import packet
        from labkit.views.packet import show_in_notebooks

        show_in_notebooks()
        try:
            return packet(self.recording, _number(number))
        except (IndexError, TypeError) as error:
            has = f"numbers 1 to {len(self.recording)}" if len(self.recording) else "no packets"
            raise CaptureError(
                f"This capture has no packet {shown(number)}; it has {has}. See cap.packets()."
            ) from error

    def connections(self, per: Literal["vantage"] | None = None, *, probes: bool = False) -> "pd.DataFrame":
        """One row per connection, counted where its client is; per="vantage": per connection and vantage point.

        paired_with is the tuple of the ids on the proxy's other side (a client connection may use several), or None.
        probes: with those of health checks, as for `packets`; ids then count them too.
        """
        if probes:
            return self._all.connections(per)
        if per not in (None, "vantage"):
            raise CaptureError(f'Connections cannot be listed per {shown(per)}. Use per="vantage", or leave it out.')
        return self._study.connections_table(per)

    def trajectories(self) -> "pd.DataFrame":
        """The same packet across vantage points: its way, what was rewritten on each hop, whether that is certain."""
        return self._study.trajectories_table()

    def exchanges(self) -> "pd.DataFrame":
        """One row per request that a terminating balancer handled, with its connections; empty at L4.

        messages: of a WebSocket how many text and binary messages went both ways, by the packets of the client's
        connection (else the backend's); None where it is none, or its packets cannot be read.
        """
        return self._study.exchanges_table()

    def messages(self) -> "pd.DataFrame":
        """One row per WebSocket message, control frames too, on each connection that carried it; also at L4 and in TLS.

        At L7 a message has two rows: "client → balancer" and "balancer → backend". length: bytes, unpacked where
        permessage-deflate packed them. text: at most 1,000 characters, harmless to show; None of what is no text. note:
        what else must be known. `.attrs["lacks"]`: what could not be read. exchanges() counts without control frames.
        """
        from labkit.analysis.evidence.websockets import table

        return table(self._study, self._routes)

    def flows(self) -> "Flows":
        """The HTTP requests as mitmproxy's own flow objects, in order of time, from packets and recorded events.

        One `mitmproxy.http.HTTPFlow` a request, at L7 and at L4: the request as the client sent it, the response as the
        client got it; client_conn is the client's connection as the client saw it, server_conn the backend's as the
        backend did. ``flow.metadata`` has what mitmproxy has no place for (docs/flows.md), among it "labkit.forwarded",
        the request as the backend got it at L7, and "labkit.lacks", what the capture does not tell, in words; a body
        that is not known is None. The list's own ``lacks`` tells of connections that cannot be read at all.
        """
        from labkit.export.flows import flows

        return flows(self._study, self._routes)

    def decisions(self) -> "pd.DataFrame":
        """When the balancer chose, what it had read, and the last packet it held then (`packet`, at `vantage`)."""
        from labkit.analysis.events.decisions import table

        return table(self._study.decisions, self._study.index, self._study.vantages)

    def visibility(self, full: bool = False, connection: int | None = None) -> "pd.DataFrame":
        """Header fields on the wire and what the balancer did with each: eight telling ones, or all with full=True.

        connection: an id from `connections()`; without one, the first request's. CaptureError if there is none such.
        """
        from labkit.analysis.evidence.visibility import table

        if not isinstance(full, bool):
            raise CaptureError(
                f"full is True or False, not {shown(full)}; visibility(connection=1) picks a connection."
            )
        if connection is not None:
            self._connection(connection)
        return table(self._study, self._routes, connection, full=full)

    def follow(self, connection: int, limit: int = 2_000) -> "Conversation":
        """What each side of a connection said, in order of time: HTTP/1.1, HTTP/2, WebSocket, or bytes.

        connection: an id from `connections()`. TLS is decrypted with the keys that the recording has; without them the
        answer says so. limit: bytes of a body that are shown; `.turns`, `.client` and `.server` have all.
        """
        from labkit.analysis.messages.follow import follow
        from labkit.views.follow import Conversation

        if not (_is_number(limit) and limit >= 0):
            raise CaptureError(
                f"limit is a number of bytes to show of a body, not {shown(limit)}; leave it out for 2,000."
            )
        study, number = self._study, index(self._connection(connection))
        route = self._routes.all[number - 1]
        followed = follow(study.content(number), study.index)
        names = {"client": route.source, "server": route.target}
        return Conversation(followed, number, names, index(limit), via=route.via)

    def headers(self, request: str | int | None = None) -> "Headers":
        """How a request's headers changed on their way through a terminating balancer.

        request: an id from `exchanges()`, or the number of a row there (from 0); without one, the first request.
        CaptureError if there is none such.
        """
        from labkit.analysis.events.exchanges import asked
        from labkit.analysis.evidence.headerdiff import diff
        from labkit.views.headers import Headers

        study = self._study
        exchange = asked(study.exchanges, request)
        sides = (("sent", exchange.front), ("received", exchange.back))
        known = ((name, study.content(number)) for name, number in sides if number is not None)
        why = [f"{name}: {content.why}" for name, content in known if content.why and not content.opened]
        return Headers(diff(exchange.event, study.carriage.front(exchange), study.carriage.back(exchange), why))

    def ladder(
        self, connection: int | str | None = None, exchange: str | int | None = None, *, full: bool = False
    ) -> "Picture":
        """The sequence diagram across vantage points: one arrow through the balancer at L4, two that meet there at L7.

        connection: an id from `connections()`, shown with those it is paired with. exchange: an id from `exchanges()`
        (also as the first argument), or the number of a row there (from 0). Without both, the first that tells
        something. full: every packet, where long runs are counted otherwise. CaptureError if there is none such.
        """
        from labkit.analysis.ladder import choice, rows
        from labkit.views.ladder import ladder_picture

        if not isinstance(full, bool):
            raise CaptureError(f"full is True or False, not {shown(full)}; ladder(1) picks a connection.")
        chosen = choice.choose(self._study, connection, exchange)
        return ladder_picture(rows.build(self._study, self._routes, chosen, full=full))

    def graph(self) -> "nx.MultiDiGraph[str]":
        """Hosts and the connections between them: one edge through the balancer at L4, two that meet there at L7."""
        from labkit.analysis.graph import build

        return build(self._study, self._routes)

    def diagram(self) -> "Picture":
        """The picture of `graph`, titled with its finding."""
        from labkit.analysis.graph import outline
        from labkit.views.graph import connection_diagram

        return connection_diagram(outline(self._study, self._routes), self.finding)

    def conversations(self, by: Literal["port", "address"] = "port", at: str | None = None) -> "pd.DataFrame":
        """Who talked with whom, as Wireshark counts it: frames and their bytes each way, one row per vantage point.

        by="address": hosts, whatever their ports. *at* a vantage point, its own alone (CaptureError if unknown).
        """
        from labkit.analysis.connections.conversations import table

        if by not in ("port", "address"):
            raise CaptureError(f'Conversations are told apart by="port" or by="address", not {shown(by)}.')
        vantage = None if at is None else self._vantage(at)
        return table(self._study.index, self._study.vantages, ports=by == "port", at=vantage)

    def protocols(self, at: str | None = None) -> "pd.DataFrame":
        """How many frames and bytes each protocol has, by what it lies in; *at* a vantage point, there alone."""
        from labkit.analysis.packets.protocols import table

        return table(self._study.index, None if at is None else self._vantage(at))

    def loss(self) -> "pd.DataFrame":
        """Packets captured and dropped per vantage point (dropped is missing where the file does not say)."""
        import pandas as pd

        from labkit.analysis.summary import loss

        frame = pd.DataFrame(loss(self._study), columns=["vantage", "captured", "dropped"])
        return frame.astype({"captured": "int64", "dropped": "Int64"})

    def summary(self) -> dict[str, Any]:
        """The figures as plain data, for JSON: see `labkit.analysis.summary.summary`."""
        from labkit.analysis.summary import summary

        return summary(self._study, self._routes)

    @property
    def _with_probes(self) -> Recording:
        self.recording  # noqa: B018  (raises while there is none)
        return self._everything

    @property
    def _all(self) -> "Capture":
        """The same with the packets of health checks. CaptureError if they were not kept."""
        from labkit.analysis.events.probes import kept

        everything = self._with_probes
        if kept(everything) is False:
            raise CaptureError(
                "This capture was made without the packets of health checks. Make one with lab.capture(probes=True)."
            )
        return Capture()._study_of(everything, everything)

    @property
    def _study(self) -> "Study":
        self.recording  # noqa: B018  (raises while there is none)
        return self._the_study

    @property
    def _routes(self) -> "Routes":
        self.recording  # noqa: B018
        return self._the_routes

    def _connection(self, connection: int) -> int:
        known = len(self._study.connections)
        if _is_number(connection) and 1 <= connection <= known:
            return connection
        has = f"connections 1 to {known}" if known else "no connections"
        raise CaptureError(f"This capture has no connection {shown(connection)}; it has {has}. See cap.connections().")

    def _vantage(self, name: str) -> int:
        names = self._study.vantages
        if name in names:
            return names.index(name)
        near = get_close_matches(name, names, n=1, cutoff=0.5) if isinstance(name, str) else []
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(names) or 'none'}."
        raise CaptureError(f"This capture has no vantage point {shown(name)}. {hint}")

    def __repr__(self) -> str:
        if not self.complete:
            return "Capture: still being made"
        lines = [self.finding, f"seen at: {', '.join(self._study.vantages) or 'nowhere'}", self._loss_text()]
        filters = dict.fromkeys(vantage.filter for vantage in self.recording.vantages if vantage.filter)
        lines += [f"captured only: {inert(filter)}" for filter in filters]
        lines += [f"not in the file: {lack}" for lack in self.recording.lacks]
        return "Capture: " + "\n  ".join(lines)

    def _loss_text(self) -> str:
        frame = self.loss()
        lost = frame[frame["dropped"].fillna(0) > 0]
        if len(lost):
            return "lost: " + ", ".join(f"{row.dropped:,} at {row.vantage}" for row in lost.itertuples())
        return "loss unknown" if frame["dropped"].isna().any() else "no packet lost"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        text = repr(self)
        if not self.complete:
            return {"text/plain": text}
        picture = self.diagram().svg
        notes = "".join(f"<div>{escape(line.strip())}</div>" for line in text.splitlines()[1:])
        return {"text/plain": text, "image/svg+xml": picture, "text/html": f"<div>{picture}{notes}</div>"}


def _is_number(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: int) -> int:
    if not _is_number(value):
        raise TypeError
    return index(value)


def _path(path: str | PathLike[str]) -> str | PathLike[str]:
    if not isinstance(path, str | PathLike):
        raise CaptureError(
            f"A capture is kept in a file: give its path, for example 'out/l4.pcapng', not {shown(path)}."
        )
    return path
