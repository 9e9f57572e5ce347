"""A client that asks much at once, over HTTP/1.1 and HTTP/2; runs inside a host. Plain data in and out."""

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events

Request = tuple[str, str, str, str]  # method, target, host, value of x-beta
KEPT, FRESH, STREAMS = 40, 12, 4  # at once: on kept connections, on new ones, on each HTTP/2 connection
MULTIPLEXED = 3  # connections of HTTP/2


def ask(trust: str, kept: list[Request], fresh: list[Request], multiplexed: list[Request]) -> dict[str, Any]:
    """All requests, 64 at once. answers: [method, target, host, x-beta, status, backend, its target] of each."""
    answers: list[list[Any]] = []

    async def run() -> None:
        of_kept, of_fresh, of_streams = iter(kept), iter(fresh), iter(multiplexed)
        context = ssl.create_default_context(cadata=trust)
        context.set_alpn_protocols(["h2"])
        await asyncio.gather(
            *(_kept(of_kept, answers) for _ in range(KEPT)),
            *(_fresh(of_fresh, answers) for _ in range(FRESH)),
            *(_multiplexed(of_streams, context, answers) for _ in range(MULTIPLEXED)),
        )

    began = time.monotonic()
    asyncio.run(run())
    return {"answers": answers, "seconds": time.monotonic() - began}


def sessions(cookies: dict[str, str], each: int) -> dict[str, Any]:
    """*each* requests of every session, 64 sessions at once, with the cookie of the answer before.

    cookies: by session; "" for one that begins. answered: by session, the backends in order; cookies: the last ones.
    """
    answered: dict[str, list[str]] = {}
    last: dict[str, str] = {}

    async def run() -> None:
        waiting = iter(cookies.items())
        await asyncio.gather(*(several(waiting) for _ in range(64)))

    async def several(waiting: Iterator[tuple[str, str]]) -> None:
        reader, writer = await asyncio.open_connection("lb", 80)
        for name, cookie in waiting:
            answered[name] = []
            for _ in range(each):
                line = f"Cookie: {cookie}\r\n" if cookie else ""
                writer.write(f"GET /s HTTP/1.1\r\nHost: lb\r\n{line}\r\n".encode())
                status, fields, body = await _answer(reader)
                answered[name].append(json.loads(body)["backend"] if status == 200 else f"status {status}")
                cookie = fields.get("set-cookie", cookie).partition(";")[0]
            last[name] = cookie
        writer.close()

    began = time.monotonic()
    asyncio.run(run())
    return {"answered": answered, "cookies": last, "seconds": time.monotonic() - began}


async def _kept(requests: Iterator[Request], answers: list[list[Any]]) -> None:
    reader, writer = await asyncio.open_connection("lb", 80)
    for request in requests:
        writer.write(_head(request))
        status, _, body = await _answer(reader)
        answers.append(_told(request, status, body))
    writer.close()


async def _fresh(requests: Iterator[Request], answers: list[list[Any]]) -> None:
    for request in requests:
        reader, writer = await asyncio.open_connection("lb", 80)
        writer.write(_head(request, "Connection: close\r\n"))
        status, _, body = await _answer(reader)
        answers.append(_told(request, status, body))
        writer.close()


def _head(request: Request, more: str = "") -> bytes:
    method, target, host, beta = request
    length = "Content-Length: 0\r\n" if method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nX-Beta: {beta}\r\n{length}{more}\r\n".encode()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), fields, await reader.readexactly(int(fields["content-length"]))


def _told(request: Request, status: int, body: bytes) -> list[Any]:
    told = json.loads(body) if status == 200 else {}
    return [*request, status, told.get("backend"), told.get("target")]


async def _multiplexed(requests: Iterator[Request], context: ssl.SSLContext, answers: list[list[Any]]) -> None:
    """One connection, with so many streams open at any time."""
    reader, writer = await asyncio.open_connection("lb", 443, ssl=context)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    asked: dict[int, Request] = {}
    statuses: dict[int, int] = {}
    bodies: dict[int, bytearray] = {}
    while True:
        while len(asked) < STREAMS and (request := next(requests, None)):
            method, target, host, beta = request
            stream = connection.get_next_available_stream_id()
            pseudo = [(":method", method), (":path", target), (":scheme", "https"), (":authority", host)]
            connection.send_headers(stream, [*pseudo, ("x-beta", beta)], end_stream=True)
            asked[stream], bodies[stream] = request, bytearray()
        writer.write(connection.data_to_send())
        if not asked:
            break
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                statuses[event.stream_id] = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                stream = event.stream_id
                answers.append(_told(asked.pop(stream), statuses.pop(stream), bytes(bodies.pop(stream))))
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ConnectionError(repr(event))
    writer.close()
