"""Everything that can be asked of a capture, asked of one file."""

from labkit.capture import Capture
from labkit.errors import CaptureError


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
    cap.connections(per="vantage")
    for connection in (None, *range(1, min(3, len(cap.connections())) + 1)):
        repr(cap.visibility(full=True, connection=connection)).encode()
        if connection is not None:
            cap.follow(connection).text.encode()
    cap.visibility()
    for request in range(min(3, len(cap.exchanges()))):
        repr(cap.headers(request)).encode()
    cap.graph()
    cap.diagram()
    cap.summary()
    repr(cap).encode()
    for part in cap._repr_mimebundle_().values():
        part.encode()
    for number in range(1, min(most_packets, len(cap.recording)) + 1):
        repr(cap.packet(number))
    return cap
