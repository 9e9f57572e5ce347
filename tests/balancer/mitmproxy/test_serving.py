"""The proxy's listening sockets."""

import asyncio
import socket

from labkit.balancer.mitmproxy.serving import _listening_socket


def test_what_is_accepted_sends_at_once() -> None:
    """With Nagle's algorithm on, every answer on a kept connection waits 40 ms for an acknowledgement."""

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = _listening_socket("127.0.0.1", 0)
        async with await asyncio.start_server(accept, sock=listening):
            with socket.create_connection(listening.getsockname()):
                return await asyncio.wait_for(found, 10)

    assert asyncio.run(accepted()) != 0
