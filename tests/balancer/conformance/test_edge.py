"""Who may ask, how often, and how much: refused before a backend hears of it, as the capture proves."""

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit import ApiKey, Basic, Edit, Jwt, Lab, RateLimit, Route

pytestmark = pytest.mark.needs("netns")

KEY = ApiKey({"alice": "k-alice", "bob": "k-bob"}, user="x-user")
BASIC = Basic({"alice": "s3cret", "bob": "päss".encode("ascii", "replace").decode()}, user="x-user")
JWT = Jwt("a secret that has thirty-two bytes.", issuer="lab", audience="api", user="x-user")
OTHER = Jwt("another one that has thirty-two bytes", issuer="lab", audience="api")


def assert_unasked(packets: Any) -> None:
    """Nothing was begun or said on the back link: at most the end of what earlier requests left there."""
    back = packets[(packets["vantage"] == "lb:back") & (packets["proto"] == "TCP")]
    assert set(back["flags"]) & {"S", "SA"} == set()
    assert back["payload_length"].sum() == 0


def chunked(lab: Lab, count: int, size: int) -> int:
    """The status that a body of *count* chunks gets; what comes after it is not sent."""
    status: int = lab.alice.call(_chunked, lab.vip, count, size)
    return status


def _chunked(vip: str, count: int, size: int) -> int:
    import contextlib
    import socket

    with socket.create_connection((vip, 80), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(count):
                connection.sendall(b"%x\r\n%b\r\n" % (size, bytes(size)))
            connection.sendall(b"0\r\n\r\n")
        return int(connection.recv(4096).split()[1])


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


AUTH = [
    (KEY, lambda: {"x-api-key": "k-alice"}, "alice"),
    (KEY, lambda: {"x-api-key": "k-bob", "x-user": "root"}, "bob"),
    (KEY, lambda: {"x-api-key": "k-eve"}, None),
    (KEY, lambda: {"x-api-key": ""}, None),
    (KEY, lambda: {}, None),
    (KEY, lambda: {"x-user": "alice"}, None),
    (BASIC, lambda: basic("alice", "s3cret"), "alice"),
    (BASIC, lambda: basic("alice", "wrong"), None),
    (BASIC, lambda: basic("eve", "s3cret"), None),
    (BASIC, lambda: {"authorization": "Basic !!!"}, None),
    (BASIC, lambda: {"authorization": "Bearer x"}, None),
    (BASIC, lambda: {}, None),
    (JWT, lambda: bearer(JWT.token("alice")), "alice"),
    (JWT, lambda: bearer(JWT.token("alice", -120)), None),
    (JWT, lambda: bearer(OTHER.token("alice")), None),
    (JWT, lambda: bearer(JWT.token("alice", aud="other")), None),
    (JWT, lambda: bearer(JWT.token("alice", iss="other")), None),
    (JWT, lambda: bearer(JWT.token("alice")[:-4]), None),
    (JWT, lambda: bearer("a.b.c"), None),
    (JWT, lambda: {}, None),
]


@pytest.mark.parametrize(("auth", "shows", "user"), AUTH)
def test_who_asks_is_asked_first(
    lab: Lab, l7: Callable[..., None], auth: Any, shows: Callable[[], dict[str, str]], user: str | None
) -> None:
    l7(routes=[Route("*", pool="api", auth=auth)])
    reply = lab.alice.get("http://lb/", headers=shows())
    if user is None:
        assert (reply.status, reply.backend) in ((401, None), (403, None))
        assert auth is KEY or reply.status == 403 or reply.headers["www-authenticate"].split()[0] in ("Basic", "Bearer")
    else:
        assert reply.status == 200
        told = [value for name, value in reply.received["headers"] if name.lower() == "x-user"]
        assert told == [user]


def test_refused_requests_and_upgrades_never_reach_the_back_link(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/ws/*", pool="api", websocket=True, auth=KEY), Route("*", pool="api", auth=KEY)])
    with lab.capture() as cap:
        for path in ("/", "/api/users", "/ws/chat"):
            assert lab.alice.get(f"http://lb{path}").status == 401
        assert lab.alice.post("http://lb/", body=b"x" * 200_000).status == 401
        with pytest.raises(Exception, match="401"), lab.alice.websocket("ws://lb/ws/chat"):
            pass
    packets = cap.packets()
    assert len(packets[packets["vantage"] == "lb:front"]) > 20
    assert_unasked(packets)
    assert set(cap.exchanges()["status"]) == {401}


def test_limits_let_so_many_through_and_say_when_to_come_again(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api", limit=RateLimit(2, seconds=4, burst=3))])
    with lab.capture() as cap:
        replies = [lab.alice.get("http://lb/") for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 2
    assert replies[-1].backend is None
    assert lab.bob.get("http://lb/").status == 200
    rows = cap.exchanges()
    assert list(rows["status"]) == [200, 200, 200, 429, 429]
    assert list(rows["back_connection"].notna()) == [True, True, True, False, False]
    time.sleep(2.1)
    assert lab.alice.get("http://lb/").status == 200


@pytest.mark.parametrize(
    ("by", "first", "second", "statuses"),
    [
        ("route", {}, {}, (429, 429)),
        ("header:x-user", {"x-user": "a"}, {"x-user": "b"}, (429, 200)),
        ("client", {"x-user": "a"}, {"x-user": "b"}, (429, 200)),
    ],
)
def test_whose_bucket_it_is(
    lab: Lab, l7: Callable[..., None], by: str, first: dict[str, str], second: dict[str, str], statuses: tuple[int, int]
) -> None:
    l7(routes=[Route("*", pool="api", name=f"by {by}", limit=RateLimit(1, seconds=60, by=by))])
    assert lab.alice.get("http://lb/", headers=first).status == 200
    asked_again = lab.alice.get("http://lb/", headers=first).status
    assert (asked_again, lab.bob.get("http://lb/", headers=second).status) == statuses


def test_limits_count_upgrades_too(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/ws/*", pool="api", websocket=True, limit=RateLimit(2, seconds=60))])
    for _ in range(2):
        with lab.alice.websocket("ws://lb/ws/chat") as ws:
            ws.send("hi")
            assert ws.recv() == "hi"
    with pytest.raises(Exception, match="429"), lab.alice.websocket("ws://lb/ws/chat"):
        pass


@pytest.mark.parametrize("most", [1000, 200_000])
def test_large_bodies_in_chunks_are_refused_when_they_have_grown_too_large(
    lab: Lab, l7: Callable[..., None], most: int
) -> None:
    l7(routes=[Route("*", pool="api", max_body=most)])
    assert chunked(lab, 3, 300) == 200
    assert chunked(lab, 100, 10_000) == 413
    assert lab.alice.post("http://lb/", body=b"x" * most).status == 200


def test_large_bodies_are_refused(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api", max_body=1000, request=Edit(set={"x-lab": "1"}))])
    assert lab.alice.post("http://lb/", body=b"x" * 1000).status == 200
    with lab.capture() as cap:
        refused = lab.alice.post("http://lb/", body=b"x" * 1001)
    assert (refused.status, refused.backend) == (413, None)
    packets = cap.packets()
    assert_unasked(packets)


def test_bodies_are_counted_to_their_last_byte_in_http2_too(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/small", pool="api", max_body=10), Route("*", pool="api")], tls=True)
    with lab.alice.session() as session:
        replies = [session.post("https://lb/small", body=b"x" * size, http2=True) for size in (10, 11, 5000, 200_000)]
    assert [reply.status for reply in replies] == [200, 413, 413, 413]
    assert [reply.backend for reply in replies[1:]] == [None] * 3
    assert "this route takes bodies of 10 bytes at most" in replies[1].text
    assert list(lab.balancer.decisions()["rule"])[-4:] == ["/small"] * 4
