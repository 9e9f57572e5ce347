"""Saved captures of a real lab under TLS: tshark and labkit decrypt both legs with nothing but the file."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import Capture, Lab

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def saved(lab: Lab, path: Path, version: str, *, http2: bool) -> Path:
    """Three requests of a session, captured and saved."""
    with lab.capture() as cap, lab.alice.session() as session:
        for number in range(3):
            reply = session.post(
                f"https://lb/api/{number}",
                headers={"X-Tag": f"tag-{number}"},
                body="q" * 2_000,
                tls=version,
                http2=http2,
            )
            assert reply.status == 200
    return Path(cap.save(path))


def tshark(path: Path) -> Counter[tuple[str, str]]:
    """(kind of link, tag) of every request that tshark finds, decrypted by what is in the file alone."""
    fields = ["-e", "frame.interface_name", "-e", "http.request.line", "-e", "http2.header.value"]
    command = ["tshark", "-n", "-r", str(path), "-Y", "http.request || http2.headers.method", "-T", "fields", *fields]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        side = "front" if line.split("\t")[0] in ("alice", "lb:front") else "back"
        found.update((side, f"tag-{number}") for number in range(3) if f"tag-{number}" in line)
    return found


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("way", ["through", "both legs"])
def test_decrypted_on_both_legs(lab: Lab, tmp_path: Path, version: str, http2: bool, way: str) -> None:
    if way == "through":
        lab.balancer.l4()
    else:
        lab.balancer.l7(tls=True, reencrypt=True)
    path = saved(lab, tmp_path / "tls.pcapng", version, http2=http2)
    tags = [f"tag-{number}" for number in range(3)]
    assert {tag for side, tag in tshark(path) if side == "front"} == set(tags)
    cap = Capture.load(path)
    connections = cap.connections()
    for number in connections["connection"]:
        followed = cap.follow(number)
        assert followed.why is None
        assert followed.protocol == ("HTTP/2" if http2 else "HTTP/1.1")
        assert followed.tls
        assert followed.tls.startswith(f"TLS {version}")
        asked = [turn for turn in followed.turns if "POST" in turn.head[0]]
        assert all(turn.body == b"q" * 2_000 for turn in asked)
    front = cap.follow(1)
    assert [line for turn in front.turns for line in turn.head if line.lower().startswith("x-tag")] == [
        f"{'x-tag' if http2 else 'X-Tag'}: {tag}" for tag in tags
    ]
    if way == "through":
        assert len(connections) == 1
        return
    assert {tag for side, tag in tshark(path) if side == "back"} == set(tags)
    said = [
        line.partition(": ")[2]
        for number in connections["connection"][1:]
        for turn in cap.follow(number).turns
        for line in turn.head
        if line.lower().startswith("x-tag")
    ]
    assert sorted(said) == tags
    for row in range(3):
        headers = cap.headers(row)
        assert headers.stages == ("sent", "seen", "forwarded", "received")
        added = [name.lower() for name in headers.added]
        assert (added, headers.removed, headers.changed, headers.moved) == (["via"], [], [], [])


def test_without_its_secrets_the_file_tells_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.balancer.l7(tls=True)
    cap = Capture.load(saved(lab, tmp_path / "tls.pcapng", "1.3", http2=True))
    bare = Capture(
        replace(cap.recording, events=[event for event in cap.recording.events if event["kind"] != "secrets"])
    )
    assert bare.follow(1).why == "encrypted: TLS 1.3, and this file has no keys for it"
    assert bare.follow(1).client == b""
    assert bare.headers(0).stages == ("seen", "forwarded", "received")
    assert any("no keys for it" in lack for lack in bare.headers(0).lacks)
    assert cap.headers(0).stages == ("sent", "seen", "forwarded", "received")
    states = [frame.set_index("field")["state"]["http.target"] for frame in (bare.visibility(), cap.visibility())]
    assert states == ["read and used"] * 2
