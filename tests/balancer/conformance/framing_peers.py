"""What runs inside the hosts of the framing test: a backend that keeps every byte, clients that send any byte."""

import asyncio
import socket
import threading
from time import monotonic, sleep

GOOD = b"GET /ok/good HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n"

STOP = 9999  # the port where the backend is told to stop


def record(port: int) -> list[bytes]:
    """Serve HTTP/1.1 on *port* until `stop`; then what came on each connection, to the byte."""
    received: list[bytearray] = []
    control, listener = socket.create_server(("", STOP)), socket.create_server(("", port), backlog=1024)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            received.append(bytearray())
            threading.Thread(target=_serve, args=(connection, received[-1]), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while True:
        connection, _ = control.accept()
        with connection:
            if connection.recv(1):
                return [bytes(data) for data in received if data]


def stop(message: bytes) -> None:
    """Tell the backend on this host to stop; with no *message*, wait until there is one."""
    until = monotonic() + 10
    while True:
        try:
            with socket.create_connection(("127.0.0.1", STOP), timeout=5) as connection:
                connection.sendall(message)
            return
        except ConnectionRefusedError:
            if monotonic() > until:
                raise
            sleep(0.01)


def _serve(connection: socket.socket, received: bytearray) -> None:
    begin = 0
    with connection:
        while data := connection.recv(65536):
            received += data
            while end := request_end(received, begin):
                begin = end
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def request_end(data: bytes | bytearray, begin: int) -> int:
    """Where the request that begins at *begin* ends; 0 while it is not complete. It believes what it is told."""
    head_end = data.find(b"\r\n\r\n", begin) + 4
    if head_end < 4:
        return 0
    head = bytes(data[begin:head_end]).lower()
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        return _chunks_end(data, head_end)
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
    end = head_end + int(length or 0)
    return end if len(data) >= end else 0


def _chunks_end(data: bytes | bytearray, begin: int) -> int:
    while (line_end := data.find(b"\r\n", begin)) >= 0:
        size = int(data[begin:line_end], 16)
        begin = line_end + 2 + size + 2
        if not size or len(data) < begin:
            return begin if len(data) >= begin else 0
    return 0


def converse(address: str, port: int, talks: list[tuple[bytes, bool]]) -> list[tuple[bytes, float]]:
    """Send each of *talks*, on a connection of its own, many at once; the answers to its end, and the seconds it took.

    A talk is what is sent, and whether this side ends then. Between any two, a good request is sent as well.
    """
    return asyncio.run(_converse(address, port, talks))


async def _converse(address: str, port: int, talks: list[tuple[bytes, bool]]) -> list[tuple[bytes, float]]:
    each = [one for talk in talks for one in (talk, (GOOD, False))]
    turn = asyncio.Semaphore(40)
    return list(await asyncio.gather(*(_talk(turn, address, port, *one) for one in each)))


async def _talk(turn: asyncio.Semaphore, address: str, port: int, data: bytes, ends: bool) -> tuple[bytes, float]:
    async with turn:
        began = monotonic()
        return await _ask(address, port, data, ends), monotonic() - began


async def _ask(address: str, port: int, data: bytes, ends: bool) -> bytes:
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(data)
            if ends:
                writer.write_eof()
            answer = await reader.read(-1)
            writer.close()
    except TimeoutError:
        return b"hangs"
    except ConnectionError as error:
        return repr(error).encode()
    return answer
