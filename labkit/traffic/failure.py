"""Why something on the wire failed, in words: the table of causes, and how a worker's function hands one back.

Runs inside nodes. A failure travels as plain data and becomes a `TrafficError` in `labkit.traffic.remote`,
where the client's name is known; so a function here never names the client.
"""

import errno
import functools
import http.client
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

CAUSES: dict[int, tuple[str, str]] = {
    errno.ECONNREFUSED: ("refused", "connection refused: the host is there, but nothing listens on that port"),
    errno.ECONNRESET: ("reset", "the other side reset the connection"),
    errno.EPIPE: ("reset", "the other side reset the connection"),
    errno.ECONNABORTED: ("reset", "the connection was aborted"),
    errno.EHOSTUNREACH: ("unreachable", "no route leads there, or nobody on the link answers for that address"),
    errno.ENETUNREACH: ("unreachable", "no route leads there: a lab has no way out"),
    errno.ETIMEDOUT: ("timed out", "the other side did not answer"),
    errno.EADDRNOTAVAIL: ("no free port", "all local ports are taken: use fewer new connections, or wait a moment"),
    errno.EMFILE: ("too many files", "the process may not open more sockets: use fewer connections"),
    errno.EMSGSIZE: ("too long", "the datagram is longer than one UDP datagram can be"),
    errno.EBADF: ("closed", "the connection was closed on this side"),
}
"""What an errno means to a client: (cause, explanation)."""


class Failure(Exception):
    """Something a client was asked for did not work. *cause* is short and stable: "refused", "reset", "timed out"."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


def from_errno(number: int) -> Failure:
    """The failure that an errno stands for; unknown ones keep the kernel's own words."""
    return Failure(*CAUSES.get(number, (errno.errorcode.get(number, "error"), os.strerror(number))))


def from_exception(error: OSError | http.client.HTTPException) -> Failure:
    """The failure that an exception of the socket or http.client modules stands for."""
    if isinstance(error, http.client.RemoteDisconnected):
        return Failure("closed", "the other side closed the connection without an answer")
    if isinstance(error, http.client.IncompleteRead):
        return Failure("cut short", f"the connection ended after {len(error.partial)} bytes of the body")
    if isinstance(error, http.client.HTTPException):
        return Failure("not http", f"the answer is not HTTP ({type(error).__name__}: {error})")
    if isinstance(error, ssl.SSLError):
        return from_tls(error)
    if isinstance(error, TimeoutError) and error.errno is None:
        return Failure("timed out", "no answer in the time given")
    if isinstance(error, socket.gaierror):
        return Failure("no address", f"the name has no address here ({error.strerror})")
    return from_errno(error.errno or 0)


_ELSE = "lb and the backends have certificates of this lab's CA; others are not trusted here"
TLS_CAUSES: dict[str, tuple[str, str]] = {
    "WRONG_VERSION_NUMBER": ("not tls", "the other side does not speak TLS on that port: use http:// or ws://"),
    "HTTP_REQUEST": ("not tls", "the other side does not speak TLS on that port: use http:// or ws://"),
    "UNSUPPORTED_PROTOCOL": ("no tls version", "the other side does not speak that version of TLS: leave tls= out"),
    "TLSV1_ALERT_PROTOCOL_VERSION": (
        "no tls version",
        "the other side does not speak that version of TLS: leave tls= out",
    ),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "certificate required",
        "the other side asks for this client's certificate: certificate=True shows it",
    ),
    **dict.fromkeys(
        ("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
        (
            "certificate refused",
            "the other side does not take this client's certificate: it is not one of its CA for clients",
        ),
    ),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        "handshake refused",
        "the other side refuses what this one offers, or asks for a certificate: certificate=True shows one",
    ),
    "UNEXPECTED_EOF_WHILE_READING": ("closed", "the other side closed the connection within TLS"),
}
"""What OpenSSL's reason means to a client: (cause, explanation)."""


def from_tls(error: ssl.SSLError) -> Failure:
    """The failure that an error of the ssl module stands for; unknown ones keep OpenSSL's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = error.verify_message.rstrip(".")
        if error.verify_code in _NAMES_DIFFER:
            remedy = "use a name or address of the host that answers, or of lb where it answers for lb"
            return Failure("wrong name", f"the certificate is for somebody else ({told}): {remedy}")
        return Failure("bad certificate", f"the certificate cannot be trusted ({told}): {_ELSE}")
    reason = error.reason or ""
    words = reason.lower().replace("_", " ") or str(error)
    return Failure(*TLS_CAUSES.get(reason, ("tls", f"TLS failed ({words}): compare what both sides speak")))


def from_quic(code: int, reason: str, *, agreed: bool, application: bool) -> Failure:
    """The failure for which a QUIC connection ended, by error code and reason.

    agreed: the handshake was over. application: the code is one of HTTP/3 (RFC 9114 §8.1); else it is one of QUIC (RFC
    9000 §20.1), where those from 0x100 on are alerts of TLS, this side's own among them.
    """
    words = reason or f"code {code:#x}"
    if code == (_H3_NO_ERROR if application else 0):
        return Failure("closed", "the other side closed the connection")
    if application:
        return Failure("closed", f"the other side ended the connection with an error ({words})")
    if code == _CRYPTO + _BAD_CERTIFICATE and not agreed:
        if "match" in words:
            remedy = "use a name or address of the host that answers, or of lb where it answers for lb"
            return Failure("wrong name", f"the certificate is for somebody else ({words}): {remedy}")
        return Failure("bad certificate", f"the certificate cannot be trusted ({words}): {_ELSE}")
    if code == 1 and reason == "Idle timeout":
        return Failure("closed" if agreed else "timed out", "the other side did not answer")
    if _CRYPTO <= code < _CRYPTO + 256:
        return Failure("tls", f"TLS failed ({words}): compare what both sides speak")
    return Failure("closed", f"the connection ended with an error of QUIC ({words})")


_CRYPTO, _BAD_CERTIFICATE, _H3_NO_ERROR = 0x100, 42, 0x100
_NAMES_DIFFER = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def reported[**P](function: Callable[P, dict[str, Any]]) -> Callable[P, dict[str, Any]]:
    """Make a worker's function return ``{"failed": {"cause", "detail"}}`` where it raises what the wire can cause."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        try:
            return function(*args, **kwargs)
        except Failure as error:
            failure = error
        except (OSError, http.client.HTTPException) as error:
            failure = from_exception(error)
        return {"failed": {"cause": failure.cause, "detail": failure.detail}}

    return wrapper
