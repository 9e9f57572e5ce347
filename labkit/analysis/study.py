"""A recording under study: every derivation of `analysis` made once, when first asked for, and its tables.

This is what `Capture` and the views stand on. It holds no state of its own beyond what it derived.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from labkit.recording import Recording
from labkit.wording import inert

from . import tls
from .connections import merged, tcp
from .connections import sightings as sightings_
from .connections import trajectories as trajectories_
from .events import carriage as carriage_
from .events import decisions as decisions_
from .events import exchanges as exchanges_
from .events import relays as relays_
from .events import strangers as strangers_
from .events.finder import Finder
from .events.nodes import Nodes
from .messages import clear, upgraded
from .messages import content as content_
from .packets import headers, index
from .packets.frames import Ints
from .packets.tables import integers, objects, words

_KEPT = 64  # contents of connections that are remembered


class Study:
    """Everything that can be told from one recording. Thread-safe as far as reading is."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    @cached_property
    def vantages(self) -> list[str]:
        return [vantage.name for vantage in self.recording.vantages]

    @cached_property
    def nodes(self) -> Nodes:
        return Nodes.of(self.recording)

    @cached_property
    def strangers(self) -> strangers_.Strangers:
        return strangers_.strangers(self.index, self.nodes)

    @cached_property
    def index(self) -> index.Index:
        return index.build(self.recording)

    @cached_property
    def _grouped(self) -> tuple[sightings_.Sightings, trajectories_.Trajectories]:
        """Found side by side: both take long, and numpy works without the interpreter's lock."""
        with ThreadPoolExecutor(1) as beside:
            joined = beside.submit(trajectories_.join, self.index)
            return sightings_.sight(self.index), joined.result()

    @property
    def sightings(self) -> sightings_.Sightings:
        return self._grouped[0]

    @property
    def trajectories(self) -> trajectories_.Trajectories:
        return self._grouped[1]

    @cached_property
    def connections(self) -> merged.Connections:
        return merged.merge(self.index, self.sightings, self.trajectories)

    @cached_property
    def story(self) -> tcp.Story:
        return tcp.tell(self.index, self.sightings)

    @cached_property
    def finder(self) -> Finder:
        return Finder(self.index, self.sightings, self.connections, lambda: self.story)

    @cached_property
    def exchanges(self) -> list[exchanges_.Exchange]:
        return exchanges_.exchanges(self.recording.of_kind("request"), self.finder)

    @cached_property
    def relays(self) -> list[relays_.Relayed]:
        """The connections that a TCP proxy relayed, by its record."""
        return relays_.relays(self.recording.of_kind("relay"), self.finder)

    @cached_property
    def pairs(self) -> dict[int, set[int]]:
        """For each connection that ends or begins in the balancer the ones on its other side, by its record."""
        return relays_.pairs(self.relays) | exchanges_.pairs(self.exchanges)

    @cached_property
    def both_sides(self) -> list[tuple[int | None, int | None]]:
        """Front and back connection of all that ended in the balancer, by its record."""
        return [*((e.front, e.back) for e in self.exchanges), *((one.front, one.back) for one in self.relays)]

    @cached_property
    def ended_here(self) -> set[int]:
        """The connections of clients that ended in the balancer, by its record."""
        return {front for front, _ in self.both_sides if front is not None}

    @cached_property
    def begun_here(self) -> set[int]:
        """The connections to backends that began in the balancer, by its record."""
        return {back for _, back in self.both_sides if back is not None}

    @cached_property
    def requests_again(self) -> set[int]:
        """Connections to backends on which what a client's connection carried is seen a second time."""
        return {one.back for one in self.relays if one.front is not None and one.back is not None}

    @cached_property
    def carriage(self) -> carriage_.Carriage:
        return carriage_.Carriage(self.exchanges, self.content, self.index)

    @cached_property
    def scene(self) -> decisions_.Scene:
        return decisions_.Scene(self.index, self.sightings, self.connections, self.finder, self.nodes)

    @cached_property
    def forwarded(self) -> list[decisions_.Forwarded]:
        """The balancer's own record of what it forwarded, in order of time."""
        return decisions_.forwarded(self.finder, self.recording.of_kind("decision"))

    @cached_property
    def decisions(self) -> list[decisions_.Decision]:
        return decisions_.decisions(self.scene, self.forwarded, self.exchanges, self.relays)

    @cached_property
    def requests_in_clear(self) -> dict[int, int]:
        """For each connection the requests that its client sent in clear, counted in its captured bytes."""
        homes = [members[0] for members in self.connections.members]
        return dict(enumerate(clear.requests_sent(self.index, self.sightings, homes), start=1))

    @cached_property
    def keys(self) -> tls.KeyLog:
        """The TLS secrets of the recording."""
        return tls.KeyLog.of(line for event in self.recording.of_kind("secrets") for line in event.get("lines") or ())

    @cached_property
    def content(self) -> Callable[[int], content_.Content]:
        """Gives what the two sides of a connection (by its id) said; remembers the last ones asked for."""

        @lru_cache(_KEPT)
        def of(connection: int) -> content_.Content:
            return content_.content(self.index, self.sightings, self.connections.members[connection - 1], self.keys)

        return of

    @cached_property
    def websocket(self) -> Callable[[int], upgraded.Upgraded | None]:
        """Gives what was said on a connection (by its id) after an upgrade to WebSocket; None if there was none."""

        @lru_cache(_KEPT)
        def on(connection: int) -> upgraded.Upgraded | None:
            content = self.content(connection)
            spoken = carriage_.messages(content)
            return upgraded.upgraded(content, *spoken[-1]) if spoken else None

        return on

    def exchanges_table(self) -> pd.DataFrame:
        return exchanges_.table(self.exchanges, list(map(self._messages, self.exchanges)))

    def _messages(self, exchange: exchanges_.Exchange) -> int | None:
        """The WebSocket messages that followed an exchange, by the client's packets or else the backend's."""
        if not exchange.event.get("websocket"):
            return None
        sides = (self.websocket(one) for one in (exchange.front, exchange.back) if one is not None)
        return next((found.count for found in sides if found), None)

    def packets_table(self, at: int | None = None) -> pd.DataFrame:
        """One row per packet, in time order; *at*: number of a vantage point, for its packets alone."""
        i = self.index
        rows = slice(None) if at is None else np.flatnonzero(i.vantage == at)

        def text(codes: Any, write: Any) -> pd.Categorical:
            values, place = np.unique(codes[rows], return_inverse=True)
            return words(place, [write(value) for value in values.tolist()])

        return pd.DataFrame(
            {
                "number": np.arange(1, len(i) + 1)[rows],
                "time": np.array(i.time_ns[rows]).view("datetime64[ns]"),
                "vantage": words(i.vantage[rows], self.vantages),
                "connection": integers(self.connections.of_packet[rows], np.int32),
                "src": words(i.source[rows], i.addresses),
                "dst": words(i.target[rows], i.addresses),
                "sport": integers(i.sport[rows], np.int32),
                "dport": integers(i.dport[rows], np.int32),
                "proto": text(i.proto, index.protocol_name),
                "flags": text(i.flags, index.flag_names),
                "seq": integers(i.seq[rows]),
                "ack": integers(i.ack[rows]),
                "window": integers(i.window[rows], np.int32),
                "ttl": integers(i.ttl[rows], np.int32),
                "ip_id": integers(i.ip_id[rows], np.int32),
                "payload_length": integers(i.payload_length[rows]),
                "frame_length": i.frame_length[rows],
                "comment": self._comments(np.arange(len(i))[rows]),
            },
            copy=False,
        )

    def _comments(self, rows: Ints) -> "pd.Series[Any]":
        """What is written in the file about each packet, harmless to show; None where nothing is."""
        column = np.full(len(rows), None, dtype=object)
        for number, text in self.recording.comments.items():
            place = int(np.searchsorted(rows, number - 1))
            if place < len(rows) and rows[place] == number - 1:
                column[place] = inert(text)
        return objects(column)

    def connections_table(self, per: Literal["vantage"] | None = None) -> pd.DataFrame:
        return merged.table(
            self.index, self.sightings, self.connections, self.story, self.pairs,
            self.vantages, per_vantage=per == "vantage",
        )  # fmt: skip

    def trajectories_table(self) -> pd.DataFrame:
        """One row per trajectory of an IP packet, also of one seen at one place only.

        packets, path: tuples with one entry a vantage point. rewritten, seconds: one entry a hop (one less).
        """
        t, of = self.trajectories, self.connections.of_packet
        steps_before, steps_after = t.steps
        change = dict(zip(steps_after.tolist(), headers.rewritten(self.index, steps_before, steps_after), strict=True))
        times, vantage = self.index.time_ns.tolist(), self.index.vantage.tolist()
        every = t.rows.tolist()
        rows = [every[first:last] for first, last in pairwise(t.begin.tolist())]
        connection = np.maximum.reduceat(of[t.rows], t.begin[:-1]) if rows else np.zeros(0, dtype=np.int64)
        return pd.DataFrame(
            {
                "connection": integers(connection),
                "packets": objects(tuple(row + 1 for row in one) for one in rows),
                "path": objects(tuple(self.vantages[vantage[row]] for row in one) for one in rows),
                "rewritten": objects(tuple(change[row] for row in one[1:]) for one in rows),
                "seconds": objects(
                    tuple((times[after] - times[before]) / 1e9 for before, after in pairwise(one)) for one in rows
                ),
                "certain": t.certain,
            }
        )
