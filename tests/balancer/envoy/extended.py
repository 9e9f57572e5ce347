"""WebSockets in HTTP/2 (RFC 8441), by hand: each a stream, many on a connection. Plain data in and out."""

from typing import Any

_MASK = b"\x01\x02\x03\x04"


def text_frame(text: str) -> bytes:
    """One short message of a client (RFC 6455 §5.2)."""
    masked = bytes(byte ^ _MASK[place % 4] for place, byte in enumerate(text.encode()))
    return bytes((0x81, 0x80 | len(masked))) + _MASK + masked


def connected(trust: str, asked: list[list[list[str]]], spoken: list[str]) -> dict[str, Any]:
    """On one connection ask for a stream with each list of fields, then speak on those that are answered 200.

    spoken: texts, sent on every such stream, each awaited. {"offered": whether the server takes extended CONNECT,
    "told": for each stream {"status" (None where the server ended the connection), "backend", "heard": [texts]}}. Runs
    in a host.
    """
    import socket
    import ssl

    import h2.config
    import h2.connection
    import h2.events
    import h2.settings

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trust)
    context.set_alpn_protocols(["h2"])
    sock = context.wrap_socket(socket.create_connection(("lb", 443), 5), server_hostname="lb")
    sock.settimeout(5)
    config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    told: dict[int, dict[str, Any]] = {}
    received: dict[int, bytearray] = {}
    offered = over = False

    def turn() -> None:
        nonlocal offered, over
        sock.sendall(connection.data_to_send())
        for event in connection.receive_data(sock.recv(65536)):
            match event:
                case h2.events.RemoteSettingsChanged():
                    offered = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL in event.changed_settings
                case h2.events.ResponseReceived():
                    headers = dict(event.headers)
                    told[event.stream_id] |= {"status": int(headers[":status"]), "backend": headers.get("x-backend")}
                case h2.events.DataReceived():
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    received[event.stream_id] += event.data
                case h2.events.ConnectionTerminated():
                    over = True
                    return

    turn()  # SETTINGS come first (RFC 9113 §3.4)
    for fields in asked:
        stream = connection.get_next_available_stream_id()
        told[stream], received[stream] = {"status": None, "backend": None, "heard": []}, bytearray()
        connection.send_headers(stream, [(name, value) for name, value in fields])
    while not over and not all(about["status"] for about in told.values()):
        turn()
    open_ = [stream for stream, about in told.items() if about["status"] == 200]
    for text in spoken:
        for stream in open_:
            received[stream].clear()
            connection.send_data(stream, text_frame(text))
        while not all(len(received[stream]) >= 2 + len(text) for stream in open_):
            turn()
        for stream in open_:
            told[stream]["heard"].append(bytes(received[stream][2:]).decode())
    sock.close()
    return {"offered": offered, "told": list(told.values())}
