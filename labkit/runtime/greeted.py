"""`GreetedNode`: a node whose agent came with its host, and so has to say first what both are.

Who made the host, and how its stream is reached, is left to the runtimes.
"""

import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from labkit.errors import RuntimeUnavailable
from labkit.version import VERSION

from .loop import StreamLoop
from .stream import StreamNode


class GreetedNode(StreamNode):
    """`Node` that is known by what its agent said. on_end as of `StreamNode`.

    hello: what it said; empty before, and if the stream ended without. ahead: by how many seconds its clock was, then.
    """

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        loop: StreamLoop,
        on_end: Callable[[str], None],
        *,
        unwrap: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self.hello: dict[str, Any] = {}
        self.ahead = 0.0
        self._greeted = threading.Event()
        self._on_loss = on_end
        super().__init__(name, sock, loop, self._ended, unwrap=unwrap, on_hello=self._welcome)

    def heard(self, seconds: float = 0.0) -> bool:
        """Whether the agent said hello, or its stream ended, within *seconds*."""
        return self._greeted.wait(seconds)

    def fits(self, image: str) -> None:
        """RuntimeUnavailable if the agent, of *image*, is of another labkit; a warning if it is of another Python."""
        own = f"{sys.version_info.major}.{sys.version_info.minor}"
        other = self.hello.get("version", "of an unknown version")
        if other != VERSION:
            raise RuntimeUnavailable(f"The image {image} holds labkit {other}, and this is {VERSION}: build it anew.")
        if self.hello["python"] != own:
            warnings.warn(
                f"The image {image} has Python {self.hello['python']}, and this is {own}: functions of yours "
                f"may not run in hosts. Build it on python:{own}-slim.",
                stacklevel=2,
            )

    def _welcome(self, hello: dict[str, Any]) -> None:
        self.ahead = hello.get("time", 0.0) - time.time()
        self.hello = hello
        self._greeted.set()

    def _ended(self, name: str) -> None:
        self._greeted.set()
        self._on_loss(name)
