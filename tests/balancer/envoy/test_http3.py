"""HTTP/3 at the front: Envoy speaks it at the HTTPS listeners' ports of UDP, beside HTTP/1.1 and HTTP/2."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from labkit import ApiKey, Lab, Listener, RateLimit, Route, Tls
from labkit.balancer.plan import plan_l7
from labkit.errors import PolicyError, TrafficError
from labkit.topology import default

pytestmark = pytest.mark.needs("netns")

HTTP3 = Tls(http3=True)
ROUTES = [Route("/api/*", pool="api"), Route("*", pool="images")]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def l7(lab: Lab, routes: Any = ROUTES, tls: Any = HTTP3, **how: Any) -> None:
    lab.balancer.l7(routes=routes, tls=tls, engine="envoy", **how)


def test_a_request_is_routed_and_its_udp_conversation_is_paired_with_a_connection(lab: Lab) -> None:
    l7(lab)
    with lab.capture() as cap:
        reply = lab.alice.get("https://lb/api/x?y=1", http3=True, headers={"X-Lab": "1"}, cookies={"a": "b"})
    assert (reply.status, reply.version, reply.tls, reply.stream) == (200, "HTTP/3", "TLSv1.3", 0)
    assert reply.backend in ("api1", "api2")
    assert reply.remote == [lab.vip, 443]
    received = reply.received
    assert (received["target"], received["tls"]) == ("/api/x?y=1", None)
    assert ["x-lab", "1"] in received["headers"]
    assert ["cookie", "a=b"] in received["headers"]
    assert lab.balancer.decisions()["connection"].iloc[-1] == f"10.0.1.11:{reply.local[1]} → {lab.vip}:443"
    (row,) = cap.exchanges().to_dict("records")
    assert (row["version"], row["backend"], row["front"]) == ("HTTP/3", reply.backend, f"10.0.1.11:{reply.local[1]}")
    connections = cap.connections().set_index("connection")
    front, back = connections.loc[row["front_connection"]], connections.loc[row["back_connection"]]
    assert (front["proto"], front["client_port"], front["server_port"]) == ("UDP", reply.local[1], 443)
    assert (back["proto"], front["paired_with"]) == ("TCP", (row["back_connection"],))
    seen = cap.visibility(full=True).set_index("field")
    assert list(seen.loc["http.target", ["alice", "lb:front", "lb:back"]]) == ["encrypted", "encrypted", "/api/x?y=1"]
    assert (seen.loc["http.target", "state"], seen.loc["udp.dport", "state"]) == ("read and used", "read")
    assert not seen.loc["http.host", "rewritten"], "it is :authority's, and is told"
    assert "payload" not in seen.index, "it is no clear text"
    (flow,) = cap.flows()
    assert (flow.request.scheme, flow.request.http_version) == ("https", "HTTP/3")
    assert (flow.client_conn.transport_protocol, flow.client_conn.sni) == ("udp", "lb")
    told = [event for event in cap.recording.events if event["kind"] == "secrets"]
    assert [(event["leg"], len(event["lines"])) for event in told] == [("front", 4)], "the client's: Envoy tells none"


def test_it_is_offered_over_tls_on_tcp_alone_and_http1_and_http2_go_on(lab: Lab) -> None:
    l7(lab, tls=Tls(http3=True, hsts=60))
    offered = 'h3=":443"'
    for path in ("/api/x", "/bytes/0"):
        for how in ({}, {"http2": True}):
            assert lab.alice.get(f"https://lb{path}", **how).headers.get_all("alt-svc") == [offered]
    secure = lab.alice.get("https://lb/", http3=True)
    assert (secure.headers["strict-transport-security"], "alt-svc" in secure.headers) == ("max-age=60", False)
    assert "alt-svc" not in lab.alice.get("http://lb/").headers
    l7(lab, tls=True)
    assert "alt-svc" not in lab.alice.get("https://lb/").headers


def test_what_the_policy_says_holds_there_too(lab: Lab) -> None:
    routes = [
        Route("/key", pool="api", auth=ApiKey({"alice": "k-1"}, user="x-user")),
        Route("/few", pool="api", limit=RateLimit(1, seconds=60)),
        Route("/small", pool="api", max_body=10),
        Route("/bytes/*", pool="api"),
        Route("*", pool="api", host="shop.test"),
    ]
    l7(lab, routes, Tls(http3=True, names=["shop.test"]), forwarded=True)
    with lab.alice.session() as session:

        def status(path: str, method: str = "GET", **how: Any) -> int:
            return session.request(method, f"https://lb{path}", http3=True, **how).status

        assert [status("/key"), status("/few"), status("/few"), status("/none")] == [401, 200, 429, 404]
        assert [status("/small", "POST", body=b"x" * size) for size in (10, 100)] == [200, 413]
        assert status("/", headers={"host": "shop.test"}) == 421, "its certificate is another"
        known = session.get("https://lb/key", http3=True, headers={"x-api-key": "k-1"})
        sent = dict(known.received["headers"])
        assert (known.status, sent["x-user"], sent["x-forwarded-for"]) == (200, "alice", lab.alice.address)
        assert (sent["x-forwarded-proto"], sent["via"]) == ("https", "HTTP/3 labkit-balancer")
    assert lab.alice.get("https://shop.test/", http3=True).backend in ("api1", "api2")
    head = lab.alice.request("HEAD", "https://lb/bytes/100", http3=True)
    assert (head.status, head.headers["content-length"], head.content) == (200, "100", b"")


@pytest.mark.parametrize("reencrypt", [False, True])
def test_requests_of_one_connection_are_spread_many_at_a_time(lab: Lab, reencrypt: bool) -> None:
    l7(lab, reencrypt=reencrypt)
    with lab.alice.session() as session, ThreadPoolExecutor(8) as pool:
        first = session.get("https://lb/api/0", http3=True)
        replies = [first, *pool.map(lambda n: session.get(f"https://lb/api/{n}", http3=True), range(1, 20))]
    assert {tuple(reply.local) for reply in replies} == {tuple(first.local)}
    assert sorted(reply.stream for reply in replies) == [4 * number for number in range(20)]
    assert [reply.received["target"] for reply in replies] == [f"/api/{number}" for number in range(20)]
    counts = Counter(reply.backend for reply in replies)
    assert abs(counts["api1"] - counts["api2"]) <= 2, counts


def test_bodies_come_whole_both_ways_over_ipv4_and_ipv6(lab: Lab) -> None:
    l7(lab)
    for host in ("lb", "ip6-lb"):
        sent = lab.alice.post(f"https://{host}/api/x", body=b"a" * 300_000, http3=True)
        assert (sent.version, len(sent.received["body"])) == ("HTTP/3", 300_000)
        assert sent.remote[0] == (lab.vip if host == "lb" else str(lab.topology.vip6))
        assert len(lab.alice.get(f"https://{host}/bytes/300000", http3=True).content) == 300_000


def test_a_new_policy_is_in_force_on_connections_that_are_open_and_they_outlive_every_switch(lab: Lab) -> None:
    l7(lab)
    with lab.alice.session() as session:

        def backend() -> str:
            reply = session.get("https://lb/api/x", http3=True)
            assert reply.local == first.local
            return str(reply.backend)

        first = session.get("https://lb/api/x", http3=True)
        for number in range(5):
            l7(lab, ROUTES[number % 2 :])
            assert backend().startswith("images" if number % 2 else "api")
        l7(lab, tls=Tls(http3=True, names=["shop.test"]))  # the listener itself is another then
        assert backend().startswith("api")
        lab.balancer.l4(pool="images")
        assert backend().startswith("api"), "it goes on where it began"
        with pytest.raises(TrafficError, match="nobody answers there over UDP") as refused:
            lab.alice.get("https://lb/api/x", http3=True)
        assert refused.value.cause == "refused"
        l7(lab, ROUTES[1:], True)  # without HTTP/3
        assert backend().startswith("images"), "by the routes that are in force"
        with pytest.raises(TrafficError, match=r"l7\(tls=Tls\(http3=True\), engine=\"envoy\"\)"):
            lab.bob.get("https://lb/", http3=True)


def test_what_goes_wrong_is_said(lab: Lab) -> None:
    l7(lab, tls=Tls(http3=True, names=["shop.test"]))
    l7(lab)  # shop.test is still found at the VIP, and has no certificate now
    for url, how, cause in (
        ("https://shop.test/", {}, "wrong name"),
        ("https://nobody/", {}, "unknown host"),
        ("https://api1/", {}, "refused"),
        ("https://lb/slow/9", {"timeout": 0.2}, "timed out"),
        ("https://lb/", {"headers": {"connection": "x"}}, "bad header"),
    ):
        with pytest.raises(TrafficError) as failed:
            lab.alice.get(url, http3=True, **how)
        assert failed.value.cause == cause, url
    for how in ({"http2": True}, {"tls": "1.2"}, {"certificate": True}):
        with pytest.raises(TrafficError, match="http3=True"):
            lab.alice.get("https://lb/", http3=True, **how)


def test_it_is_refused_where_it_cannot_be(lab: Lab) -> None:
    with pytest.raises(PolicyError, match="mitmproxy speaks"):
        lab.balancer.l7(tls=HTTP3)
    lab.balancer.l4()
    taken = replace(default(), listeners=(Listener(443, "https"), Listener(440, "udp", through=450)))
    with pytest.raises(PolicyError, match=r"UDP port 443, as https-443 does on TCP, and .* forwards that: udp-440-450"):
        plan_l7(taken, (), tls=HTTP3, engine="envoy")
