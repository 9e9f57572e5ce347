"""WebSockets in HTTP/2 (RFC 8441): Envoy takes extended CONNECT, and routes it as it routes upgrades."""

from collections import Counter
from collections.abc import Iterator

import pytest

from labkit import ApiKey, Lab, Route

from .extended import connected

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def asking(path: str, protocol: str = "websocket", **more: str) -> list[list[str]]:
    fields = {":method": "CONNECT", ":protocol": protocol, ":scheme": "https", ":path": path, ":authority": "lb"}
    return [[name, value] for name, value in {**fields, "sec-websocket-version": "13", **more}.items() if value]


@pytest.mark.parametrize("reencrypt", [False, True])
def test_websockets_share_a_connection_and_are_routed_each_for_itself(lab: Lab, reencrypt: bool) -> None:
    routes = [
        Route("/ws/chat", pool="api", websocket=True),
        Route("/ws/key", pool="api", websocket=True, auth=ApiKey({"alice": "k-1"})),
        Route("/ws/*", pool="images", websocket=True),
        Route("/plain", pool="api", websocket=False),
    ]
    lab.balancer.l7(routes=routes, tls=True, engine="envoy", reencrypt=reencrypt)
    before = len(lab.balancer.decisions())
    asked = [
        *(asking("/ws/chat"), asking("/ws/notifications"), asking("/ws/chat")),
        *(asking("/ws/key"), asking("/ws/key", **{"x-api-key": "k-1"}), asking("/plain")),
    ]
    answer = lab.alice.call(connected, lab._authority.trust(), asked, ["hi", "there"])
    told = answer["told"]
    assert answer["offered"]
    assert [each["status"] for each in told] == [200, 200, 200, 401, 200, 404]
    assert [each["heard"] for each in told] == [["hi", "there"] if each["status"] == 200 else [] for each in told]
    assert {each["backend"] for each in told if each["status"] == 200} <= {"api1", "api2", told[1]["backend"]}
    assert told[1]["backend"] in ("images1", "images2")
    rules = Counter(lab.balancer.decisions()["rule"].fillna("none")[before:])
    assert rules == {"/ws/chat websocket": 2, "/ws/key websocket": 2, "/ws/* websocket": 1, "none": 1}
    events = [event for event in lab.balancer.events(0) if event["kind"] == "request"][before:]
    assert Counter((event["version"], event["status"], event["websocket"]) for event in events) == {
        ("HTTP/2", 101, True): 4,
        ("HTTP/2", 401, False): 1,
        ("HTTP/2", 404, False): 1,
    }


def test_nothing_else_is_tunnelled(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")], tls=True, engine="envoy")
    for fields in (asking("/ws/chat", "connect-udp"), [[":method", "CONNECT"], [":authority", "api1:80"]]):
        told = lab.alice.call(connected, lab._authority.trust(), [fields], ["hi"])["told"]
        assert told[0]["status"] in (None, 403, 404)
        assert told[0]["backend"] is None
