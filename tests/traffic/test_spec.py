"""What a client may be given, and the lesson for what it may not: pure, nothing is sent."""

import pytest

from labkit.errors import TrafficError
from labkit.traffic.spec import check_data, check_flag, check_port, check_seconds, check_whole, request_spec

HALF = "\udc80"


def spec(**given):
    plain = {"method": "GET", "url": "http://lb/", "headers": None, "cookies": None, "body": None, "timeout": 1}
    return request_spec(**plain | given)


def test_text_stays_as_it_is_and_bytes_are_sent_as_they_are():
    made = spec(headers=[("a", "é"), (b"b", b"\xc3\xa9"), ["a", ""]], cookies={"c": b"d"}, body="é")
    assert made["headers"] == [["a", "é"], ["b", "\u00c3\u00a9"], ["a", ""]]
    assert (made["cookies"], made["body"]) == ({"c": "d"}, b"\xc3\xa9")
    for body in (b"x", bytearray(b"x"), memoryview(b"x")):
        assert spec(body=body)["body"] == b"x"
    assert spec(headers=(pair for pair in [("a", "b")]))["headers"] == [["a", "b"]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"headers": 5}, "headers are a dictionary, or a list of (name, value) pairs, not 5"),
        ({"headers": ""}, "pairs, not ''"),
        ({"headers": b"a"}, "pairs, not b'a'"),
        ({"headers": [1]}, "1 is no pair"),
        ({"headers": ["ab"]}, "'ab' is no pair"),
        ({"headers": [("a", "b", "c")]}, "is no pair"),
        ({"headers": {"a": 1}}, "the value of the header 'a' is text, not 1: write it as text"),
        ({"headers": {"a": True}}, "'a' is text, not True"),
        ({"headers": {"a": None}}, "'a' is text, not None: leave it out"),
        ({"headers": {None: "a"}}, "the name of a header is text, not None"),
        ({"headers": {5: "a"}}, "the name of a header is text, not 5"),
        ({"headers": [("a", [])]}, "'a' is text, not []"),
        ({"headers": {"a": HALF}}, "the value of the header 'a' has half a character"),
        ({"headers": {HALF: "a"}}, "the name of a header has half a character"),
        ({"cookies": 5}, "cookies are a dictionary of names and values, not 5"),
        ({"cookies": 0}, "not 0"),
        ({"cookies": [("a", "b")]}, "cookies are a dictionary"),
        ({"cookies": {"a": None}}, "the value of the cookie 'a' is text, not None"),
        ({"cookies": {"a": 1}}, "the cookie 'a' is text, not 1"),
        ({"cookies": {1: "a"}}, "the name of a cookie is text, not 1"),
        ({"cookies": {"a": HALF}}, "the cookie 'a' has half a character"),
        ({"body": 0}, "a body is text or bytes, not int"),
        ({"body": []}, "json.dumps"),
        ({"body": False}, "not bool"),
        ({"body": HALF}, "a body has half a character"),
        ({"method": HALF}, "a method has half a character in it, which cannot be sent"),
        ({"url": f"http://lb/{HALF}"}, "a URL has half a character"),
        ({"url": b"http://lb/"}, "a URL is text"),
        ({"timeout": 10**5000}, "timeout is a number of seconds above 0, at most 86400, not <int>"),
        ({"timeout": float("nan")}, "not nan"),
    ],
)
def test_wrong_requests_are_lessons(given, words):
    with pytest.raises(TrafficError) as error:
        spec(**given)
    assert words in str(error.value)
    str(error.value).encode()


def test_a_lesson_does_not_repeat_all_of_a_long_value():
    with pytest.raises(TrafficError) as error:
        spec(headers="x" * 100_000)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("data", [5, None, True, [1, 2], {}, 1.5, object()])
def test_only_text_and_bytes_are_data(data):
    with pytest.raises(TrafficError, match="what is sent is text or bytes, not "):
        check_data("what is sent", data)


@pytest.mark.parametrize(("port", "cause"), [(0, "bad port"), (65536, "bad port"), (2**70, "bad port"), (True, "")])
def test_ports(port, cause):
    with pytest.raises(TrafficError) as error:
        check_port(port)
    assert error.value.cause == cause
    assert check_port(65535) == 65535


def test_numbers_and_flags():
    assert (check_whole("n", 3, 1, 3), check_seconds("s", 2), check_flag("f", False)) == (3, 2.0, False)
    for number in (0, 4, True, 1.0, "1", None):
        with pytest.raises(TrafficError, match="n is a whole number from 1 to 3, not"):
            check_whole("n", number, 1, 3)
    for flag in (0, 1, None, "no"):
        with pytest.raises(TrafficError, match="f is True or False, not"):
            check_flag("f", flag)
