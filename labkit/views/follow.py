"""A followed connection on the page and in the terminal: who said what, when, in which packets.

Whatever was said is inert: characters that could act are shown as their escapes. Long bodies and long conversations
are cut, and it is said by how much. What was said is the business of analysis.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from labkit.analysis.messages.follow import Followed, Turn

from .palette import BLUE, PURPLE
from .svg import escaped, inert

LIMIT = 2_000  # bytes of a body that are shown
MOST_TURNS = 200
_HEX_ROW = 16
_STYLE = "margin:.25em 0;padding:.35em .7em;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;line-height:1.4"


class Conversation:
    """What each side of a connection said, in order of time; shown as text and as HTML.

    turns: each with side ("client" or "server"), time_ns, packets (their numbers), head (lines), body (bytes),
    complete. client, server: all bytes that each side said, in plain text. why: why some or all of it is missing.
    """

    def __init__(
        self,
        followed: Followed,
        connection: int,
        names: Mapping[str, str],
        limit: int = LIMIT,
        *,
        via: str | None = None,
    ) -> None:
        self._followed, self.connection, self._names, self._limit = followed, connection, names, limit
        self._through = f" through {via}" if via else ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self._followed.turns

    @property
    def client(self) -> bytes:
        return self._followed.client

    @property
    def server(self) -> bytes:
        return self._followed.server

    @property
    def protocol(self) -> str:
        """ "HTTP/1.1", "HTTP/2", "WebSocket", "TLS" (where it could not be decrypted) or "bytes"."""
        return self._followed.protocol

    @property
    def tls(self) -> str | None:
        """The version, cipher suite, SNI and ALPN, or None if it was not encrypted."""
        return self._followed.tls

    @property
    def why(self) -> str | None:
        return self._followed.why

    @property
    def title(self) -> str:
        """What it is, in a line."""
        f = self._followed
        how = f", decrypted ({f.tls})" if f.tls and f.content.opened else ""
        what = "" if f.protocol == "TLS" else f": {f.protocol}{how}, {len(f.turns):,} turns"
        ends = f"{self._names['client']} and {self._names['server']}{self._through}"
        return f"Connection {self.connection}, {ends}{what}"

    @cached_property
    def text(self) -> str:
        """The conversation as text."""
        lines = [inert(self.title), *([inert(self.why)] if self.why else [])]
        for turn in self.turns[:MOST_TURNS]:
            lines += ["", f"{self._label(turn)}:"]
            lines += [f"    {line}" for line in self._lines(turn, inert)]
        return "\n".join([*lines, *self._left_out()])

    def _html(self) -> str:
        parts = [f"<div><strong>{escaped(self.title)}</strong></div>"]
        if self.why:
            parts.append(f"<div>{escaped(self.why)}</div>")
        for turn in self.turns[:MOST_TURNS]:
            colour = BLUE if turn.side == "client" else PURPLE
            body = "\n".join(self._lines(turn, escaped))
            indent = "0" if turn.side == "client" else "1.5em"
            parts.append(
                f'<div style="margin-left:{indent};border-left:3px solid {colour};padding-left:.5em">'
                f'<small>{escaped(self._label(turn))}</small><pre style="{_STYLE}">{body}</pre></div>'
            )
        parts += [f"<div>{escaped(line)}</div>" for line in self._left_out()]
        return f"<div>{''.join(parts)}</div>"

    def _label(self, turn: Turn) -> str:
        time = datetime.fromtimestamp(turn.time_ns // 10**9, UTC).strftime("%H:%M:%S")
        fraction = f"{turn.time_ns % 10**9 // 1000:06}"
        return f"{inert(self._names[turn.side])}, {time}.{fraction}, {_packets(turn.packets)}"

    def _lines(self, turn: Turn, made_inert: Callable[[str], str]) -> list[str]:
        lines = [made_inert(line) for line in turn.head]
        if turn.note:
            lines.append(f"({made_inert(turn.note)})")
        if turn.body:
            shown, left = turn.body[: self._limit], len(turn.body) - self._limit
            lines += ["", *map(made_inert, _body_lines(shown, cut=left > 0))]
            if left > 0:
                lines.append(f"… and {left:,} more bytes, which are not shown; .turns has them all")
        if not turn.complete:
            lines.append("(the rest is missing)")
        return lines

    def _left_out(self) -> list[str]:
        left = len(self.turns) - MOST_TURNS
        return [f"… and {left:,} more turns, which are not shown; .turns has them all"] if left > 0 else []

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self._html()}


def _packets(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "no packet"
    if len(numbers) == 1:
        return f"packet {numbers[0]}"
    shown = ", ".join(map(str, numbers[:6]))
    return f"packets {shown}" if len(numbers) <= 6 else f"packets {shown}, … {numbers[-1]} ({len(numbers)})"


def _body_lines(data: bytes, *, cut: bool) -> list[str]:
    """A body as lines of text if it is text (UTF-8, no controls but line ends and tabs), else as bytes in rows."""
    try:
        text = (data[: _last_whole(data)] if cut else data).decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(letter >= " " or letter in "\r\n\t\x1b" for letter in text):
        return text.replace("\r\n", "\n").rstrip("\n").split("\n")
    rows = (data[at : at + _HEX_ROW] for at in range(0, len(data), _HEX_ROW))
    return [f"{row.hex(' '):<47}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}" for row in rows]


def _last_whole(data: bytes) -> int:
    """Where the last whole UTF-8 character ends, for data cut anywhere."""
    for back in range(1, min(4, len(data)) + 1):
        lead = data[-back]
        if lead < 0x80:
            return len(data) - back + 1
        if lead >= 0xC0:
            need = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return len(data) if back >= need else len(data) - back
    return len(data)
