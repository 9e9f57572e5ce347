"""Very many requests at once, over mixed routes, connections and versions: each to its pool, and none lost."""

from collections import Counter
from collections.abc import Callable

import pytest

from labkit import Lab, Route

from . import many_peers

pytestmark = [pytest.mark.needs("netns"), pytest.mark.slow]

ROUTES = [
    Route("/api/*", pool="images", headers={"x-beta": "1"}, name="beta"),
    Route("*", pool="api", host="shop.test", name="shop"),
    Route("*", pool="images", method="POST", name="posts"),
    Route("/api/*", pool="api"),
    Route("*.png", pool="images"),
    Route("*", pool="api", query={"v": "2"}, name="second"),
    Route("*", pool="images"),
]
KEPT, FRESH, MULTIPLEXED = 12_000, 3_000, 5_000
SESSIONS, EACH = 200, 25  # twice


def pool_of(method: str, target: str, host: str, beta: str) -> str:
    """Which pool the routes mean, said in another way."""
    path, _, query = target.partition("?")
    if path.startswith("/api/"):
        return "images" if beta == "1" or (method == "POST" and host != "shop.test") else "api"
    if host == "shop.test":
        return "api"
    return "api" if query == "v=2" and method == "GET" and not path.endswith(".png") else "images"


def requests(first: int, count: int) -> list[many_peers.Request]:
    """Every combination in turn, each with a number of its own in its target."""
    made = []
    for number in range(first, first + count):
        path = (f"/api/{number}", f"/{number}.png", f"/page/{number}?v=2", f"/{number}")[number % 4]
        method = "POST" if number % 5 == 0 else "GET"
        made.append((method, path, "shop.test" if number % 3 == 0 else "lb", str(number % 7 % 2)))
    return made


def test_every_request_gets_to_its_pool_and_none_is_lost(lab: Lab, l7: Callable[..., None], engine: str) -> None:
    l7(routes=ROUTES, tls=True)
    kept, fresh = requests(0, KEPT), requests(KEPT, FRESH)
    multiplexed = requests(KEPT + FRESH, MULTIPLEXED)
    told = lab.alice.call(many_peers.ask, lab._authority.trust(), kept, fresh, multiplexed, timeout=120)
    answers = told["answers"]
    print(f"{engine}: {len(answers)} requests, 64 at once: {len(answers) / told['seconds']:,.0f} a second")
    assert Counter(tuple(answer[:4]) for answer in answers) == Counter([*kept, *fresh, *multiplexed])
    assert {status for *_, status, _, _ in answers} == {200}
    assert [answer for answer in answers if answer[1] != answer[6]] == [], "answers to other requests"
    strays = [answer for answer in answers if pool_of(*answer[:4]) != answer[5].rstrip("12")]
    assert strays == []
    assert {backend for *_, backend, _ in answers} == {"api1", "api2", "images1", "images2"}


def test_sessions_stay_and_only_those_of_a_removed_backend_move(lab: Lab, l7: Callable[..., None], engine: str) -> None:
    l7(routes=[Route("*", pool="all")], sticky="cookie")
    begun = {f"s{number}": "" for number in range(SESSIONS)}
    first = lab.alice.call(many_peers.sessions, begun, EACH, timeout=60)
    homes = {name: answered[0] for name, answered in first["answered"].items()}
    removed = Counter(homes.values()).most_common(1)[0][0]
    lab.balancer.remove(removed)
    try:
        second = lab.alice.call(many_peers.sessions, first["cookies"], EACH, timeout=60)
    finally:
        lab.balancer.add(removed)
    count, seconds = 2 * SESSIONS * EACH, first["seconds"] + second["seconds"]
    moved = {name for name, answered in second["answered"].items() if answered[0] != homes[name]}
    print(f"{engine}: {count} requests of {SESSIONS} sessions: {count / seconds:,.0f} a second; {len(moved)} moved")
    for told in (first, second):
        assert {name: set(each) for name, each in told["answered"].items() if len(set(each)) > 1} == {}
        assert sum(map(len, told["answered"].values())) == SESSIONS * EACH
    assert moved == {name for name, home in homes.items() if home == removed}
    assert set(homes.values()) == {"api1", "api2", "images1", "images2"}
    assert {each[0] for each in second["answered"].values()} == set(homes.values()) - {removed}
