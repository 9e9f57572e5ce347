"""Runs of packet blocks: found at once what a plain walk finds one by one, with and without stored offsets."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from labkit.recording import pcapng_chain, read_pcapng, write_pcapng
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
    assert Chain(content, len(content), order).run(first).tolist() == expected
    chain = Chain(content, len(content), order)
    for place in expected[::7]:
        assert chain.run(place).tolist() == [at for at in expected if at >= place]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("seed", range(25))
def test_stored_offsets_are_believed_as_far_as_they_are_true(order: str, seed: int) -> None:
    dice = random.Random(seed)
    content, first = hostile(order, seed)
    expected = plain_walk(content, order, first)
    ends = (
        [*expected[1:], struct.unpack_from(order + "I", content, expected[-1] + 4)[0] + expected[-1]]
        if expected
        else []
    )
    lengths = np.array(ends, np.int64) - np.array(expected, np.int64)
    for _ in range(20):
        told = lengths.copy()
        for _ in range(dice.randrange(3)):
            if len(told):
                told[dice.randrange(len(told))] = dice.choice([0, 4, 32, 33, 2**31, 2**32 - 1, 64])
        told = np.concatenate([told, np.array([dice.choice([32, 0, 2**32 - 1])] * dice.randrange(3), np.int64)])
        chain = Chain(content, len(content), order)
        chain.store(first + dice.choice([0, 0, 4, 2]), told)
        assert chain.run(first).tolist() == expected


def test_a_file_reads_the_same_with_offsets_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pcapng(make(4, packets=150_000), tmp_path / "a.pcapng")
    told = read_pcapng(path)
    taken = 0
    as_stored = Chain._as_stored

    def counting(self: Chain, position: int) -> tuple[np.ndarray, int]:
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
