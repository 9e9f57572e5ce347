"""The process that runs functions: started by the proxy, ended by it, gone with it. One call at a time.

``python -m labkit.balancer.functions.child FD PARENT``: messages come and go over the stream socket FD. To it:
``{"load": [bytes, ...]}``, ``{"call": number, "kind": "when" | "transform", "given": {...}}``. From it: one
``{"value": ...}`` or ``{"failure": {...}}`` each; and, when it is asked by SIGUSR1 during a call, ``{"where": ...}``.
What functions print is kept with their failures, and nowhere else: this process has no terminal.
"""

import contextlib
import ctypes
import io
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # noqa: F401  (so that the first function loads at once)

from labkit.balancer.functions.failure import frames_of, told
from labkit.balancer.functions.wire import LENGTH, packed, unpacked
from labkit.balancer.l7.code import content, verdict
from labkit.balancer.l7.message import Message
from labkit.balancer.l7.request import Headers, Request
from labkit.pickled import unpickle

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_MOST_MEMORY = 4 << 30  # bytes of data
_MOST_PRINTED = 2000  # characters
_MOST_MADE = 16 << 20  # bytes of a new body


class Child:
    """The functions, and who asks for them over *sock*."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._functions: list[Callable[[Any], Any]] = []
        self._calling = False

    def serve(self) -> None:
        """Until the proxy is gone."""
        while (head := self._exactly(LENGTH.size)) is not None:
            body = self._exactly(*LENGTH.unpack(head))
            if body is None:
                return
            self._send(self._answer(unpacked(body)))

    def where(self, _: int, frame: FrameType | None) -> None:
        """Tell where the call under way is (handler of a signal)."""
        if self._calling:
            self._send({"where": frames_of(traceback.walk_stack(frame))})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        printed = _Printed()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                if "load" in message:
                    self._functions = [unpickle(data)[0] for data in message["load"]]
                    return {"value": None}
                return {"value": self._call(message)}
        except BaseException as error:  # the user's own code: whatever it raises is its answer
            return {"failure": told(error, printed.getvalue())}

    def _call(self, message: dict[str, Any]) -> Any:
        function, given = self._functions[message["call"]], message["given"]
        rule = message["kind"] == "when"
        subject = _request(given) if rule else _message(given)
        self._calling = True
        try:
            answer = function(subject)
        finally:
            self._calling = False
        if rule:
            return verdict(answer)
        made = content(answer)
        if made is not None and len(made) > _MOST_MADE:
            raise TypeError(f"it returned {len(made)} bytes: a new body has {_MOST_MADE} at most")
        return made

    def _send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(packed(message))

    def _exactly(self, count: int) -> bytes | None:
        """The next *count* bytes; None at the end of the stream."""
        data = bytearray()
        while len(data) < count:
            part = self._sock.recv(min(count - len(data), 1 << 20))
            if not part:
                return None
            data += part
        return bytes(data)


class _Printed(io.StringIO):
    """Keeps the first of what is written."""

    def write(self, text: str) -> int:
        super().write(text[: max(0, _MOST_PRINTED - self.tell())])
        return len(text)


def _request(given: dict[str, Any]) -> Request:
    lines = [(name, value) for name, value in given["lines"]]
    return Request(**{**given, "lines": lines})


def _message(given: dict[str, Any]) -> Message:
    lines = [(name, value) for name, value in given["headers"]]
    return Message(**{**given, "headers": Headers(lines)})


def _go_with(parent: int) -> None:
    """Be killed when the proxy ends, also during a call; before anything else of this machine if memory runs out."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, b"balancer.rules", 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > _MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def main() -> None:
    """Serve the proxy that started this process."""
    _go_with(int(sys.argv[2]))
    child = Child(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGUSR1, child.where)
    with contextlib.suppress(ConnectionError):
        child.serve()


if __name__ == "__main__":
    main()
