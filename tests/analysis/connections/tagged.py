"""Traffic whose every payload carries a tag of its own. Runs inside a client of a lab, on sockets alone."""

import socket

TAG = 12  # digits


def tagged(way: str, peer: str, first: int, count: int, port: int = 7) -> int:
    """Send *count* tagged pieces to an echo, one by one, each answered before the next; how many answers came right.

    way: "udp" on one socket a thousand pieces, "tcp" on one connection a hundred.
    """
    right = 0
    kind, many = {"udp": (socket.SOCK_DGRAM, 1000), "tcp": (socket.SOCK_STREAM, 100)}[way]
    for start in range(first, first + count, many):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(5)
            if way == "tcp":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect((peer, port))
            for number in range(start, min(start + many, first + count)):
                tag = b"%0*d" % (TAG, number)
                sock.send(b"tag %s %s\n" % (tag, b"x" * (number % 50)))
                answer = b""
                while b"\n" not in answer and not (way == "udp" and answer):
                    answer += sock.recv(4096)
                right += tag in answer
    return right
