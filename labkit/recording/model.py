"""What was seen: packets at vantage points and the events that go with them, as plain values.

A `Recording` is what taps produce, what a pcapng file keeps and what analysis reads. Packets are kept as
raw bytes; every meaning is computed elsewhere and may be wrong, the bytes are the truth.

Events are JSON-able dictionaries with at least ``kind`` and ``time_ns`` (Unix time in nanoseconds):

``topology``  ``nodes``: [{name, role, addresses: [str], interfaces: [str]}], ``pools``: {name: [backend]},
              ``vip``: [str], ``runtime``: str
``mode``      ``mode``: "l4" | "l7", ``engine``: "nftables" | "mitmproxy" | "envoy"; the first one says what was in
              force when the capture began
``rules``     ``text``: the data plane's rules, ``reads``: the names of the fields that they load
``decision``  at L4, one a connection: ``mode`` "l4", ``proto`` "TCP" | "UDP", ``client``, ``client_port``,
              ``server``, ``server_port`` (the original tuple), ``backend`` (name), ``backend_address``,
              ``backend_port``, ``rule`` (listener's label), ``read``: [field names]
``request``   at L7, one a request, written when the proxy is done with it: ``request`` (id, str), ``method``,
              ``target``, ``host``, ``version`` ("HTTP/1.1", "HTTP/3"), ``status`` (int or None), ``rule`` (pattern or
              None), ``backend`` (name or None), ``read``: [fields used to choose], ``held``: [fields the proxy held
              when it decided], ``started_ns``, ``decided_ns``, ``ended_ns``, ``front``: {id, client: [ip, port],
              server: [ip, port]} and for QUIC ``proto`` "UDP", ``back``: the same (its client is the proxy) or None,
              ``headers_received``: [[name, value]], ``headers_partly``: whether there were others too (then ``held``
              has "http.header.*"), ``headers_forwarded``: the same or None, ``websocket``: bool,
              ``error``: str or None; ``front_stream``, ``back_stream``: stream ids where HTTP/2 was spoken, or None;
              ``sni``: str or None; where a side was TLS it has also ``tls``: "TLSv1.3", and where the client showed a
              certificate ``certificate``: [the names in it]. Header lists hold no
              pseudo-header fields: ``method``, ``target`` and ``host`` say what they said
``relay``     at L4 as a TCP proxy, one a connection of a client: ``relay`` (id, str), ``rule`` (the listener's label,
              with the name that matched where one in TLS did), ``backend`` (name, or None if none was chosen),
              ``read``: [fields used to choose], ``held``: [fields the proxy held when it chose], ``sni``: str or None,
              ``started_ns``, ``decided_ns``, ``ended_ns`` (None: it was open when this was asked), ``front``, ``back``:
              as of a request, ``bytes_out``, ``bytes_in`` (from and to the client; None while it is open),
              ``error``: str or None
``fault``     ``fault``: what is broken on purpose, as it was called, ``state``: "begun" | "ended", ``text``: what it
              does and what to look for
``loss``      ``vantage``, ``dropped``: packets that the kernel dropped there between ``since_ns`` and ``time_ns``
``health``    ``backend``, ``transport``: "tcp" | "udp", ``port``, ``state``: "up" | "down", ``was``: "unknown" | "up" |
              "down", ``check``: "tcp" | "http" | "udp", ``reason``: str; one for each change that the balancer's health
              checks found
``probes``    ``addresses``: [str]: where health checks come from, and nothing else; ``kept``: whether their packets are
              in the recording
``secrets``   ``leg``: "front" (client and balancer) | "back" (balancer and backend) | "through" (client and backend)
              | None (unknown), ``lines``: [lines of an NSS key log: "CLIENT_RANDOM …"]; they open TLS connections

Field names: ``eth.src eth.dst ip.src ip.dst ip.ttl ip.proto ip.id ip.checksum ip6.src ip6.dst ip6.hlim ip6.nexthdr
tcp.sport tcp.dport tcp.seq tcp.ack tcp.flags tcp.checksum udp.sport udp.dport udp.checksum ct.state ct.status
meta.nfproto meta.iif meta.mark tls.version tls.sni tls.alpn tls.client_certificate http.method http.target
http.host http.header.<name> http.cookie http.body``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from labkit.wording import shown

from .events import inert_event

PACKET_DTYPE = np.dtype(
    [
        ("time_ns", np.int64),  # Unix time, nanoseconds
        ("vantage", np.uint16),  # index into Recording.vantages
        ("offset", np.uint64),  # of the first byte in Recording.data
        ("captured", np.uint32),  # bytes kept
        ("original", np.uint32),  # bytes on the wire
        ("direction", np.uint8),  # 0 unknown, 1 inbound, 2 outbound (as pcapng's epb_flags)
    ]
)


@dataclass(frozen=True, slots=True)
class Vantage:
    """A place where packets are seen: ``alice``, ``lb:front``. link_type is a pcap LINKTYPE (1 = Ethernet).

    filter: only packets that it lets through were seen there, in the words of pcap-filter(7); empty: all.
    """

    name: str
    node: str = ""
    interface: str = ""
    description: str = ""
    link_type: int = 1
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """What one vantage point kept and what the kernel dropped there, in packets. None: the file does not say."""

    captured: int
    dropped: int | None


@dataclass(frozen=True, slots=True)
class Recording:
    """Packets in time order, with everything recorded beside them.

    packets: array of `PACKET_DTYPE`, sorted by time; row i is packet number i + 1, as in Wireshark.
    data: the bytes all offsets point into (an mmap, bytes or a uint8 array).
    events: in time order. lacks: what a foreign or damaged file does not tell, in words.
    """

    vantages: tuple[Vantage, ...]
    packets: npt.NDArray[Any]
    data: Any
    loss: Mapping[str, Loss] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    source: str = "live"
    lacks: tuple[str, ...] = ()
    comments: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.packets)

    def frame(self, number: int) -> bytes:
        """Raw bytes of packet *number* (from 1). IndexError outside 1..len."""
        if not 1 <= number <= len(self.packets):
            raise IndexError(f"packet {shown(number)} is not in this recording, which has 1 to {len(self.packets)}")
        row = self.packets[number - 1]
        start = int(row["offset"])
        return bytes(memoryview(self.data)[start : start + int(row["captured"])])

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of one kind, in time order, for showing: nothing in their texts acts on whoever displays them."""
        return [inert_event(event) for event in self.events if event["kind"] == kind]
