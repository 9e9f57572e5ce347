"""The record of what the rules chose: one decision per translated connection, made from conntrack's events.

An event alone says who was asked and who will answer. The rest comes from the rules in force when it
happened (`Regime`): the listener's label, the backend's name, the fields that were loaded on the way.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..policy import Forward
from . import nflog
from .conntrack import Endpoints, Translated, parse
from .path import First, fields_read
from .values import Ruleset

KEPT = 200_000  # decisions; about 80 MB


@dataclass(frozen=True, slots=True)
class Known:
    """A listener at one address of the VIP: its ports, how far the backends' are from them, their names by address."""

    protocol: str
    vip: str
    ports: range
    label: str
    shift: int
    names: Mapping[str, str]

    def takes(self, asked: Endpoints) -> bool:
        """Whether a connection that began so is this listener's."""
        return asked.destination_port in self.ports and (asked.protocol, asked.destination) == (self.protocol, self.vip)

    def backend(self, asked: Endpoints, answer: Endpoints) -> str | None:
        """The backend that answers so; None if it is none of this listener's."""
        if answer.source_port != asked.destination_port + self.shift:
            return None
        return self.names.get(answer.source)


@dataclass(frozen=True, slots=True)
class Regime:
    """The rules that were in force for a time, as asked for (*listeners*) and as found in the kernel (*ruleset*).

    before: the regime that this one replaced: a report that was under way at that moment belongs there.
    """

    listeners: Sequence["Known"]
    ruleset: Ruleset
    before: "Regime | None" = None
    _read: dict[tuple[str, str, int, str], list[str]] = field(default_factory=dict)

    def decision(self, seen: Translated) -> dict[str, Any] | None:
        """The ``decision`` event of labkit.recording; None if the translation is none of labkit's."""
        original, reply = seen.original, seen.reply
        found = next((each for each in self.listeners if each.takes(original)), None)
        backend = found.backend(original, reply) if found else None
        if found is None or backend is None:
            return self.before.decision(seen) if self.before else None
        return {
            "kind": "decision",
            "time_ns": seen.time_ns,
            "mode": "l4",
            "proto": original.protocol,
            "client": original.source,
            "client_port": original.source_port,
            "server": original.destination,
            "server_port": original.destination_port,
            "backend": backend,
            "backend_address": reply.source,
            "backend_port": reply.source_port,
            "rule": found.label,
            "read": list(self._reads(original, reply.source)),
        }

    def _reads(self, original: Endpoints, chosen: str) -> list[str]:
        """Walked once for each client, listener and backend: a source port is taken to make no difference."""
        first = First(
            original.protocol,
            original.source,
            original.source_port,
            original.destination,
            original.destination_port,
            chosen,
        )
        key = (original.source, f"{original.protocol}{original.destination}", original.destination_port, chosen)
        if key not in self._read:
            self._read[key] = fields_read(self.ruleset, first)
        return self._read[key]


def listeners_of(vips: Sequence[str | None], forwards: Sequence[Forward]) -> list[Known]:
    """What `Regime` needs to know of *forwards*."""
    found = []
    for forward in forwards:
        listener = forward.listener
        for vip, attribute in zip(vips, ("address4", "address6"), strict=True):
            if vip is None:
                continue
            names = {
                address: target.name
                for target in forward.targets
                if (address := getattr(target, attribute)) is not None
            }
            shift = listener.target_port - listener.port
            ports = range(listener.port, listener.last_port + 1)
            found.append(Known(listener.transport.upper(), vip, ports, listener.label, shift, names))
    return found


class Record:
    """The newest `KEPT` events with the rules in force at each. Serial numbers count from 0 and never repeat."""

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[tuple[int, bytes, Regime]] = deque(maxlen=kept)
        self._total = 0
        self.forgotten_ns = 0  # when the newest of the forgotten was received

    @property
    def forgotten(self) -> int:
        """How many events are too long ago to be kept."""
        return self._total - len(self._events)

    def add(self, events: Sequence[tuple[int, bytes]], regime: Regime) -> None:
        """Keep what was drained while *regime* was in force."""
        for received, event in events:
            if len(self._events) == self._events.maxlen:
                self.forgotten_ns = self._events[0][0]
            self._events.append((received, event, regime))
        self._total += len(events)

    def read(self, start: int, count: int, since_ns: int) -> tuple[list[dict[str, Any]], int]:
        """Decisions of at most *count* events from serial *start* on, none older than *since_ns*; where to go on.

        That is `end` when there are no more.
        """
        skipped = max(start - self.forgotten, 0)
        found = []
        serial = self.forgotten + skipped
        for received, event, regime in islice(self._events, skipped, skipped + count):
            serial += 1
            if received < since_ns:
                continue
            seen = (nflog.parse if nflog.is_log(event) else parse)(event, received)
            decision = regime.decision(seen) if seen and seen.time_ns >= since_ns else None
            if decision:
                found.append(decision)
        return found, serial

    @property
    def end(self) -> int:
        """The serial that the next event will get."""
        return self._total
