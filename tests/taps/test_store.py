"""Where chunks are kept."""

import os
from pathlib import Path

import pytest

from labkit.taps.blocks import Chunk
from labkit.taps.store import Store


def fill(store: Store) -> None:
    assert store.add(1, b"a" * 10)
    assert store.add(0, b"b" * 16)
    assert not store.add(0, b"c" * 9), "over the limit"
    assert store.add(2, b"d")
    assert store.chunks == [Chunk(1, 0, 10), Chunk(0, 16, 16), Chunk(2, 32, 1)]
    assert store.data().tobytes() == b"a" * 10 + b"\0" * 6 + b"b" * 16 + b"d" + b"\0" * 7


def test_chunks_are_kept_in_one_piece_and_never_beyond_the_limit() -> None:
    store = Store(40)
    fill(store)
    data = store.data()
    store.close()
    store.close()
    assert data[:3].tobytes() == b"aaa", "what was given out stays"
    assert not store.add(0, b"")
    assert len(store.data()) == 0


def test_empty() -> None:
    assert len(Store(10).data()) == 0


def test_systems_without_anonymous_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(40)
    assert os.listdir(tmp_path) == []
    fill(store)
    store.close()
