"""`Message`: what a function that changes bodies is given. A frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A request on its way to a backend, or a backend's answer on its way to the client.

    headers: by name, whatever its case; not to be changed. body: without its content coding. method, target: of the
    request; status: of an answer, None in a request.
    """

    headers: Mapping[str, str]
    body: bytes
    method: str
    target: str
    status: int | None = None

    @property
    def text(self) -> str:
        """The body as text in UTF-8; what is none becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")
