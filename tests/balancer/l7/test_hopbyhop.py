"""What goes no further than this connection."""

import pytest

from labkit.balancer.l7.hopbyhop import without


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["Connection: x-a, X-B", "x-a: 1", "X-b: 2", "x-c: 3"], ["x-c: 3"]),
        (["Connection: close", "Connection: x-a", "X-A: 1"], []),
        (["Connection: host, cookie, authorization", "Host: lb", "Cookie: a=b", "Authorization: x"], None),
        (["Connection: content-length", "Content-Length: 3", "Transfer-Encoding: chunked"], None),
        (["Keep-Alive: 5", "TE: trailers", "Proxy-Authorization: x", "Upgrade: h2c"], []),
        (["Connection: Upgrade", "Upgrade: a", "upgrade: b"], ["Connection: Upgrade", "Upgrade: a, b"]),
        (["Connection: ,, ", "x-a:"], ["x-a: "]),
    ],
)
def test_what_connection_names_goes_but_for_what_frames_a_message(lines: list[str], kept: list[str] | None) -> None:
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    found = [f"{name}: {value}" for name, value in without(pairs)]
    assert found == (kept if kept is not None else lines[1:])
