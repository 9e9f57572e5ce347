"""Asking L4 for what only L7 can do: one refusal a feature, each with its reason."""

import pytest

from labkit import Lab
from labkit.balancer.l4_refusals import ALSO_CALLED, ONLY_AT_L7
from labkit.errors import PolicyError

# What is asked for -> what the refusal says cannot be done, and what would be needed for it.
ASKED = {
    "routes": ("route by path", "a path"),
    "path": ("route by path", "a path"),
    "query": ("route by query", "a query"),
    "host": ("route by host", "a Host header"),
    "headers": ("route by header", "a header"),
    "cookies": ("route by cookie", "a cookie"),
    "body": ("route by body", "a body"),
    "method": ("route by method", "a request"),
    "grpc": ("gRPC", "a request"),
    "websocket": ("WebSocket", "the upgrade"),
    "sticky": ("session by cookie", "a cookie"),
    "auth": ("who the user is", "a request"),
    "jwt": ("a token", "Authorization"),
    "api_key": ("API key", "a header"),
    "rate_limit": ("limit requests", "a request"),
    "body_limit": ("too large", "a body"),
    "waf": ("judge", "a request"),
    "tls": ("end TLS", "handshake"),
    "reencrypt": ("encrypt again", "keys"),
    "rewrites": ("change a request", "addresses and ports"),
    "redirects": ("redirect", "never answers"),
    "error_pages": ("a page", "RST"),
    "compression": ("compress", "as the backend sent them"),
    "caching": ("cache", "read"),
    "retries": ("again", "belongs to client and backend"),
    "mirror": ("copy", "one backend"),
    "request_id": ("number requests", "segments"),
    "access_log": ("log requests", "one line a connection"),
    "forwarded": ("X-Forwarded-For", "the client's own address"),
    "http2": ("HTTP/2", "ALPN"),
}
LAB = Lab()


def refusal(name: str) -> str:
    with pytest.raises(PolicyError) as error:
        LAB.balancer.l4(**{name: "x"})  # type: ignore[arg-type]
    return str(error.value)


def test_every_feature_is_asked_for() -> None:
    assert set(ASKED) == set(ONLY_AT_L7)


@pytest.mark.parametrize("name", ASKED)
def test_l4_says_what_it_cannot_and_that_the_choice_falls_on_the_syn(name: str) -> None:
    said = refusal(name)
    assert said.startswith("L4 cannot ")
    for words in ASKED[name]:
        assert words in said
    assert "it chooses the backend on the SYN, before the" in said  # "the client has sent …", "there is a request"
    assert said.endswith(("Only a balancer that ends the connection (L7) can.", "Use lab.balancer.l7(routes=[...])."))
    assert len(said) < 300


@pytest.mark.parametrize("word", ALSO_CALLED)
def test_other_words_get_the_same_answer(word: str) -> None:
    assert refusal(word) == refusal(ALSO_CALLED[word])


@pytest.mark.parametrize("name", ["mtls", "ciphers", "versions", "certificate"])
def test_of_tls_there_is_nothing_to_choose_by_either(name: str) -> None:
    assert "on the SYN, before" in refusal(name)
    assert "ClientHello" in refusal(name)
