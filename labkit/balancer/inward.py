"""What the kernel sends on to the balancer itself: a listener whose connections end in a proxy at another port."""

from dataclasses import dataclass
from typing import Literal

from labkit.topology import Listener


@dataclass(frozen=True, slots=True)
class Inward:
    """New connections of *listener* end at *port* of the address that they came to. Not a choice of a backend.

    opened: whether the proxy there reads what they carry. transport: what is sent on; QUIC comes over UDP to listeners
    that are TCP's. closed: nothing is sent there now, and whoever asks at *port* itself is refused, as always.
    """

    listener: Listener
    port: int
    opened: bool = True
    transport: Literal["tcp", "udp"] = "tcp"
    closed: bool = False
