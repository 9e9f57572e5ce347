"""HTTP/1.1 clients: call targets for a request on a connection of its own, and for sessions that keep one.

Runs in a node's worker. Requests are written by `labkit.traffic.message`, answers read by http.client. Nothing is
followed, decoded or retried behind the user's back, with one exception: a session whose idle connection the server
has closed opens a new one (RFC 9112 §9.3.1).
"""

import http.client
import select
import socket
import threading
import time
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from labkit.traffic.failure import Failure, reported
from labkit.traffic.held import shelf
from labkit.traffic.message import compose
from labkit.traffic.target import Target, connect, ends, hang_up, parse_url

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


class Session:
    """One connection at a time, and a cookie jar. Thread-safe: requests queue for the connection."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._jar = CookieJar()
        self._sock: socket.socket | None = None
        self._peer: tuple[str, int] | None = None
        self._closed = False

    def exchange(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Send a request, return its answer.

        spec: {"method", "url", "headers": [[name, value]], "cookies": {name: value}, "body": bytes, "timeout": seconds
        for the whole exchange}. Result: {"status", "reason", "version", "headers": [[name, value]], "body": bytes,
        "seconds" (connecting and answer), "local": [ip, port], "remote": [ip, port]}. Failure, OSError, HTTPException.
        """
        started = time.monotonic()
        deadline = started + spec["timeout"]
        target = parse_url(spec["url"])
        carrier = urllib.request.Request(target.url)
        with self._busy:
            self._jar.add_cookie_header(carrier)
            kept = carrier.get_header("Cookie") or ""
            pairs = (pair.partition("=") for pair in kept.split("; ") if pair)
            cookies = {name: value for name, _, value in pairs} | spec["cookies"]
            data = compose(target, spec["method"], spec["headers"], cookies, spec["body"])
            try:
                response, body, where = self._roundtrip(target, spec["method"], data, deadline)
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
            "seconds": time.monotonic() - started,
            **where,
        }

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def close(self) -> None:
        """Close the connection; a request under way in another thread ends with a Failure."""
        self._closed = True
        sock = self._sock
        if sock is not None:
            hang_up(sock)

    def _roundtrip(
        self, target: Target, method: str, data: bytes, deadline: float
    ) -> tuple[http.client.HTTPResponse, bytes, dict[str, Any]]:
        kept = self._kept(target)
        if kept is not None:
            try:
                return self._once(kept, method, data, deadline)
            except (ConnectionError, http.client.RemoteDisconnected):  # closed by the server as we wrote
                if method not in REPEATABLE or self._closed:
                    raise
                self._drop()
        return self._once(self._connect(target, deadline), method, data, deadline)

    def _once(
        self, sock: socket.socket, method: str, data: bytes, deadline: float
    ) -> tuple[http.client.HTTPResponse, bytes, dict[str, Any]]:
        where = ends(sock)
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

    def _kept(self, target: Target) -> socket.socket | None:
        """The open connection, if it leads to *target* and the server has not closed it."""
        if self._sock is None:
            return None
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if self._peer == (target.host, target.port) and not poll.poll(0):
            return self._sock
        self._drop()
        return None

    def _connect(self, target: Target, deadline: float) -> socket.socket:
        self._sock = connect(target.host, target.port, deadline - time.monotonic())
        self._peer = (target.host, target.port)
        if self._closed:
            raise Failure("closed", "it was closed on this side: open a new one")
        return self._sock

    def _drop(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._sock = None


def _allow(sock: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)


def _read(response: http.client.HTTPResponse, sock: socket.socket, deadline: float) -> bytes:
    _allow(sock, deadline)
    return response.read(CHUNK)
