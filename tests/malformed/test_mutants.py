"""Files damaged by chance: an answer or a typed refusal, in bounded time and memory. Never anything else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.malformed.answers import ask

MOST_KIB = 2 << 20  # 2 GiB
MANY = [pytest.param(150, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.long)]


def run(folder: Path, kind: str, first: int, count: int, files: list[Path]) -> None:
    command = [sys.executable, "-m", "tests.malformed.mutants", kind, str(folder), str(first), str(count)]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    *defects, memory = done.stdout.splitlines()
    assert defects == []
    assert int(memory.removeprefix("memory ")) < MOST_KIB


def test_the_originals_answer_everything(originals: list[Path]) -> None:
    for path in originals:
        cap = ask(str(path))
        assert cap is not None
        assert len(cap.recording) == 30
        if path.suffix == ".pcapng":
            assert cap.packets()["comment"].tolist()[2:4] == ["look: ü 後ろ", "here\\ntoo"]
            assert cap.mode == path.name[:2]


def test_some_mutants_of_every_format(tmp_path: Path, originals: list[Path]) -> None:
    run(tmp_path, "bytes", 0, 30, originals)


def test_some_mutants_of_the_evidence(tmp_path: Path, originals: list[Path]) -> None:
    run(tmp_path, "events", 0, 15, [path for path in originals if path.suffix == ".pcapng"])


@pytest.mark.parametrize("count", MANY)
def test_many_mutants_of_every_format(tmp_path: Path, originals: list[Path], count: int) -> None:
    run(tmp_path, "bytes", 1000, count, originals)


@pytest.mark.parametrize("count", MANY)
def test_many_mutants_of_the_evidence(tmp_path: Path, originals: list[Path], count: int) -> None:
    run(tmp_path, "events", 1000, count // 2, [path for path in originals if path.suffix == ".pcapng"])
