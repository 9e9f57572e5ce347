"""A server of HTTP/3 that misbehaves on demand, run as a task beside the hosts under test."""

import asyncio
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection, HeadersState
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic.tls import load_pem_private_key, load_pem_x509_certificates

from labkit.runtime.protocol import TaskLink


def main(link: TaskLink, address: str, port: int, chain: str, key: str) -> None:
    """Answer as the path says: /early, /short, /reset, /close, /nothing; else the length of the body."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.certificate, *configuration.certificate_chain = load_pem_x509_certificates(chain.encode())
    configuration.private_key = load_pem_private_key(key.encode())

    async def run() -> None:
        await serve(address, port, configuration=configuration, create_protocol=_Answering)
        link.send("ready")
        await asyncio.Event().wait()

    asyncio.run(run())


class _Answering(QuicConnectionProtocol):
    _h3: H3Connection

    def quic_event_received(self, event: Any) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._h3 = H3Connection(self._quic)
            self._asked: dict[int, tuple[str, int]] = {}
        if hasattr(self, "_h3"):
            for each in self._h3.handle_event(event):
                self._note(each)

    def _note(self, event: Any) -> None:
        if isinstance(event, HeadersReceived):
            self._asked[event.stream_id] = dict(event.headers)[b":path"].decode(), 0
        if isinstance(event, DataReceived):
            path, size = self._asked[event.stream_id]
            self._asked[event.stream_id] = path, size + len(event.data)
        if event.stream_ended:
            self._answer(event.stream_id, *self._asked[event.stream_id])
            self.transmit()

    def _answer(self, stream: int, path: str, size: int) -> None:
        if path == "/close":
            self._quic.close(0x102, reason_phrase="lunch")
        elif path == "/reset":
            self._quic.reset_stream(stream, 0x10C)
        elif path != "/nothing":
            if path == "/early":
                self._h3.send_headers(stream, [(b":status", b"103"), (b"link", b"</x>")])
                self._h3._stream[stream].headers_send_state = HeadersState.INITIAL
            length = 10 if path == "/short" else len(str(size))
            self._h3.send_headers(stream, [(b":status", b"200"), (b"content-length", str(length).encode())])
            self._h3.send_data(stream, str(size).encode(), end_stream=True)
