import pytest

from labkit.analysis.messages.http import Request, requests


def parsed(data: bytes) -> list[Request]:
    return list(requests(data))


def test_a_request_as_written() -> None:
    fields = b"Host: lb\r\nX-One:  two \r\nX-One: three\r\nCookie: a=1\r\nCookie: b=2\r\nContent-Length: 2\r\n"
    data = b"POST /a?b=1 HTTP/1.1\r\n" + fields + b"\r\nhi"
    (request,) = parsed(data)
    assert (request.method, request.target, request.version, request.body) == ("POST", "/a?b=1", "HTTP/1.1", b"hi")
    assert [name for name, _ in request.headers] == ["Host", "X-One", "X-One", "Cookie", "Cookie", "Content-Length"]
    assert (request.header("x-one"), request.header("COOKIE"), request.header("none")) == (
        "two, three",
        "a=1; b=2",
        None,
    )
    assert request.complete


def test_several_on_one_connection() -> None:
    chunked = b"PUT /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    data = b"GET /1 HTTP/1.1\r\n\r\n\r\n" + chunked + b"GET /3 HTTP/1.0\r\n\r\n"
    assert [(r.target, r.body) for r in parsed(data)] == [("/1", b""), ("/2", b"abcde"), ("/3", b"")]


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ],
)
def test_what_is_cut_off_says_so(data: bytes) -> None:
    (request,) = parsed(data)
    assert not request.complete
    assert request.body == b"half"


@pytest.mark.parametrize(
    "data",
    [b"", b"GET", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\nHost: l", b"GET / HTTP/1.1\r\nHost: lb\r\n", b"\x16\x03\x01",
     b"*1\r\n$4\r\nPING\r\n",
     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_whole_head_is_none(data: bytes) -> None:
    assert parsed(data) == []


def test_after_an_upgrade_the_bytes_are_no_requests() -> None:
    upgrade = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET /not HTTP/1.1\r\n\r\n"
    assert [request.target for request in parsed(upgrade)] == ["/ws"]
    assert len(parsed(b"CONNECT a:1 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")) == 1


def test_bare_line_feeds_are_read_and_a_foolish_length_is_none() -> None:
    (request,) = parsed(b"GET / HTTP/1.1\nContent-Length: -4\n\n")
    assert (request.header("content-length"), request.body, request.complete) == ("-4", b"", True)
