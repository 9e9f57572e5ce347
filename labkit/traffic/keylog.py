"""The TLS secrets of the hosts' own connections as ``secrets`` events of a recording (`labkit.recording.model`).

A client cannot know where its connection ends. If the balancer tells of the same handshake, it ended it, and its word
counts; else a backend's server did. QUIC ends in the balancer, which does not tell: no backend speaks it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.errors import TaskError
from labkit.traffic.host import Host

Event = Mapping[str, Any]


def secrets_events(hosts: Iterable[Host], since_ns: int, known: Iterable[Event]) -> tuple[list[Event], list[str]]:
    """Events of connections that were open at *since_ns* (Unix time) or later, and whose secrets are missing, in words.

    known: events that tell of handshakes already. What was agreed on before *since_ns* is stamped with it. What the
    balancer's own clients open leads to the backends.
    """
    told = {handshake_of(line) for event in known if event["kind"] == "secrets" for line in event["lines"]}
    events: list[Event] = []
    lacks: list[str] = []
    for host in hosts:
        leg = "back" if host.role == "balancer" else "through"
        try:
            made, forgot = host.secrets(since_ns)
        except TaskError:
            lacks.append(f"the TLS secrets of {host.name}, which did not answer")
            continue
        if forgot:
            lacks.append(f"the TLS secrets of the oldest connections of {host.name}: they are forgotten")
        for time_ns, lines, quic in made:
            own = [line for line in lines if handshake_of(line) not in told]
            if own:
                ended = "front" if quic else leg
                events.append({"kind": "secrets", "time_ns": max(time_ns, since_ns), "leg": ended, "lines": own})
    return events, lacks


def handshake_of(line: str) -> str:
    """Which handshake a line of an NSS key log belongs to: its ClientHello's random, in hexadecimal."""
    return line.split()[1]
