"""The two ends of a flow: mitmproxy's `Client` and `Server`, as a connection's packets show them, or a record does.

Client and server of one connection are the same objects in all of its flows, as mitmproxy has it. Ids follow from the
packets, so that a saved capture gives the same ones again.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from mitmproxy.connection import Client, Server

from labkit.analysis import tls
from labkit.analysis.events.finder import endpoint_of
from labkit.analysis.messages.content import Content
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study

_VERSIONS = {"SSL 3.0": "SSLv3", "TLS 1.0": "TLSv1", "TLS 1.1": "TLSv1.1", "TLS 1.2": "TLSv1.2", "TLS 1.3": "TLSv1.3"}
_KEPT = 4096
BEYOND = "what lies behind the balancer was not captured"


def stable_id(*parts: object) -> str:
    """An id that is the same whenever the same capture is read."""
    return str(uuid5(NAMESPACE_OID, "labkit:" + ":".join(map(str, parts))))


class Ends:
    """Makes clients and servers of one study's connections."""

    def __init__(self, study: Study, routes: Routes) -> None:
        self._study, self._routes = study, routes
        self.client = lru_cache(_KEPT)(self._client)
        self.server = lru_cache(_KEPT)(self._server)

    def _client(self, connection: int) -> Client:
        """Who opened *connection*, as its first vantage point saw it."""
        home = self._study.connections.home(connection)
        peer, own = self._study.finder.ends(home)
        return Client(
            peername=peer,
            sockname=own,
            id=stable_id("client", connection, self._first(home)),
            timestamp_start=self._first(home),
            timestamp_end=self._ended(home),
            **self._tls(connection),
        )

    def hidden(self, connection: int) -> bool:
        """Whether who opened it cannot be seen: a balancer that rewrites the source did so before its first packet."""
        return self._routes.all[connection - 1].source == self._study.nodes.balancer

    def _server(self, connection: int) -> tuple[Server, str | None]:
        """Whom *connection* reached, as its last vantage point saw it; and what its packets do not tell, or None."""
        study = self._study
        last = study.connections.members[connection - 1][-1]
        own, peer = study.finder.ends(last)
        opened, established = (int(column[last]) for column in (study.story.opened_ns, study.story.established_ns))
        server = Server(
            address=peer,
            peername=peer,
            sockname=own,
            id=stable_id("server", connection, self._first(last)),
            timestamp_start=opened / 1e9 if opened >= 0 else None,
            timestamp_tcp_setup=established / 1e9 if established >= 0 else None,
            timestamp_end=self._ended(last),
            **self._tls(connection),
        )
        balancer = study.nodes.balancer
        if self._routes.all[connection - 1].passed or balancer is None or study.nodes.at(peer[0]) != balancer:
            return server, None
        record = self._routes.forwarded.get(connection, {})
        if not record.get("backend_address"):
            return server, f"{BEYOND}: server_conn is the address that the client wrote"
        server.address = server.peername = endpoint_of((record["backend_address"], record.get("backend_port") or 0))
        server.sockname = None
        return server, f"{BEYOND}: server_conn is by the balancer's record"

    def _first(self, sighting: int) -> float:
        return int(self._study.index.time_ns[self._study.sightings.first[sighting]]) / 1e9

    def _ended(self, sighting: int) -> float | None:
        ended = int(self._study.story.ended_ns[sighting])
        return ended / 1e9 if ended >= 0 else None

    def _tls(self, connection: int) -> dict[str, Any]:
        content = self._study.content(connection)
        session = content.tls
        if session is None:
            return {}
        hello, answer = session.client_hello, session.server_hello
        return {
            "tls": True,
            "tls_version": _VERSIONS.get(answer.version) if answer else None,
            "cipher": session.cipher,
            "sni": hello.server_name if hello else None,
            "alpn": session.protocol.encode() if session.protocol else None,
            "alpn_offers": [name.encode() for name in hello.protocols] if hello else [],
            "timestamp_tls_setup": self._shaken_hands(content, session),
        }

    def _shaken_hands(self, content: Content, session: tls.Session) -> float | None:
        """When the last handshake message before application data came, up to TLS 1.2 of both sides, else the client's.

        In TLS 1.3 the server's are over before (RFC 8446 §2), and what it sends later are tickets.
        """
        sides = [(content.wire[0], session.client)]
        if session.version != "TLS 1.3":
            sides.append((content.wire[1], session.server))
        rows: list[int] = []
        for stream, direction in sides:
            for record in direction.plain:
                if record.kind == tls.APPLICATION:
                    break
                if record.kind == tls.HANDSHAKE:
                    rows += stream.rows_of(record.begin, record.end)
        return int(self._study.index.time_ns[max(rows)]) / 1e9 if rows else None


def by_record(event: Mapping[str, Any]) -> Client:
    """The client of a request whose own packets were not captured, or tell nothing, by the proxy's record."""
    side = event.get("front") or {}
    began = (event.get("started_ns") or event["time_ns"]) / 1e9
    return Client(
        peername=endpoint_of(side["client"]) if side.get("client") else ("", 0),
        sockname=endpoint_of(side["server"]) if side.get("server") else ("", 0),
        id=stable_id("client", "record", side.get("id"), side.get("client")),
        timestamp_start=began,
        transport_protocol="udp" if side.get("proto") == "UDP" else "tcp",
        tls=bool(side.get("tls")),
        tls_version=side.get("tls") if side.get("tls") in _VERSIONS.values() else None,
        sni=event["sni"] if isinstance(event.get("sni"), str) else None,
    )


def backend_by_record(event: Mapping[str, Any]) -> Server:
    """The backend's side of such a request; a `Server` without an address if the balancer answered itself."""
    side = event.get("back") or {}
    peer = endpoint_of(side["server"]) if side.get("server") else None
    return Server(
        address=peer,
        peername=peer,
        sockname=endpoint_of(side["client"]) if side.get("client") else None,
        id=stable_id("server", "record", side.get("id"), side.get("client"), event.get("request")),
        tls=bool(side.get("tls")),
        tls_version=side.get("tls") if side.get("tls") in _VERSIONS.values() else None,
    )
