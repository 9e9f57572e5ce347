"""Names that come while a lab runs: a hosts file grows by them."""

import os


def append(file: str, text: str) -> None:
    """Call target, in a node: add the lines of *text* to *file*, in one write, so that no reader finds half of them."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
