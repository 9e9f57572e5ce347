"""What the balancer says in its own name: short plain-text answers to refused or failed requests."""

from http import HTTPStatus

from mitmproxy import http
from mitmproxy.net.http import http1

SERVER = "labkit-balancer"


def answer(status: int, reason: str, *, head: bool = False, close: bool = False) -> http.Response:
    """An HTTP/1.1 response with *reason* as its text; to a HEAD request the same without the text."""
    text = f"{status} {HTTPStatus(status).phrase}: {reason}\n".encode("utf-8", "replace")
    headers = {"Server": SERVER, "Content-Type": "text/plain; charset=utf-8"} | (
        {"Connection": "close"} if close else {}
    )
    response = http.Response.make(status, text, headers)
    if head:
        response.data.content = b""  # the length stays, the text goes (RFC 9110 §9.3.2)
    return response


def raw_answer(status: int, reason: str, *, head: bool = False) -> bytes:
    """`answer` as bytes for the wire, saying that the connection ends with it."""
    raw: bytes = http1.assemble_response(answer(status, reason, head=head, close=True))  # type: ignore[no-untyped-call]
    return raw
