"""What the balancer answers itself, without a backend: as a trace of requests and replies."""

from labkit import ApiKey, Cors, RateLimit, Route
from labkit.balancer.l7.admission import Admission, Admitted, Reply
from labkit.balancer.l7.request import Request, Watched

KEYS = ApiKey({"alice": "k-a", "bob": "k-b"}, user="x-user")


def watched(*lines: tuple[str, str], method: str = "GET") -> Watched:
    return Watched(Request(method, "/", lines, client="10.0.1.11"))


def statuses(route: Route, *requests: Watched) -> list[int]:
    admission = Admission()
    replies = [admission.judge(route, each, 0, now=0.0) for each in requests]
    return [reply.status if isinstance(reply, Reply) else 200 for reply in replies]


def test_a_limit_by_the_field_that_tells_the_user_counts_by_the_user() -> None:
    limited = Route("*", pool="api", auth=KEYS, limit=RateLimit(1, seconds=60, by="header:X-User"))
    alice, bob = ("x-api-key", "k-a"), ("x-api-key", "k-b")
    assert statuses(limited, watched(alice, ("x-user", "1")), watched(alice, ("x-user", "2")), watched(bob)) == [
        *(200, 429, 200),
    ]


def test_a_limit_by_another_field_counts_by_what_clients_say() -> None:
    limited = Route("*", pool="api", auth=KEYS, limit=RateLimit(1, seconds=60, by="header:x-team"))
    alice = ("x-api-key", "k-a")
    asked = [watched(alice, ("x-team", "1")), watched(alice, ("x-team", "2")), watched(alice), watched(alice)]
    assert statuses(limited, *asked) == [200, 200, 200, 429]


def test_who_is_refused_takes_no_token() -> None:
    limited = Route("*", pool="api", auth=KEYS, limit=RateLimit(1, seconds=60, by="route"))
    good, bad = watched(("x-api-key", "k-a")), watched(("x-api-key", "k-eve"))
    assert statuses(limited, bad, bad, good, good, bad) == [401, 401, 200, 429, 401]


def test_a_preflight_is_answered_before_auth_and_another_sites_is_not() -> None:
    route = Route("*", pool="api", auth=KEYS, cors=Cors(["https://a.test"]))
    asks = ("access-control-request-method", "GET")
    mine, other = ("origin", "https://a.test"), ("origin", "https://b.test")
    found = [watched(one, asks, method="OPTIONS") for one in (mine, other)]
    assert statuses(route, *found, watched(mine, asks)) == [200, 401, 401]


def test_the_size_that_is_allowed_is_allowed() -> None:
    route = Route("*", pool="api", max_body=10)
    found = [Admission().judge(route, watched(), size, 0.0) for size in (0, 10, 11, None)]
    assert [isinstance(one, Admitted) for one in found] == [True, True, False, True]


def test_a_limit_goes_on_over_policies_that_have_it_and_is_forgotten_by_others() -> None:
    limited = Route("*", pool="api", limit=RateLimit(1, seconds=60))
    looser = Route("*", pool="api", limit=RateLimit(2, seconds=60))
    admission = Admission()

    def status(route: Route) -> int:
        reply = admission.judge(route, watched(), 0, now=0.0)
        return reply.status if isinstance(reply, Reply) else 200

    assert [status(limited), status(limited)] == [200, 429]
    admission.use([limited, Route("/other", pool="api")])
    assert status(limited) == 429
    admission.use([looser])
    assert [status(looser) for _ in range(3)] == [200, 200, 429]
    admission.use([limited])
    assert [status(limited), status(limited)] == [200, 429]
