"""Packing and unpacking of netlink messages, and what becomes of the kernel's refusals."""

import errno
import struct

import pytest

from labkit.balancer.nftables import netlink
from labkit.balancer.nftables.netlink import HEADER, Message, as_text, attribute, attributes, messages, nested, refusal


def test_an_attribute_is_padded_but_its_length_is_not() -> None:
    assert attribute(7, b"abc") == struct.pack("=HH", 7, 7) + b"abc\0"
    assert list(attributes(attribute(7, b"abc") + attribute(8, b""))) == [(7, b"abc"), (8, b"")]


def test_nested_attributes_lose_their_flag_when_read() -> None:
    packed = nested(4, netlink.u32(1, 2), netlink.u32(2, -100), netlink.text(7, "nat"))
    ((kind, body),) = attributes(packed)
    assert (kind, dict(attributes(body))) == (4, {1: b"\0\0\0\2", 2: b"\xff\xff\xff\x9c", 7: b"nat\0"})
    assert as_text(b"nat\0rest") == "nat"


@pytest.mark.parametrize("broken", [b"\1\0\0\0", b"\0\0\0\0\0\0\0\0", b"\1"])
def test_broken_attributes_and_messages_end_the_walk(broken: bytes) -> None:
    assert list(attributes(broken)) == []
    assert list(messages(broken * 4)) == []


def test_a_message_carries_its_family_and_resource() -> None:
    packed = Message(16, 2, b"body", "x", flags=4, resource=10).pack(9)
    assert packed == HEADER.pack(24, 16, 5, 9, 0) + b"\2\0\0\x0a" + b"body"
    assert list(messages(packed + packed)) == [(16, 5, 9, b"\2\0\0\x0abody")] * 2


@pytest.mark.parametrize(
    ("flags", "request_bytes"), [(netlink.EXT_ACK_ATTRIBUTES | netlink.CAPPED, 16), (netlink.EXT_ACK_ATTRIBUTES, 24)]
)
def test_a_refusal_has_the_kernels_words(flags: int, request_bytes: int) -> None:
    request = struct.pack("=I", request_bytes) + bytes(request_bytes - 4)
    body = struct.pack("=i", -errno.ENOENT) + request + netlink.text(1, "no such chain")
    assert refusal(flags, body) == (errno.ENOENT, "no such chain")
    assert refusal(0, struct.pack("=i", 0) + request) == (0, "")
