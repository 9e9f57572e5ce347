"""A request as routes look at it: what its letters mean, as tables."""

import re
from typing import Any

import pytest

from labkit.balancer.l7.patterns import Regex, fits
from labkit.balancer.l7.request import NOTHING, Request


def with_body(body: bytes, kind: str) -> Request:
    return Request("POST", "/", [("Content-Type", kind)], body=body)


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        (["a=1; b=2"], {"a": "1", "b": "2"}),
        (["a=1; a=2"], {"a": "1"}),
        (["a=1", "b=2; a=3"], {"a": "1", "b": "2"}),
        (['a="1"; b="; c=""'], {"a": "1", "b": '"', "c": ""}),
        (["a=b=c; d= e"], {"a": "b=c", "d": " e"}),
        (["a; =b; ;;c="], {"c": ""}),
        (["\ta=1\t;A=2"], {"a": "1", "A": "2"}),
    ],
)
def test_cookies(lines: list[str], cookies: dict[str, str]) -> None:
    assert dict(Request("GET", "/", [("Cookie", line) for line in lines]).cookies) == cookies


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1,"a":2}', 2),
        (b'\xef\xbb\xbf{"a":"\\ud83d\\ude00"}', "😀"),
        (b'{"a":"\\ud83d"}', "\ud83d"),
        (b'{"a":' + b"[" * 150 + b"]" * 150 + b"}", [[]]),
        (b'{"a":NaN}', NOTHING),
        (b'{"a":-Infinity}', NOTHING),
        (b'{"a":01}', NOTHING),
        (b'{"a":"\n"}', NOTHING),
        (b'{"a":"\xff"}', NOTHING),
        ('{"a":1}'.encode("utf-16"), NOTHING),
        (b'{"a":' + b"[" * 250 + b"]" * 250 + b"}", NOTHING),
        (b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", NOTHING),
        (b'{"a":' + b"1" * 5000 + b"}", NOTHING),
        (b"[]", NOTHING),
        (b"", NOTHING),
    ],
    ids=lambda value: ascii(value)[:30] if isinstance(value, bytes) else "",
)
def test_json(body: bytes, value: Any) -> None:
    found = with_body(body, "application/problem+json; charset=x").json_field("a")
    assert found == value or (value == [[]] and isinstance(found, list))


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"a=%C3%A9&b=\xc3\xa9", {"a": "é", "b": "é"}),
        (b"a=1&a=2&b", {"a": "1", "b": ""}),
        (b"a+b=c+d&%61=%0D%0A", {"a b": "c d", "a": "\r\n"}),
        (b"a=%zz&&=x", {"a": "%zz", "": "x"}),
    ],
)
def test_forms(body: bytes, form: dict[str, str]) -> None:
    assert dict(with_body(body, "application/x-www-form-urlencoded").form) == form
    assert dict(with_body(body, "text/plain").form) == {}


@pytest.mark.parametrize(
    ("host", "name"),
    [("LB:80", "lb"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("lb.", "lb."), ("", ""), ("[::1", "")],
)
def test_hosts(host: str, name: str) -> None:
    assert Request("GET", "/", [("Host", host)]).host == name


def test_several_lines_are_one_value_and_upgrades_need_both_fields() -> None:
    asked = Request("GET", "/", [("X-A", "1"), ("x-a", ""), ("x-A", "2")])
    assert asked.headers["x-a"] == "1,,2"
    connection, upgrade = ("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")
    found = [Request("GET", "/", lines).upgrades for lines in ([connection, upgrade], [connection], [upgrade], [])]
    assert found == [True, False, False, False]


@pytest.mark.parametrize("value", ["\ud83d", "\ud83dA", "😀", "é", "a\nb"])
def test_no_value_is_too_odd_for_a_regular_expression(value: str) -> None:
    assert fits(Regex.of(re.compile(".*", re.DOTALL)), value)
    assert not fits(Regex.of(re.compile("x")), value)
