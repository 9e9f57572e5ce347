"""A recording under study: every derivation of `analysis` made once, when first asked for, and its tables.

This is what `Capture` and the views stand on. It holds no state of its own beyond what it derived.
"""

from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from labkit.recording import Recording
from labkit.wording import inert

from . import connections as connections_
from . import decisions as decisions_
from . import exchanges as exchanges_
from . import headers, http, index, sightings, streams, tcp, trajectories
from .finder import Finder
from .frames import Ints
from .nodes import Nodes
from .tables import integers, objects


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
    def index(self) -> index.Index:
        return index.build(self.recording)

    @cached_property
    def sightings(self) -> sightings.Sightings:
        return sightings.sight(self.index)

    @cached_property
    def trajectories(self) -> trajectories.Trajectories:
        return trajectories.join(self.index)

    @cached_property
    def connections(self) -> connections_.Connections:
        return connections_.merge(self.sightings, self.trajectories)

    @cached_property
    def story(self) -> tcp.Story:
        return tcp.tell(self.index, self.sightings)

    @cached_property
    def finder(self) -> Finder:
        return Finder(self.index, self.sightings, self.connections, self.story)

    @cached_property
    def exchanges(self) -> list[exchanges_.Exchange]:
        return exchanges_.exchanges(self.recording.of_kind("request"), self.finder)

    @cached_property
    def scene(self) -> decisions_.Scene:
        return decisions_.Scene(self.index, self.sightings, self.connections, self.finder, self.nodes)

    @cached_property
    def decisions(self) -> list[decisions_.Decision]:
        return decisions_.decisions(self.scene, self.recording.of_kind("decision"), self.exchanges)

    @cached_property
    def requests_in_clear(self) -> dict[int, int]:
        """For each connection the HTTP/1 requests that its client sent in clear, counted in its captured bytes."""
        homes = {number: self.connections.home(number) for number in range(1, len(self.connections) + 1)}
        sent = {number: streams.sent(self.index, self.sightings, home).data for number, home in homes.items()}
        return {number: sum(1 for _ in http.requests(data)) for number, data in sent.items()}

    def packets_table(self, at: int | None = None) -> pd.DataFrame:
        """One row per packet, in time order; *at*: number of a vantage point, for its packets alone."""
        i = self.index
        rows = np.arange(len(i)) if at is None else np.flatnonzero(i.vantage == at)
        names = np.array([*i.addresses, None], dtype=object)  # -1 takes the last: None

        def text(codes: Any, write: Any) -> "pd.Series[Any]":
            values, place = np.unique(codes[rows], return_inverse=True)
            return objects(np.array([*(write(value) for value in values.tolist()), None], dtype=object)[place])

        return pd.DataFrame(
            {
                "number": rows + 1,
                "time": i.time_ns[rows].view("datetime64[ns]"),
                "vantage": objects(np.array([*self.vantages, None], dtype=object)[i.vantage[rows]]),
                "connection": integers(self.connections.of_packet[rows]),
                "src": objects(names[i.source[rows]]),
                "dst": objects(names[i.target[rows]]),
                "sport": integers(i.sport[rows]),
                "dport": integers(i.dport[rows]),
                "proto": text(i.proto, index.protocol_name),
                "flags": text(i.flags, index.flag_names),
                "seq": integers(i.seq[rows]),
                "ack": integers(i.ack[rows]),
                "window": integers(i.window[rows]),
                "ttl": integers(i.ttl[rows]),
                "ip_id": integers(i.ip_id[rows]),
                "payload_length": integers(i.payload_length[rows]),
                "frame_length": i.frame_length[rows],
                "comment": self._comments(rows),
            }
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
        return connections_.table(
            self.index, self.sightings, self.connections, self.story, exchanges_.pairs(self.exchanges),
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
        rows = [t.packets(n).tolist() for n in range(len(t))]
        connection = np.array([int(of[one].max()) for one in rows], dtype=np.int64)
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
