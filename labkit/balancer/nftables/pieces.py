"""Small pieces that rules are made of: expressions of one line of nftables syntax, or of a part of one."""

import socket
import struct

from .values import Expression, Family, Value, userdata

NETWORK, TRANSPORT = 1, 2  # payload bases
NFPROTO, L4PROTO, MARK = 15, 16, 3  # meta keys
INCREMENTAL, RANDOM = 0, 1  # kinds of numgen
CT_STATE = 0  # ct key
EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5
PROTOCOLS = {"tcp": 6, "udp": 17}
NFPROTOS = {Family.IP: 2, Family.IP6: 10}
SOURCE = {Family.IP: (12, 4), Family.IP6: (8, 16)}  # offset and length in the network header
DESTINATION = {Family.IP: (16, 4), Family.IP6: (24, 16)}
ADDRESS_FAMILY = {Family.IP: socket.AF_INET, Family.IP6: socket.AF_INET6}


def e(name: str, /, **values: Value) -> Expression:
    return Expression(name, values)


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def equal(data: bytes) -> Expression:
    return e("cmp", sreg=1, op=EQUAL, data=data)


def protocol(transport: str) -> tuple[Expression, ...]:
    """``meta l4proto tcp``"""
    return e("meta", dreg=1, key=L4PROTO), equal(bytes([PROTOCOLS[transport]]))


def family_is(family: Family) -> tuple[Expression, ...]:
    """``meta nfproto ipv4``"""
    return e("meta", dreg=1, key=NFPROTO), equal(bytes([NFPROTOS[family]]))


def packed(family: Family, address: str) -> bytes:
    return socket.inet_pton(ADDRESS_FAMILY[family], address)


def destination(family: Family, address: str) -> tuple[Expression, ...]:
    """``ip daddr 10.0.1.10``"""
    offset, length = DESTINATION[family]
    load = e("payload", dreg=1, base=NETWORK, offset=offset, len=length)
    return *family_is(family), load, equal(packed(family, address))


def port(transport: str, first: int, last: int) -> tuple[Expression, ...]:
    """``tcp dport 80``, or ``tcp dport 8000-8009`` where *last* is another."""
    load = *protocol(transport), e("payload", dreg=1, base=TRANSPORT, offset=2, len=2)
    if first == last:
        return *load, equal(u16(first))
    return (
        *load,
        e("cmp", sreg=1, op=AT_LEAST, data=u16(first)),
        e("cmp", sreg=1, op=AT_MOST, data=u16(last)),
    )


def state(bits: int) -> tuple[Expression, ...]:
    """``ct state established,related``"""
    return (
        e("ct", dreg=1, key=CT_STATE),
        e("bitwise", sreg=1, dreg=1, len=4, mask=struct.pack("=I", bits), xor=bytes(4), op=0),
        e("cmp", sreg=1, op=NOT_EQUAL, data=bytes(4)),
    )


def note(text: str) -> bytes:
    """A comment; cut where the kernel's 128 bytes end (a listener's label may be long)."""
    return userdata(text.replace('"', "'").encode()[:128].decode(errors="ignore"))
