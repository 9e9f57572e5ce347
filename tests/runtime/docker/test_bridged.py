"""A stream under TLS becomes a plain socket: nothing is lost, in neither direction, at any size, and both ends end."""

import socket
import ssl
import threading
from types import SimpleNamespace

import pytest

from labkit.certificates import Authority
from labkit.runtime.docker.bridged import _carry, plain_socket
from labkit.topology import default


@pytest.fixture
def tunnel(tmp_path):
    """The plain end, and the engine's end of a TLS connection."""
    authority = Authority(default())
    certificate, key = authority.serving("lb")
    (tmp_path / "pem").write_text(certificate + key)
    ours, theirs = socket.socketpair()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(tmp_path / "pem")
    trusted = ssl.create_default_context(cadata=authority.trust())
    ends = {}
    server = threading.Thread(target=lambda: ends.update(engine=served.wrap_socket(theirs, server_side=True)))
    server.start()
    ends["sdk"] = trusted.wrap_socket(ours, server_hostname="lb")
    server.join()
    ends["sdk"].settimeout(0.2)  # as the SDK does, for answers; a stream is quiet for longer
    plain = plain_socket(ends["sdk"])
    plain.settimeout(10)
    ends["engine"].settimeout(10)
    yield plain, ends["engine"]
    plain.close()
    ends["engine"].close()


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        new = sock.recv(1 << 16)
        assert new, "it ended early"
        data += new
    return data


def test_both_directions_at_once_and_more_than_any_buffer_holds(tunnel):
    plain, secured = tunnel
    engine, far = socket.socketpair()  # TLS is not for two threads at once, at the engine's end neither
    engine.settimeout(10)
    carrier = threading.Thread(target=_carry, args=(far, secured))
    carrier.start()
    inward, outward = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 20_000
    senders = [
        threading.Thread(target=plain.sendall, args=(outward,)),
        threading.Thread(target=engine.sendall, args=(inward,)),
    ]
    got = {}
    readers = [
        threading.Thread(target=lambda: got.update(plain=read(plain, len(inward)))),
        threading.Thread(target=lambda: got.update(engine=read(engine, len(outward)))),
    ]
    for thread in (*senders, *readers):
        thread.start()
    for thread in (*senders, *readers):
        thread.join(30)
    assert (got["plain"] == inward, got["engine"] == outward) == (True, True)
    engine.close()
    carrier.join(10)
    assert not carrier.is_alive()


def test_a_quiet_stream_stays_open(tunnel):
    plain, engine = tunnel
    plain.settimeout(0.6)
    with pytest.raises(TimeoutError):
        plain.recv(1)
    plain.settimeout(10)
    engine.sendall(b"still there")
    assert plain.recv(100) == b"still there"


def test_when_the_engine_ends_so_does_the_plain_end(tunnel):
    plain, engine = tunnel
    engine.close()
    assert plain.recv(1) == b""


def test_when_the_owner_ends_so_does_the_engine_s_end(tunnel):
    plain, engine = tunnel
    plain.close()
    engine.settimeout(5)
    assert _end_of(engine)


def _end_of(sock: ssl.SSLSocket) -> bool:
    """Whether nothing comes but the end, which TLS may call an error when nobody said goodbye."""
    try:
        return sock.recv(1) == b""
    except (ssl.SSLError, ConnectionError) as error:
        return not isinstance(error, TimeoutError)


def test_a_plain_stream_is_taken_as_it_is():
    ours, theirs = socket.socketpair()
    closed = []
    raw = SimpleNamespace(_sock=ours, _response=SimpleNamespace(close=lambda: (closed.append(1), ours.close())))
    plain = plain_socket(raw)
    theirs.sendall(b"hello")
    assert (plain.recv(10), closed, ours.fileno()) == (b"hello", [1], -1)
    plain.close()
    assert theirs.recv(1) == b""
    theirs.close()
