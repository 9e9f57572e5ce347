"""What `Tls` and `ClientCertificate` are, refuse, and decide; no network."""

from typing import Any

import pytest

from labkit.balancer.l7.auth import ClientCertificate, Refused
from labkit.balancer.l7.request import Request, Watched
from labkit.balancer.l7.tls import Tls, answered, at_the_door
from labkit.balancer.plain import from_plain, to_plain
from labkit.errors import PolicyError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"names": "shop.test"}, 'a list of host names, as in ["shop.test"]'),
        ({"names": 7}, "a list of host names"),
        ({"names": [""]}, "a whole host name"),
        ({"names": [7]}, "a whole host name"),
        ({"names": ["*.shop.test"]}, "no name looked up"),
        ({"names": ["shop.test."]}, "a whole host name"),
        ({"names": ["-shop.test"]}, "a whole host name"),
        ({"names": ["shop_1.test"]}, "letters, digits, hyphens and dots"),
        ({"names": ["shop.test:443"]}, "a whole host name"),
        ({"names": ["https://shop.test"]}, "a whole host name"),
        ({"names": ["10.0.1.10"]}, "a whole host name"),
        ({"names": ["a" * 64 + ".test"]}, "a whole host name"),
        ({"names": [".".join(["abcdefgh"] * 30)]}, "a whole host name"),
        ({"names": ["caf\u00e9.test"]}, "a whole host name"),
        ({"names": ["shop.test\n"]}, "a whole host name"),
        ({"names": ["shop.test", "SHOP.test"]}, "is named twice"),
        ({"redirect": 301}, "True sends requests in clear to https://"),
        ({"hsts": -1}, "hsts=31536000, True for a year, or None"),
        ({"hsts": 2**31}, "hsts=31536000"),
        ({"hsts": 1.5}, "hsts=31536000"),
        ({"hsts": "1"}, "hsts=31536000"),
        ({"clients": True}, '"optional" asks clients'),
        ({"clients": "require"}, '"required" also refuses those without'),
    ],
)
def test_what_makes_no_sense_is_a_lesson(given: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError) as error:
        Tls(**given)
    assert words in str(error.value)


def test_what_makes_sense_is_kept_and_travels() -> None:
    tls = Tls(names=("Shop.TEST", "api"), redirect=True, hsts=True, clients="required")
    assert (tls.names, tls.redirect, tls.hsts, tls.clients) == (("shop.test", "api"), True, 31_536_000, "required")
    assert (Tls().names, Tls().redirect, Tls(hsts=False).hsts, Tls(hsts=0).hsts) == ((), False, None, 0)
    judge = ClientCertificate(["Alice"], user="X-User")
    for value in (tls, judge):
        assert from_plain(to_plain(value)) == value


@pytest.mark.parametrize("names", ["alice", 7, [""], [7], ["a b"], ["alice\n"]])
def test_names_of_certificates_are_names(names: Any) -> None:
    with pytest.raises(PolicyError, match=r"^ClientCertificate\("):
        ClientCertificate(names)


@pytest.mark.parametrize(
    ("names", "certified", "verdict"),
    [
        (["alice", "carol"], ("alice",), "alice"),
        (["alice"], ("api1", "ALICE"), "ALICE"),
        ([], ("bob",), "bob"),
        (["alice"], ("bob",), 403),
        (["alice"], ("alice.test",), 403),
        (["alice"], (), 403),
        ([], (), 403),
        (["alice"], None, 403),
        ([], None, 403),
    ],
)
def test_a_certificate_is_judged_by_its_names(names: list[str], certified: Any, verdict: Any) -> None:
    watched = Watched(Request("GET", "/", secure=True, certificate=certified))
    judged = ClientCertificate(names).judge(watched)
    assert (judged.status if isinstance(judged, Refused) else judged) == verdict
    assert watched.reads == ("tls.client_certificate",)


def asked(host: str, target: str = "/", method: str = "GET", **more: Any) -> Watched:
    return Watched(Request(method, target, [("host", host)] if host else [], **more))


@pytest.mark.parametrize(
    ("host", "target", "port", "location"),
    [
        ("shop.test", "/a?b=1", 443, "https://shop.test/a?b=1"),
        ("SHOP.test:8080", "/", 443, "https://shop.test/"),
        ("lb", "/", 8443, "https://lb:8443/"),
        ("[fd00::10]:80", "/x", 443, "https://[fd00::10]/x"),
        ("lb", "*", 443, "https://lb/"),
        ("lb", "http://lb/x?y=http://z/", 443, "https://lb/x?y=http://z/"),
        ("lb", "HTTP://lb:8080", 443, "https://lb/"),
        ("lb", "http://lb?x", 443, "https://lb/?x"),
        ("lb", "/a%2Fb/../c", 443, "https://lb/a%2Fb/../c"),
        ("lb", "/caf\u00e9", 443, "https://lb/caf%E9"),
    ],
)
def test_where_a_redirect_leads(host: str, target: str, port: int, location: str) -> None:
    watched = asked(host, target)
    reply = at_the_door(Tls(redirect=True), watched, port)
    assert reply is not None
    assert (reply.status, reply.headers) == (308, (("Location", location),))
    assert watched.reads == ("http.host", "http.target")
    assert at_the_door(Tls(redirect=True), asked(host, target, secure=True), port) is None
    assert at_the_door(Tls(), asked(host, target), port) is None


@pytest.mark.parametrize("host", ["", "a b", "evil.test/x", "user@evil.test", "\xe9.test", "a\\b"])
def test_a_redirect_needs_a_host(host: str) -> None:
    reply = at_the_door(Tls(redirect=True), asked(host), 443)
    assert reply is not None
    assert (reply.status, reply.headers) == (400, ())


@pytest.mark.parametrize(
    ("host", "sni", "misdirected"),
    [
        ("shop.test", "shop.test", False),
        ("shop.test:443", "shop.test", False),
        ("lb", "lb", False),
        ("lb", "", False),
        ("other.test", "", False),
        ("other.test", "unknown.test", False),
        ("", "shop.test", False),
        ("api.test", "shop.test", True),
        ("lb", "shop.test", True),
        ("other.test", "shop.test", True),
        ("shop.test", "", True),
        ("shop.test", "lb", True),
        ("shop.test", "unknown.test", True),
    ],
)
def test_a_request_belongs_on_a_connection_with_its_hosts_certificate(host: str, sni: str, misdirected: bool) -> None:
    tls = Tls(names=["shop.test", "api.test"])
    reply = at_the_door(tls, asked(host, secure=True, sni=sni), 443)
    assert (reply.status if reply else None) == (421 if misdirected else None)
    assert at_the_door(Tls(), asked(host, secure=True, sni=sni), 443) is None


def test_a_request_from_before_certificates_were_required_is_misdirected() -> None:
    reply = at_the_door(Tls(clients="required"), asked("lb", secure=True), 443)
    assert reply is not None
    assert reply.status == 421
    for watched in (asked("lb", secure=True, certificate=("alice",)), asked("lb")):
        assert at_the_door(Tls(clients="required"), watched, 443) is None
    assert at_the_door(Tls(clients="optional"), asked("lb", secure=True), 443) is None


def test_hsts_is_ours_over_tls_and_nobodys_in_clear() -> None:
    lines = [("X-A", "1"), ("strict-transport-security", "max-age=1"), ("Strict-Transport-Security", "max-age=2")]
    assert answered(Tls(hsts=60), lines, secure=True) == [("X-A", "1"), ("Strict-Transport-Security", "max-age=60")]
    assert answered(Tls(hsts=0), [], secure=True) == [("Strict-Transport-Security", "max-age=0")]
    assert answered(Tls(hsts=60), lines, secure=False) == [("X-A", "1")]
    for tls in (Tls(), None):
        assert answered(tls, lines, secure=True) == answered(tls, lines, secure=False) == lines
