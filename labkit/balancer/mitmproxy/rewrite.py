"""How a request is changed before it goes on: only what another connection, or another version of HTTP, demands."""

from mitmproxy import http


def without_h2c(request: http.Request) -> None:
    """An offer to go on in clear HTTP/2 is not passed on: this proxy could not follow (RFC 9110 §7.8)."""
    if request.headers.get("upgrade", "").lower() == "h2c":
        for name in ("upgrade", "connection", "http2-settings"):
            request.headers.pop(name, None)


def in_origin_form(request: http.Request) -> None:
    """An absolute-form target goes on in origin-form, with its authority as Host (RFC 9112 §3.2.2)."""
    if request.data.authority:
        request.headers["Host"] = request.authority
        request.data.authority = b""


def without_second_host(request: http.Request) -> None:
    """``:authority`` says the host (RFC 9113 §8.3.1): a Host field beside it could say another one."""
    if request.data.authority:
        request.headers.pop("host", None)


def as_http1(request: http.Request, *, framed: bool) -> None:
    """An HTTP/2 request becomes an HTTP/1.1 one (RFC 9113 §8.3.1, §8.2.3): Host first, one Cookie field.

    framed: it has no body, or says how long it is; otherwise the body goes on in chunks.
    """
    fields = list(request.headers.fields)
    if request.data.authority:
        fields = [(b"Host", request.data.authority), *((name, value) for name, value in fields if name != b"host")]
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) > 1:
        first = fields.index((b"cookie", crumbs[0]))
        joined = (b"cookie", b"; ".join(crumbs))
        fields = [*fields[:first], joined, *(field for field in fields[first:] if field[0] != b"cookie")]
    if not framed:
        fields.append((b"transfer-encoding", b"chunked"))
    request.headers = http.Headers(fields)
    request.data.authority = b""
    request.data.http_version = b"HTTP/1.1"
