"""Functions of the user's that change bodies on their way. The engine that runs them is mitmproxy."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from labkit import Lab, Route

from .test_functions import _sleeps, _spins, failures

pytestmark = pytest.mark.needs("netns")

L7 = Callable[..., None]


@pytest.fixture
def l7(lab: Lab) -> L7:
    """``lab.balancer.l7`` on the engine that runs functions."""
    return partial(lab.balancer.l7, engine="mitmproxy")


@pytest.fixture(scope="module")
def coded(lab: Lab) -> Iterator[None]:
    """The pool images answers with bodies coded as the path says."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        import brotli

        path, body = scope["path"], b"a picture of a cat"
        headers = [(b"content-type", b"text/plain"), (b"etag", b'"1"')]
        if path == "/gzip":
            body = gzip.compress(body)
        elif path == "/br":
            body = brotli.compress(body)
        elif path == "/deflate":
            body = zlib.compress(body)
        elif path == "/both":
            body = brotli.compress(gzip.compress(body))
        elif path == "/broken":
            body = gzip.compress(body)[:-9]
        elif path == "/bomb":
            body = gzip.compress(bytes(1 << 21))
        elif path == "/large":
            body = bytes((1 << 20) + 1)
        elif path == "/empty":
            body = b""
        coding = {"/both": "gzip, br", "/broken": "gzip", "/bomb": "gzip"}.get(path, path[1:])
        if path in ("/gzip", "/br", "/deflate", "/both", "/broken", "/bomb"):
            headers.append((b"content-encoding", coding.encode()))
        if path != "/chunked" and path != "/endless" and path != "/204":
            headers.append((b"content-length", str(len(body)).encode()))
        await receive()
        status = int(path[1:]) if path[1:].isdecimal() else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if path == "/204":
            body = b""
        for _ in range(64 if path == "/endless" else 0):
            await send({"type": "http.response.body", "body": bytes(1 << 15), "more_body": True})
        await send({"type": "http.response.body", "body": body})

    lab.images1.serve(app)
    lab.images2.serve(app)
    yield
    lab.images1.serve(None)
    lab.images2.serve(None)


def _upper(message: Any) -> bytes:
    return bytes(message.body.upper())


def _says_what_it_sees(message: Any) -> str:
    seen = [message.method, message.target, message.status, message.headers.get("content-type"), message.text]
    return json.dumps(seen)


def test_requests_are_changed_on_their_way(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="api", transform_request=_says_what_it_sees)])
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    for body, sent in ((b"hello", headers | {"content-encoding": "identity"}), (gzip.compress(b"hello"), headers)):
        reply = lab.alice.post("http://lb/x?y", body=body, headers=sent)
        assert reply.received is not None
        assert json.loads(reply.received["body"]) == ["POST", "/x?y", None, "text/plain", "hello"]
        names = dict((name.lower(), value) for name, value in reply.received["headers"])
        assert names["content-length"] == str(len(reply.received["body"]))
        assert "content-encoding" not in names
    reply = lab.alice.get("http://lb/")
    assert reply.received is not None
    assert reply.received["body"] == ""  # there was none, and nobody asked


def test_large_and_chunked_requests_are_changed_or_refused(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="api", transform_request=lambda message: str(len(message.body)))])
    for length, status in ((100_000, 200), (1 << 20, 200), ((1 << 20) + 1, 413)):
        reply = lab.alice.post("http://lb/", body=bytes(length))
        assert reply.status == status
        if status == 200:
            assert reply.received is not None
            assert reply.received["body"] == str(length)
    assert "1048576 bytes of one are held" in reply.text
    assert reply.backend is None
    assert lab.alice.post("http://lb/", body=gzip.compress(bytes(1 << 21)), headers=GZIP).status == 413
    assert lab.alice.post("http://lb/", body=b"no gzip", headers=GZIP).status == 415
    assert chunked(lab, 3, 1000)[0] == 200
    assert chunked(lab, 200, 1 << 15)[0] == 413  # refused long before its end
    event = [one for one in lab.balancer.events(0) if one["kind"] == "request"][-1]
    assert (event["status"], event["backend"], event["back"]) == (413, None, None)


GZIP = {"content-encoding": "gzip"}


def chunked(lab: Lab, chunks: int, size: int) -> tuple[int, str]:
    """Status and text of the answer to a request of that many chunks, as far as the balancer lets them be sent."""
    return tuple(lab.alice.call(_chunked, lab.vip, chunks, size))  # type: ignore[return-value]


def _chunked(vip: str, chunks: int, size: int) -> tuple[int, str]:
    import select
    import socket

    with socket.create_connection((vip, 80), timeout=10) as connection:
        connection.sendall(b"POST /chunked HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (size, bytes(size))
        for _ in range(chunks):
            if select.select([connection], [], [], 0)[0]:
                break
            try:
                connection.sendall(chunk)
            except ConnectionError:
                break
        else:
            connection.sendall(b"0\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        return int(answer.split()[1]), answer.decode("latin-1")


def test_chunked_bodies_that_routes_look_into_are_held_so_far(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="images", body="needle"), Route("*", pool="api")])
    assert chunked(lab, 4, 1 << 14)[0] == 200
    status, answer = chunked(lab, 200, 1 << 14)
    assert status == 413
    assert "65536 bytes of one are held" in answer


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize("path", ["/plain", "/gzip", "/deflate", "/br", "/both", "/chunked", "/404"])
def test_answers_are_changed_on_their_way(lab: Lab, l7: L7, path: str) -> None:
    l7(routes=[Route("*", pool="images", transform_response=_upper)])
    reply = lab.alice.get(f"http://lb{path}")
    assert reply.text == "A PICTURE OF A CAT"
    assert reply.status == (404 if path == "/404" else 200)
    assert reply.headers["content-length"] == "18"
    assert not {"content-encoding", "transfer-encoding", "etag"} & {name.lower() for name in reply.headers}


@pytest.mark.usefixtures("coded")
def test_answers_without_content_and_those_that_stay(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="images", transform_response=_says_what_it_sees)])
    assert json.loads(lab.alice.get("http://lb/gzip").text) == [
        *("GET", "/gzip", 200, "text/plain", "a picture of a cat")
    ]
    assert json.loads(lab.alice.get("http://lb/empty").text)[-1] == ""
    head = lab.alice.request("HEAD", "http://lb/plain")
    assert (head.status, head.content) == (200, b"")
    assert "content-length" not in head.headers
    assert (lab.alice.get("http://lb/204").status, lab.alice.get("http://lb/204").content) == (204, b"")
    l7(routes=[Route("*", pool="images", transform_response=lambda message: None)])
    kept = lab.alice.get("http://lb/gzip")
    assert (kept.headers["content-encoding"], kept.headers["etag"]) == ("gzip", '"1"')


@pytest.mark.usefixtures("coded")
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/large", "1048576 bytes of one are held"),
        ("/endless", "1048576 bytes of one are held"),
        ("/bomb", "more than 1048576 bytes without its content coding gzip"),
        ("/broken", "its content coding gzip is broken"),
    ],
)
def test_answers_that_cannot_be_changed_do_not_pass_unchanged(lab: Lab, l7: L7, path: str, reason: str) -> None:
    l7(routes=[Route("*", pool="images", transform_response=_upper)])
    reply = lab.alice.get(f"http://lb{path}")
    assert reply.status == 502
    assert reason in reply.text


BROKEN: list[tuple[Callable[[Any], Any], int, str]] = [
    (lambda message: message.headers["missing"], 500, "KeyError: 'missing'"),
    (lambda message: 7, 500, "TypeError: it returned a int: a transform gives bytes, text, or None (unchanged)"),
    (lambda message: "half \ud800", 500, "TypeError: it returned text with half a character"),
]


@pytest.mark.parametrize(
    ("argument", "endless", "line"),
    [("transform_request", _spins, r"while True:|pass"), ("transform_response", _sleeps, r"time\.sleep\(5\)")],
)
def test_transforms_that_fail_are_told_of(lab: Lab, l7: L7, argument: str, endless: Any, line: str) -> None:
    cases = [*BROKEN, (endless, 502, "it took longer than 1 s, and was ended")]
    l7(routes=[Route(f"/{n}", pool="api", **{argument: function}) for n, (function, _, _) in enumerate(cases)])
    for number, (function, status, error) in enumerate(cases):
        reply = lab.alice.post(f"http://lb/{number}", body=b"hello")
        assert (reply.status, reply.backend) == (status, None)
        assert f"the function {function.__name__} of the route /{number}" in reply.text
        assert failures(lab).iloc[-1]["error"].startswith(error)
    assert re.fullmatch(line, failures(lab).iloc[-1]["source"])


def test_upgrades_and_http2_pass_through_routes_that_change_bodies(lab: Lab, l7: L7) -> None:
    route = Route("*", pool="api", transform_request=_upper, transform_response=_upper, when=lambda request: True)
    l7(routes=[route], tls=True)
    with lab.alice.websocket("ws://lb/ws/chat") as ws:
        ws.send("hi")
        assert "hi" in ws.recv()
    reply = lab.alice.post("https://lb/", body=b"hello", http2=True)
    assert '"BODY": "HELLO"' in reply.text
    assert lab.alice.post("https://lb/", body=bytes((1 << 20) + 1), http2=True).status == 413
    assert lab.alice.get("https://lb/bytes/1048577", http2=True).status == 502
    lab.balancer.l4()
