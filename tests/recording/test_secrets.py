"""TLS secrets in a file: written once before the packets, read back with their legs, and from other programs' files."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.recording import Recording, read_pcapng, write_pcapng
from labkit.recording.secrets import block, completed, read
from tests.recording import foreign
from tests.recording.recordings import make

ONE, TWO, THREE = (f"CLIENT_RANDOM {number:064x} {number:096x}" for number in (1, 2, 3))
SECRETS = 0x0000000A


def event(*lines: str, leg: str | None = "front", time_ns: int = 5) -> dict[str, object]:
    return {"kind": "secrets", "time_ns": time_ns, "leg": leg, "lines": list(lines)}


def with_secrets(seed: int = 1) -> Recording:
    events = [event(ONE, TWO), event(TWO, THREE, leg="back", time_ns=6), *make(seed).events]
    return replace(make(seed), events=events)


def test_what_is_written_comes_back_with_its_legs(tmp_path: Path) -> None:
    recording = with_secrets()
    path = write_pcapng(recording, tmp_path / "a.pcapng")
    found = read_pcapng(path)
    assert found.events == tuple(recording.events)
    assert write_pcapng(found, tmp_path / "b.pcapng").read_bytes() == path.read_bytes()


def test_one_block_with_each_line_once_before_the_packets(tmp_path: Path) -> None:
    content = write_pcapng(with_secrets(), tmp_path / "a.pcapng").read_bytes()
    kinds = list(foreign.block_kinds(content).values())
    assert kinds.count(SECRETS) == 1
    assert kinds.index(SECRETS) < kinds.index(6)
    log = f"{ONE}\n{TWO}\n{THREE}\n".encode()
    assert struct.pack("<II", 0x544C534B, len(log)) + log in content


def test_without_secrets_there_is_no_block(tmp_path: Path) -> None:
    content = write_pcapng(make(2), tmp_path / "a.pcapng").read_bytes()
    assert SECRETS not in foreign.block_kinds(content).values()


@pytest.mark.parametrize("order", "<>")
def test_a_foreign_block_is_an_event_of_no_known_leg(tmp_path: Path, order: str) -> None:
    log = f"# by a browser\r\n{ONE}\r\nnonsense\n\n{TWO}\n".encode()
    body = struct.pack(order + "II", 0x544C534B, len(log)) + log
    other = struct.pack(order + "II", 0x57474B4C, 4) + b"none"  # WireGuard's
    content = [
        foreign.section(order), foreign.block(order, SECRETS, body), foreign.interface(order),
        foreign.block(order, SECRETS, other), foreign.packet(order, 7, b"x"), foreign.block(order, SECRETS, b"TLS"),
    ]  # fmt: skip
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"".join(content))
    assert read_pcapng(path).of_kind("secrets") == [event(ONE, TWO, leg=None, time_ns=7000)]


def test_lines_that_no_event_has_are_added_and_no_others() -> None:
    events = [event(ONE)]
    assert completed(events, [ONE], 9) is events
    assert completed(events, [TWO, ONE, TWO], 9) == (event(TWO, leg=None, time_ns=9), *events)


def test_what_is_no_line_of_a_key_log_is_not_written() -> None:
    assert block([event("CLIENT_RANDOM\n00 00", "X", "", "CLIENT_RANDOM 0g 00")]) == b""
    assert block([{"kind": "secrets", "time_ns": 1, "lines": None}, {"kind": "mode", "lines": [ONE]}]) == b""


@pytest.mark.parametrize("body", [b"", b"KSLT", struct.pack("<II", 0x544C534B, 2**32 - 1)])
def test_a_block_that_is_cut_off_has_no_lines(body: bytes) -> None:
    assert read(body, "<") == []
