"""`Reply` and `Headers`: reading an answer, and how they look."""

import pytest

from labkit.errors import TrafficError
from labkit.traffic.reply import Headers, Reply


def reply(body=b"", status=200, reason="OK", **headers):
    pairs = [[name.replace("_", "-"), value] for name, value in headers.items()]
    return Reply(status, reason, "HTTP/1.1", Headers(pairs), body, 0.1, ["10.0.1.11", 1], ["10.0.1.10", 80])


def test_headers_ignore_case_and_keep_what_came():
    headers = Headers([["Set-Cookie", "a=1"], ["X", "y"], ["set-cookie", "b=2"]])
    assert headers["SET-COOKIE"] == "a=1, b=2"
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert headers.get_all("none") == []
    assert (list(headers), len(headers), "x" in headers, 5 in headers) == (["Set-Cookie", "X"], 2, True, False)
    assert headers.raw == (("Set-Cookie", "a=1"), ("X", "y"), ("set-cookie", "b=2"))
    assert repr(headers) == "Headers([('Set-Cookie', 'a=1'), ('X', 'y'), ('set-cookie', 'b=2')])"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ("text/plain", b"\xc3\xa9", "é"),
        ("text/plain; charset=klingon", b"ok", "ok"),
        ('text/plain; charset="utf-8"; x=y', b"\xff", "\ufffd"),
    ],
)
def test_text(kind, body, text):
    assert reply(body, content_type=kind).text == text


def test_json():
    assert reply(b"[1]").json() == [1]
    with pytest.raises(TrafficError, match=r"200 is not JSON \(text/html\)"):
        reply(b"<p>", content_type="text/html").json()


def test_who_answered_is_the_backends_own_word():
    told = b'{"backend": "api2", "method": "GET", "target": "/", "headers": [], "peer": ["10.0.2.1", 5]}'
    assert reply(told, content_type="application/json").backend == "api2"
    assert reply(told, content_type="application/json").received["target"] == "/"
    assert reply(b"x", x_backend="api1").backend == "api1"
    for body in (b'{"backend": "x"}', b"{", b"[]"):
        assert reply(body, content_type="application/json").received is None
        assert reply(body, content_type="application/json").backend is None


def test_how_it_looks():
    assert repr(reply(x_backend="api1")) == "<Reply 200 OK from api1>"
    assert repr(reply(status=599, reason="")) == "<Reply 599>"
    assert reply(x_backend="<b>")._repr_html_() == "<code>200 OK</code> from <b>&lt;b&gt;</b>"
    assert reply(reason="No", status=404)._repr_html_() == "<code>404 No</code>"


def test_headers_are_asked_for_by_text():
    headers = Headers([("A", "1")])
    assert [headers.get(odd) for odd in (None, 5, [], b"a")] == [None] * 4
    assert headers.get_all(5) == []
    with pytest.raises(KeyError):
        headers[5]
