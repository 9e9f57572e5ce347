"""What becomes of a request on its way: redirects, answers of the balancer's own, other paths, edited fields."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from labkit import Answer, Cors, Edit, Forwarded, Lab, Redirect, Route

from . import frame_peers

pytestmark = pytest.mark.needs("netns")


def received(reply: Any, name: str) -> list[str]:
    """The values of a field as the backend received them."""
    return [value for each, value in reply.received["headers"] if each.lower() == name]


@pytest.mark.parametrize(
    ("route", "asked", "status", "location"),
    [
        (Route("/old/*", redirect="/new/*"), "/old/a/b?x=1", 302, "http://lb/new/a/b?x=1"),
        (Route("/old/*", redirect=Redirect("https://lb/*", 308)), "/old/a", 308, "https://lb/a"),
        (Route("/old", redirect=Redirect("/new?fixed=1", 301)), "/old?x=1", 301, "http://lb/new?fixed=1"),
        (Route(re.compile(r"/u/(\d+)/(.*)"), redirect=r"/users/\1/\2"), "/u/7/p?q", 302, "http://lb/users/7/p?q"),
    ],
)
def test_redirects(lab: Lab, l7: Callable[..., None], route: Route, asked: str, status: int, location: str) -> None:
    l7(routes=[route, Route("*", pool="api")])
    reply = lab.alice.get(f"http://lb{asked}")
    assert (reply.status, reply.headers["location"], reply.backend) == (status, location, None)


def test_answers_of_the_balancers_own(lab: Lab, l7: Callable[..., None]) -> None:
    l7(
        routes=[
            Route("/health", respond=Answer(200, "all is well\n", headers={"x-from": "lb"})),
            Route("/gone", respond=410),
            Route("*", pool="api"),
        ]
    )
    reply = lab.alice.get("http://lb/health")
    assert (reply.status, reply.text, reply.headers["x-from"]) == (200, "all is well\n", "lb")
    assert reply.headers["content-type"].startswith("text/plain")
    assert lab.alice.get("http://lb/gone").status == 410
    head = lab.alice.request("HEAD", "http://lb/health")
    assert (head.status, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("route", "asked", "target"),
    [
        (Route("/api/*", pool="api", rewrite="/v2/*"), "/api/users?x=1", "/v2/users?x=1"),
        (Route("/api/*", pool="api", rewrite="/*"), "/api/", "/"),
        (Route("/*/old/*", pool="api", rewrite="/*/new/*"), "/a/old/b", "/a/new/b"),
        (Route("/fixed*", pool="api", rewrite="/one"), "/fixed/x?q", "/one?q"),
        (Route(re.compile(r"/(\w+)-(\w+)"), pool="api", rewrite=r"/\2/\1"), "/a-b", "/b/a"),
    ],
)
def test_paths_are_rewritten(lab: Lab, l7: Callable[..., None], route: Route, asked: str, target: str) -> None:
    l7(routes=[route])
    reply = lab.alice.get(f"http://lb{asked}")
    assert reply.received is not None
    assert reply.received["target"] == target


def test_fields_are_set_added_and_removed(lab: Lab, l7: Callable[..., None]) -> None:
    edit = Edit(set={"x-set": "new", "x-fresh": "1"}, add={"x-many": "2"}, remove=["x-gone"])
    back = Edit(set={"x-lab": "labkit"}, remove=["x-backend"])
    l7(routes=[Route("*", pool="api", request=edit, response=back)])
    sent = {"x-set": "old", "x-many": "1", "x-gone": "secret", "x-kept": "k"}
    reply = lab.alice.get("http://lb/", headers=sent)
    assert received(reply, "x-set") == ["new"]
    assert received(reply, "x-fresh") == ["1"]
    assert ",".join(received(reply, "x-many")).replace(" ", "") == "1,2"
    assert received(reply, "x-gone") == []
    assert received(reply, "x-kept") == ["k"]
    assert reply.headers["x-lab"] == "labkit"
    assert "x-backend" not in reply.headers


TOLD: list[tuple[Any, dict[str, str], dict[str, str | None]]] = [
    (True, {}, {"x-forwarded-for": "10.0.1.11", "x-forwarded-proto": "http", "x-forwarded-host": "lb"}),
    (
        True,
        {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https"},
        {"x-forwarded-for": "10.0.1.11", "x-forwarded-proto": "http"},
    ),
    (
        Forwarded(trust=["10.0.1.11"]),
        {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "https"},
        {"x-forwarded-for": "6.6.6.6, 10.0.1.11", "x-forwarded-proto": "https"},
    ),
    (Forwarded(trust=["10.0.1.12"]), {"x-forwarded-for": "6.6.6.6"}, {"x-forwarded-for": "10.0.1.11"}),
    (
        Forwarded("rfc7239"),
        {"forwarded": "for=6.6.6.6", "x-forwarded-for": "6.6.6.6"},
        {"forwarded": 'for=10.0.1.11;proto=http;host="lb"', "x-forwarded-for": None},
    ),
    (
        Forwarded("both", trust=["10.0.1.0/24"]),
        {"forwarded": "for=6.6.6.6"},
        {"forwarded": 'for=6.6.6.6, for=10.0.1.11;proto=http;host="lb"', "x-forwarded-for": "10.0.1.11"},
    ),
    (False, {"x-forwarded-for": "6.6.6.6"}, {"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": None}),
]


@pytest.mark.parametrize(("how", "said", "expected"), TOLD)
def test_backends_are_told_of_the_client(
    lab: Lab, l7: Callable[..., None], how: Any, said: dict[str, str], expected: dict[str, str | None]
) -> None:
    l7(routes=[Route("*", pool="api")], forwarded=how)
    reply = lab.alice.get("http://lb/", headers=said)
    for name, value in expected.items():
        assert ", ".join(received(reply, name)).replace(",", ", ").replace(",  ", ", ") == (value or "")


def test_request_ids_are_the_balancers_own_and_each_another(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")], request_id=True)
    ids = [received(lab.alice.get("http://lb/", headers={"x-request-id": "mine"}), "x-request-id") for _ in range(3)]
    assert all(len(each) == 1 and each != ["mine"] for each in ids)
    assert len({each[0] for each in ids}) == 3


def test_fields_of_one_connection_go_no_further(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")])
    fields = {
        "connection": "x-private, keep-alive",
        "x-private": "1",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "x-public": "1",
    }
    reply = lab.alice.get("http://lb/", headers=fields)
    names = {name.lower() for name, _ in reply.received["headers"]}
    assert names.isdisjoint({"x-private", "keep-alive"})
    assert "x-public" in names


def test_other_sites_may_ask_if_they_are_allowed(lab: Lab, l7: Callable[..., None]) -> None:
    cors = Cors(["https://shop.test"], methods=["GET", "PUT"], headers=["x-lab"], credentials=True, max_age=60)
    l7(routes=[Route("*", pool="api", cors=cors)])
    ask = {"origin": "https://shop.test", "access-control-request-method": "PUT"}
    reply = lab.alice.request("OPTIONS", "http://lb/x", headers=ask)
    assert (reply.status, reply.backend) == (200, None)
    granted = {
        name: reply.headers.get(f"access-control-{name}")
        for name in ("allow-origin", "allow-methods", "allow-headers", "allow-credentials", "max-age")
    }
    assert granted == {
        "allow-origin": "https://shop.test",
        "allow-methods": "GET,PUT",
        "allow-headers": "x-lab",
        "allow-credentials": "true",
        "max-age": "60",
    }
    answered = lab.alice.get("http://lb/x", headers={"origin": "https://shop.test"})
    assert answered.backend
    assert answered.headers["access-control-allow-origin"] == "https://shop.test"
    stranger = lab.alice.get("http://lb/x", headers={"origin": "https://evil.test"})
    assert stranger.backend
    assert "access-control-allow-origin" not in stranger.headers


def test_a_message_of_very_many_frames_holds_up_nobody(lab: Lab, l7: Callable[..., None]) -> None:
    """Each frame written by itself was seconds of the proxy's work, during which it served nobody else."""
    l7(routes=[Route("*", pool="api")])
    echoed, slowest = lab.alice.call(frame_peers.send, 30_000, timeout=60)
    assert echoed < 5
    assert slowest < 4
