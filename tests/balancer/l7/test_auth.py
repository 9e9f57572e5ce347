"""Who may ask, as a table: what a request shows, and whose it is or why not."""

import base64
import time
from typing import Any

import jwt
import pytest

from labkit import ApiKey, Basic, ClientCertificate, Jwt
from labkit.balancer.l7.auth import Refused
from labkit.balancer.l7.request import Request, Watched

SECRET = "a secret that has thirty-two bytes."
KEYS = ApiKey({"alice": "k-1", "bob": "k-2"})
BASIC = Basic({"alice": "s3:cret", "bob": "p w"})
TOKENS = Jwt(SECRET, issuer="lab", audience="api", user="x-user")


def judged(auth: Any, *lines: tuple[str, str], certificate: tuple[str, ...] | None = None) -> str | int:
    """The user, or the status of the refusal."""
    verdict = auth.judge(Watched(Request("GET", "/", lines, certificate=certificate)))
    return verdict.status if isinstance(verdict, Refused) else verdict


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (["k-1"], "alice"),
        (["k-2"], "bob"),
        (["K-1"], 401),
        (["k-1 "], 401),
        ([""], 401),
        (["k-\xe9"], 401),
        ([], 401),
        (["k-1", "k-2"], 401),
    ],
)
def test_a_key_is_compared_to_the_letter(shown: list[str], found: str | int) -> None:
    assert judged(KEYS, *(("X-Api-Key", key) for key in shown)) == found


@pytest.mark.parametrize(
    ("scheme", "shown", "found"),
    [
        ("Basic", b"alice:s3:cret", "alice"),
        ("bAsIc ", b"bob:p w", "bob"),
        ("Basic", b"alice:s3", 401),
        ("Basic", b"alice", 401),
        ("Basic", b"alice:", 401),
        ("Basic", b":", 401),
        ("Basic", b"eve:\0", 401),
        ("Basic", "älice:s3:cret".encode(), 401),
        ("Basic", b"\xff:s3:cret", 401),
        ("Bearer", b"alice:s3:cret", 401),
    ],
)
def test_a_name_needs_its_password(scheme: str, shown: bytes, found: str | int) -> None:
    assert judged(BASIC, ("Authorization", f"{scheme} {base64.b64encode(shown).decode()}")) == found


@pytest.mark.parametrize("value", ["", "Basic", "Basic !!!", "Basic YWxpY2U6czM6Y3JldA===", "YWxpY2U6czM6Y3JldA=="])
def test_what_is_no_name_and_password_is_refused(value: str) -> None:
    assert judged(BASIC, ("authorization", value)) == 401


def token(algorithm: str = "HS256", key: str = SECRET * 2, **claims: Any) -> str:
    """A token; its times are in seconds from now."""
    told = {"sub": "alice", "iss": "lab", "aud": "api", "exp": 60, **claims}
    now = int(time.time())
    kept = {name: now + value if isinstance(value, int) else value for name, value in told.items() if value is not None}
    return jwt.encode(kept, key if algorithm != "none" else None, algorithm)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, "alice"),
        ({"aud": ["other", "api"]}, "alice"),
        ({"sub": "Zoë 😀"}, "Zoë 😀"),
        ({"sub": ""}, ""),
        ({"sub": None}, ""),
        ({"iat": 500}, "alice"),
        ({"sub": "a\r\nx-evil: 1"}, 401),
        ({"sub": "a\0"}, 401),
        ({"sub": " a"}, 401),
        ({"exp": None}, 401),
        ({"exp": "soon"}, 401),
        ({"exp": -1}, 401),
        ({"nbf": 60}, 401),
        ({"iss": "other"}, 401),
        ({"iss": None}, 401),
        ({"aud": "other"}, 403),
        ({"aud": []}, 401),
        ({"aud": None}, 401),
        ({"algorithm": "none"}, 401),
        ({"algorithm": "HS512"}, 401),
        ({"key": "another secret that is long enough"}, 401),
    ],
    ids=str,
)
def test_a_token_has_to_be_good_in_all_that_it_says(claims: dict[str, Any], found: str | int) -> None:
    auth = Jwt(SECRET * 2, issuer="lab", audience="api", user="x-user")
    assert judged(auth, ("authorization", f"bearer {token(**claims)}")) == found


def test_tokens_that_it_makes_are_good_until_they_expire() -> None:
    assert judged(TOKENS, ("authorization", f"Bearer {TOKENS.token('alice')}")) == "alice"
    assert judged(TOKENS, ("authorization", f"Bearer {TOKENS.token('alice', -60)}")) == 401
    assert judged(TOKENS, ("authorization", f"foo Bearer {TOKENS.token('alice')}")) == 401


@pytest.mark.parametrize(
    ("names", "certificate", "found"),
    [
        (["alice"], ("alice",), "alice"),
        (["ALICE"], ("bob", "Alice"), "Alice"),
        ([], ("bob",), "bob"),
        (["alice"], ("bob",), 403),
        (["alice"], (), 403),
        ([], (), 403),
        ([], None, 403),
    ],
)
def test_a_certificate_is_judged_by_its_names(
    names: list[str], certificate: tuple[str, ...] | None, found: str | int
) -> None:
    assert judged(ClientCertificate(names), certificate=certificate) == found
