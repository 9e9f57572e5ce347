"""Which backend of its pool a request goes to: algorithms, weights, and sessions that stay."""

from collections import Counter
from collections.abc import Callable

import pytest

from labkit import Lab, Route, Sticky

pytestmark = pytest.mark.needs("netns")

ALL = [Route("*", pool="all")]


def spread(lab: Lab, count: int, **options: object) -> Counter[str]:
    with lab.alice.session() as session:
        return Counter(str(session.get("http://lb/", **options).backend) for _ in range(count))


def test_round_robin_is_even(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=ALL)
    counts = spread(lab, 400)
    assert len(counts) == 4
    assert max(counts.values()) - min(counts.values()) <= 4


def test_weights_are_shares(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")], weights={"api1": 3})
    counts = spread(lab, 400)
    assert abs(counts["api1"] - 300) <= 4


@pytest.mark.parametrize("algorithm", ["random", "least_requests", "random_of_two"])
def test_others_reach_everybody(lab: Lab, l7: Callable[..., None], algorithm: str) -> None:
    l7(routes=ALL, algorithm=algorithm)
    counts = spread(lab, 400)
    assert set(counts) == {"api1", "api2", "images1", "images2"}
    assert min(counts.values()) > 50


def test_chance_has_weights_too(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")], algorithm="random", weights={"api1": 9})
    assert 150 < spread(lab, 200)["api1"] < 198


def test_the_one_with_least_under_way_is_asked(lab: Lab, l7: Callable[..., None]) -> None:
    """api1 keeps what it is asked; so the other one gets the rest."""
    l7(routes=[Route("*", pool="api")], algorithm="least_requests")
    lab.api1.slow(3)
    try:
        report = lab.alice.load("http://lb/", connections=8, requests=200, seconds=60)
    finally:
        lab.api1.slow(0)
    assert report.requests == 200
    counts = lab.balancer.decisions().tail(200)["backend"].value_counts()
    assert counts["api2"] > 10 * counts["api1"]


@pytest.mark.parametrize("by", ["header:x-user", "cookie:user"])
def test_a_hash_keeps_who_asks_at_one_backend(lab: Lab, l7: Callable[..., None], by: str) -> None:
    l7(routes=ALL, algorithm="consistent_hash", hash_on=by)
    chosen = {}
    for user in map(str, range(24)):
        options = {"headers": {"x-user": user}} if by.startswith("header") else {"cookies": {"user": user}}
        counts = Counter(str(lab.alice.get("http://lb/", **options).backend) for _ in range(3))
        assert len(counts) == 1
        chosen[user] = next(iter(counts))
    assert len(set(chosen.values())) >= 3


def test_a_hash_of_the_client_is_of_its_address(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=ALL, algorithm="consistent_hash")
    assert len(spread(lab, 10)) == 1


def test_a_pool_has_an_algorithm_of_its_own(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/api/*", pool="api"), Route("*", pool="images")], algorithm={"api": "consistent_hash"})
    with lab.alice.session() as session:
        api = Counter(session.get("http://lb/api/x").backend for _ in range(10))
        images = Counter(session.get("http://lb/x").backend for _ in range(10))
    assert (len(api), len(images)) == (1, 2)


def test_a_session_stays_by_the_balancers_cookie(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=ALL, sticky="cookie")
    first = lab.alice.get("http://lb/")
    name, _, rest = first.headers["set-cookie"].partition("=")
    value, *attributes = [part.strip() for part in rest.split(";")]
    assert name == "labkit-backend"
    assert {"path=/", "httponly", "samesite=lax"} <= {each.lower() for each in attributes}
    assert "secure" not in {each.lower() for each in attributes}
    again = [lab.alice.get("http://lb/", cookies={name: value.strip('"')}) for _ in range(8)]
    assert {reply.backend for reply in again} == {first.backend}
    assert all("set-cookie" not in reply.headers for reply in again)
    assert all(not [each for each in reply.received["headers"] if "labkit-backend" in each[1]] for reply in again)
    lab.balancer.drain(first.backend)
    try:
        moved = lab.alice.get("http://lb/", cookies={name: value})
        assert moved.backend not in (None, first.backend)
        assert "set-cookie" in moved.headers
    finally:
        lab.balancer.add(first.backend)


def test_nobody_is_sent_where_a_made_up_cookie_says(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")], sticky="cookie")
    l7_images = "CgwxMC4wLjIuMjE6ODA="  # 10.0.2.21:80, which is none of the pool
    for value in (l7_images, "x", "", "=", "%00", "CgkxMjcuMC4wLjE="):
        assert lab.alice.get("http://lb/", cookies={"labkit-backend": value}).backend in ("api1", "api2")


def test_a_session_stays_by_the_applications_own_cookie(lab: Lab, l7: Callable[..., None]) -> None:
    for backend in (lab.api1, lab.api2):
        backend.serve(_application(backend.name))
    try:
        l7(routes=[Route("*", pool="api")], sticky=Sticky("session", application=True))
        first = lab.alice.get("http://lb/")
        owner = first.text.split()[0]
        value = first.headers["set-cookie"].partition("=")[2].partition(";")[0]
        assert value == f"{owner}~4711"
        again = [lab.alice.get("http://lb/", cookies={"session": value}).text for _ in range(6)]
        assert set(again) == {f"{owner} session=4711"}
        assert lab.alice.get("http://lb/", cookies={"session": "4711"}).text.endswith(" session=4711")
    finally:
        lab.api1.serve(None)
        lab.api2.serve(None)


def _application(name: str):  # type: ignore[no-untyped-def]
    async def application(scope, receive, send):  # type: ignore[no-untyped-def]
        cookie = dict(scope["headers"]).get(b"cookie", b"none")
        headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"session=4711; Path=/")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": name.encode() + b" " + cookie})

    return application
