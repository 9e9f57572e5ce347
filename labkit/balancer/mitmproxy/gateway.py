"""What is changed in requests and answers on their way through: the policy's edits, put into mitmproxy's messages."""

from collections.abc import Sequence

from mitmproxy import http

from labkit.balancer.l7 import compression, hopbyhop, sticky, tls
from labkit.balancer.l7.admission import granted
from labkit.balancer.l7.request import Watched
from labkit.balancer.l7.rewriting import rewritten
from labkit.balancer.l7.route import Route
from labkit.balancer.policy import L7Policy, Target

Lines = list[tuple[str, str]]
REQUEST_ID = "X-Request-Id"
NAME = "labkit-balancer"  # the pseudonym in Via


def received(request: http.Request) -> str:
    """The protocol that *request* came in, as Via says it (RFC 9110 §7.6.3)."""
    return "HTTP/2" if request.is_http2 else request.http_version


def lines_of(message: http.Message) -> Lines:
    """The header fields of *message*, one character a byte."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.headers.fields]


def put(message: http.Message, lines: Sequence[tuple[str, str]]) -> None:
    """Give *message* these header fields."""
    message.headers = http.Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines])


def send_on(
    request: http.Request, policy: L7Policy, route: Route, watched: Watched, user: str | None, number: str
) -> None:
    """Make *request* what the backend is to see. number: of the exchange, which is the request's id."""
    asked = watched.unwatched
    lines = hopbyhop.without(lines_of(request))
    if policy.sticky:
        lines = sticky.forwarded(policy.sticky, lines)
    if policy.forwarded:
        scheme = "https" if asked.secure else "http"
        host = asked.authority or asked.headers.get("host", "")
        lines = policy.forwarded.made(lines, asked.client, scheme, host)
    if policy.request_id:
        lines = [*_but(REQUEST_ID, lines), (REQUEST_ID, number)]
    if route.auth and route.auth.user:
        lines = [*_but(route.auth.user, lines), *([(route.auth.user, _bytewise(user))] if user else [])]
    lines.append(("Via", f"{received(request)} {NAME}"))
    if route.request:
        lines = route.request.made(lines)
    put(request, lines)
    if route.rewrite:
        request.data.path = rewritten(route.rewrite, route.path, asked.target).encode("latin-1")


def send_back(flow: http.HTTPFlow, policy: L7Policy, route: Route, watched: Watched, target: Target) -> None:
    """Make *target*'s answer what the client is to see; its body is passed on as it comes."""
    response = flow.response
    assert response
    chunked = flow.client_conn.alpn != b"h2"  # frames end bodies there (RFC 9113 §8.2.2)
    upgrading = response.status_code == 101
    lines = lines_of(response) if upgrading else hopbyhop.without(lines_of(response))
    lines += granted(route, watched)
    if policy.sticky and policy.sticky.application:
        lines = sticky.answered(policy.sticky, lines, target.name)
    if policy.compress and flow.request.http_version != "HTTP/1.0" and _compressible(response, lines, watched):
        lines = [*_but("transfer-encoding", compression.compressed(lines)), ("transfer-encoding", "chunked")]
        response.stream = compression.Gzip()
    if not chunked:
        lines = _but("transfer-encoding", lines)
    if route.response:
        lines = route.response.made(lines)
    put(response, tls.answered(policy.tls, lines, secure=watched.unwatched.secure))


def _compressible(response: http.Response, lines: Lines, watched: Watched) -> bool:
    asked = watched.unwatched
    takes = asked.method != "HEAD" and compression.accepts_gzip(asked.headers.get("accept-encoding", ""))
    return takes and compression.worth(response.status_code, lines)


def _bytewise(text: str) -> str:
    """*text* in UTF-8, one character a byte."""
    return text.encode("utf-8", "replace").decode("latin-1")


def _but(name: str, lines: Sequence[tuple[str, str]]) -> Lines:
    return [(each, value) for each, value in lines if each.lower() != name.lower()]
