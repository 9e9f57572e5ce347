"""An HTTP/3 client connection (RFC 9114) over QUIC: many requests at a time, each a stream of its own.

Runs in a node's worker; `labkit.traffic.http` decides when to use one. The protocols are the aioquic library's, which
does no input or output. One thread reads and keeps QUIC's timers; whoever wants an answer waits for its stream.
"""

import contextlib
import io
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from aioquic.h3 import events as h3
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection, H3Stream, HeadersState
from aioquic.quic import events as quic
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from labkit.traffic.failure import Failure, from_exception, from_quic
from labkit.traffic.http2 import LARGEST, Answer
from labkit.traffic.target import Target, ends, resolve
from labkit.traffic.tls import Secrets, handshakes

logging.getLogger("quic").addHandler(logging.NullHandler())  # what it would print is raised

DATAGRAM = 65536
_BODILESS = frozenset((204, 304))  # whose Content-Length is of another answer (RFC 9110 §8.6)


class Http3Connection:
    """One connection to *target*, open until `close`, or until the server ends it."""

    def __init__(self, target: Target, options: dict[str, Any], deadline: float) -> None:
        self._changed = threading.Condition()
        self._answers: dict[int, Answer] = {}
        self._over: Failure | None = None
        self._agreed = False
        self._log = io.StringIO()
        failed: OSError | Failure | None = None
        for family, address in resolve(target.host, target.port, socket.SOCK_DGRAM):
            self._begin(target.host, options, family, address)
            try:
                self._shake_hands(deadline)
            except ConnectionRefusedError:
                failed = failed or Failure("refused", _NOBODY)
            except OSError as error:
                failed = failed or error
            else:
                break
            self._sock.close()
        else:
            raise failed or Failure("no address", f"{target.host} has no address here")
        self.where = ends(self._sock)
        self.version = "TLSv1.3"  # there is no other in QUIC (RFC 9001 §4.2)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        threading.Thread(target=self._read, name="http3", daemon=True).start()

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        with self._changed:
            return self._over is None

    def exchange(self, fields: list[tuple[bytes, bytes]], body: bytes, deadline: float) -> tuple[int, Answer]:
        """Send one request; its stream's number, and the answer. Failure, TimeoutError."""
        with self._changed:
            if self._over is not None:
                raise self._over
            stream = self._quic.get_next_available_stream_id()
            self._answers[stream] = answer = Answer()
            try:
                self._send(stream, fields, body)
                if not self._changed.wait_for(lambda: answer.over, max(deadline - time.monotonic(), 0)):
                    raise TimeoutError
            except BaseException:
                self._give_up(stream)
                raise
            finally:
                del self._answers[stream]
            if answer.failure:
                raise answer.failure
        _check_length(fields, answer)
        return stream, answer

    def close(self) -> None:
        """End it; requests under way fail. Idempotent."""
        with self._changed:
            if self._over is None:
                self._quic.close(ErrorCode.H3_NO_ERROR)
                with contextlib.suppress(OSError):
                    self._flush_beside()
                self._end(Failure("closed", "it was closed on this side: open a new one"))

    def _send(self, stream: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
        self._h3.send_headers(stream, fields, end_stream=not body)
        if body:
            self._h3.send_data(stream, body, end_stream=True)
        try:
            self._flush_beside()
        except OSError as error:
            self._end(from_exception(error))
            raise Failure("closed", f"the connection takes no more requests ({error})") from error

    def _begin(self, host: str, options: dict[str, Any], family: int, address: tuple[Any, ...]) -> None:
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=host, secrets_log_file=self._log)
        configuration.load_verify_locations(cadata=options["trust"].encode())  # and nobody else
        self._peer = address
        self._quic = QuicConnection(configuration=configuration)
        self._h3 = _Http3(self._quic)
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._secrets = Secrets(time.time_ns(), [], quic=True)

    def _shake_hands(self, deadline: float) -> None:
        """OSError, Failure; then the socket is still open."""
        try:
            self._sock.connect(self._peer)
            self._quic.connect(self._peer, time.monotonic())
            self._flush()
            while not self._agreed:
                if self._over is not None:
                    raise self._over
                if time.monotonic() > deadline:
                    raise TimeoutError
                self._turn(self._next(deadline), lambda left: _arrived(self._sock.fileno(), left))
        except Failure:
            self._sock.close()
            raise
        finally:
            self._secrets.lines = self._log.getvalue().splitlines()
            self._secrets.time_ns = time.time_ns()
            if not self._agreed:
                self._secrets.end()
            if self._secrets.lines:
                handshakes.put(self._secrets)

    def _next(self, deadline: float) -> float:
        """When QUIC wants to be asked again, at the latest."""
        timer = self._quic.get_timer()
        return deadline if timer is None else min(timer, deadline)

    def _turn(self, until: float, wait: Callable[[float], bool]) -> None:
        """Wait for datagrams or the time given, and do what follows from either."""
        arrived = wait(max(until - time.monotonic(), 0))
        with self._changed:
            if arrived:
                self._receive()
            timer = self._quic.get_timer()
            if timer is not None and timer <= time.monotonic():
                self._quic.handle_timer(time.monotonic())
            self._take()
            self._flush()

    def _read(self) -> None:
        """The reader's thread."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake, select.POLLIN)

        def wait(left: float) -> bool:
            ready = [fd for fd, _ in poll.poll(int(left * 1000) + 1)]
            if self._wake in ready:
                os.eventfd_read(self._wake)
            return self._sock.fileno() in ready

        failure = Failure("closed", "the other side closed the connection")
        try:
            while self._over is None:
                with self._changed:
                    until = self._next(time.monotonic() + 60)
                self._turn(until, wait)
        except OSError as error:
            failure = from_exception(error)
        finally:
            with self._changed:
                self._end(failure)
                self._sock.close()
                os.close(self._wake)

    def _receive(self) -> None:
        """Take in all datagrams that are there. OSError where the other host says that nobody is."""
        while True:
            try:
                data = self._sock.recv(DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._quic.receive_datagram(data, self._peer, time.monotonic())

    def _take(self) -> None:
        """What QUIC and HTTP/3 have to tell."""
        while (event := self._quic.next_event()) is not None:
            match event:
                case quic.HandshakeCompleted():
                    self._agreed = True
                case quic.ConnectionTerminated():
                    code, reason, of_http = event.error_code, event.reason_phrase, event.frame_type is None
                    self._end(from_quic(code, reason, agreed=self._agreed, application=of_http))
                case quic.StreamReset():
                    self._fail(event.stream_id, event.error_code)
            try:
                for each in self._h3.handle_event(event):
                    self._note(each)
            except ValueError:  # of what ends too soon; for all else that is wrong the library closes the connection
                self._quic.close(ErrorCode.H3_FRAME_ERROR)
                self._end(Failure("not http3", "what the other side sent is not HTTP/3"))
        self._changed.notify_all()

    def _note(self, event: h3.H3Event) -> None:
        answer = self._answers.get(getattr(event, "stream_id", -1))
        if answer is None or answer.over:
            return  # of a stream that was given up: nobody reads it
        match event:
            case h3.HeadersReceived() if not answer.status:
                pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                status = next(int(value) for name, value in pairs if name == ":status")
                if status < 200:
                    return  # the answer is still to come (RFC 9110 §15.2)
                answer.status = status
                answer.headers = [[name, value] for name, value in pairs if not name.startswith(":")]
                answer.over = event.stream_ended
            case h3.HeadersReceived():
                answer.over = event.stream_ended  # trailers
            case h3.DataReceived():
                answer.body += event.data or b""
                answer.over = event.stream_ended
                if len(answer.body) > LARGEST:
                    answer.failure = Failure("too large", f"the answer's body is over {LARGEST} bytes")
                    answer.over = True
                    self._give_up(event.stream_id)

    def _fail(self, stream: int, code: int) -> None:
        answer = self._answers.get(stream)
        if answer is not None and not answer.over:
            answer.failure = Failure("reset", f"the other side gave up the stream (HTTP/3 error code {code})")
            answer.over = True

    def _give_up(self, stream: int) -> None:
        """Neither side need go on with *stream* (RFC 9114 §4.1.1)."""
        if self._over is None:
            with contextlib.suppress(OSError):
                self._quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
                self._quic.stop_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
                self._flush_beside()

    def _flush(self) -> None:
        """Send what QUIC has to say; with the lock held, or before anybody else knows of this."""
        for data, _ in self._quic.datagrams_to_send(time.monotonic()):
            self._sock.send(data)

    def _flush_beside(self) -> None:
        """The same for other threads than the reader's, which has to look at QUIC's timers again."""
        self._flush()
        os.eventfd_write(self._wake, 1)

    def _end(self, failure: Failure) -> None:
        """Nothing comes any more; with the lock held."""
        self._secrets.end()
        if self._over is None:
            self._over = failure
            for answer in self._answers.values():
                if not answer.over:
                    answer.failure, answer.over = failure, True
        self._changed.notify_all()


_NOBODY = (
    "nobody answers there over UDP, where HTTP/3 is spoken: only lb speaks it, with "
    'lab.balancer.l7(tls=Tls(http3=True), engine="envoy"); or leave http3= out'
)


class _Http3(H3Connection):
    """Takes interim answers, and leaves it to `_check_length` whether one is whole: to HEAD it has a length alone."""

    def _handle_request_or_push_frame(self, *given: Any, **named: Any) -> list[h3.H3Event]:
        told = super()._handle_request_or_push_frame(*given, **named)
        for event in told:
            if isinstance(event, h3.HeadersReceived) and dict(event.headers).get(b":status", b"").startswith(b"1"):
                self._stream[event.stream_id].headers_recv_state = HeadersState.INITIAL
        return told

    def _check_content_length(self, stream: H3Stream) -> None:
        pass


def _check_length(fields: list[tuple[bytes, bytes]], answer: Answer) -> None:
    told = next((value for name, value in answer.headers if name == "content-length"), "")
    if (b":method", b"HEAD") in fields or answer.status in _BODILESS or not told.isdecimal():
        return
    if int(told) != len(answer.body):
        raise Failure("cut short", f"the answer ended after {len(answer.body)} bytes of the body, of {told}")


def _arrived(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000) + 1))
