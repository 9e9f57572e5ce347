"""What holds a port of a crafted packet: whoever asks there hears nothing, where an unheld port is refused at once."""

import socket
from collections.abc import Callable

import pytest

from labkit.traffic.guards import drop_all, want_signatures

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.mark.parametrize("family", LOOPBACK)
@pytest.mark.parametrize("silence", [drop_all, want_signatures])
def test_a_held_port_is_silent(silence: Callable[[socket.socket], None], family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as held, socket.socket(family, socket.SOCK_STREAM) as asking:
        silence(held)
        held.bind((LOOPBACK[family], 0))
        held.listen(1)
        asking.settimeout(0.3)
        with pytest.raises(TimeoutError):
            asking.connect(held.getsockname()[:2])


@pytest.mark.parametrize("family", LOOPBACK)
def test_an_unheld_port_is_not(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as free, socket.socket(family, socket.SOCK_STREAM) as asking:
        free.bind((LOOPBACK[family], 0))  # nobody else gets the port, and nothing listens
        asking.settimeout(5)
        with pytest.raises(ConnectionRefusedError):
            asking.connect(free.getsockname()[:2])
