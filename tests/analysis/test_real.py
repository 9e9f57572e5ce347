"""The claims on packets of a real lab: what a kernel, a proxy and a client really send."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from labkit import Capture, Lab

pytestmark = pytest.mark.needs("netns")
PATHS = ("/api/users", "/images/cat.png")


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One capture file a mode: four requests by alice and bob, a session of three, a datagram."""
    files = {}
    with Lab() as lab:
        for mode in ("l4", "l7"):
            getattr(lab.balancer, mode)()
            with lab.capture() as cap:
                for host in (lab.alice, lab.bob):
                    for path in PATHS:
                        assert host.get(f"http://lb{path}").status == 200
                with lab.alice.session() as session:
                    for _ in range(3):
                        session.get("http://lb/api/users")
                with lab.bob.udp("lb", 7) as echo:
                    echo.send(b"hello")
                    assert b"hello" in echo.recv()
            files[mode] = tmp_path_factory.mktemp("captures") / f"{mode}.pcapng"
            cap.save(files[mode])
    return files


def test_l4_is_one_connection_seen_four_times(captures: dict[str, Path]) -> None:
    cap = Capture.load(captures["l4"])
    figures = cap.summary()
    assert (figures["mode"], figures["requests"], figures["same_connection"]) == ("l4", 7, True)
    assert figures["rewritten_fields"] == [
        "eth.src", "eth.dst", "ip.src", "ip.dst", "ip.ttl", "ip.checksum", "tcp.checksum",
    ]  # fmt: skip
    connections = cap.connections()
    assert Counter(connections["proto"]) == {"TCP": 5, "UDP": 1}
    assert {len(seen_at) for seen_at in connections["seen_at"]} == {4}
    assert set(connections[connections["proto"] == "TCP"]["state"]) == {"closed"}
    packets = cap.packets()
    for number, tcp in packets[packets["proto"] == "TCP"].groupby("connection"):
        sides = [
            sorted(rows[["seq", "ack", "flags", "payload_length"]].itertuples(index=False, name=None))
            for _, rows in tcp.groupby("vantage")
        ]
        assert len(sides) == 4, number
        assert all(side == sides[0] for side in sides)
    carried = cap.trajectories().dropna(subset="connection")
    assert carried["certain"].all()
    assert {len(path) for path in carried["path"]} == {4}
    decisions = cap.decisions().merge(packets, left_on="packet", right_on="number", suffixes=("", "_of_packet"))
    assert set(decisions["vantage"]) == {"lb:front"}
    assert set(decisions[decisions["proto"] == "TCP"]["flags"]) == {"S"}


def test_l7_is_two_connections_paired(captures: dict[str, Path]) -> None:
    cap = Capture.load(captures["l7"])
    figures = cap.summary()
    assert (figures["mode"], figures["requests"], figures["same_connection"]) == ("mixed", 7, False)  # UDP stays L4
    exchanges, connections = cap.exchanges(), cap.connections().set_index("connection")
    assert len(exchanges) == 7
    for row in exchanges.itertuples():
        front, back = connections.loc[row.front_connection], connections.loc[row.back_connection]
        assert row.back_connection in front["paired_with"]
        assert row.front_connection in back["paired_with"]
        assert row.front == f"{front['client']}:{front['client_port']}"
        assert row.back == f"{back['client']}:{back['client_port']}"
        assert back["seen_at"] == ("lb:back", row.backend)
    assert {(row.target.split("/")[1], row.rule) for row in exchanges.itertuples()} == {
        ("api", "/api/*"),
        ("images", "/images/*"),
    }
    tcp = cap.trajectories()
    assert not {"alice", "bob", "lb:front"} & {
        place for path in tcp["path"] for place in path if "api1" in path and len(path) == 2
    }
    syns = cap.packets().query("flags == 'S'")
    assert syns.groupby("connection")["seq"].nunique().eq(1).all()
    assert syns["seq"].nunique() == syns["connection"].nunique()  # unrelated numbers on both sides


def test_what_the_balancer_read_is_what_its_record_says(captures: dict[str, Path]) -> None:
    at_l4 = Capture.load(captures["l4"]).visibility(full=True).set_index("field")["state"]
    assert {at_l4["ip.dst"], at_l4["tcp.dport"]} == {"read and used"}
    assert {state for name, state in at_l4.items() if name.startswith("http.")} == {"in clear, not read"}
    at_l7 = Capture.load(captures["l7"]).visibility(full=True).set_index("field")["state"]
    assert at_l7["http.target"] == "read and used"
    assert at_l7["http.host"] == "read"


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_tshark_counts_the_same_connections(captures: dict[str, Path], mode: str) -> None:
    counted = Capture.load(captures[mode]).summary()["tcp_connections"]
    ask = ["tshark", "-r", str(captures[mode]), "-Y", "tcp.flags.syn==1 && tcp.flags.ack==0", "-T", "fields"]
    said = subprocess.run(
        [*ask, "-e", "frame.interface_name"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert dict(Counter(said)) == {name: count for name, count in counted.items() if count}
