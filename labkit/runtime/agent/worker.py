"""The resident worker of a node: runs short functions by name, each call in a thread of its own.

Module state lives here as long as the node: sessions and open sockets of a client stay between calls.
"""

import contextlib
import threading
import traceback
from typing import Any

from labkit.errors import LabError, TaskError
from labkit.runtime.protocol import TaskLink
from labkit.runtime.wire import FRAME_LIMIT, pack

from .task import resolve

_ENVELOPE = 1024  # bytes for what goes around a result


def main(link: TaskLink) -> None:
    """Serve calls ``{"id", "target", "arguments"}`` until the owner is gone."""
    while True:
        call = link.receive()
        threading.Thread(target=_answer, args=(link, call), name=call["target"], daemon=True).start()


def _answer(link: TaskLink, call: dict[str, Any]) -> None:
    try:
        value = resolve(call["target"])(*call["arguments"])
        size = len(pack(value))
        if size > FRAME_LIMIT - _ENVELOPE:
            raise TaskError(f"its result of {size} bytes is over the limit of {FRAME_LIMIT}; return it in parts")
        answer = {"id": call["id"], "value": value}
    except BaseException as error:
        answer = {"id": call["id"], "error": _describe(error)}
    with contextlib.suppress(OSError):  # the owner is gone, and this process ends with it
        link.send(answer)


def _describe(error: BaseException) -> dict[str, str]:
    return {
        "kind": type(error).__name__ if isinstance(error, LabError) else "",
        "text": str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }
