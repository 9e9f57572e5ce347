"""A socket goes from who makes it to who listens on it, through a door; strangers and nonsense change nothing."""

import os
import secrets
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime.container.handing import Door, hand


@pytest.fixture
def name() -> str:
    return f"labkit test {secrets.token_hex(8)}"


@pytest.fixture
def door(name) -> Iterator[Door]:
    made = Door(name)
    yield made
    made.close()


def taking(door: Door) -> tuple[list[socket.socket | None], threading.Thread]:
    taken: list[socket.socket | None] = []
    thread = threading.Thread(target=lambda: taken.append(door.take()))
    thread.start()
    return taken, thread


def test_who_takes_a_socket_listens_where_it_was_made(folder, name, door):
    taken, thread = taking(door)
    path = folder / "new" / "api1.sock"
    hand(name, path)
    thread.join(5)
    (listening,) = taken
    assert listening is not None
    assert not listening.get_inheritable()
    with listening, socket.socket(socket.AF_UNIX) as owner:
        owner.connect(str(path))
        accepted, _ = listening.accept()
        with accepted:
            accepted.sendall(b"hello")
            assert owner.recv(16) == b"hello"
    assert path.stat().st_mode & 0o777 == 0o666  # for whoever sees the folder


def test_what_was_at_the_path_is_replaced(folder, name, door):
    (folder / "api1.sock").write_text("something else")
    taken, thread = taking(door)
    hand(name, folder / "api1.sock")
    thread.join(5)
    assert taken[0] is not None
    taken[0].close()
    assert (folder / "api1.sock").is_socket()


def test_behind_no_door_nobody_takes_it_and_no_socket_stays(folder, name):
    with pytest.raises(RuntimeUnavailable, match=r"Its host took no socket to listen on within 0\.2 s: is it run"):
        hand(name, folder / "api1.sock", 0.2)
    assert list(folder.iterdir()) == []


def test_what_was_there_serves_on_where_a_new_one_is_not_taken(folder, name):
    path = folder / "api1.sock"
    with socket.socket(socket.AF_UNIX) as old, socket.socket(socket.AF_UNIX) as owner:
        old.bind(str(path))
        old.listen()
        with pytest.raises(RuntimeUnavailable, match="took no socket"):
            hand(name, path, 0.2)
        owner.connect(str(path))
    assert list(folder.iterdir()) == [path]


def test_where_none_can_be_made_it_says_where(name):
    with pytest.raises(RuntimeUnavailable, match=r"No socket can be made at /proc/nowhere/api1\.sock: No such file"):
        hand(name, Path("/proc/nowhere/api1.sock"), 0.2)


@pytest.mark.parametrize("word", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "no socket", "http"])
def test_who_hands_in_no_socket_is_sent_away(name, door, word):
    taken, thread = taking(door)
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(f"\0{name}")
        visitor.sendall(word)
        visitor.shutdown(socket.SHUT_WR)
        thread.join(5)
        assert taken == [None]


@pytest.mark.parametrize("end", ["a pipe", "a socket that does not listen"])
def test_something_else_that_is_handed_in_is_not_kept(name, door, end):
    taken, thread = taking(door)
    ends = os.pipe() if end == "a pipe" else [each.detach() for each in socket.socketpair()]
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(f"\0{name}")
        socket.send_fds(visitor, [b"\0"], [ends[0]])
        thread.join(5)
    assert taken == [None]
    assert len(os.listdir("/proc/self/fd")) == before
    for each in ends:
        os.close(each)


def test_who_says_nothing_at_the_door_does_not_keep_it(name, door):
    taken, thread = taking(door)
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(f"\0{name}")
        thread.join(5)
        assert taken == [None]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, who can become somebody else")
def test_another_user_is_not_listened_to(folder, name, door):
    visitor = os.fork()
    if visitor == 0:
        status = 1
        try:
            os.chmod(folder, 0o777)
            os.setgid(65534)
            os.setuid(65534)
            hand(name, folder / "api1.sock", 0.3)
        except RuntimeUnavailable:
            status = 0
        finally:
            os._exit(status)
    came = 0
    while not (ended := os.waitpid(visitor, os.WNOHANG))[0]:
        if select.select([door], [], [], 0.05)[0]:
            assert door.take() is None
            came += 1
    assert (os.waitstatus_to_exitcode(ended[1]), came > 0) == (0, True)
