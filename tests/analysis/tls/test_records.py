"""Streams written here by the book (RFC 8446 §5.1), cut and joined at random, and read back."""

import random

import pytest

from labkit.analysis.tls.records import Messages, clear_messages, is_record, records

KINDS = (20, 21, 22, 23, 24)


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return bytes([kind]) + version.to_bytes(2) + len(body).to_bytes(2) + body


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3) + body


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (record(22, b"hello"), True),
        (record(22, b"hello")[:5], True),  # the header is enough
        (record(22, b"hello")[:4], False),
        (b"", False),
        (record(20, b"\x01"), True),
        (record(24, b"heartbeat"), True),
        (record(19, b"hello"), False),
        (record(25, b"hello"), False),
        (record(22, b"x", 0x0300), True),
        (record(22, b"x", 0x0304), True),
        (record(22, b"x", 0x0305), False),
        (record(22, b"x", 0x0203), False),
        (bytes([23, 3, 3]) + (16384 + 2048).to_bytes(2), True),  # the most that TLS 1.2 lets a protected record have
        (bytes([23, 3, 3]) + (16384 + 2049).to_bytes(2), False),
        (b"GET / HTTP/1.1\r\n", False),
        (b"SSH-2.0-OpenSSH_9.6\r\n", False),
        (b"\x16\x03", False),
    ],
)
def test_what_begins_like_a_record(data: bytes, found: bool) -> None:
    assert is_record(data) is found


def test_what_was_written_is_read_wherever_it_is_cut() -> None:
    dice = random.Random(22)
    for _ in range(100):
        wanted = [
            (dice.choice(KINDS), dice.choice((0x0301, 0x0303)), dice.randbytes(dice.choice((0, 1, 40, 300))))
            for _ in range(dice.randrange(6))
        ]
        stream = b"".join(record(kind, body, version) for kind, version, body in wanted)
        cut = dice.randrange(len(stream) + 1)
        found = list(records(stream[:cut]))
        ends = [sum(5 + len(body) for *_, body in wanted[: n + 1]) for n in range(len(wanted))]
        whole = [one for one, end in zip(wanted, ends, strict=True) if end <= cut]
        assert [(one.kind, one.version, one.body) for one in found] == whole
        assert [one.end for one in found] == ends[: len(whole)]
        assert all(stream[one.begin + 5 : one.end] == one.body for one in found)
        assert all(is_record(stream[one.begin :]) for one in found)


def test_it_ends_at_what_is_no_record() -> None:
    for nonsense in (b"GET / HTTP/1.1\r\n", bytes([23, 3, 3, 0xFF, 0xFF]) + bytes(0xFFFF), bytes(50)):
        stream = record(22, b"one") + nonsense + record(22, b"two")
        assert [one.body for one in records(stream)] == [b"one"]


def test_messages_come_out_however_records_split_or_join_them() -> None:
    dice = random.Random(23)
    for _ in range(100):
        wanted = [(dice.randrange(256), dice.randbytes(dice.choice((0, 3, 70, 700)))) for _ in range(dice.randrange(8))]
        rest = b"".join(message(kind, body) for kind, body in wanted)
        pieces = []
        while rest:
            length = dice.randrange(1, 200)
            pieces.append(rest[:length])
            rest = rest[length:]
        stream = b"".join(
            record(22, piece) + dice.choice((b"", b"", record(20, b"\x01")))  # a ChangeCipherSpec may stand anywhere
            for piece in pieces
        )
        assert list(clear_messages(records(stream))) == wanted
        each, feeding = [], Messages()
        for piece in pieces:
            each += feeding.feed(piece)
        assert each == wanted


@pytest.mark.parametrize("kind", [21, 23, 24])
def test_what_is_in_clear_ends_at_any_other_record(kind: int) -> None:
    stream = record(22, message(1, b"hello")) + record(kind, b"closed") + record(22, message(2, b"not in clear"))
    assert list(clear_messages(records(stream))) == [(1, b"hello")]


def test_a_message_that_is_not_whole_is_none() -> None:
    assert list(clear_messages(records(record(22, message(1, b"hello")[:-1])))) == []
