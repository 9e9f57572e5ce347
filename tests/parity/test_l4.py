"""L4 on both runtimes: what runs through the balancer, what it rewrites, what it reads, what its rules say."""

import json
import time

import pytest

from labkit import Lab

from . import seeing
from .conftest import Pair, Scenario
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")

WHOLE = ("alice", "lb:front", "lb:back", "api1")
REWRITTEN = {"eth.src", "eth.dst", "ip.ttl", "ip.checksum", "tcp.checksum"}  # by any hop that routes


def one_request(style: str, url: str = "http://lb/api/users") -> Scenario:
    """The scenario of one request from alice to api1."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(style=style, backends=["api1"])
        with lab.capture() as cap:
            reply = lab.alice.get(url)
        return {
            "answered by": (reply.status, reply.backend),
            "ends": names.plain([reply.local, reply.remote]),
            "received": names.plain(reply.received),
            "connections": seeing.connections(cap, names),
            "trajectories": seeing.trajectories(cap, names),
            "visibility": seeing.visibility(cap),
            "decisions": seeing.decisions(lab, names, 1),
            "rules": seeing.rules(lab, names),
            "flags": seeing.flags(cap, "alice")["S"],
            "exchanges": seeing.exchanges(cap, names),
            "lost": int(cap.loss()["dropped"].sum()),
            "finding": cap.finding,
            "ladder": seeing.ladder(cap, names),
        }

    return scenario


@pytest.mark.parametrize("style", ["dnat", "full"])
def test_one_request(pair: Pair, style: str) -> None:
    seen = pair.same(one_request(style))
    assert seen["answered by"] == (200, "api1")
    (connection,) = seen["connections"]
    source = "alice:port" if style == "dnat" else "lb:back:port"
    assert connection["seen at"] == WHOLE
    assert connection["whole everywhere"]
    assert connection["ends"]["alice"] == ("alice:port", "vip:80")
    assert connection["ends"]["api1"] == (source, "api1:80")
    assert seen["received"]["peer"] == source
    there = seen["trajectories"]["ways"][" ".join(WHOLE)]
    assert [hop for hop, changes in there.items() if changes] == ["lb:front → lb:back"]
    changes = there["lb:front → lb:back"]
    assert set(changes) == {*REWRITTEN, "ip.dst", *(("ip.src",) if style == "full" else ())}
    assert changes["ip.ttl"] == {"-1"}
    assert changes["eth.src"] == {"mac of alice → mac of lb:back"}
    assert seen["trajectories"]["certain"]
    assert {row[3] for row in seen["visibility"]} == {"in clear, not read", "read and used"}
    assert not [row for row in seen["visibility"] if row[0] == "HTTP" and row[3] != "in clear, not read"]
    assert seen["decisions"][0][-2:] == ("api1", None)
    assert "\t\tdnat ip to api1" in seen["rules"]
    assert "alice lb:front lb:back api1" in seen["ladder"]
    assert any("dst vip → api1" in line for line in seen["ladder"])


def test_who_ends_a_connection(pair: Pair) -> None:
    def scenario(lab: Lab, _: Names) -> list[tuple[str, str]]:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as cap:
            lab.alice.get("http://lb/api/users")
            with lab.alice.tcp("lb", 7) as connection:
                connection.send(b"on?\n")
                connection.readline()
            time.sleep(1)  # the other side ends it too
        return [(row.state, row.closed_by) for row in cap.connections().itertuples()]

    assert pair.same(scenario) == [("closed", "client")] * 2


def test_ipv6(pair: Pair) -> None:
    seen = pair.same(one_request("dnat", "http://ip6-lb/api/users"))
    assert seen["ends"] == ["alice/6:port", "vip/6:80"]
    assert seen["received"]["peer"] == "alice/6:port"
    changes = seen["trajectories"]["ways"][" ".join(WHOLE)]["lb:front → lb:back"]
    assert set(changes) == {"eth.src", "eth.dst", "ip6.dst", "ip6.hlim", "tcp.checksum"}


def test_https_passes_unread(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as cap:
            reply = lab.alice.get("https://lb/api/users")
        return {
            "answered by": reply.backend,
            "tls": reply.received and bool(reply.received["tls"]),
            "connections": seeing.connections(cap, names),
            "visibility": seeing.visibility(cap),
            "said": "api/users" in cap.follow(1).client.decode("latin-1"),
        }

    seen = pair.same(scenario)
    assert (seen["answered by"], seen["tls"]) == ("api1", True)
    assert {row[3] for row in seen["visibility"] if row[0] == "HTTP"} == {"encrypted"}
    assert len(seen["connections"]) == 1


def test_turns_are_taken(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> list[object]:
        lab.balancer.l4()
        backends = [lab.alice.get("http://lb/").backend for _ in range(8)]
        first = [backend.name for backend in lab.backends].index(str(backends[0]))
        turned = [lab.backends[(first + turn) % 4].name for turn in range(8)]
        return [backends == turned, seeing.decisions(lab, names, 8)[0][:4]]

    seen = pair.same(scenario)
    assert seen[0] is True
    assert seen[1][:2] == ("l4", "alice:port → vip:80")


def test_udp(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as cap, lab.alice.udp("lb", 7) as datagrams:
            datagrams.send("x")
            answer = datagrams.recv()
        return {
            "answer": names.plain(json.loads(answer)),
            "connections": seeing.connections(cap, names),
            "trajectories": seeing.trajectories(cap, names),
        }

    seen = pair.same(scenario)
    assert (seen["answer"]["backend"], seen["answer"]["peer"]) == ("api1", "alice:port")
    (connection,) = seen["connections"]
    assert (connection["proto"], connection["seen at"]) == ("UDP", WHOLE)
    assert connection["ends"]["api1"] == ("alice:port", "api1:7")


def test_large_answers_are_seen_as_they_are_on_the_wire(pair: Pair) -> None:
    """No offload merges segments before a vantage point sees them: none is larger than the MTU allows."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as cap:
            reply = lab.alice.get("http://lb/bytes/1048576")
        trajectories = cap.trajectories()
        trajectories = trajectories[trajectories["connection"].notna()]
        return {
            "answered": len(reply.content),
            "segments": {at: told | {"bytes": told["bytes"] > 1048576} for at, told in seeing.segments(cap).items()},
            "certain": bool(trajectories["certain"].all()),
            "seen everywhere": {len(path) for path in trajectories["path"]},
            "lost": int(cap.loss()["dropped"].sum()),
        }

    seen = pair.same(scenario)
    assert seen["answered"] == 1048576
    assert set(seen["segments"]) == set(WHOLE)
    for told in seen["segments"].values():
        assert told == {"largest frame": 1514, "largest payload": 1448, "bytes": True}
    assert seen["certain"]
    assert seen["seen everywhere"] == {4}


def test_a_websocket(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(backends=["api1"])
        with lab.capture() as cap, lab.alice.websocket("ws://lb/ws/chat") as chat:
            chat.send("hi")
            said = chat.recv()
        return {"said": said, "connections": len(cap.connections()), "messages": seeing.messages(cap)}

    seen = pair.same(scenario)
    assert (seen["said"], seen["connections"]) == ("hi", 1)
    assert [told for told in seen["messages"] if told[1] == "text"] == [
        ("client → backend", "text", "hi"),
        ("backend → client", "text", "hi"),
    ]
