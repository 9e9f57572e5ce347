"""Routes of a real Envoy, and requests that none of the policy's is asked about."""

import re

import pytest

from labkit import Route
from tests.balancer.mitmproxy.test_router import get

from .conftest import EnvoyStand

pytestmark = pytest.mark.measured


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ("Host: lb\r\nHost: evil", "more than one Host field"),
        ("Host: me@lb", "no name or address"),
        ("Host: lb:65536", "no name or address"),
        ("Host:", "no name or address"),
        ("Host: lb\r\nContent-Length: 00", "leading zeros"),
        ("Host: lb\r\nTransfer-Encoding: \x0bchunked", "breaks the rules of HTTP"),
        ("Accept: */*", "missing host header"),
    ],
    ids=["two hosts", "userinfo", "a port too large", "an empty host", "an octal length", "odd framing", "no host"],
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


@pytest.mark.parametrize(
    "host", ["lb", "LB.", "a-b_c.example:80", "127.0.0.1:65535", "[fd00::10]", "[::ffff:1.2.3.4]:8"]
)
def test_every_host_that_can_be_is_taken(stand: EnvoyStand, host: str) -> None:
    stand.route()
    assert stand.ask(f"GET /api/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())[0] == 200


def test_a_regular_expression_may_be_as_large_as_re2_allows(stand: EnvoyStand) -> None:
    stand.route(Route(re.compile(r"/[a-z]{1,200}/\d{1,20}"), "api"))
    assert [stand.ask(get(path))[0] for path in ("/users/7", "/users/x")] == [200, 404]
