"""Everything that can be asked of a capture, asked of one file."""

from collections.abc import Callable
from typing import Any

from labkit.capture import Capture
from labkit.errors import CaptureError
from labkit.views.packet import packet_html, packet_text


def _shown(ask: Callable[..., Any], *arguments: Any) -> None:
    """What it answers, in every way that it can be displayed; it may say in words that it cannot."""
    try:
        answer = ask(*arguments)
    except CaptureError as refusal:
        str(refusal).encode()
        return
    repr(answer).encode()
    show = getattr(answer, "_repr_mimebundle_", None)
    for part in (show() if show else {}).values():
        part.encode()


def ask(path: str, *, most_packets: int = 5) -> Capture | None:
    """Every table, picture and text of the file at *path*; None if it was refused as it should be.

    Whatever else is raised is a defect.
    """
    try:
        cap = Capture.load(path)
    except CaptureError as refusal:
        str(refusal).encode()
        return None
    for table in (cap.packets, cap.connections, cap.trajectories, cap.exchanges, cap.decisions, cap.loss):
        repr(table()).encode()
    for table in (cap.connections(per="vantage"), cap.conversations(), cap.conversations("address"), cap.protocols()):
        repr(table).encode()
    for connection in (None, *range(1, min(3, len(cap.connections())) + 1)):
        repr(cap.visibility(full=True, connection=connection)).encode()
        if connection:
            for ask_more in (cap.follow, cap.ladder):
                _shown(ask_more, connection)
    for request in range(min(3, len(cap.exchanges()))):
        _shown(cap.headers, request)
    _shown(cap.ladder)
    cap.visibility()
    cap.graph()
    cap.diagram()
    cap.summary()
    repr(cap).encode()
    for part in cap._repr_mimebundle_().values():
        part.encode()
    for number in range(1, min(most_packets, len(cap.recording)) + 1):
        packet = cap.packet(number)
        for text in (repr(packet), packet_text(packet), packet_html(packet)):
            text.encode()
    return cap
