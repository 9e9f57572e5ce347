"""Many requests on one HTTP/2 connection: at L7 they are spread, at L4 they all go where their connection went."""

from collections import Counter
from collections.abc import Callable

import pytest

from labkit import Lab, RateLimit, Route

pytestmark = pytest.mark.needs("netns")


def backends(lab: Lab, count: int) -> Counter[str]:
    with lab.alice.session() as session:
        replies = [session.get(f"https://lb/api/{number}", http2=True) for number in range(count)]
    assert {reply.version for reply in replies} == {"HTTP/2"}
    return Counter(str(reply.backend) for reply in replies)


@pytest.mark.parametrize("reencrypt", [False, True])
def test_requests_of_one_connection_are_spread(lab: Lab, l7: Callable[..., None], reencrypt: bool) -> None:
    l7(routes=[Route("/api/*", pool="api"), Route("*", pool="images")], tls=True, reencrypt=reencrypt)
    with lab.capture() as cap:
        counts = backends(lab, 20)
    assert set(counts) == {"api1", "api2"}
    assert abs(counts["api1"] - 10) <= 2
    rows = cap.exchanges()
    assert rows["front_connection"].nunique() == 1
    assert rows["back_connection"].nunique() >= 2


def test_at_l4_they_all_stick_to_one(lab: Lab) -> None:
    lab.balancer.l4(pool="api")
    assert len(backends(lab, 20)) == 1


def test_what_is_refused_ends_its_stream_and_nothing_else(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/few", pool="api", limit=RateLimit(1, seconds=60)), Route("/api/*", pool="api")], tls=True)
    with lab.alice.session() as session:
        statuses = [
            session.get(f"https://lb{path}", http2=True).status for path in ("/few", "/few", "/none", "/api/x", "/few")
        ]
    assert statuses == [200, 429, 404, 200, 429]
