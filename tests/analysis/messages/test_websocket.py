"""Frames by wsproto, read back."""

import itertools
import zlib

import pytest
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from labkit.analysis.messages import websocket
from labkit.analysis.messages.websocket import Deflate, deflate, messages


def packed(accepted: str) -> list[PerMessageDeflate]:
    extension = PerMessageDeflate()
    extension.finalize(accepted)
    return [extension]


def test_messages_of_every_kind_masked_and_not() -> None:
    for kind, masked in ((ConnectionType.CLIENT, True), (ConnectionType.SERVER, False)):
        sender = Connection(kind)
        sent = [TextMessage("ä"), BytesMessage(b"x" * 70_000), Ping(b"p"), CloseConnection(1000, "bye")]
        data = b"before" + b"".join(sender.send(event) for event in sent)
        found = list(messages(data, 6))
        assert [(one.opcode, one.length, one.masked) for one in found] == [
            ("text", 2, masked), ("binary", 70_000, masked), ("ping", 1, masked), ("close", 5, masked)
        ]  # fmt: skip
        assert found[0].payload.decode() == "ä"
        assert found[1].payload == b"x" * 70_000
        assert found[3].payload == b"\x03\xe8bye"
        assert [found[0].begin, found[-1].end] == [6, len(data)]
        assert all(one.end == two.begin for one, two in itertools.pairwise(found))


def test_a_message_in_frames_with_a_ping_between_them() -> None:
    sender = Connection(ConnectionType.CLIENT)
    first = TextMessage("one ", message_finished=False)
    data = sender.send(first) + sender.send(Ping(b"")) + sender.send(TextMessage("two", message_finished=True))
    ping, message = messages(data, 0)
    assert ping.opcode == "ping"
    assert (message.payload, message.frames, message.begin, message.end) == (b"one two", 2, 0, len(data))


@pytest.mark.parametrize("accepted", ["permessage-deflate", "permessage-deflate; client_no_context_takeover"])
def test_packed_messages(accepted: str) -> None:
    sender = Connection(ConnectionType.CLIENT, packed(accepted))
    data = b"".join(sender.send(TextMessage(text)) for text in ("hello " * 50, "hello " * 50, ""))
    found = list(messages(data, 0, deflate(accepted, "client")))
    assert [one.payload.decode() for one in found] == ["hello " * 50] * 2 + [""]
    assert found[0].length < 60


def test_without_the_extension_nothing_is_unpacked() -> None:
    assert deflate(None, "client") is None
    assert deflate("x-other; a=1", "client") is None
    assert deflate("x-other, permessage-deflate", "client") is not None


def test_cut_off_anywhere_it_gives_what_is_whole() -> None:
    sender = Connection(ConnectionType.CLIENT)
    data = sender.send(TextMessage("hello")) + sender.send(BytesMessage(b"y" * 300))
    for cut in range(len(data)):
        assert [one.length for one in messages(data[:cut], 0)] == ([5] if cut >= 11 else [])
    begun = sender.send(TextMessage("on", message_finished=False))
    (message,) = messages(begun, 0)
    assert (message.payload, message.complete) == (b"on", False)


def test_what_unpacks_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    compressor = zlib.compressobj(wbits=-15)
    bomb = compressor.compress(bytes(8 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    text, more = Deflate(keeps=False).unpack(bomb[:-4])
    assert (len(text), more) == (websocket.MOST_UNPACKED, True)
    monkeypatch.setattr(websocket, "MOST_IN_ALL", 3 << 19)
    packing = Deflate(keeps=False)
    assert [len(packing.unpack(bomb[:-4])[0]) for _ in range(3)] == [1 << 20, 1 << 19, 0]


def test_what_is_not_packed_as_it_says_ends_it() -> None:
    frame = bytes([0xC1, 3]) + b"\xff\xff\xff"
    assert list(messages(frame, 0, Deflate(keeps=True))) == []
