"""Values written as nft writes them; most kinds are compared with nft itself in test_text."""

import struct

import pytest

from labkit.balancer.nftables.datatypes import duration, flags, prefix_of, span, write


@pytest.mark.parametrize(
    ("kind", "data", "written"),
    [
        ("integer", b"\x01\x00", "256"),
        ("mark", b"\0\0\0\x10", "0x00000010"),
        ("inet_proto", b"\xfd", "253"),
        ("ifindex", b"\x7f\xff\xff\xff", "2147483647"),
        ("ifname", b"front".ljust(16, b"\0"), '"front"'),
        ("ifname", b"fr", '"fr*"'),
        ("ct_state", b"\0\0\0\x0a", "established,new"),
        ("ct_state", b"\0\0\x01\x02", "established,0x100"),
        ("ct_state", b"\0\0\0\0", "0x0"),
        ("ipv4_addr", b"\x0a", "10.0.0.0"),
        ("ipv4_addr", bytes(7), "0x00000000000000"),
        ("dscp", b"\x3f", "0x3f"),
        ("classid", b"\0\1\0\2", "1:2"),
        ("hour", struct.pack("!I", 3661), None),
    ],
)
def test_write(kind: str, data: bytes, written: str | None) -> None:
    text = write(kind, data, "big")
    assert text == written if written else text.endswith(':01:01"')


def test_durations() -> None:
    assert [duration(each) for each in (0, 5, 90_000, 93_600_000)] == ["0s", "5ms", "1m30s", "1d2h"]


def test_prefixes_and_ranges() -> None:
    assert (prefix_of(8, 15, 8), prefix_of(8, 14, 8), prefix_of(4, 11, 8), prefix_of(0, 255, 8)) == (5, None, None, 0)
    assert span("ipv4_addr", b"\x0a\0\0\0", b"\x0a\0\0\xff", "big") == "10.0.0.0/24"
    assert span("ipv4_addr", b"\x0a\0\0\0", b"\x0a\0\0\xfe", "big") == "10.0.0.0-10.0.0.254"
    assert span("inet_service", b"\0\x50", b"\0\x50", "big") == "80"
    assert flags("tcp_flag", 0x12) == "syn,ack"
