"""The resident task in the balancer's node: owns the netlink sockets, swaps the rules, keeps the decisions.

A request is ``{"id", "op", …}``; the answer has the same id and either ``result`` or ``error`` (text):

=============  =====================================  ==============================================================
op             with                                   result
=============  =====================================  ==============================================================
``apply``      ``forwards``: as `wanted` makes them,  the generations of the rules before and after the swap
               ``inward``: as `inward` does
``text``                                              the live rules, all tables, in nftables syntax
``reads``                                             names of the fields they load
``dump``                                              both, of one reading: ``[text, reads]``
``decisions``  ``start``, ``since_ns``                ``decisions``, ``next`` (None: no more), ``forgotten``, ``lost``,
                                                      ``incomplete_ns`` (the newest moment of one that is missing, or 0)
``settings``                                          the sysctls that could not be set, with reasons
``flows``      ``start``                              ``flows`` (see `flows.plain`) as of start 0, ``next``; with those
                                                      that are passed on directly (see `passed.plain`)
``cut``        ``addresses``                          see `cut.cut` and `cut_passed`, together
=============  =====================================  ==============================================================
"""

import select
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.errors import EngineError, PolicyError
from labkit.runtime.protocol import TaskLink

from ..inward import Inward
from ..policy import Forward, Target
from . import decode, encode, passed, sysctls
from .collector import Collector
from .cut import clear, cut
from .cut_passed import cut_passed
from .decisions import Record, Regime, listeners_of
from .direct import Place, is_flows
from .flows import flows, plain
from .inward import inward_of
from .netlink import Message, Netlink
from .reads import reads
from .render import render
from .text import text
from .values import TABLE, Family, Ruleset
from .wanted import forwards_of

A_REPLY = 20_000  # decisions


def main(
    link: TaskLink,
    vips: Sequence[str | None],
    forwards: Sequence[Mapping[str, Any]] = (),
    beside: Mapping[str, Any] | None = None,
) -> None:
    """Serve until the owner is gone.

    vips: the VIP's IPv4 address, and its IPv6 address or None. forwards: what the kernel's rules forward already.
    beside: where answers can bypass this node, its ``front`` and ``back`` interfaces and all ``backends``.
    """
    kernel = Kernel((vips[0] or "", vips[1]), forwards_of(forwards), _place(beside) if beside else None)
    asked, collected = link.fileno(), kernel.fileno()
    try:
        while True:
            ready, _, _ = select.select([asked, collected], [], [])
            if collected in ready:
                kernel.settle()
            if asked in ready:
                for request in link.poll():
                    link.send(kernel.answer(request))
    finally:
        kernel.close()


class Kernel:
    """The kernel's rules and its record of connections, of the namespace of the moment this is made."""

    def __init__(
        self, vips: tuple[str, str | None], forwards: Sequence[Forward] = (), place: Place | None = None
    ) -> None:
        self._vips = vips
        self._place = place
        self._refused = sysctls.apply()
        self._netlink = Netlink()
        if forwards:  # another task was here before, and was killed
            clear(self._netlink)
        self._collector = Collector(logged=place is not None)
        self._record = Record()
        self._listeners = listeners_of(vips, forwards)
        self._generation = -1
        self._regime: Regime | None = None
        self._listed: list[dict[str, Any]] = []
        self._operations: dict[str, Callable[..., Any]] = {
            "apply": self._apply,
            "text": lambda: text(decode.live(self._netlink)[1]),
            "reads": lambda: reads(self._rules()[1]),
            "dump": self._dump,
            "decisions": self._decisions,
            "settings": lambda: self._refused,
            "flows": self._flows,
            "cut": self._cut,
        }

    def fileno(self) -> int:
        """Becomes readable when there is something to `settle`."""
        return self._collector.fileno()

    def close(self) -> None:
        """Once. The rules stay."""
        self._collector.close()
        self._netlink.close()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request."""
        arguments = {name: value for name, value in request.items() if name not in ("id", "op")}
        try:
            return {"id": request["id"], "result": self._operations[request["op"]](**arguments)}
        except (EngineError, PolicyError) as error:
            return {"id": request["id"], "error": str(error)}

    def settle(self) -> None:
        """Put what was collected into the record, each event with the rules of its time."""
        for generation, events in self._collector.take():
            if self._regime is None or generation != self._generation:
                self._generation, ruleset = self._rules()
                before = replace(self._regime, before=None) if self._regime else None
                self._regime = Regime(self._listeners, ruleset, before)
            self._record.add(events, self._regime)

    def _rules(self) -> tuple[int, Ruleset]:
        """The rules in force and their generation, without the flows that maps remember: many, and no rules."""
        return decode.live(self._netlink, _are_flows)

    def _dump(self) -> list[Any]:
        ruleset = self._rules()[1]
        return [text(ruleset), reads(ruleset)]

    def _apply(self, forwards: Sequence[Mapping[str, Any]], inward: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        wanted = forwards_of(forwards)
        messages = self._messages(wanted, inward_of(inward))
        self.settle()  # what happened so far was decided by the rules so far
        before = decode.generation(self._netlink)
        self._netlink.commit(messages)
        self._listeners = listeners_of(self._vips, wanted)
        return [before, decode.generation(self._netlink)]

    def _messages(self, wanted: Sequence[Forward], inward: Sequence[Inward]) -> list[Message]:
        """One transaction for all tables; what remembers flows that are sent on directly stays."""
        translating, *others = render(self._vips, wanted, self._place, inward).tables
        messages = encode.swap(translating)
        if others:
            live = self._rules()[1].tables
            there = {(table.family, table.name): table for table in live}
            for table in others:
                before = there.get((table.family, table.name))
                kept = [found.name for found in table.sets if is_flows(found.name)]
                messages += encode.refill(table, before, kept) if before else encode.swap(table)
        return messages

    def _decisions(self, start: int, since_ns: int) -> dict[str, Any]:
        self.settle()
        found, following = self._record.read(start, A_REPLY, since_ns)
        return {
            "decisions": found,
            "next": following if following < self._record.end else None,
            "forgotten": self._record.forgotten,
            "lost": self._collector.lost,
            "incomplete_ns": max(self._record.forgotten_ns, self._collector.lost_ns),
        }

    def _cut(self, addresses: Sequence[str]) -> dict[str, int]:
        found = cut(self._netlink, addresses)
        if self._place is None:
            return found
        directly = cut_passed(self._netlink, self._vips, self._place, addresses)
        return {name: count + directly[name] for name, count in found.items()}

    def _flows(self, start: int) -> dict[str, Any]:
        if start == 0:
            self._listed = [plain(flow) for flow in flows(self._netlink)]
            if self._place is not None:
                self._listed += [passed.plain(flow) for flow in passed.passed(self._netlink, self._vips, self._place)]
        part = self._listed[start : start + A_REPLY]
        following: int | None = start + A_REPLY
        if start + A_REPLY >= len(self._listed):
            following, self._listed = None, []
        return {"flows": part, "next": following}


def _place(beside: Mapping[str, Any]) -> Place:
    backends = tuple(Target(**backend) for backend in beside["backends"])
    return Place(beside["front"], socket.if_nametoindex(beside["back"]), backends)


def _are_flows(family: int, table: str, name: str) -> bool:
    return family == Family.NETDEV and table == TABLE and is_flows(name)
