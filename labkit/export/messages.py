"""mitmproxy's `Request`, `Response` and `WebSocketData`, of messages as they stood in packets or in the proxy's record.

Bodies are as sent: without chunks, still coded as Content-Encoding says. Trailers are not told.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mitmproxy import http as mitm
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from labkit.analysis.messages import http
from labkit.analysis.messages.upgraded import DATA, Upgraded
from labkit.analysis.packets.index import Index

Address = tuple[str, int]
Times = tuple[float, float | None]
_OPCODES = {"text": 1, "binary": 2}
_TEXT = 1


def request(one: http.Request, to: Address, times: Times, *, tls: bool) -> mitm.Request:
    """*one* as the client sent it to the address *to*; times: its begin, and its end if that was seen."""
    return _request(
        (one.method, one.target, one.version), _raw(one.headers), one.body, one.authority, to, times, tls=tls
    )


def recorded_request(event: Mapping[str, Any], to: Address, times: Times, *, tls: bool) -> mitm.Request:
    """A request that only the proxy's record tells of; its body is unknown."""
    line = [str(event.get(name) or "") for name in ("method", "target", "version")]
    authority = event.get("host") if event.get("front_stream") is not None else None
    headers = _raw(event.get("headers_received") or (), "utf-8")
    return _request((line[0], line[1], line[2] or "HTTP/1.1"), headers, None, authority, to, times, tls=tls)


def response(one: http.Response, times: Times) -> mitm.Response:
    return mitm.Response(
        http_version=_version(one.version), status_code=one.status, reason=one.reason.encode("latin-1"),
        headers=_raw(one.headers), content=one.body, trailers=None, timestamp_start=times[0], timestamp_end=times[1],
    )  # fmt: skip


def recorded_response(status: int, version: str, times: Times) -> mitm.Response:
    """An answer of which only the status is known."""
    return mitm.Response(
        http_version=_version(version), status_code=status, reason=b"", headers=(), content=None, trailers=None,
        timestamp_start=times[0], timestamp_end=times[1],
    )  # fmt: skip


def websocket(found: Upgraded, index: Index, ended: float | None) -> tuple[WebSocketData, list[str]]:
    """What was said after an upgrade, and what had to be left out of it, in words.

    As in mitmproxy only whole text and binary messages stand there; of control frames the first close is told.
    """
    data, lacks = WebSocketData(timestamp_end=ended), list(found.lacks)
    for said in found.said:
        message = said.message
        when = int(index.time_ns[said.rows[0]]) / 1e9
        if message.opcode == "close" and data.closed_by_client is None:
            data.closed_by_client = said.by_client
            if len(message.payload) >= 2:
                data.close_code = int.from_bytes(message.payload[:2])
                data.close_reason = message.payload[2:].decode("utf-8", "replace")
            data.timestamp_end = when
        if message.opcode not in DATA:
            continue
        if said.note:
            lacks.append(f"WebSocket message in packet {said.rows[0] + 1}: {said.note}")
        if message.complete:
            kind = _OPCODES[message.opcode]
            if kind == _TEXT and not _is_text(message.payload):  # packed, cut, or wrong: text would raise
                kind = _OPCODES["binary"]
            data.messages.append(WebSocketMessage(kind, said.by_client, message.payload, when))
    return data, lacks


def plain(one: http.Request | http.Response) -> dict[str, Any]:
    """A message as plain data, for a flow's metadata."""
    head: dict[str, Any]
    if isinstance(one, http.Request):
        head = {"method": one.method, "target": one.target, "authority": one.authority}
    else:
        head = {"status": one.status, "reason": one.reason}
    headers = [list(pair) for pair in one.headers]
    return {**head, "version": one.version, "headers": headers, "body": one.body, "complete": one.complete}


def _request(
    line: Sequence[str], headers: mitm.Headers, body: bytes | None, authority: str | None, to: Address, times: Times,
    *, tls: bool,
) -> mitm.Request:  # fmt: skip
    method, target, version = line
    scheme, path, whom = "https" if tls else "http", target, authority or ""
    if authority is None and method == "CONNECT":
        whom, path = target, ""
    elif authority is None and target.lower().startswith(("http://", "https://")):  # absolute-form: RFC 9112 §3.2.2
        scheme, _, rest = target.partition("://")
        whom, slash, path = rest.partition("/")
        path = slash + path
    return mitm.Request(
        host=to[0], port=to[1], method=_bytes(method), scheme=_bytes(scheme.lower()), authority=_bytes(whom),
        path=_bytes(path), http_version=_version(version), headers=headers, content=body, trailers=None,
        timestamp_start=times[0], timestamp_end=times[1],
    )  # fmt: skip


def _raw(pairs: Iterable[Sequence[str]], encoding: str = "latin-1") -> mitm.Headers:
    """Header fields as bytes; those from packets are latin-1 for every byte, those of the record are text."""
    return mitm.Headers(
        [(name.encode(encoding, "replace"), value.encode(encoding, "replace")) for name, value in pairs]
    )


def _bytes(text: str) -> bytes:
    """Latin-1 stands for the bytes of packets; the record's texts may have more."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _version(name: str) -> bytes:
    return b"HTTP/2.0" if name == "HTTP/2" else name.encode("ascii", "replace")


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
