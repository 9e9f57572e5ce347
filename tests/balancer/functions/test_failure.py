"""Exceptions told as plain data, and written out where the source is known."""

import sys
import traceback

import msgpack

from labkit.balancer.functions.failure import frames_of, innermost, told, traceback_text


def inner(value):
    return value["missing"]


def chained():
    try:
        inner({})
    except KeyError as error:
        raise ValueError("no such\n\x1b[31mfield \ud800") from error


def caught(function):
    try:
        function()
    except Exception as error:
        error.__traceback__ = error.__traceback__.tb_next
        return error


def test_the_text_is_pythons_own_but_harmless():
    error = caught(chained)
    found = msgpack.unpackb(msgpack.packb(told(error, "printed \x1b[2J")))
    own = "".join(traceback.format_exception(error)).rstrip("\n")
    assert traceback_text(found["chain"]) == own.replace("\x1b", "\\x1b").replace("\ud800", "\\ud800")
    assert found["error"] == "\\x1b[31mfield \\ud800"
    assert found["printed"] == "printed \\x1b[2J"
    line, source = innermost(found["chain"])
    assert source == 'raise ValueError("no such\\n\\x1b[31mfield \\ud800") from error'
    assert line == chained.__code__.co_firstlineno + 4


def test_endless_recursion_and_exceptions_that_cannot_be_written():
    def deep():
        return deep()

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    def odd():
        raise Odd

    found = told(caught(deep), "")
    assert found["error"].startswith("RecursionError: maximum recursion depth exceeded")
    assert len(found["chain"][0]["frames"]) == 100
    assert len(msgpack.packb(found)) < 50_000
    assert "Odd" in told(caught(odd), "")["error"]


def test_where_a_call_is():
    frames = frames_of(traceback.walk_stack(sys._getframe()))
    assert frames[-1][2] == "test_where_a_call_is"
    assert innermost([]) == (None, "")
