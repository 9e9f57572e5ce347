"""Listening sockets, in the test's own process."""

import socket

import pytest

from labkit.errors import TaskError
from labkit.traffic import sockets


def test_both_families_have_one_port_and_no_nagle_in_the_way():
    with sockets.listening("api1", 0) as listeners:
        assert [sock.family for sock in listeners] == [socket.AF_INET, socket.AF_INET6]
        assert len({sock.getsockname()[1] for sock in listeners}) == 1
        assert {sock.proto for sock in listeners} == {socket.IPPROTO_TCP}  # else no TCP_NODELAY
    assert all(sock.fileno() == -1 for sock in listeners)


def test_a_taken_port_leaves_nothing_open():
    with sockets.listening("api1", 0) as listeners:
        port = listeners[0].getsockname()[1]
        with pytest.raises(TaskError, match=f"api2 cannot serve TCP port {port}: Address already in use"):
            sockets.bound("api2", port, socket.SOCK_STREAM)


def test_without_ipv6_ipv4_alone_is_served(monkeypatch):
    monkeypatch.setattr(sockets, "WILDCARDS", ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "2001:db8::1")))
    with sockets.listening("api1", 0) as listeners:
        assert [sock.family for sock in listeners] == [socket.AF_INET]
