"""Which MAC address the kernel knows for an address on a link: its neighbour table, over netlink."""

import socket
import struct

from .netlink import HEADER, attributes, messages

ROUTE, NEW_NEIGHBOUR, GET_NEIGHBOUR, REQUEST_DUMP = 0, 28, 30, 0x301
NEIGHBOUR = struct.Struct("=BxxxiHBB")  # address family, interface, state, flags, type
ADDRESS, MAC = 1, 2  # attributes


def macs(interface: int) -> dict[str, bytes]:
    """Address to MAC, of all neighbours on the link of *interface* (its number). OSError if the kernel gives none."""
    found: dict[str, bytes] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, ROUTE) as asked:
        body = NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        asked.sendto(HEADER.pack(HEADER.size + len(body), GET_NEIGHBOUR, REQUEST_DUMP, 1, 0) + body, (0, 0))
        asked.setblocking(False)  # the answer is there when the question is sent, part by part
        while True:
            try:
                data = asked.recv(1 << 16)
            except BlockingIOError:
                return found
            for kind, _, _, body in messages(data):
                if kind != NEW_NEIGHBOUR:
                    continue
                known = dict(attributes(body[NEIGHBOUR.size :]))
                if NEIGHBOUR.unpack_from(body)[1] == interface and len(known.get(MAC, b"")) == 6:
                    address = known[ADDRESS]
                    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
                    found[socket.inet_ntop(family, address)] = known[MAC]
