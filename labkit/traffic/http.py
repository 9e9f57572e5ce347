"""HTTP clients: call targets for a request on a connection of its own, and for sessions that keep one.

Runs in a node's worker. Requests are written by `labkit.traffic.message`, answers read by http.client; HTTP/2 is
`labkit.traffic.http2`, HTTP/3 `labkit.traffic.http3`. Nothing is followed, decoded or retried behind the user's back,
with one exception: a session whose idle connection the server has closed opens a new one (RFC 9112 §9.3.1).
"""

import http.client
import select
import socket
import ssl
import threading
import time
import urllib.request
from email.message import Message
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, NamedTuple

from labkit.traffic.failure import Failure, reported
from labkit.traffic.held import shelf
from labkit.traffic.message import compose, compose_fields
from labkit.traffic.target import Target, connect, ends, hang_up, parse_url
from labkit.traffic.tls import HTTP1, Secrets, handshake

if TYPE_CHECKING:
    from labkit.traffic.http2 import Http2Connection
    from labkit.traffic.http3 import Http3Connection

CHUNK = 256 * 1024
LARGEST = 48 * 1024 * 1024
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # idempotent: RFC 9110 §9.2.2
VERSIONS = {10: "HTTP/1.0", 11: "HTTP/1.1"}


@reported
def request(key: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Call target: one request on a connection of its own. See `Session.exchange` for *spec* and the result."""
    session = Session()
    shelf.put(key, session)
    try:
        return session.exchange(spec)
    finally:
        shelf.close(key, for_good=False)


@reported
def open_session(key: str) -> dict[str, Any]:
    """Call target: hold a session under *key*; it connects with its first request."""
    shelf.put(key, Session())
    return {}


@reported
def session_request(key: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Call target: one request of the session *key*."""
    return shelf.get(key, Session).exchange(spec)


@reported
def session_cookies(key: str) -> dict[str, Any]:
    """Call target: the cookies the session *key* holds: {"cookies": {name: value}}."""
    return {"cookies": shelf.get(key, Session).cookies()}


class Place(NamedTuple):
    """Where a connection leads, and how: what another request must agree on to share it."""

    host: str
    port: int
    secure: bool
    tls_version: str | None
    certified: bool
    version: str

    @classmethod
    def of(cls, target: Target, spec: dict[str, Any]) -> "Place":
        tls = spec["tls"] or {}
        return cls(target.host, target.port, target.secure, tls.get("version"), "certificate" in tls, _version(spec))


class Session:
    """One connection at a time, and a cookie jar. Thread-safe: requests queue for it, except in HTTP/2 and HTTP/3."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._jar = CookieJar()
        self._sock: socket.socket | None = None
        self._secrets: Secrets | None = None
        self._streams: Http2Connection | Http3Connection | None = None
        self._place: Place | None = None
        self._closed = False

    def exchange(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Send a request, return its answer.

        spec: {"method", "url", "headers": [[name, value]], "cookies": {name: value}, "body": bytes, "timeout": seconds
        for the whole exchange, "http2": bool, "http3": bool, "tls": for `labkit.traffic.tls.handshake`, or None}.
        Result: {"status", "reason", "version", "headers": [[name, value]], "body": bytes, "seconds" (connecting and
        answer), "local": [ip, port], "remote": [ip, port], "tls": version or None, "stream": number or None}. Failure,
        OSError, HTTPException.
        """
        started = time.monotonic()
        target = parse_url(spec["url"])
        exchange = self._exchange1 if _version(spec) == "HTTP/1.1" else self._exchange_streams
        answer = exchange(target, spec, started + spec["timeout"])
        return answer | {"seconds": time.monotonic() - started}

    def _exchange1(self, target: Target, spec: dict[str, Any], deadline: float) -> dict[str, Any]:
        carrier = urllib.request.Request(target.url)
        with self._busy:
            cookies = self._cookies_for(carrier) | spec["cookies"]
            data = compose(target, spec["method"], spec["headers"], cookies, spec["body"])
            try:
                response, body, where = self._roundtrip(target, spec, data, deadline)
            except BaseException:
                self._drop()
                raise
            self._jar.extract_cookies(response, carrier)
            if response.will_close:
                self._drop()
        return {
            "status": response.status,
            "reason": response.reason,
            "version": VERSIONS[response.version],
            "headers": [[name, value] for name, value in response.headers.items()],
            "body": body,
            "stream": None,
            **where,
        }

    def _exchange_streams(self, target: Target, spec: dict[str, Any], deadline: float) -> dict[str, Any]:
        carrier = urllib.request.Request(target.url)
        with self._busy:
            cookies = self._cookies_for(carrier) | spec["cookies"]
            fields = compose_fields(target, spec["method"], spec["headers"], cookies, spec["body"])
            kept = self._streams
            connection = self._multiplexed(target, spec, deadline)
        try:
            stream, answer = connection.exchange(fields, spec["body"], deadline)
        except Failure:  # closed by the server as we wrote?
            if connection is not kept or connection.usable or spec["method"] not in REPEATABLE or self._closed:
                raise
            with self._busy:
                connection = self._multiplexed(target, spec, deadline)
            stream, answer = connection.exchange(fields, spec["body"], deadline)
        with self._busy:
            self._jar.extract_cookies(_Told(answer.headers), carrier)  # type: ignore[arg-type]
        return {
            "status": answer.status,
            "reason": "",
            "version": _version(spec),
            "headers": answer.headers,
            "body": bytes(answer.body),
            "stream": stream,
            "tls": connection.version,
            **connection.where,
        }

    def _cookies_for(self, carrier: urllib.request.Request) -> dict[str, str]:
        self._jar.add_cookie_header(carrier)
        kept = carrier.get_header("Cookie") or ""
        pairs = (pair.partition("=") for pair in kept.split("; ") if pair)
        return {name: value for name, _, value in pairs}

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def close(self) -> None:
        """Close the connection; a request under way in another thread ends with a Failure."""
        self._closed = True
        sock, streams = self._sock, self._streams
        if self._secrets:
            self._secrets.end()
        if sock is not None:
            hang_up(sock)
        if streams is not None:
            streams.close()

    def _multiplexed(
        self, target: Target, spec: dict[str, Any], deadline: float
    ) -> "Http2Connection | Http3Connection":
        """The open HTTP/2 or HTTP/3 connection, if it leads to *target*, or a new one."""
        place = Place.of(target, spec)
        if self._streams is None or not self._streams.usable or self._place != place:
            self._drop()
            self._streams, self._place = _opener(spec)(target, spec["tls"], deadline), place
            if self._closed:
                self._streams.close()
        return self._streams

    def _roundtrip(
        self, target: Target, spec: dict[str, Any], data: bytes, deadline: float
    ) -> tuple[http.client.HTTPResponse, bytes, dict[str, Any]]:
        method = spec["method"]
        kept = self._kept(Place.of(target, spec))
        if kept is not None:
            try:
                return self._once(kept, method, data, deadline)
            except (ConnectionError, http.client.RemoteDisconnected):  # closed by the server as we wrote
                if method not in REPEATABLE or self._closed:
                    raise
                self._drop()
        return self._once(self._connect(target, spec, deadline), method, data, deadline)

    def _once(
        self, sock: socket.socket, method: str, data: bytes, deadline: float
    ) -> tuple[http.client.HTTPResponse, bytes, dict[str, Any]]:
        where = ends(sock) | {"tls": sock.version() if isinstance(sock, ssl.SSLSocket) else None}
        _allow(sock, deadline)
        sock.sendall(data)
        response = http.client.HTTPResponse(sock, method=method)
        _allow(sock, deadline)
        response.begin()
        body = bytearray()
        if (response.length or 0) > LARGEST:
            raise Failure("too large", f"the answer announces a body of {response.length} bytes, over {LARGEST}")
        while part := _read(response, sock, deadline):
            body += part
            if len(body) > LARGEST:
                raise Failure("too large", f"the answer's body is over {LARGEST} bytes")
        if response.length:  # reading in portions, http.client does not mind a body that ends too soon
            raise http.client.IncompleteRead(bytes(body), response.length)
        return response, bytes(body), where

    def _kept(self, place: Place) -> socket.socket | None:
        """The open connection, if it leads to *place* and the server has not closed it."""
        if self._sock is None:
            return None
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if self._place == place and not poll.poll(0):
            return self._sock
        self._drop()
        return None

    def _connect(self, target: Target, spec: dict[str, Any], deadline: float) -> socket.socket:
        self._drop()
        self._sock = sock = connect(target.host, target.port, deadline - time.monotonic())
        self._place = Place.of(target, spec)
        if target.secure:
            with handshake(spec["tls"], HTTP1) as (context, self._secrets):
                _allow(sock, deadline)
                self._sock = sock = context.wrap_socket(sock, server_hostname=target.host)
        if self._closed:
            raise Failure("closed", "it was closed on this side: open a new one")
        return sock

    def _drop(self) -> None:
        if self._secrets is not None:
            self._secrets.end()
        if self._sock is not None:
            self._sock.close()
        if self._streams is not None:
            self._streams.close()
        self._sock = self._secrets = self._streams = None


def _version(spec: dict[str, Any]) -> str:
    """What is spoken there."""
    return "HTTP/3" if spec["http3"] else "HTTP/2" if spec["http2"] else "HTTP/1.1"


def _opener(spec: dict[str, Any]) -> "type[Http2Connection] | type[Http3Connection]":
    """Loaded with the first one: most hosts never need them."""
    if spec["http3"]:
        from labkit.traffic.http3 import Http3Connection

        return Http3Connection
    from labkit.traffic.http2 import Http2Connection

    return Http2Connection


class _Told:
    """The headers of an answer as the cookie jar asks for them."""

    def __init__(self, headers: list[list[str]]) -> None:
        self._message = Message()
        for name, value in headers:
            self._message[name] = value

    def info(self) -> Message:
        return self._message


def _allow(sock: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)


def _read(response: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    _allow(sock, deadline)
    return response.read(CHUNK)
