"""An HTTP/2 client connection (RFC 9113) over TLS: many requests at a time, each a stream of its own.

Runs in a node's worker; `labkit.traffic.http` decides when to use one. The protocol is the h2 library's. One thread
reads; whoever wants an answer waits for its stream. OpenSSL is used under one lock and the socket is read outside it,
so that waiting for an answer never keeps another request from being sent.
"""

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from labkit.traffic.failure import Failure, from_exception
from labkit.traffic.target import Target, connect, ends, hang_up
from labkit.traffic.tls import HTTP2, Secrets, handshake

LARGEST = 48 * 1024 * 1024
PIECE = 65536


@dataclass(slots=True)
class Answer:
    """What has come on one stream so far."""

    status: int = 0
    headers: list[list[str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    over: bool = False
    failure: Failure | None = None


class Http2Connection:
    """One connection to *target*, open until `close`, or until the server ends it."""

    def __init__(self, target: Target, options: dict[str, Any], deadline: float) -> None:
        self._changed = threading.Condition()
        self._answers: dict[int, Answer] = {}
        self._over: Failure | None = None
        self._sock = connect(target.host, target.port, deadline - time.monotonic())
        try:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls, self._secrets = self._shake_hands(target.host, options)
            self.where = ends(self._sock)
            self.version = self._tls.version()
            if self._tls.selected_alpn_protocol() != HTTP2[0]:
                raise Failure("no http2", "the other side does not speak HTTP/2: leave http2= out")
            self._sock.settimeout(None)
            config = h2.config.H2Configuration(client_side=True, header_encoding=None)
            self._h2 = h2.connection.H2Connection(config)
            self._h2.local_settings.enable_push = 0
            self._h2.local_settings.acknowledge()  # or the first SETTINGS would still allow it
            self._h2.initiate_connection()
            self._flush()
        except BaseException:
            self._sock.close()
            raise
        threading.Thread(target=self._read, name="http2", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        with self._changed:
            return self._over is None

    def exchange(self, fields: list[tuple[bytes, bytes]], body: bytes, deadline: float) -> tuple[int, Answer]:
        """Send one request; its stream's number, and the answer. Failure, TimeoutError."""
        with self._changed:
            self._check()
            try:
                stream = self._h2.get_next_available_stream_id()
                self._answers[stream] = answer = Answer()
                self._h2.send_headers(stream, fields, end_stream=not body)
                self._flush()
            except (h2.exceptions.ProtocolError, OSError) as error:
                raise Failure("closed", f"the connection takes no more requests ({error})") from error
            try:
                self._send_body(stream, answer, body, deadline)
                self._wait(lambda: answer.over, deadline)
            except BaseException:
                self._give_up(stream)
                raise
            finally:
                del self._answers[stream]
            if answer.failure:
                self._give_up(stream)
                raise answer.failure
        return stream, answer

    def close(self) -> None:
        """End it; requests under way fail. Idempotent."""
        with self._changed:
            if self._over is None:
                self._say_goodbye()
                self._end(Failure("closed", "it was closed on this side: open a new one"))
        hang_up(self._sock)

    def _shake_hands(self, host: str, options: dict[str, Any]) -> tuple[ssl.SSLObject, Secrets]:
        with handshake(options, HTTP2) as (context, secrets):
            session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
            while True:
                try:
                    session.do_handshake()
                except ssl.SSLWantReadError:
                    self._sock.sendall(self._outgoing.read())
                    self._receive()
                except ssl.SSLError:
                    self._sock.sendall(self._outgoing.read())  # the alert that tells the other side
                    raise
                else:
                    return session, secrets

    def _receive(self) -> bool:
        """Take in what has arrived; False at the end of the stream."""
        data = self._sock.recv(PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _send_body(self, stream: int, answer: Answer, body: bytes, deadline: float) -> None:
        rest = memoryview(body)
        while rest and not answer.over:
            self._wait(lambda: answer.over or self._h2.local_flow_control_window(stream) > 0, deadline)
            if answer.over:
                return  # answered before it was heard out (RFC 9113 §8.1)
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(rest))
            self._h2.send_data(stream, bytes(rest[:size]), end_stream=size == len(rest))
            rest = rest[size:]
            self._flush()

    def _wait(self, done: Any, deadline: float) -> None:
        if not self._changed.wait_for(done, max(deadline - time.monotonic(), 0)):
            raise TimeoutError

    def _give_up(self, stream: int) -> None:
        """The other side need not go on with *stream* (RFC 9113 §7: CANCEL)."""
        if self._over is None:
            with contextlib.suppress(h2.exceptions.ProtocolError, OSError):  # it has ended by itself
                self._h2.reset_stream(stream, 8)
                self._flush()

    def _say_goodbye(self) -> None:
        """GOAWAY (RFC 9113 §6.8) and close_notify (RFC 8446 §6.1), as far as they still can be sent."""
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            self._h2.close_connection()
            self._flush()
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            self._sock.sendall(self._outgoing.read())

    def _check(self) -> None:
        if self._over is not None:
            raise self._over

    def _flush(self) -> None:
        """Send what h2 has to say; with the lock held, or before anybody else knows of this."""
        if data := self._h2.data_to_send():
            self._tls.write(data)
        self._sock.sendall(self._outgoing.read())

    def _read(self) -> None:
        """The reader's thread."""
        failure = Failure("closed", "the other side closed the connection")
        try:
            while data := self._sock.recv(PIECE):
                with self._changed:
                    self._incoming.write(data)
                    try:
                        self._take()
                    except (OSError, h2.exceptions.ProtocolError) as error:
                        self._end(_told_by(error))  # before anybody sends again, and finds but a broken connection
                        break
        except OSError as error:
            failure = from_exception(error)
        with self._changed:
            self._end(failure)
        hang_up(self._sock)

    def _take(self) -> None:
        plain = bytearray()
        try:
            while piece := self._tls.read(PIECE):
                plain += piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end(Failure("closed", "the other side closed the connection"))
        for event in self._h2.receive_data(bytes(plain)):
            self._note(event)
        self._flush()
        self._changed.notify_all()

    def _note(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None)
        answer = self._answers.get(stream or 0) or Answer()  # of a stream that was given up: nobody reads it
        match event:
            case h2.events.ResponseReceived():
                pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                answer.status = next(int(value) for name, value in pairs if name == ":status")
                answer.headers = [[name, value] for name, value in pairs if not name.startswith(":")]
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                answer.body += event.data
                if len(answer.body) > LARGEST:
                    answer.failure, answer.over = (
                        Failure("too large", f"the answer's body is over {LARGEST} bytes"),
                        True,
                    )
            case h2.events.StreamEnded():
                answer.over = True
            case h2.events.StreamReset():
                if not (answer.status and answer.over):
                    reason = f"the other side gave up the stream (HTTP/2 error code {event.error_code!s})"
                    answer.failure = Failure("reset", reason)
                answer.over = True
            case h2.events.ConnectionTerminated():
                self._end(Failure("closed", f"the other side ended the connection (code {event.error_code!s})"))

    def _end(self, failure: Failure) -> None:
        """Nothing comes any more; with the lock held."""
        self._secrets.end()
        self._over = self._over or failure
        for answer in self._answers.values():
            if not answer.over:
                answer.failure, answer.over = self._over, True
        self._changed.notify_all()


def _told_by(error: Exception) -> Failure:
    return from_exception(error) if isinstance(error, OSError) else Failure("not http2", str(error))
