"""labkit's own blocks in a pcapng file, read with suspicion: places of vantage points, lacks, events.

A file may come from anywhere and be damaged anywhere, so nothing is handed on that `events` does not find sound, and
no more than memory bears.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import event_table, events
from . import pcapng_format as pcapng

MOST_WEIGHT: Final = 1 << 30  # bytes of memory that the events of one file may take, at a guess


_SCAN: Final = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what json.loads comes down to: a large capture has very many events


def _plain(pairs: Any) -> dict[str, Any]:
    return dict(pairs)


@dataclass(slots=True)
class Evidence:
    """What was read so far. places: of vantage points by name, None while no block named them."""

    places: Mapping[str, Mapping[str, str]] | None = None
    lacks: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    damaged: int = 0
    left_out: int = 0
    weight: int = 0

    def read(self, body: bytes, order: str) -> None:
        """Take one block's body; what is not labkit's is passed over."""
        if len(body) < 4 or struct.unpack_from(order + "I", body)[0] != pcapng.DOCUMENTATION_PEN:
            return  # local-use types are anybody's
        self.weight += 4 * len(body) + 64 * (body.count(b"[") + body.count(b"{")) + 40 * body.count(b",")
        if self.weight > MOST_WEIGHT:
            self.left_out += 1
            return
        try:
            text = body[4:].rstrip(b"\0 ").decode("utf-8", "surrogatepass")
            value, end = _SCAN(text, 0)
            if end != len(text):
                value = json.loads(text)  # with white space around it, or wrong
        except (ValueError, RecursionError, StopIteration):
            self.damaged += b'"labkit"' in body[:64]
            return
        if not isinstance(value, dict) or value.get("labkit") != 1:
            return
        harmless = text.isascii() and "\\" not in text and "\x7f" not in text  # JSON has no other bare controls
        if "vantages" in value:
            self._places(value)
        elif "events" in value:
            self._table(value["events"], events.Harmless if harmless else _plain)
        elif events.is_sound(value.get("event")):
            event = value["event"]
            self.events.append(events.Harmless(event) if harmless else event)
        else:
            self.damaged += 1

    def _table(self, value: Any, make: Callable[[Any], dict[str, Any]]) -> None:
        table = event_table.read(value)
        if table is None:
            self.damaged += 1
            return
        self.weight += len(table) * (200 + 50 * len(table.keys))  # of the dictionaries; their values were counted
        if self.weight > MOST_WEIGHT:
            self.left_out += len(table)
            return
        sound, damaged = table.events(make)
        self.events += sound
        self.damaged += damaged

    def _places(self, value: Mapping[str, Any]) -> None:
        places, lacks = value["vantages"], value.get("lacks")
        if not isinstance(places, dict):
            self.damaged += 1
            return
        self.places = {name: place for name, place in places.items() if isinstance(place, dict)}
        self.lacks += [str(lack) for lack in lacks] if isinstance(lacks, list) else []

    def told(self) -> Iterator[str]:
        """What is missing of it, in words."""
        if self.damaged:
            yield f"{self.damaged} pieces of evidence that are damaged"
        if self.left_out:
            yield f"{self.left_out} pieces of evidence that are more than labkit keeps in memory"
