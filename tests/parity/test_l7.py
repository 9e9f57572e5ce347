"""L7 on both runtimes and both engines: two connections, routing by what was read, headers, TLS, WebSockets."""

import re
from typing import Any

import pytest

from labkit import Lab, Route

from . import seeing
from .conftest import Pair, Scenario
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")

ENGINES = ("mitmproxy", "envoy")
FRONT, BACK = ("alice", "lb:front"), ("lb:back", "api1")


def one_request(engine: str, url: str, **how: object) -> Scenario:
    """The scenario of one request that its path sends to api1."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l7(engine=engine, routes=[Route("/api/*", pool="api")], **how)
        lab.balancer.remove("api2")
        try:
            with lab.capture() as cap:
                reply = lab.alice.get(url)
        finally:
            lab.balancer.add("api2")
        return {
            "answered by": (reply.status, reply.backend),
            "ends": names.plain([reply.local, reply.remote]),
            "received": _without_ids(names.plain(reply.received)),
            "connections": seeing.connections(cap, names),
            "trajectories": seeing.trajectories(cap, names),
            "visibility": seeing.visibility(cap),
            "decisions": seeing.decisions(lab, names, 1),
            "exchanges": seeing.exchanges(cap, names),
            "rules": seeing.rules(lab, names),
            "headers": _without_ids(names.text(str(cap.headers())).splitlines()[1:]),
            "lost": int(cap.loss()["dropped"].sum()),
            "finding": cap.finding,
            # Envoy keeps connections to backends: whether one begins here depends on what was before.
            "ladder": seeing.ladder(cap, names) if engine == "mitmproxy" else None,
        }

    return scenario


def _without_ids(value: Any) -> Any:
    """The ids that engines give to requests are left out."""
    if isinstance(value, str):
        return re.sub(r"\s+", " ", re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "id", value))
    if isinstance(value, dict):
        return {key: _without_ids(one) for key, one in value.items()}
    return [_without_ids(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("engine", ENGINES)
def test_one_request(pair: Pair, engine: str) -> None:
    seen = pair.same(one_request(engine, "http://lb/api/users"))
    assert seen["answered by"] == (200, "api1")
    assert seen["received"]["peer"] == "lb:back:port"
    assert [(one["seen at"], one["paired with"]) for one in seen["connections"]] == [(FRONT, (2,)), (BACK, (1,))]
    assert set(seen["trajectories"]["ways"]) == {" ".join(way) for way in (FRONT, FRONT[::-1], BACK, BACK[::-1])}
    assert not any(changes for way in seen["trajectories"]["ways"].values() for changes in way.values())
    assert ("HTTP", "http.target", (*FRONT, *BACK), "read and used", False) in seen["visibility"]
    assert seen["decisions"][0][:1] == ("l7",)
    assert "http.target" in seen["decisions"][0][2]
    assert seen["exchanges"][0][:6] == ("GET", "/api/users", "lb", 200, "/api/*", "api1")
    assert seen["finding"] == "L7: 1 request, 1 client connection, 1 back connection"
    if engine == "mitmproxy":
        assert "alice lb:front lb:back api1" in seen["ladder"]


@pytest.mark.parametrize("engine", ENGINES)
def test_https_ends_at_the_balancer(pair: Pair, engine: str) -> None:
    seen = pair.same(one_request(engine, "https://lb/api/users", tls=True))
    assert seen["answered by"] == (200, "api1")
    assert seen["received"]["tls"] is None
    assert [one["seen at"] for one in seen["connections"]] == [FRONT, BACK]
    target = next(row for row in seen["visibility"] if row[1] == "http.target")
    assert target[3] == "read and used"


@pytest.mark.parametrize("engine", ENGINES)
def test_routing_by_path(pair: Pair, engine: str) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l7(engine=engine)
        went: dict[str, set[str | None]] = {}
        with lab.capture() as cap:
            for turn in range(8):
                for path in ("api", "images"):
                    went.setdefault(path, set()).add(lab.alice.get(f"http://lb/{path}/{turn}").backend)
        ended = [one["seen at"] for one in seeing.connections(cap, names) if "alice" in one["seen at"]]
        explained = names.text(str(lab.balancer.explain("GET /api/users")))
        return {"went": went, "ended": ended, "explained": explained}

    seen = pair.same(scenario)
    assert seen["went"] == {"api": {"api1", "api2"}, "images": {"images1", "images2"}}
    assert seen["ended"] == [FRONT] * 16  # how many lead on is up to the engine: Envoy keeps those it has
    assert "/api/*" in seen["explained"]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_balancer_refuses_reaches_no_backend(pair: Pair, engine: str) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l7(engine=engine, routes=[Route("/api/*", pool="api")])
        with lab.capture() as cap:
            reply = lab.alice.get("http://lb/nowhere")
        return {"status": reply.status, "text": reply.text, "connections": seeing.connections(cap, names)}

    seen = pair.same(scenario)
    assert seen["status"] == 404
    assert [one["seen at"] for one in seen["connections"]] == [FRONT]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_websocket(pair: Pair, engine: str) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l7(engine=engine, routes=[Route("/ws/chat", pool="api", websocket=True)])
        with lab.capture() as cap, lab.alice.websocket("ws://lb/ws/chat") as chat:
            chat.send("hi")
            said = chat.recv()
        return {"said": said, "connections": len(cap.connections()), "messages": seeing.messages(cap)}

    seen = pair.same(scenario)
    assert (seen["said"], seen["connections"]) == ("hi", 2)
    assert [text for _, kind, text in seen["messages"] if kind == "text"] == ["hi"] * 4


def test_the_tcp_proxy_opens_a_second_connection_and_reads_nothing(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(style="proxy", backends=["api1"])
        with lab.capture() as cap:
            reply = lab.alice.get("http://lb/api/users")
        return {
            "answered by": reply.backend,
            "connections": seeing.connections(cap, names),
            "visibility": seeing.visibility(cap),
            "decisions": seeing.decisions(lab, names, 1),
        }

    seen = pair.same(scenario)
    assert [one["seen at"] for one in seen["connections"]] == [FRONT, BACK]
    assert {row[3] for row in seen["visibility"] if row[0] == "HTTP"} == {"in clear, not read"}
