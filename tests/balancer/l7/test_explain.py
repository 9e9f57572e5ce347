"""What is told of a request without sending it: the whole way, and nothing that could not happen."""

import pytest

from labkit import ApiKey, RateLimit, Redirect, Route
from labkit.balancer.l7.explain import Explanation, explanation, request_of
from labkit.errors import PolicyError

ROUTES = (
    Route("/old/*", redirect=Redirect("/new/*", 308)),
    Route("/gone", respond=410),
    Route("/in/*", pool="api", auth=ApiKey({"alice": "k-alice"}), limit=RateLimit(1, seconds=60), max_body=10),
    Route("*", pool="images", body="needle"),
    Route("/all*", pool="all"),
)


def explained(line: str, headers: dict[str, str] | None = None, body: object = None) -> Explanation:
    return explanation(ROUTES, request_of(line, headers, None, body, "10.0.1.11"))


@pytest.mark.parametrize(
    ("line", "headers", "body", "then"),
    [
        ("GET /old/a?b", {}, None, "the balancer answers 308, see http://lb/new/a?b; no backend is contacted"),
        ("GET /gone", {}, None, "the balancer answers 410; no backend is contacted"),
        (
            *("GET /in/x", {}, None),
            "the balancer answers 401, this route asks for an API key in x-api-key; no backend is contacted",
        ),
        (
            *("POST /in/x", {"x-api-key": "k-alice"}, "x" * 11),
            "the balancer answers 413, this route takes bodies of 10 bytes at most; no backend is contacted",
        ),
        ("POST /in/x", {"x-api-key": "k-alice"}, "x" * 10, "goes to the pool api"),
        ("POST /all", {}, "needle", "goes to the pool images"),
        ("POST /all", {}, "needle" + "x" * 65536, "goes to the pool all"),
        ("GET /x", {}, None, "the balancer answers 404; no backend is contacted"),
    ],
)
def test_it_says_what_follows(line: str, headers: dict[str, str], body: object, then: str) -> None:
    told = explained(line, headers, body)
    assert told.then == then
    assert "k-alice" not in repr(told)


def test_it_reads_what_admits_the_request_too() -> None:
    assert explained("GET /in/x", {"x-api-key": "k-alice"}).reads == ("http.target", "http.header.x-api-key", "ip.src")


@pytest.mark.parametrize("headers", [{"x": "\ud800"}, {"\ud800": "x"}, {"x": 1}, [], "x"])
def test_what_no_request_can_have_is_refused(headers: object) -> None:
    with pytest.raises(PolicyError, match="explain"):
        request_of("GET /", headers, None, None, "10.0.1.11")
