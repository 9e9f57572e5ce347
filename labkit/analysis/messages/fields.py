"""Fields above TCP and UDP by their names, as they stand in a stream: TLS hellos, HTTP requests, WebSocket frames.

Texts off the wire are made harmless to show (`labkit.wording.inert`), as those of events are.
What a field's value means for the balancer is judged by `evidence.handling`; where it stood on the wire is
`evidence.visibility`'s.
"""

from labkit.analysis import tls
from labkit.wording import inert

from . import http, http2, websocket

Values = dict[str, object]  # field -> value on the wire at one vantage point

SECRET = ("http.method", "http.target", "http.host", "http.cookie", "http.body")  # what TLS hides of a request
LAYERS = {"tls": "TLS", "http": "HTTP", "websocket": "WebSocket", "payload": "Payload"}
INSIDE_TLS = frozenset({"HTTP", "WebSocket"})
_ORDER = (
    "tls.", "http.method", "http.target", "http.version", "http.host", "http.cookie", "http.header.", "http.body",
    "websocket.", "payload",
)  # fmt: skip
_SHOWN = 60  # bytes of a body or payload that are shown as they are


def rank(name: str) -> int:
    """Where a field of these layers stands among the others."""
    return next(place for place, start in enumerate(_ORDER) if name.startswith(start))


def layer(name: str) -> str:
    return LAYERS[name.partition(".")[0]]


def requests_in(client: bytes) -> list[http.Request]:
    """The HTTP requests that stand in clear in a client's stream."""
    return http2.by_client(client).requests if http2.spoken(client) else list(http.requests(client))


def of_request(request: http.Request) -> Values:
    said = {"http.method": request.method, "http.target": request.target, "http.version": request.version}
    values: Values = {name: inert(value) for name, value in said.items()}
    if request.authority is not None:
        values["http.host"] = inert(request.authority)
    for name, _ in request.headers:
        lowered = name.lower()
        field = f"http.{lowered}" if lowered in ("host", "cookie") else f"http.header.{lowered}"
        values.setdefault(inert(field), inert(request.header(name) or ""))
    if request.body:
        values["http.body"] = as_text(request.body)
    return values


def of_hellos(client: bytes, server: bytes) -> Values:
    """What both sides of a TLS connection said before encryption began: the version agreed on, or else the offer's."""
    hello, answer = tls.client_hello(client), tls.server_hello(server)
    if hello is None:
        return {}
    version = answer.version if answer else hello.version
    values = {"tls.version": version, "tls.sni": hello.server_name, "tls.alpn": ", ".join(hello.protocols)}
    return {name: inert(value) for name, value in values.items() if value}


def of_websocket(client: bytes, request: http.Request) -> Values:
    """The first message that the client sent after *request* was answered with 101 (RFC 6455 §5.2)."""
    first = next(websocket.messages(client, request.spans[-1][1]), None)
    return {"websocket.opcode": first.opcode, "websocket.payload_length": first.length} if first else {}


def as_text(data: bytes) -> str:
    """Bytes as text if they are short and printable, else how many there are."""
    shown = data[:_SHOWN].decode("utf-8", errors="replace").strip()
    plain = all(letter.isprintable() or letter in "\r\n\t" for letter in shown) and "\ufffd" not in shown
    return shown if plain and len(data) <= _SHOWN else f"{len(data):,} byte{'' if len(data) == 1 else 's'}"
