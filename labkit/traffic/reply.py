"""What a client got back: `Reply`, with the backend's own word on who answered and what it received."""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from labkit.errors import TrafficError

_TOLD_AS_IS = ("status", "reason", "version", "seconds", "local", "remote", "tls", "stream")
TOLD = frozenset({"backend", "method", "target", "headers", "peer"})


class Headers(Mapping[str, str]):
    """Header fields: a mapping that ignores case (RFC 9110 §5.1), with the lines as received in ``raw``.

    A field that came more than once reads as one value, joined by commas (§5.3); `get_all` gives each.
    """

    def __init__(self, raw: Sequence[Sequence[str]]) -> None:
        self.raw: tuple[tuple[str, str], ...] = tuple((name, value) for name, value in raw)
        self._values: dict[str, tuple[str, list[str]]] = {}
        for name, value in self.raw:
            self._values.setdefault(name.lower(), (name, []))[1].append(value)

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        return ", ".join(self._values[name.lower()][1])

    def get_all(self, name: str) -> list[str]:
        """Every value of the field, in order; [] if it is absent."""
        return list(self._values[name.lower()][1]) if name in self else []

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({list(self.raw)!r})"


@dataclass(frozen=True, repr=False)
class Reply:
    """An HTTP answer.

    version: "HTTP/1.1". content: the body's bytes. seconds: connecting (if it had to) and answer, monotonic.
    local, remote: [ip, port] of the connection as the client sees it: remote is whom it talked to. tls: "TLSv1.3", or
    None in clear. stream: the number of the HTTP/2 stream, or None in HTTP/1.
    """

    status: int
    reason: str
    version: str
    headers: Headers
    content: bytes = field(repr=False)
    seconds: float
    local: list[Any]
    remote: list[Any]
    tls: str | None = None
    stream: int | None = None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Reply":
        """From what the client in the node handed back (`labkit.traffic.http`)."""
        told = {name: answer[name] for name in _TOLD_AS_IS}
        return cls(headers=Headers(answer["headers"]), content=answer["body"], **told)

    @property
    def text(self) -> str:
        """The body as text: by the charset of its content type, or else UTF-8; what fits not is marked."""
        _, _, charset = self.headers.get("content-type", "").lower().partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip('" ') or "utf-8", errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body read as JSON; TrafficError if it is none."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            kind = self.headers.get("content-type", "no content type")
            raise TrafficError(f"the answer {self.status} is not JSON ({kind}): see reply.text") from error

    @cached_property
    def received(self) -> dict[str, Any] | None:
        """The request as the backend received it, or None if nobody tells.

        {"backend", "method", "target", "version", "headers": [[name, value]], "body", "body_encoding",
        "tls": version or None, "peer": [ip, port], "local": [ip, port]}. In HTTP/2 ``:authority`` stands as "host".
        """
        if not self.headers.get("content-type", "").startswith("application/json"):
            return None
        try:
            told = json.loads(self.content)
        except ValueError:
            return None
        return told if isinstance(told, dict) and told.keys() >= TOLD else None

    @property
    def backend(self) -> str | None:
        """Who answered, by its own word; None if no backend did (a balancer's own 404, say)."""
        return self.headers.get("x-backend") or (self.received or {}).get("backend")

    def __repr__(self) -> str:
        by = f" from {self.backend}" if self.backend else ""
        return f"<Reply {' '.join(filter(None, (str(self.status), self.reason)))}{by}>"

    def _repr_html_(self) -> str:
        by = f" from <b>{html.escape(str(self.backend))}</b>" if self.backend else ""
        return f"<code>{self.status} {html.escape(self.reason)}</code>{by}"
