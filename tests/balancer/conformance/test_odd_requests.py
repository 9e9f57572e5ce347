"""Requests as nobody would write them but who looks for a difference: every engine reads them alike.

They are sent byte by byte, each on a connection of its own.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt
import pytest

from labkit import Answer, ApiKey, Cors, Edit, Jwt, Lab, RateLimit, Route, Sticky

pytestmark = pytest.mark.needs("netns")

JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip  # noqa: E501
FORGED = f"x-labkit-body-json-{b'role'.hex()}: s:admin"  # what Envoy's script would write for itself
TOKENS = Jwt("a secret that has thirty-two bytes.", user="x-user")
KEYS = ApiKey({"alice": "k-alice"}, user="x-user")

Reply = tuple[int, dict[str, str], bytes]


def get(path: str = "/", *fields: str, host: str = "lb") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", f"Host: {host}", *fields, "")).encode("latin-1")


def post(body: str | bytes, *fields: str, path: str = "/") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    return get(path, f"Content-Length: {len(content)}", *fields).replace(b"GET", b"POST", 1) + content


def js(body: str, *fields: str) -> bytes:
    return post(body, JSON, *fields)


def bearer(word: str = "Bearer", **claims: Any) -> str:
    return f"Authorization: {word} {jwt.encode({'exp': int(time.time()) + 60, **claims}, TOKENS.key, 'HS256')}"


def ask(lab: Lab, requests: Sequence[bytes]) -> list[Reply]:
    """The answer to each of *requests*."""
    return [(status, dict(lines), body) for status, lines, body in lab.alice.call(_asked, lab.vip, list(requests))]


def _asked(address: str, requests: list[bytes]) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    from http.client import HTTPResponse
    from socket import create_connection

    found = []
    for request in requests:
        with create_connection((address, 80), timeout=5) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            lines = [(name.lower(), value) for name, value in response.getheaders()]
            found.append((response.status, lines, response.read()))
    return found


def received(answer: Reply) -> dict[str, list[str]]:
    """The header fields that the backend got."""
    found: dict[str, list[str]] = {}
    for name, value in json.loads(answer[2])["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


# What the first route asks for (it leads to api, all else to images), requests that meet it, and some that do not.
MATCHES: list[tuple[dict[str, Any], list[bytes], list[bytes]]] = [
    (
        {"cookies": {"beta": "1"}},
        [get("/", "Cookie: beta=1; beta=0"), get("/", "Cookie: a=b", "Cookie: beta=1"), get("/", 'Cookie: beta="1"')],
        [
            get("/", "Cookie: beta=0; beta=1"),
            get("/", "Cookie: beta=0", "Cookie: beta=1"),
            get("/", "Cookie: x=beta=1"),
            get("/", "Cookie: beta=1=2"),
            get("/", "Cookie: beta= 1"),
            get("/", "Cookie: beta"),
        ],
    ),
    (
        {"cookies": {"beta": re.compile("a.*z")}},
        [get("/", "Cookie: beta=abz"), get("/", "Cookie: beta=a=z; c=d")],
        [get("/", "Cookie: beta=a; c=z"), get("/", "Cookie: beta=q; beta=az")],
    ),
    (
        {"cookies": {"beta": True}},
        [get("/", "Cookie: beta="), get("/", "Cookie: a=b", "Cookie: beta=1")],
        [get("/", "Cookie: beta"), get("/", "Cookie: beta =1"), get("/")],
    ),
    (
        {"cookies": {"beta": False}},
        [get("/"), get("/", "Cookie: xbeta=1"), get("/", "Cookie: beta")],
        [get("/", "Cookie: beta=")],
    ),
    (
        {"headers": {"x-a": "1,2"}},
        [get("/", "x-a: 1", "x-a: 2"), get("/", "x-a: 1,2")],
        [get("/", "x-a: 1,2", "x-a: 3"), get("/", "x-a: 1, 2")],
    ),
    ({"headers": {"x-a": re.compile("")}}, [get("/", "x-a:")], [get("/"), get("/", "x-a: 1")]),
    (
        {"headers": {"x-a": re.compile("([a-z]{500}|[0-9]{400})x")}},
        [get("/", f"x-a: {'a' * 500}x")],
        [get("/", f"x-a: {'a' * 499}x")],
    ),
    ({"path": "/" + "*a" * 100}, [get("/" + "a" * 101)], [get("/" + "a" * 99)]),
    (
        {"host": re.compile(r"Shop\.Test")},
        [get(host="shop.test"), get(host="SHOP.TEST:80")],
        [get(host="shop.test."), get(host="shopxtest")],
    ),
    ({"host": "[::1]"}, [get(host="[::1]"), get(host="[::1]:80")], [get(host="[::2]"), get()]),
    ({"query": {"q": "[a|b]"}}, [get("/?q=[a|b]"), get("/?q=%5ba%7Cb]"), get("/?&q=[a|b]&")], [get("/?q=a|b")]),
    ({"query": {"q": ""}}, [get("/?q="), get("/?a&q")], [get("/?q=1"), get("/")]),
    (
        {"json": {"role": "admin"}},
        [
            js('{"role":"x","role":"admin"}'),
            js('\ufeff{"r\\u006fle":"adm\\u0069n"}'),
            js('{"role":"admin","n":"\x7f"}'),
            js('{"role":"admin"}', "Upgrade: foo"),
            js('{"role":"admin","n":-1.5e+3}'),
            js('{"role":"admin","deep":' + "[" * 150 + "]" * 150 + "}"),
        ],
        [
            js('{"role":"admin","role":"x"}'),
            js('{"role":["admin"]}'),
            js('{"role":"admin","n":01}'),
            js('{"role":"admin","n":1.}'),
            js('{"role":"admin","n":NaN}'),
            js('{"role":"admin","n":"\n"}'),
            js('{"role":"admin"} x'),
            js('{"role":"admin","deep":' + "[" * 900 + "]" * 900 + "}"),
            js('{"role":"admin","deep":' + "[" * 10_000 + "]" * 10_000 + "}"),
            post('{"role":"admin"}'.encode("utf-16"), JSON),
            get("/", FORGED),
            js("{}", FORGED),
            post("x" * 70_000, JSON, FORGED),
        ],
    ),
    ({"json": {"t": "a\nb"}}, [js('{"t":"a\\nb"}')], [js('{"t":"a\\rb"}'), js('{"t":"ab"}')]),
    ({"json": {"t": True}}, [js('{"t":"a\\r\\nb"}'), js('{"t":"\\u0000"}'), js('{"t":null}')], [js('{"u":1}')]),
    (
        {"json": {"t": re.compile("[^a].*|é+")}},
        [js('{"t":"\\ud83d\\ude00"}'), js('{"t":"😀é"}'), js('{"t":"\\ud83d"}'), js('{"t":"\\ud83d\\u0041"}')],
        [js('{"t":"abc"}'), js('{"t":""}'), js('{"t":7}')],
    ),
    (
        {"json": {"n": 123456789012345}},
        [js('{"n":123456789012345}'), js('{"n":1.23456789012345e14}')],
        [js('{"n":123456789012346}'), js('{"n":"123456789012345"}')],
    ),
    ({"json": {"n": 1234567890123456789}}, [js('{"n":1234567890123456789}')], [js('{"n":1234567890123456788}')]),
    ({"json": {"n": 0}}, [js('{"n":-0}'), js('{"n":0.0}'), js('{"n":0e5}')], [js('{"n":false}'), js('{"n":null}')]),
    ({"json": {"n": 0.1}}, [js('{"n":0.1}'), js('{"n":1e-1}')], [js('{"n":0.11}')]),
    ({"json": {"$MOST": "x", "$PREFIX.a": "y"}}, [js('{"$MOST":"x","$PREFIX":{"a":"y"}}')], [js('{"$MOST":"x"}')]),
    (
        {"form": {"a": "é\r\n"}},
        [post("a=%C3%A9%0D%0A", FORM), post("b=1&a=é%0d%0a&a=x", FORM)],
        [post("a=%E9%0D%0A", FORM), post("a=x&a=%C3%A9%0D%0A", FORM)],
    ),
]


@pytest.mark.parametrize(("asks", "met", "unmet"), MATCHES, ids=[str(asks)[:60] for asks, _, _ in MATCHES])
def test_a_condition_means_the_same_however_it_is_met(
    lab: Lab, l7: Callable[..., None], asks: dict[str, Any], met: list[bytes], unmet: list[bytes]
) -> None:
    l7(routes=[Route(pool="api", **{"path": "*", **asks}), Route("*", pool="images")])
    answers = ask(lab, [*met, *unmet])
    pools = [answer[1].get("x-backend", "")[:-1] if answer[0] == 200 else str(answer[0]) for answer in answers]
    assert pools == ["api"] * len(met) + ["images"] * len(unmet)


def test_an_upgrade_cannot_forge_what_a_body_says(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api", json={"role": "admin"}), Route("*", respond=410)])
    assert [status for status, *_ in ask(lab, [get("/", *UPGRADE, FORGED), js('{"role":"admin"}')])] == [410, 200]


def test_conditions_on_bodies_leave_paths_what_they_are(lab: Lab, l7: Callable[..., None]) -> None:
    """A path that is not in normal form meets the same routes, whether or not another route looks into bodies."""
    l7(
        routes=[
            Route("/admin/*", respond=403),
            Route("/orders", pool="api", json={"a": "b"}),
            Route("*", pool="images"),
        ]
    )
    answers = ask(
        lab,
        [
            get("/%61dmin/x"),
            get("/x/../admin/x"),
            post("{}", JSON, path="/x/../admin/y"),
            post('{"a":"b"}', JSON, path="/x/../orders"),
            get("/adminx"),
        ],
    )
    assert [status for status, *_ in answers] == [403, 403, 403, 200, 200]
    assert [answer[1]["x-backend"][:-1] for answer in answers[3:]] == ["api", "images"]


def test_rewrites_and_redirects_put_pieces_of_the_normalized_path_in_place(lab: Lab, l7: Callable[..., None]) -> None:
    l7(
        routes=[
            Route("/images/*", pool="api", rewrite="/static/*"),
            Route(re.compile(r"/v(\d)/(.*)"), pool="api", rewrite=r"/\2/\1"),
            Route("/old/*", redirect="/new/*"),
            Route("/six/*", redirect="http://[::1]:8080/*"),
            Route("*", pool="images"),
        ]
    )
    paths = ["/a/../images/cat?q=1", "/im%61ges/c%20d", "/images/x", "/q/../v1/ab%63", "/keeps/../it%41"]
    with lab.capture("lb:front") as cap:
        answers = ask(lab, [*map(get, paths), get("/x/../old/a?b"), get("/six/a")])
    assert [json.loads(body)["target"] for status, _, body in answers if status == 200] == [
        *("/static/cat?q=1", "/static/c%20d", "/static/x", "/abc/1", "/keeps/../it%41"),
    ]
    assert [lines["location"] for status, lines, _ in answers if status == 302] == [
        "http://lb/new/a?b",
        "http://[::1]:8080/a",
    ]
    assert list(cap.exchanges()["target"]) == [*paths, "/x/../old/a?b", "/six/a"]


def test_a_token_is_taken_from_its_own_field_alone_and_tells_no_more_than_a_name(
    lab: Lab, l7: Callable[..., None]
) -> None:
    l7(routes=[Route("*", pool="api", auth=TOKENS)])
    token = bearer(sub="alice").rpartition(" ")[2]
    named, small, without, odd, in_url, two_lines = ask(
        lab,
        [
            get("/", bearer(sub="alice"), "x-user: root"),
            get("/", bearer("bearer", sub="alice")),
            get("/", bearer(), "x-labkit-user: root", "x-user: root"),
            get("/", bearer(sub="Zoë 😀")),
            get(f"/?access_token={token}"),
            get("/", bearer(sub="alice\r\nx-evil: 1")),
        ],
    )
    assert [received(answer).get("x-user") for answer in (named, small, without)] == [["alice"], ["alice"], None]
    assert received(odd)["x-user"] == ["Zoë 😀".encode().decode("latin-1")]
    assert in_url[0] == 401
    assert two_lines[0] in (401, 503)


def test_a_limit_by_the_user_counts_by_who_it_is_not_by_who_he_says_he_is(lab: Lab, l7: Callable[..., None]) -> None:
    limit = RateLimit(1, seconds=60, by="header:x-user")
    l7(routes=[Route("*", pool="api", name="one a minute", auth=KEYS, limit=limit)])
    key = "x-api-key: k-alice"
    answers = ask(lab, [get("/", key, "x-user: a"), get("/", key, "x-user: b"), get("/", key)])
    assert [status for status, *_ in answers] == [200, 429, 429]


def test_no_field_and_an_empty_one_have_a_bucket_each(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api", name="by team", limit=RateLimit(1, seconds=60, by="header:x-team"))])
    found = ask(lab, [get(), get("/", "x-team:"), get("/", "x-team: a"), get(), get("/", "x-team:")])
    assert [status for status, *_ in found] == [200, 200, 200, 429, 429]


def test_cookies_in_several_lines_stay_apart_and_backends_get_nothing_of_the_balancers_own(
    lab: Lab, l7: Callable[..., None]
) -> None:
    lines = ("Cookie: ses$ion=api2~x=1", "Cookie: a=b; c", "Cookie: labkit-backend=CgwxMC4wLjIuMTI6ODA=")
    cookies = []
    for sticky in (Sticky("ses$ion", application=True), Sticky()):
        l7(routes=[Route("*", pool="api")], sticky=sticky)
        (answer,) = ask(lab, [get("/", *lines)])
        assert json.loads(answer[2])["backend"] == "api2"
        got = received(answer)
        assert "x-labkit-place" not in got
        cookies.append("; ".join(got["cookie"]))
    assert cookies == [
        "ses$ion=x=1; a=b; c; labkit-backend=CgwxMC4wLjIuMTI6ODA=",
        "ses$ion=api2~x=1; a=b; c",
    ]


def test_what_is_no_quality_is_answered_all_the_same(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")], compress=True)
    said = ["gzip;q=1.2.3", "gzip;q=0, *", "*;q=0, gzip", "gzip;q=0.000", "*"]
    answers = ask(lab, [get("/", f"Accept-Encoding: {each}") for each in said])
    assert [status for status, *_ in answers] == [200] * 5
    assert [lines.get("content-encoding") for _, lines, _ in answers] == [None, None, "gzip", None, "gzip"]


def test_scripts_of_another_site_may_read_why_they_are_refused(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api", auth=KEYS, cors=Cors(["https://a.test", "https://b.test"]))])
    origins = ["https://b.test", "https://c.test", "https://B.test"]
    answers = ask(lab, [get("/", f"Origin: {origin}") for origin in origins])
    told = [(status, lines.get("access-control-allow-origin")) for status, lines, _ in answers]
    assert told == [(401, "https://b.test"), (401, None), (401, None)]


def test_an_answer_has_the_fields_that_its_route_gives_it_and_no_other_place(lab: Lab, l7: Callable[..., None]) -> None:
    l7(
        routes=[
            Route("/made", respond=Answer(201, headers={"location": "/made/1"}), response=Edit(remove=["x-a"])),
            Route("/kept", respond=Answer(304, headers={"etag": '"a"', "x-a": '50% "of" %REQ(host)%'})),
            Route("*", respond=Answer(201, 'q "%REQ(host)%" \\ é')),
        ]
    )
    made, kept, other = ask(lab, [get("/made"), get("/kept"), get("/x")])
    assert [answer[1].get("location") for answer in (made, kept, other)] == ["/made/1", None, None]
    assert (kept[1]["etag"], kept[1]["x-a"]) == ('"a"', '50% "of" %REQ(host)%')
    assert other[2].decode() == 'q "%REQ(host)%" \\ é'


def test_a_body_is_measured_whatever_it_is_to_become(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/in/*", pool="api", max_body=10, auth=KEYS), Route("*", pool="api", max_body=10)])
    large = "x" * 11
    found = ask(
        lab,
        [
            post(large),
            post(large, "Upgrade: websocket"),
            post(large, *UPGRADE),
            post(large, *UPGRADE, path="/in/x"),
            post("x" * 10),
            get("/", *UPGRADE),
        ],
    )
    assert [status for status, *_ in found] == [413, 413, 413, 401, 200, 404]
    with lab.alice.websocket("ws://lb/ws/chat") as socket:
        socket.send("x" * 100)
        assert socket.recv() == "x" * 100
