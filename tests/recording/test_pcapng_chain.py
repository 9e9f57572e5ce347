"""Runs of packet blocks: found at once what a plain walk finds one by one, with and without stored offsets."""

import random
import struct
from pathlib import Path

import pytest

from labkit.recording import pcapng_chain, pcapng_format, read_pcapng, write_pcapng
from labkit.recording.pcapng_chain import Chain
from tests.recording import foreign
from tests.recording.recordings import make


def plain_walk(content: bytes, order: str, position: int) -> list[int]:
    """Where packet blocks follow each other from *position* on."""
    found = []
    while position + 32 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, position)
        if kind != 6 or length < 32 or length % 4 or position + length > len(content):
            break
        if struct.unpack_from(order + "I", content, position + length - 4)[0] != length:
            break
        found.append(position)
        position += length
    return found


def hostile(order: str, seed: int) -> tuple[bytes, int]:
    """A file whose payloads are full of packet blocks, whole and broken; where its first packet stands."""
    dice = random.Random(seed)
    head = foreign.section(order) + foreign.interface(order)
    parts = [head]
    for _ in range(dice.randrange(1, 120)):
        inner = b"".join(
            foreign.packet(order, 1, dice.randbytes(dice.randrange(40)), claimed=dice.choice([None, 2**32 - 1]))
            for _ in range(dice.randrange(4))
        )
        if dice.random() < 0.3:
            inner = inner[: dice.randrange(len(inner) + 1)]
        parts.append(foreign.packet(order, 1, inner + dice.randbytes(dice.choice([0, 3, 60]))))
        if dice.random() < 0.03:
            parts.append(foreign.block(order, 0x0BAD, b"another"))
    content = b"".join(parts)
    return content[: len(content) - dice.choice([0, 0, 4, 13])], len(head)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("seed", range(25))
def test_the_same_as_a_plain_walk(order: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcapng_chain, "_SMALLEST_WINDOW", random.Random(seed).choice([64, 1000 & ~3, 1 << 18]))
    content, first = hostile(order, seed)
    expected = plain_walk(content, order, first)
    assert Chain(content, len(content), order).run(first)[0].tolist() == expected
    chain = Chain(content, len(content), order)
    for place in expected[::7]:
        assert chain.run(place)[0].tolist() == [at for at in expected if at >= place]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("seed", range(25))
def test_stored_offsets_change_nothing_however_untrue(order: str, seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    content, first = hostile(order, seed)
    expected = plain_walk(content, order, first)
    lengths = [struct.unpack_from(order + "I", content, at + 4)[0] for at in expected]
    silent, telling = tmp_path / "silent", tmp_path / "telling"
    for _ in range(6):
        told = list(lengths)
        for _ in range(dice.randrange(3)):
            if told:
                told[dice.randrange(len(told))] = dice.choice([0, 4, 32, 33, 2**31, 2**32 - 1, 64])
        if len(told) > 1 and dice.random() < 0.3:  # two blocks as one, which ends where a block ends
            place = dice.randrange(len(told) - 1)
            told[place : place + 2] = [sum(told[place : place + 2])]
        told += [dice.choice([32, 0, 2**32 - 1])] * dice.randrange(3)
        body = struct.pack(f"{order}I{len(told)}I", pcapng_format.DOCUMENTATION_PEN, *told)
        for path, kind in ((silent, pcapng_format.OFFSETS + 1), (telling, pcapng_format.OFFSETS)):
            path.write_bytes(content[:first] + foreign.block(order, kind, body) + content[first:])
        one, two = read_pcapng(silent), read_pcapng(telling)
        assert one.packets.tolist() == two.packets.tolist()
        assert (one.lacks, one.comments, one.loss) == (two.lacks, two.comments, two.loss)


def test_a_block_inside_a_payload_is_none_though_stored_offsets_say_so(tmp_path: Path) -> None:
    inner = foreign.packet("<", 1, b"inside")
    outer = foreign.packet("<", 1, inner)
    before = len(outer) - 4 - len(inner)  # what a lie must skip to come upon the inner one
    head = foreign.section("<") + foreign.interface("<")
    for lie in ([28, len(inner)], [len(outer), 28, len(inner)], [before, len(inner)]):
        told = foreign.block("<", pcapng_format.OFFSETS, struct.pack(f"<I{len(lie)}I", 32473, *lie))
        (tmp_path / "lie").write_bytes(head + told + outer * 3)
        recording = read_pcapng(tmp_path / "lie")
        assert [recording.frame(number) for number in (1, 2, 3)] == [inner] * 3
        assert len(recording) == 3


def test_a_file_reads_the_same_with_offsets_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pcapng(make(4, packets=150_000), tmp_path / "a.pcapng")
    told = read_pcapng(path)
    taken = 0
    as_stored = Chain._as_stored

    def counting(self: Chain, position: int) -> pcapng_chain.Run:
        nonlocal taken
        found = as_stored(self, position)
        taken += len(found[0])
        return found

    monkeypatch.setattr(Chain, "_as_stored", counting)
    read_pcapng(path)
    assert taken == 150_000, "every packet was found by its stored offset"
    monkeypatch.setattr(Chain, "store", lambda *_: None)
    cold = read_pcapng(path)
    assert (cold.packets == told.packets).all()
    assert cold.comments == told.comments
    assert cold.lacks == told.lacks
    monkeypatch.undo()
    content = path.read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    cut = read_pcapng(tmp_path / "cut")
    assert 0 < len(cut) < len(told)
    assert (cut.packets == told.packets[: len(cut)]).all()
    assert f"the rest: the file is cut short at packet {len(cut) + 1}" in cut.lacks
