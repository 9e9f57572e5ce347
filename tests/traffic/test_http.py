"""Requests and sessions: what goes out, what comes back, and what each failure is called."""

import pytest

from labkit.errors import TrafficError
from tests.interrupt import interrupted
from tests.traffic.peers import RESET, running

pytestmark = pytest.mark.measured

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_the_backend_receives_headers_in_the_order_and_case_given(alice, api1):
    headers = [("X-One", "1"), ("aCCept", "text/html"), ("x-one", "2"), ("X-Latin", "caf\xe9")]
    reply = alice.get("http://api1/a%2Fb/../c?x=1&y=%20", headers=headers)
    assert reply.received == {
        "backend": "api1",
        "method": "GET",
        "target": "/a%2Fb/../c?x=1&y=%20",
        "version": "HTTP/1.1",
        "headers": [["Host", "api1"], ["User-Agent", "labkit"], *map(list, headers)],
        "body": "",
        "body_encoding": "text",
        "tls": None,
        "peer": reply.local,
        "local": reply.remote,
    }
    assert (reply.status, reply.reason, reply.version, reply.backend) == (200, "OK", "HTTP/1.1", "api1")
    assert reply.remote == ["127.0.0.11", 80]
    assert 0 < reply.seconds < 10


def test_a_host_header_of_the_users_own_is_the_only_one(alice, api1):
    names = [name for name, _ in alice.get("http://api1/", headers={"x": "y", "HOST": "other"}).received["headers"]]
    assert names == ["User-Agent", "Accept", "x", "HOST"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("grüße", ["grüße", "text"]),
        (b"\x00\xff", ["AP8=", "base64"]),
        ("", ["", "text"]),
        ("x" * 300_000, ["x" * 300_000, "text"]),
    ],
)
def test_bodies_arrive_whole_and_framed(alice, api1, body, told):
    received = alice.post("http://api1/", body=body).received
    size = len(body.encode() if isinstance(body, str) else body)
    assert [received["body"], received["body_encoding"]] == told
    assert received["headers"][-1] == ["Content-Length", str(size)]


def test_cookies_go_out_in_one_header(alice, api1):
    assert ["Cookie", "a=1; b=x=y"] in alice.get("http://api1/", cookies={"a": "1", "b": "x=y"}).received["headers"]


@pytest.mark.parametrize("url", ["http://[::1]/v6", "http://ip6-api1/v6"])
def test_ipv6(alice, api1, url):
    reply = alice.get(url)
    assert reply.received["peer"] == reply.local
    assert (reply.local[0], reply.remote) == ("::1", ["::1", 80])
    assert reply.received["headers"][0][1] == url.split("/")[2]


def test_each_request_has_a_connection_of_its_own_and_a_session_keeps_one(alice, api1):
    assert alice.get("http://api1/").local != alice.get("http://api1/").local
    with alice.session() as session:
        first, *others = [session.get(f"http://api1/{number}").local for number in range(4)]
        assert others == [first] * 3
        assert session.post("http://127.0.0.11/", body="x").local != first  # another host: another connection
    with pytest.raises(TrafficError, match="closed on this side"):
        session.get("http://api1/")


def test_a_session_keeps_cookies_by_path_and_adds_the_users(alice, node):
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; Path=/only\r\nContent-Length: 0\r\n\r\n"
    with running(node, "canned", port=8001, connections=[[answer, OK, OK]]) as peer, alice.session() as session:
        for target in ("only/x", "only/y", "z"):
            session.get(f"http://127.0.0.50:8001/{target}", cookies={"mine": "m"})
        seen = [peer.receive(5).decode().partition("Cookie: ")[2].split("\r\n")[0] for _ in range(3)]
        assert seen == ["mine=m", "b=2; a=1; mine=m", "a=1; mine=m"]
        assert session.cookies == {"a": "1", "b": "2"}


def test_a_session_connects_again_after_the_server_closed(alice, node):
    with running(node, "canned", port=8002, connections=[[OK], [OK]]), alice.session() as session:
        url = "http://127.0.0.50:8002/"
        assert session.get(url).local != session.get(url).local


def test_a_request_that_may_not_be_repeated_is_not(alice, node):
    cut = [[OK, RESET], [OK, RESET], [OK]]
    with running(node, "canned", port=8003, connections=cut) as peer, alice.session() as session:
        url = "http://127.0.0.50:8003/"
        session.get(url)
        with pytest.raises(TrafficError) as failed:
            session.post(url, body="once")
        assert failed.value.cause in ("reset", "closed")
        session.get(url)
        assert session.get(url).text == "hi"  # reset once more, and asked again on a new connection
        requests = [peer.receive(5).split()[0] for _ in range(5)]
        assert requests == [b"GET", b"POST", b"GET", b"GET", b"GET"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "closed"),
        (RESET, "reset"),
        (b"SSH-2.0-x\r\n", "not http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\nhi", "too large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(51_000_000), "too large"),
    ],
)
def test_broken_answers_have_names(alice, node, answer, cause):
    with running(node, "canned", port=8004, connections=[[answer]]), pytest.raises(TrafficError) as failed:
        alice.get("http://127.0.0.50:8004/x")
    assert failed.value.cause == cause
    assert str(failed.value).startswith(f"alice: GET http://127.0.0.50:8004/x failed ({cause}): ")


def test_answers_of_other_shapes(alice, node):
    old = b"HTTP/1.0 200 Fine\r\nContent-Type: text/plain; charset=latin-1\r\n\r\ncaf\xe9"
    chunked = b"HTTP/1.1 418 \r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    with running(node, "canned", port=8005, connections=[[old], [chunked]]):
        first, second = (alice.get("http://127.0.0.50:8005/") for _ in range(2))
    assert (first.version, first.reason, first.text, first.backend, first.received) == (
        "HTTP/1.0", "Fine", "café", None, None
    )  # fmt: skip
    assert (second.status, second.reason, second.text, second.headers["X-a"]) == (418, "", "hi", "1, 2")


@pytest.mark.parametrize(
    ("url", "cause", "words"),
    [
        ("lb/", "bad url", "begins with http://"),
        ("ftp://api1/", "bad url", "ftp:// is not spoken here, only http:// or https://"),
        ("http://api1/a b", "bad url", "percent-encode"),
        ("http://api1/ä", "bad url", "percent-encode"),
        ("http:///x", "bad url", "is not a host"),
        ("http://user@api1/", "bad url", "is not a host"),
        ("http://api1:x/", "bad url", "is not a host"),
        ("http://api1:70000/", "bad port", "1 to 65535"),
        ("http://nobody/", "unknown host", "it has alice, api1, api2, localhost, silent"),
        ("http://api1:81/", "refused", "nothing listens on that port"),
        ("http://10.99.0.1/", "unreachable", "no way out"),
    ],
)
def test_wrong_targets_are_lessons(alice, api1, url, cause, words):
    with pytest.raises(TrafficError, match=words) as failed:
        alice.get(url)
    assert failed.value.cause == cause


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"headers": {"a b": "c"}}, "is not a header name"),
        ({"headers": {"a": "b\r\nc: d"}}, "has a line end"),
        ({"headers": {"a": "→"}}, "cannot be sent in a header"),
        ({"headers": ["ab", "c"]}, "list of .name, value. pairs"),
        ({"cookies": {"a": "b;c"}}, "cannot be sent as a cookie"),
        ({"cookies": {"a": "b"}, "headers": {"cookie": "x"}}, "not both"),
        ({"body": {"a": 1}}, r"json\.dumps"),
        ({"body": bytes(49 * 1024 * 1024)}, "is over the"),
        ({"timeout": 0}, "above 0, at most 86400, not 0"),
    ],
)
def test_wrong_options_are_lessons(alice, api1, options, words):
    with pytest.raises(TrafficError, match=words):
        alice.get("http://api1/", **options)


def test_bytes_in_a_header_go_as_they_are_and_nothing_else_becomes_text(alice, api1):
    told = alice.get("http://api1/", headers={"a": b"b", b"c": "é"}, cookies={"d": b"e"}).received["headers"]
    assert told[-3:] == [["a", "b"], ["c", "é"], ["Cookie", "d=e"]]
    with alice.session() as session:
        for options in ({"headers": {"a": None}}, {"cookies": {"a": 5}}, {"body": 0}, {"http2": True}):
            for ask in (alice.get, alice.post, session.get, session.post):
                with pytest.raises(TrafficError, match=r"is text|http2=True is for https:// URLs"):
                    ask("http://api1/", **options)
        with pytest.raises(TrafficError, match="http3=True is for https:// URLs"):
            session.request("GET", "http://api1/", http3=True)


def test_a_method_is_one_word(alice, api1):
    with pytest.raises(TrafficError, match="is one word"):
        alice.request("GET /x", "http://api1/")
    assert alice.request("BREW", "http://api1/").status == 400  # no method that the server knows
    assert alice.request("DELETE", "http://api1/").received["method"] == "DELETE"
    assert alice.request("HEAD", "http://api1/").content == b""


def test_the_timeout_is_for_the_whole_exchange(alice, node, api1):
    with pytest.raises(TrafficError) as failed:
        alice.get("http://api1/slow/20", timeout=0.2)
    assert failed.value.cause == "timed out"


def test_an_interrupt_ends_one_request_and_its_connection(alice, node, api1):
    with running(node, "mute", port=8006, count=2) as peer:
        with pytest.raises(KeyboardInterrupt), interrupted(0.3):
            alice.get("http://127.0.0.51:8006/")
        assert peer.receive(5) == "closed"
        with alice.session() as other, alice.session() as session:
            with pytest.raises(KeyboardInterrupt), interrupted(0.3):
                session.get("http://127.0.0.51:8006/")
            assert peer.receive(5) == "closed"
            with pytest.raises(TrafficError, match="closed on this side"):
                session.get("http://api1/")
            assert other.get("http://api1/").status == 200
