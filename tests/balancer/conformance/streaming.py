"""HTTP/2 streams that stay open both ways: an application that echoes as it hears, and a client that waits for it.

Both run inside hosts. Plain data in and out.
"""

from typing import Any


def echo() -> Any:
    """An ASGI application that answers at once, sends back every piece as it comes, and in HTTP/2 trailers at the end.

    At ``/ended`` it tells how far each request has come: {path: "open", "whole" or "given up"}.
    """
    import json

    ended: dict[str, str] = {}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        trailing = path != "/ended" and "http.response.trailers" in scope.get("extensions", {})
        headers = [(b"content-type", b"application/grpc")]
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailing})
        if path == "/ended":
            await send({"type": "http.response.body", "body": json.dumps(ended).encode()})
            return
        ended[path] = "open"
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                ended[path] = "given up"
                return
            more = event.get("more_body", False)
            await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": more})
            if not more:
                if trailing:
                    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})
                ended[path] = "whole"
                return

    return app


def talked(trust: str, paths: list[str], cancelled: list[str]) -> dict[str, Any]:
    """Open a stream for each of *paths* on one connection, and talk over all of them in turns.

    On each: a piece, its echo awaited; then those *cancelled* are reset; on the others two more pieces, each with its
    echo awaited, and the end. {path: {"status", "backend", "heard", "trailers", "ended"}}; runs in a host.
    """
    import socket
    import ssl
    from functools import partial

    import h2.config
    import h2.connection
    import h2.events

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trust)
    context.set_alpn_protocols(["h2"])
    sock = context.wrap_socket(socket.create_connection(("lb", 443), 5), server_hostname="lb")
    sock.settimeout(5)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    told: dict[str, dict[str, Any]] = {}
    streams: dict[int, str] = {}

    def note(event: Any) -> None:
        about = told[streams[event.stream_id]]
        match event:
            case h2.events.ResponseReceived():
                headers = dict(event.headers)
                about |= {"status": int(headers[":status"]), "backend": headers.get("x-backend")}
            case h2.events.DataReceived():
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                about["heard"] += event.data.decode()
            case h2.events.TrailersReceived():
                about["trailers"] = dict(event.headers)
            case h2.events.StreamEnded():
                about["ended"] = "whole"
            case h2.events.StreamReset():
                about["ended"] = f"reset {int(event.error_code)}"

    def until(done: Any) -> None:
        sock.sendall(connection.data_to_send())
        while not done():
            for event in connection.receive_data(sock.recv(65536)):
                if getattr(event, "stream_id", None) in streams:
                    note(event)
            sock.sendall(connection.data_to_send())

    def heard(number: int, awaited: list[str]) -> bool:
        return all(f"{number}{path} " in told[path]["heard"] for path in awaited)

    for path in paths:
        stream = connection.get_next_available_stream_id()
        streams[stream] = path
        told[path] = {"status": None, "backend": None, "heard": "", "trailers": None, "ended": None}
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", "lb"), (":path", path)]
        connection.send_headers(stream, [*fields, ("content-type", "application/grpc"), ("te", "trailers")])
    try:
        for number in range(3):
            going = {stream: path for stream, path in streams.items() if number == 0 or path not in cancelled}
            for stream, path in going.items():
                connection.send_data(stream, f"{number}{path} ".encode(), end_stream=number == 2)
            until(partial(heard, number, list(going.values())))
            if number == 0:
                for stream, path in streams.items():
                    if path in cancelled:
                        connection.reset_stream(stream, 8)
        until(lambda: all(about["ended"] for path, about in told.items() if path not in cancelled))
    except TimeoutError:
        pass  # what was heard by then is told
    finally:
        sock.close()
    return told
