"""A host that listens for owners, as a plain process: who is served, who is not, and what is left of those who were."""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.runtime.loop import StreamLoop
from labkit.runtime.stream import StreamNode
from labkit.runtime.wire import Decoder, Kind, frame, pack, unpack
from labkit.topology import sized
from tests.runtime.attached.hosts import Hosts, hosts

JOBS = "tests.runtime.jobs:"


@pytest.fixture
def api1(folder) -> Iterator[Hosts]:
    with hosts(folder, sized(backends=2, clients=1)) as made:
        made.start("api1")
        made.listen()
        yield made


@contextlib.contextmanager
def connected(there: Hosts) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(there.socket("api1")))
        yield sock


@contextlib.contextmanager
def owned(there: Hosts) -> Iterator[StreamNode]:
    """The host as a node of ours, as soon as whoever had it has gone."""
    deadline = time.monotonic() + 5
    while True:
        with connected(there) as sock:
            if "refused" not in hello(sock):
                loop = StreamLoop("test")
                yield StreamNode("api1", sock.dup(), loop)
                loop.close()
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def hello(sock: socket.socket) -> dict[str, Any]:
    """What a newcomer is told first."""
    decoder = Decoder()
    while data := sock.recv(1 << 16):
        for number, kind, body in decoder.feed(data):
            assert (number, kind) == (0, Kind.HELLO)
            told: dict[str, Any] = unpack(body)
            return told
    raise AssertionError("told nothing")


def served(there: Hosts, within: float = 5.0) -> None:
    """Another owner is served, *within* seconds."""
    deadline = time.monotonic() + within
    while True:
        with connected(there) as sock:
            if "refused" not in hello(sock):
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_owner_is_told_what_the_host_is(api1):
    with connected(api1) as sock:
        told = hello(sock)
    assert (told["node"], told["rights"], told["hosts"]) == ("api1", ["net_raw"], str(api1.folder / "api1/hosts"))
    assert told["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert [interface["addresses"][0] for interface in told["network"]["interfaces"]] == [["10.2.0.11", 16]]


def test_who_comes_second_is_told_so_and_who_came_first_is_served_on(api1):
    with owned(api1) as node:
        assert node.call(JOBS + "sleep", 0) == "slept"
        for _ in range(3):
            with connected(api1) as second:
                told = hello(second)
                assert list(told) == ["node", "refused"]
                assert told["refused"].startswith("api1 is in use: another notebook is attached to this lab.")
                assert second.recv(1) == b""
        assert node.call(JOBS + "sleep", 0) == "slept"


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 4,
        struct.pack("!IIB", 1 << 31, 1, Kind.DATA),
        struct.pack("!IIB", 0, 1, 99),
        frame(1, Kind.START, b"\xc1"),
        frame(1, Kind.START, pack({"target": "no"})),
        frame(1, Kind.START, pack("nothing like it")),
        frame(0, Kind.LOAD, pack(7)),
        frame(0, Kind.LOAD, pack(["os", "no.such.module", ""])),
    ],
    ids=["http", "too long", "of no kind", "no msgpack", "no arguments", "no order", "no list", "no module"],
)
def test_who_talks_nonsense_is_left_and_the_next_is_served(api1, bytes_):
    with connected(api1) as sock:
        hello(sock)
        sock.sendall(bytes_)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass
    served(api1)


def test_who_hangs_up_before_the_first_word_leaves_the_host_free(api1):
    for _ in range(20):
        with connected(api1):
            pass
    served(api1)


STRUCK = """
import ctypes, operator, select, sys
from functools import partial
from labkit.runtime.container import serve

wait, strike = select.select, partial(ctypes.CDLL(None)["raise"], 15)

def struck(waited, *more):
    numbers = [each if isinstance(each, int) else each.fileno() for each in waited]
    both = strike, partial(wait, numbers, *more)  # map calls them from C: Python has no occasion for its handler
    ready = list(map(operator.call, both))[1][0]
    return [each for each, number in zip(waited, numbers) if number in ready], [], []

select.select = struck
serve.main()
"""


def test_a_signal_that_comes_just_before_it_waits_is_noticed(folder):
    environment = os.environ | {"LABKIT_NODE": "api1"}
    begun = subprocess.Popen([sys.executable, "-c", STRUCK, "--door", str(folder)], env=environment)
    try:
        assert begun.wait(5) == 0
    finally:
        begun.kill()
        begun.wait()


def test_who_says_nothing_does_not_keep_the_host(folder):
    with hosts(folder, sized(backends=2, clients=1)) as made:
        made.start("api1", silence=1.0)
        made.listen()
        with connected(made) as sock:
            hello(sock)
            began = time.monotonic()
            assert sock.recv(1) == b""
            assert 0.9 < time.monotonic() - began < 5
        with owned(made) as node:
            assert node.call(JOBS + "sleep", 1.5) == "slept"  # who has spoken may be silent then


def test_all_that_an_owner_began_ends_with_it_whoever_its_parent_was(api1):
    with owned(api1) as node:
        sleepers = node.call("tests.runtime.container.orphans:begin", str(api1.folder / "api1/scratch"))
        assert all(Path(f"/proc/{pid}").exists() for pid in sleepers)
    served(api1)
    assert [pid for pid in sleepers if Path(f"/proc/{pid}").exists()] == []


def test_sigterm_while_an_owner_is_served_ends_the_host_and_all_in_it(api1):
    with owned(api1) as node:
        sleepers = node.call("tests.runtime.container.orphans:begin", str(api1.folder / "api1/scratch"))
        pidfd = os.pidfd_open(sleepers[0])
        api1.processes["api1"].terminate()
        assert api1.processes["api1"].wait(5) == 0
        assert select.select([pidfd], [], [], 5)[0] == [pidfd]
        os.close(pidfd)
    assert [pid for pid in sleepers if Path(f"/proc/{pid}").exists()] == []
    with pytest.raises(ConnectionRefusedError), connected(api1):
        pass


def test_a_socket_that_a_dead_host_left_is_no_hindrance(api1):
    api1.processes["api1"].kill()
    api1.processes["api1"].wait(5)
    assert api1.socket("api1").exists()
    with pytest.raises(ConnectionRefusedError), connected(api1):
        pass
    api1.start("api1")
    api1.listen()
    served(api1)


def test_a_host_that_is_given_another_socket_listens_there_and_who_is_served_is_served_on(api1):
    with owned(api1) as node:
        api1.socket("api1").rename(api1.folder / "old.sock")
        api1.listen()
        assert node.call(JOBS + "sleep", 0) == "slept"
        with connected(api1) as second:
            assert "refused" in hello(second)
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(str(api1.folder / "old.sock"))
    served(api1)


def test_a_host_that_is_given_nothing_can_be_ended(folder):
    with hosts(folder, sized(backends=2, clients=1)) as made:
        made.start("api1")
        time.sleep(1)
        assert list(folder.glob("*.sock")) == []
        made.processes["api1"].terminate()
        assert made.processes["api1"].wait(5) == 0
