"""A node that is known by what its agent says first."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.greeted import GreetedNode
from labkit.runtime.loop import StreamLoop
from labkit.runtime.wire import Kind, frame, pack
from labkit.version import VERSION

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


@contextmanager
def said(*hello: dict[str, str]) -> Iterator[tuple[GreetedNode, socket.socket, list[str]]]:
    """A node whose agent, at the socket, has said *hello*; the list gets its name when it ends."""
    near, far = socket.socketpair()
    loop, ended = StreamLoop("test"), list[str]()
    with far:
        node = GreetedNode("n1", near, loop, ended.append)
        for each in hello:
            far.sendall(frame(0, Kind.HELLO, pack(each)))
        yield node, far, ended
        loop.close()


def test_what_it_said_is_kept():
    with said({"version": VERSION, "python": OWN}) as (node, _, ended):
        assert node.heard(5)
        node.fits("image")
        assert (node.hello, ended) == ({"version": VERSION, "python": OWN}, [])


def test_it_is_heard_too_when_it_ends_without_a_word():
    with said() as (node, far, ended):
        assert not node.heard()
        far.close()
        assert node.heard(5)
        assert (node.hello, ended) == ({}, ["n1"])


def test_another_labkit_does_not_fit():
    with said({"version": "9.9", "python": OWN}) as (node, _, _):
        assert node.heard(5)
        with pytest.raises(
            RuntimeUnavailable, match=rf"image x holds labkit 9\.9, and this is {VERSION}: build it anew"
        ):
            node.fits("x")


def test_of_another_python_it_warns():
    with said({"version": VERSION, "python": "3.1"}) as (node, _, _):
        assert node.heard(5)
        with pytest.warns(
            UserWarning, match=rf"image x has Python 3\.1, and this is {OWN}: functions of yours may not"
        ):
            node.fits("x")


def test_hanging_up_ends_its_agents_stream():
    with said() as (node, far, _):
        node.hang_up()
        far.settimeout(5)
        assert far.recv(1) == b""
        node.hang_up()
