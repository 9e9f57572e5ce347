"""Requests that no route is asked about, refused by a real Envoy."""

import pytest

from .conftest import EnvoyStand

pytestmark = pytest.mark.measured


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("Host: lb\r\nHost: evil", "more than one Host field"),
        ("Host: lb\r\nTransfer-Encoding: \x0bchunked", "breaks the rules of HTTP"),
        ("Accept: */*", "missing host header"),
    ],
    ids=["two hosts", "odd framing", "no host"],
)
def test_what_a_backend_might_read_otherwise_is_not_passed_on(stand: EnvoyStand, fields: str, error: str) -> None:
    stand.route()
    accepted = {name: backend.accepted for name, backend in stand.backends.items()}
    replies: list[int] = []
    raw = f"GET /api/x HTTP/1.1\r\n{fields}\r\n\r\n".encode("latin-1")
    (event,) = stand.during(lambda: replies.append(stand.ask(raw)[0]))
    assert replies == [event["status"]]
    assert event["status"] in (400, 501)
    assert error in event["error"]
    assert (event["rule"], event["backend"], event["decided_ns"]) == (None, None, None)
    assert {name: backend.accepted for name, backend in stand.backends.items()} == accepted
