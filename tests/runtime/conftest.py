"""Folders for sockets, whose paths have 107 characters at most."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hosts-") as path:
        yield Path(path)
