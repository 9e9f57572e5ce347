"""Answers of HTTP/1.1 in a stream of bytes."""

import pytest

from labkit.analysis.messages.http import responses

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_answers_as_written_and_where_they_stand() -> None:
    chunked = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    first, second, third = responses(OK + chunked + b"HTTP/1.0 204 \r\nX: 1\r\n\r\n", ["GET"] * 3)
    assert (first.status, first.reason, first.body, first.header("content-length")) == (200, "OK", b"ok", "2")
    assert (second.status, second.body, second.complete) == (404, b"abc", True)
    assert (third.status, third.version, third.headers, third.body) == (204, "HTTP/1.0", (("X", "1"),), b"")
    assert [one.spans for one in (first, second, third)] == [
        ((0, len(OK)),), ((len(OK), len(OK) + len(chunked)),), ((len(OK + chunked), len(OK + chunked) + 23),)
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "head"), [("HEAD", b"HTTP/1.1 200 OK"), ("GET", b"HTTP/1.1 304 Not Modified")])
def test_what_has_no_body_whatever_its_length_says(method: str, head: bytes) -> None:
    first, second = responses(head + b"\r\nContent-Length: 9\r\n\r\n" + OK, [method, "GET"])
    assert (first.body, first.complete) == (b"", True)
    assert second.body == b"ok"


def test_an_interim_answer_belongs_to_the_request_that_the_next_one_answers() -> None:
    found = list(responses(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, ["POST"]))
    assert [one.status for one in found] == [100, 200]


def test_the_end_of_the_connection_ends_a_body_if_it_was_seen() -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    (closed,) = responses(data, ["GET"])
    (cut,) = responses(data, ["GET"], closed=False)
    assert (closed.body, closed.complete) == (cut.body, True) == (b"to the end", True)
    assert not cut.complete


@pytest.mark.parametrize(
    ("method", "head"), [("GET", b"HTTP/1.1 101 Switching Protocols"), ("CONNECT", b"HTTP/1.1 200 OK")]
)
def test_after_a_switch_of_protocols_the_bytes_are_no_answers(method: str, head: bytes) -> None:
    (only,) = responses(head + b"\r\nUpgrade: x\r\n\r\n" + OK, [method, "GET"])
    assert only.complete


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_no_whole_head_is_none(data: bytes) -> None:
    assert list(responses(data, ["GET"])) == []


def test_without_a_request_there_is_no_answer() -> None:
    assert list(responses(OK, [])) == []
    assert len(list(responses(OK + OK, ["GET"]))) == 1
