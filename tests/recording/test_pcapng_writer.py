"""What is saved comes back, and a failure to save damages nothing."""

import os
import resource
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import CaptureError
from labkit.recording import Recording, Vantage, read_pcapng, write_pcapng
from tests.recording.recordings import make
from tests.taps.namespace import in_namespace, mount_tmpfs


def assert_same(read: Recording, written: Recording) -> None:
    assert read.vantages == written.vantages
    for column in ("time_ns", "vantage", "captured", "original", "direction"):
        assert read.packets[column].tolist() == written.packets[column].tolist(), column
    for number in range(1, len(written) + 1):
        assert read.frame(number) == written.frame(number)
    assert read.events == tuple(written.events)
    assert read.loss == written.loss
    assert read.lacks == written.lacks
    assert read.comments == written.comments


@pytest.mark.parametrize("seed", range(30))
def test_everything_comes_back(tmp_path: Path, seed: int) -> None:
    recording = make(seed)
    path = write_pcapng(recording, tmp_path / "späť.pcapng")
    assert path == tmp_path / "späť.pcapng"
    read = read_pcapng(path)
    assert_same(read, recording)
    assert read.source == str(path)
    again = write_pcapng(read, tmp_path / "again.pcapng")
    assert again.read_bytes() == path.read_bytes()


def test_more_packets_than_are_written_at_once(tmp_path: Path) -> None:
    recording = make(1, packets=9000)
    assert_same(read_pcapng(write_pcapng(recording, tmp_path / "a.pcapng")), recording)


def test_an_array_will_do_for_data_and_nothing_at_all_is_a_capture_too(tmp_path: Path) -> None:
    recording = make(2)
    as_array = replace(recording, data=np.frombuffer(recording.data, np.uint8))
    assert_same(read_pcapng(write_pcapng(as_array, tmp_path / "a.pcapng")), recording)
    empty = Recording((), recording.packets[:0], b"")
    assert_same(read_pcapng(write_pcapng(empty, tmp_path / "b.pcapng")), empty)


def test_counts_beyond_the_format_are_clipped(tmp_path: Path) -> None:
    recording = make(3, packets=0, vantages=1)
    name = recording.vantages[0].name
    lossy = replace(recording, loss={name: replace(recording.loss[name], captured=2**64 - 1, dropped=2**64 - 1)})
    assert read_pcapng(write_pcapng(lossy, tmp_path / "a.pcapng")).loss[name].dropped == 2**64 - 1


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed; it is only a cross-check")
def test_tshark_sees_the_same(tmp_path: Path) -> None:
    recording = make(5)
    moved = recording.packets.copy()
    moved["time_ns"] += 1_700_000_000_123_456_789 - moved["time_ns"][0]
    moved["captured"] = moved["original"] = 60
    moved["offset"] = np.minimum(moved["offset"], 4000)
    recording = replace(recording, packets=moved)
    path = write_pcapng(recording, tmp_path / "a.pcapng")
    fields = ["frame.number", "frame.interface_name", "frame.time_epoch", "frame.len", "frame.packet_flags_direction"]
    fields += ["frame.packet_id", "frame.comment"]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *(part for field in fields for part in ("-e", field))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = [line.split("\t") for line in answer.stdout.splitlines()]
    assert len(seen) == len(recording), "Wireshark must not list what is not a packet"
    for number, (row, line) in enumerate(zip(recording.packets, seen, strict=True), start=1):
        time = f"{row['time_ns'] // 10**9}.{row['time_ns'] % 10**9:09}"
        assert line[0] == str(number)
        assert line[2:4] == [time, "60"]
        assert int(line[4], 0) == row["direction"]
        assert line[5] == str(number)
        assert line[6] == recording.comments.get(number, "").replace("\n", "\\n")
    plain = {line[1] for line in seen} & {"alice", "lb:front", "bücher:後ろ"}
    assert plain == {vantage.name for vantage in recording.vantages} & {"alice", "lb:front", "bücher:後ろ"}


@pytest.mark.skipif(not shutil.which("capinfos"), reason="capinfos is not installed; it is only a cross-check")
def test_capinfos_finds_no_fault(tmp_path: Path) -> None:
    path = write_pcapng(make(6), tmp_path / "a.pcapng")
    answer = subprocess.run(["capinfos", "-M", str(path)], capture_output=True, text=True, check=True)
    assert "Number of packets:   40" in answer.stdout
    assert "nanoseconds (9)" in answer.stdout
    assert "Number of interfaces in file: 4" in answer.stdout
    assert "Capture application: labkit" in answer.stdout


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    before = write_pcapng(make(7), path).read_bytes()
    unsavable = replace(make(8), events=[{"kind": "odd", "time_ns": 1, "value": object()}])
    with pytest.raises(CaptureError, match="'odd' cannot be saved"):
        write_pcapng(unsavable, path)
    with pytest.raises(CaptureError, match="65,535 at most"):
        write_pcapng(replace(make(8), vantages=(Vantage("x" * 70000),)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pcapng"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("missing/a.pcapng", "create the folder first"),
        ("folder", "add a file name"),
        ("file/a.pcapng", "a part of its path is a file"),
        ("x" * 300 + ".pcapng", "choose a shorter one"),
        ("a\0b", "null"),
        ("pipe", "not an ordinary file"),
    ],
)
def test_places_where_nothing_can_be_saved(tmp_path: Path, where: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CaptureError, match=words):
        write_pcapng(make(9), tmp_path / where)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode), "devices and pipes are never replaced"


def _on_full_disk(folder: str) -> tuple[str, list[str], bool]:
    mount_tmpfs(folder, "size=64k")
    path = Path(folder, "a.pcapng")
    before = write_pcapng(make(1, packets=5), path).read_bytes()
    try:
        write_pcapng(make(2, packets=2000), path)
    except CaptureError as error:
        return str(error), os.listdir(folder), path.read_bytes() == before
    return "saved", [], False


def _on_read_only_disk(folder: str) -> str:
    mount_tmpfs(folder, "ro")
    try:
        write_pcapng(make(1), Path(folder, "a.pcapng"))
    except CaptureError as error:
        return str(error)
    return "saved"


def test_a_full_disk(tmp_path: Path) -> None:
    message, left, whole = in_namespace(_on_full_disk, str(tmp_path))
    assert "the disk is full; free some space" in message
    assert left == ["a.pcapng"]
    assert whole


def test_a_file_larger_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    before = write_pcapng(make(1, packets=5), path).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CaptureError, match="the file would be larger than allowed here; save to another disk"):
            write_pcapng(make(2, packets=2000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pcapng"]


def test_a_comment_too_long_for_the_format(tmp_path: Path) -> None:
    recording = replace(make(2), comments={1: "x" * 65_535})
    assert read_pcapng(write_pcapng(recording, tmp_path / "a.pcapng")).comments == recording.comments
    with pytest.raises(CaptureError, match="65,535 at most"):
        write_pcapng(replace(recording, comments={1: "x" * 65_536}), tmp_path / "b.pcapng")


def test_a_read_only_disk(tmp_path: Path) -> None:
    assert "read-only; choose another folder" in in_namespace(_on_read_only_disk, str(tmp_path))


def test_a_replaced_file_keeps_its_permissions_and_links_stay_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real.pcapng", tmp_path / "link.pcapng"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_pcapng(make(3), link)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(read_pcapng(real)) == 40
