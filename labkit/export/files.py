"""Flows as files of other programs: mitmproxy's flow file, and HAR 1.2. They keep the requests, not the packets."""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Final

from mitmproxy.io import FlowWriter

from labkit.recording.atomic import write_atomically

from .flows import Flows
from .har import har


def save(flows: Flows, path: str | PathLike[str], suffix: str) -> Path:
    """Write *flows* as the *suffix* says (".mitm" or ".har"); gives the path back. CaptureError if that fails."""
    return write_atomically(path, _WRITERS[suffix](flows))


def _mitm(flows: Flows) -> Iterator[bytes]:
    for flow in flows:
        piece = BytesIO()
        FlowWriter(piece).add(flow)  # type: ignore[no-untyped-call]
        yield piece.getvalue()


def _har(flows: Flows) -> Iterator[bytes]:
    return har(flows, "; ".join(flows.lacks))


_WRITERS: Final[dict[str, Callable[[Flows], Iterable[bytes]]]] = {".mitm": _mitm, ".har": _har}
