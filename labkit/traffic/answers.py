"""The lab's own web application: it answers with the request it received. Plain ASGI, no server's code.

Any path: the request as JSON. ``/bytes/N``: exactly N bytes. ``/status/N``: the same JSON with status N.
``/slow/SECONDS``: the same JSON, later. WebSockets under ``/ws/``: an echo. Every answer says who answers.
"""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from labkit.traffic.received import EXTENSION

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MOST_BYTES = 32 * 1024 * 1024
MOST_SECONDS = 300.0
PATTERN = bytes(range(32, 127)) * 690
NO_CONTENT = frozenset({204, 205, 304})
COMMAND = re.compile(r"/(bytes|status|slow)/([^/]+)")
TEXT = "text/plain; charset=utf-8"


def as_text(data: bytes) -> tuple[str, str]:
    """(*data* as it can stand in JSON, how it was written: "text" (UTF-8) or "base64")."""
    try:
        return data.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def describe(backend: str, scope: Scope, body: bytes) -> dict[str, Any]:
    """The request as received: what is in the JSON of every answer."""
    exact = scope["extensions"][EXTENSION]
    text, encoding = as_text(body)
    return {
        "backend": backend,
        "method": scope["method"],
        "target": exact["target"].decode("latin-1"),
        "version": f"HTTP/{scope['http_version']}",
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in exact["headers"]],
        "body": text,
        "body_encoding": encoding,
        "tls": exact["tls"],
        "peer": list(scope["client"]),
        "local": list(scope["server"]),
    }


class Answers:
    """The application of the backend called *name*. *pause* is awaited before each answer."""

    def __init__(self, name: str, pause: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._pause = pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._websocket if scope["type"] == "websocket" else self._http
        await handler(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body += event["body"]
            more = event["more_body"]
        command = COMMAND.fullmatch(scope["path"])
        await self._pause()
        if command is None:
            await self._report(scope, bytes(body), send)
        elif (amount := _amount(*command.groups())) is None:
            limits = f"bytes 0-{MOST_BYTES}, status 200-599, slow 0-{MOST_SECONDS:g}"
            await _answer(send, 400, f"{self._name} has no {scope['path']} ({limits})\n".encode(), TEXT)
        elif command[1] == "bytes":
            await _pattern(send, int(amount))
        elif command[1] == "status":
            await self._report(scope, bytes(body), send, int(amount))
        else:
            await asyncio.sleep(amount)
            await self._report(scope, bytes(body), send)

    async def _report(self, scope: Scope, body: bytes, send: Send, status: int = 200) -> None:
        content = json.dumps(describe(self._name, scope, body)).encode() + b"\n"
        await _answer(send, status, b"" if status in NO_CONTENT else content, "application/json")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await self._pause()
        if not scope["path"].startswith("/ws/"):
            body = f"{self._name} takes WebSockets under /ws/ only\n".encode()
            kind = "websocket.http.response"
            await _answer(send, 404, body, TEXT, kind, {"x-backend": self._name})
            return
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await self._pause()
            await send({**event, "type": "websocket.send"})


def _amount(command: str, text: str) -> float | None:
    """The number after *command*, or None if it is none or is out of its bounds."""
    try:
        amount = float(text) if command == "slow" else int(text)
    except ValueError:
        return None
    least, most = {"bytes": (0, MOST_BYTES), "status": (200, 599), "slow": (0, MOST_SECONDS)}[command]
    return amount if least <= amount <= most else None


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: str,
    kind: str = "http.response",
    extra: Mapping[str, str] | None = None,
) -> None:
    fields = {"content-type": content_type, "content-length": str(len(body)), **(extra or {})}
    if status in NO_CONTENT:
        fields = {"content-length": "0"} if status == 205 else {}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


async def _pattern(send: Send, size: int) -> None:
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for start in range(0, size, len(PATTERN)):
        await send({"type": "http.response.body", "body": PATTERN[: size - start], "more_body": True})
    await send({"type": "http.response.body", "body": b""})
