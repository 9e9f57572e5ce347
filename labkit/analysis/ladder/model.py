"""The values a ladder is made of, and the sentence that says what it shows. Frozen; the pictures read them."""

from collections.abc import Mapping
from dataclasses import dataclass

from .rails import Line, Rail


@dataclass(frozen=True, slots=True)
class Stop:
    """A packet at a rail: where, its number, and what had been rewritten since the stop before (before, after)."""

    rail: int
    packet: int
    rewritten: dict[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class Arrow:
    """One packet on its way. start, end: rails; parts beyond the first and last stop were not captured.

    out: from the connection's client. says: what its payload begins with. lost: a vantage point further on was
    captured and did not see it. late: the same at the beginning. certain: its trajectory is.
    """

    connection: int
    out: bool
    stops: tuple[Stop, ...]
    start: int
    end: int
    proto: str
    flags: str
    seq: int | None
    ack: int | None
    length: int
    says: str
    encrypted: bool
    marks: tuple[str, ...]
    lost: bool
    late: bool
    certain: bool
    after_ns: int

    @property
    def packets(self) -> tuple[int, ...]:
        return tuple(stop.packet for stop in self.stops)


@dataclass(frozen=True, slots=True)
class Part:
    """What a run holds of one connection: packets with payload and their bytes, each way, and bare acknowledgements."""

    connection: int
    segments_out: int
    bytes_out: int
    segments_in: int
    bytes_in: int
    bare: int
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Plain packets in a row that are counted, not shown. first, last: numbers of packets."""

    parts: tuple[Part, ...]
    first: int
    last: int
    after_ns: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision. packet: the one held last, at a rail; None if it was not captured. held: the bytes that the
    client had sent by then, None if that is not known; of: what they are bytes of."""

    mode: str
    connection: int
    packet: int | None
    rail: int | None
    held: int | None
    of: str
    backend: str
    rule: str
    read: tuple[str, ...]
    after_ns: int


Row = Arrow | Run | Choice


@dataclass(frozen=True, slots=True)
class Beside:
    """Packets of a sender that is no host of the lab. called: what it is. protocols: what it spoke, and how often."""

    called: str
    protocols: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ladder:
    """rails: from left to right. mode: "l4", "l7" or None. left_out: packets beyond the last row that is shown.

    unshown: connections that are paired with the one shown and are too many to be. decided: how often
    the balancer chose, in all. beside: what the capture has from others than the lab's hosts, which no ladder shows.
    """

    rails: tuple[Rail, ...]
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]
    mode: str | None
    balancer: str | None
    left_out: int
    unshown: int
    decided: int
    title: str
    beside: Beside | None = None

    def line(self, connection: int) -> Line:
        return next(line for line in self.lines if line.connection == connection)


def finding(ladder: Ladder) -> str:
    """What the ladder shows, in one sentence."""
    box, mode = ladder.balancer or "the balancer", f"{ladder.mode.upper()}: " if ladder.mode else ""
    lines = [line for line in ladder.lines if line.ending != "back"]
    behind = [line for line in ladder.lines if line.ending == "back"]
    line = (lines or behind)[0]
    who, to = ladder.rails[line.path[0]].node, ladder.rails[line.path[-1]].node
    where = ", ".join(rail.name for rail in ladder.rails if rail.vantage is not None)
    choices = [row for row in ladder.rows if isinstance(row, Choice)]
    told = {
        "through": f"{mode}one connection, from {who} through {box} to {to}",
        "front": f"{mode}one connection from {who} ends in {box}, {_behind(choices)}",
        "back": f"{mode}one connection, from {box} to {to}",
        "open": f"{mode}one connection from {who}, not seen behind {box}",
        "alone": f"{mode}one {line.proto} connection, from {who} to {to}, seen at {where}",
    }[line.ending]
    if lines and behind:
        fronts = len(lines) + (ladder.unshown if len(lines) > 1 else 0)
        others = len(behind) + (ladder.unshown if len(lines) == 1 else 0)
        told = f"{mode}{_count(fronts, 'connection')} end{'s' if fronts == 1 else ''} in {box}"
        told += ", another begins there" if others == 1 else f", {others:,} others begin there"
        shown = len(behind) if len(lines) == 1 else len(lines)
        told += f" ({shown:,} of {shown + ladder.unshown:,} shown)" if ladder.unshown else ""
    told = told[0].upper() + told[1:]
    if not choices:
        return told
    first = choices[0]
    held = ", before any request" if first.held == 0 else f", holding {first.held or 0:,} bytes of {first.of}"
    held = "" if first.held is None else held
    at = "" if first.packet is None else f" {'on' if first.mode == 'l4' else 'after'} packet {first.packet}"
    more = f" (and {ladder.decided - 1:,} more times)" if ladder.decided > 1 else ""
    return f"{told}; decided{at}{held}{more}"


def _behind(choices: list[Choice]) -> str:
    own = choices and not any(choice.backend for choice in choices)
    return "which answers itself" if own else "and no other is known to begin there"


def _count(number: int, word: str) -> str:
    return f"one {word}" if number == 1 else f"{number:,} {word}s"
