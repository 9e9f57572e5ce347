"""Requests as bytes."""

from labkit.traffic.message import compose
from labkit.traffic.target import parse_url


def test_a_plain_request():
    assert compose(parse_url("http://lb")) == (
        b"GET / HTTP/1.1\r\nHost: lb\r\nUser-Agent: labkit\r\nAccept: */*\r\n\r\n"
    )  # fmt: skip


def test_everything_at_once():
    headers = [["x-a", "1"], ["ACCEPT", "b"], ["X-A", "2"], ["user-agent", "me"]]
    request = compose(parse_url("http://[fd00::1]:81/p?q#f"), "POST", headers, {"c": "d"}, b"body")
    assert request == (
        b"POST /p?q HTTP/1.1\r\nHost: [fd00::1]:81\r\nx-a: 1\r\nACCEPT: b\r\nX-A: 2\r\nuser-agent: me\r\n"
        b"Cookie: c=d\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_framing_of_the_users_own_is_left_alone():
    request = compose(parse_url("http://lb/"), "POST", [["transfer-encoding", "chunked"]], body=b"0\r\n\r\n")
    assert request.endswith(b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n")
    assert b"Content-Length: 0" in compose(parse_url("http://lb/"), "PUT")
    assert b"Content-Length" not in compose(parse_url("http://lb/"), "DELETE")


def test_a_cookie_header_of_the_users_own_stands_alone():
    request = compose(parse_url("http://lb/"), headers=[["cookie", "a=1"]], cookies={"kept": "2"})
    assert request.count(b"ookie: ") == 1
