"""Names that come while a lab runs: its one hosts file, which every node sees as /etc/hosts, grows by them."""

import os

FILE = "/run/labkit/hosts"  # in the lab's own view of the files, and nowhere else


def append(text: str) -> None:
    """Call target, in any node: add the lines of *text*, in one write, so that no reader finds half of them."""
    descriptor = os.open(FILE, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
