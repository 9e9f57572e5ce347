"""What the balancer says in its own name: short plain-text answers to refused or failed requests."""

from collections.abc import Sequence
from http import HTTPStatus

from mitmproxy import http
from mitmproxy.net.http import http1

SERVER = "labkit-balancer"


def answer(
    status: int,
    reason: str = "",
    *,
    text: str | None = None,
    fields: Sequence[tuple[str, str]] = (),
    head: bool = False,
    close: bool = False,
) -> http.Response:
    """An HTTP/1.1 response with *text*, or else *reason* after the status in words; to a HEAD request without either.

    fields: more header fields; they replace those of the same name.
    """
    said = text if text is not None else f"{status} {HTTPStatus(status).phrase}: {reason}\n"
    headers = {"Server": SERVER, "Content-Type": "text/plain; charset=utf-8"} if said else {"Server": SERVER}
    response = http.Response.make(status, said.encode("utf-8", "replace"), headers)
    for name in {name.lower() for name, _ in fields}:
        response.headers.pop(name, None)
    for name, value in fields:
        response.headers.add(name, value)
    if close:
        response.headers["Connection"] = "close"
    if status in (204, 304):
        response.headers.pop("content-length", None)
    if head:
        response.data.content = b""  # the length stays, the text goes (RFC 9110 §9.3.2)
    return response


def raw_answer(status: int, reason: str, fields: Sequence[tuple[str, str]] = (), *, head: bool = False) -> bytes:
    """`answer` as bytes for the wire, saying that the connection ends with it."""
    raw: bytes = http1.assemble_response(answer(status, reason, fields=fields, head=head, close=True))  # type: ignore[no-untyped-call]
    return raw
