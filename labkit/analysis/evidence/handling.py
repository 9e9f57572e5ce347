"""What the balancer did with a field, judged from the record of what it held, loaded and used. No table of layers.

At L4 the balancer held the packet on which it decided; of that it read what its rules load and used what its
decision names. At L7 it held what the proxy says it had parsed by then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ENCRYPTED, NOT_READ, READ, USED = "encrypted", "in clear, not read", "read", "read and used"

EVERY_HEADER = "http.header.*"  # the whole head was parsed, though not all its fields were put on record

# The same field by its other names
_ALSO = {"http.host": ("http.header.host",), "http.cookie": ("http.header.cookie",)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """used: fields the decision names. read: fields that were loaded or parsed. None of both: nothing was recorded."""

    used: frozenset[str] = field(default_factory=frozenset)
    read: frozenset[str] = field(default_factory=frozenset)
    recorded: bool = False

    def state(self, name: str, *, encrypted: bool) -> str | None:
        """One of the four states; None if the recording does not say what the balancer read.

        encrypted: the field was ciphertext to the balancer.
        """
        names = (name, *_ALSO.get(name, ()))
        if encrypted:
            return ENCRYPTED
        if not self.recorded:
            return None
        if name.startswith(("http.header.", "http.host", "http.cookie")):
            names = (*names, EVERY_HEADER)
        verdicts = ((self.used, USED), (self.read, READ))
        return next((state for fields, state in verdicts if fields.intersection(names)), NOT_READ)


def forwarded(decision: Mapping[str, Any] | None, rules: Mapping[str, Any] | None, held: Iterable[str]) -> Evidence:
    """The evidence of an L4 decision. held: the fields that the packet had on which it fell."""
    there = frozenset(held)
    used = frozenset(decision.get("read") or ()) if decision else frozenset()
    loaded = frozenset(rules.get("reads") or ()) if rules else frozenset()
    return Evidence(used & there, (used | loaded) & there, decision is not None or rules is not None)


def terminated(request: Mapping[str, Any], rules: Mapping[str, Any] | None) -> Evidence:
    """The evidence of an L7 decision: what the proxy held and used, and what the rules before it load."""
    used = frozenset(request.get("read") or ())
    loaded = frozenset(rules.get("reads") or ()) if rules else frozenset()
    parsed = {"http.version"} if request.get("version") else set()  # which the record itself tells
    return Evidence(used, used | loaded | parsed | frozenset(request.get("held") or ()), True)


def rules_at(events: Iterable[Mapping[str, Any]], time_ns: int) -> Mapping[str, Any] | None:
    """The last `rules` event by then; None if there was none."""
    before = [event for event in events if event["time_ns"] <= time_ns]
    return before[-1] if before else None
