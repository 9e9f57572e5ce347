"""Where Envoy answers the table of requests otherwise than a strict recipient: observed, payload by payload.

What it mends reaches the backend framed anew, in one way to read it. What is broken off may have reached it with its
head, as bodies are passed on as they come; the backend's connection is then closed in mid-request.
"""

from dataclasses import dataclass
from typing import Literal

from ..framing_table import SMUGGLED, TABLE, Payload

Fate = Literal["refused", "mended", "broken off"]


@dataclass(frozen=True)
class Treatment:
    """What is answered, in order, and what of a payload that is not right a backend sees."""

    answers: tuple[int, ...]
    fate: Fate


# Answered in the end, with what follows on the connection; what is called SMUGGLED is a request to it that follows.
_MENDED = {
    "transfer coding": ["folded"],
    "chunk": [
        "a space behind the size", "a chunk longer than its size", "data that end with a bare LF", "a bad extension",
        "an extension with an open quote", "an endless extension", "too many extensions",
    ],
    "trailer": [
        "a Content-Length", "a Transfer-Encoding", "a Host", "an Authorization", "a Cookie", "a bare LF",
        "a folded field",
    ],
    "field": ["folded", "a bare CR in the value", "a bare CR at the end", "a bare LF at the end", "bare LF throughout"],
    "host": ["another than the target's", "another port than the target's"],  # the target wins (RFC 9112 §3.2.2)
    "request line": ["two spaces", "a tab for a space", "a space at the end", "userinfo in the target"],
    "size": ["an endless method", "an endless target", "an endless field"],  # all of a head is limited, no line
    "no request": ["two empty lines first", "a bare LF first", "a bare CR first"],
}  # fmt: skip
# As HTTP/1.0, whose connection ends with the answer
_MENDED_AND_CLOSED = {
    "transfer coding": ["in HTTP/1.0"],
    "request line": ["HTTP/1.2", "HTTP/0.9", "HTTP/3.0"],
}
# Transfer codings are unknown to it, not malformed; a client that ends its side in mid-request gets no answer.
_ANSWERED = {
    "transfer coding": {
        name: 501
        for name in (
            "identity", "chunked is not the last", "xchunked", "quoted", "with a parameter", "empty", "chunked twice",
            "two fields", "two fields, one unknown",
        )
    },
    "request line": {"CONNECT": 404},
    "no request": {"an HTTP/2 preface": 400},
}  # fmt: skip


def treatment(payload: Payload) -> Treatment:
    """What Envoy makes of *payload*."""
    group, name = payload.group, payload.name
    if name in _MENDED.get(group, ()):
        return Treatment((200, *([200] if SMUGGLED in payload.raw else []), 200), "mended")
    if name in _MENDED_AND_CLOSED.get(group, ()):
        return Treatment((200,), "mended")
    if (group, name) == ("chunk", "a size that would be negative"):
        return Treatment((408,), "broken off")  # it waits for all the 2^64 - 1 bytes
    if group in ("chunk", "trailer"):
        return Treatment(payload.answers, "broken off")
    if group == "broken off":
        return Treatment((), "broken off")
    if name in _ANSWERED.get(group, {}):
        return Treatment((_ANSWERED[group][name],), "refused")
    return strictly(payload)


def strictly(payload: Payload) -> Treatment:
    """What a strict recipient makes of it: it answers what follows only behind what is right."""
    return Treatment((*payload.answers, *([200] if payload.whole and payload.expected == "ok" else [])), "refused")


TREATMENTS = {
    "mitmproxy": {payload: strictly(payload) for payload in TABLE},
    "envoy": {payload: treatment(payload) for payload in TABLE},
}
