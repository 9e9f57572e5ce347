"""One captured request told as steps: which packets met the balancer, and where the decision fell.

Made from a capture's tables alone (`packets`, `decisions`, `exchanges`); `sidebyside` draws it. A packet that
leaves the balancer with the same sequence numbers, flags and length as it came is one step that runs through;
any other ends, or begins, there. What goes past the balancer (direct server return) is no step, and counted.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.errors import CaptureError

from .tables import cell_text

Row = Mapping[str, Any]
_FLAGS = {"S": "SYN", "A": "ACK", "F": "FIN", "R": "RST", "P": "PSH", "U": "URG", "E": "ECE", "C": "CWR"}


class CaptureTables(Protocol):
    """What is asked of a capture: its tables, as DataFrames with the documented columns."""

    def packets(self) -> Any: ...

    def decisions(self) -> Any: ...

    def exchanges(self) -> Any: ...

    def connections(self) -> Any: ...

    def visibility(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Step:
    """A packet at the balancer: as seen in front (*front*), behind (*back*), or both when it ran through."""

    front: Row | None
    back: Row | None
    from_client: bool  # travels towards the backend

    @property
    def row(self) -> Row:
        row = self.front if self.front is not None else self.back
        assert row is not None
        return row

    @property
    def through(self) -> bool:
        return self.front is not None and self.back is not None


@dataclass(frozen=True, slots=True)
class Story:
    """Steps in time order; *decided* (from 0) is the last one the balancer held when it decided.

    past: how many of the backend's packets did not pass the balancer; over: the node that they passed instead.
    """

    mode: str
    client: str
    balancer: str
    backend: str
    steps: tuple[Step, ...]
    decided: int
    rule: str
    read: tuple[str, ...]
    past: int = 0
    over: str = ""

    @property
    def held(self) -> int:
        """Bytes the client had sent (payload) and the balancer had received when it decided."""
        seen = self.steps[: self.decided + 1]
        return sum(int(step.row["payload_length"]) for step in seen if step.front is not None and step.from_client)

    @property
    def connections(self) -> int:
        """TCP connections that this request took."""
        return len({step.row["connection"] for step in self.steps})


def flag_words(row: Row) -> str:
    """``SYN+ACK``, ``PSH+ACK 87 B``; the protocol's name where there are no flags."""
    flags = "+".join(_FLAGS.get(flag, flag) for flag in cell_text(row["flags"])) or str(row["proto"])
    length = int(row["payload_length"])
    return f"{flags} {length} B" if length else flags


def l4_story(capture: CaptureTables) -> Story:
    """The first connection that was decided at L4. CaptureError if the capture has none."""
    decision = _first(capture.decisions(), "l4")
    rows = _records(capture.packets(), decision["connection"])
    front_name, back_name = _sides(decision, rows, rows)
    if front_name == back_name and (behind := _relayed_by(capture, decision["connection"])) is not None:
        return _ended("l4", capture, decision, rows, _records(capture.packets(), behind))
    fronts, backs = _directed(rows, front_name), _directed(rows, back_name)
    waiting: dict[tuple[Any, ...], list[Row]] = {}
    for row, way in backs:
        waiting.setdefault(_same(row, way), []).append(row)
    steps = []
    for row, way in fronts:
        partners = waiting.get(_same(row, way))
        steps.append(Step(row, partners.pop(0) if partners else None, way))
    alone = {int(row["number"]) for rows_left in waiting.values() for row in rows_left}
    steps += [Step(None, row, way) for row, way in backs if int(row["number"]) in alone]
    past, over = (0, "") if any(not step.from_client for step in steps) else _past(rows, front_name)
    return _told("l4", capture, decision, steps, past, over)


def l7_story(capture: CaptureTables) -> Story:
    """The first request that was decided at L7 and reached a backend. CaptureError if the capture has none."""
    exchanges = capture.exchanges()
    reached = exchanges[exchanges["back_connection"].notna()].to_dict("records")
    if not reached:
        raise CaptureError("This capture holds no request that went through L7. Capture one after lab.balancer.l7().")
    exchange = reached[0]
    decision = _first(capture.decisions(), "l7", exchange["front_connection"])
    packets = capture.packets()
    before, behind = _records(packets, exchange["front_connection"]), _records(packets, exchange["back_connection"])
    return _ended("l7", capture, decision, before, behind)


def _ended(mode: str, capture: CaptureTables, decision: Row, before: list[Row], behind: list[Row]) -> Story:
    """One connection that ends in the balancer, and another that begins there."""
    front_name, back_name = _sides(decision, before, behind)
    steps = [Step(row, None, way) for row, way in _directed(before, front_name)]
    steps += [Step(None, row, way) for row, way in _directed(behind, back_name)]
    return _told(mode, capture, decision, steps)


def _relayed_by(capture: CaptureTables, connection: Any) -> Any:
    """The connection that goes on with what a TCP proxy took from *connection*; None where it is not known."""
    rows = capture.connections().to_dict("records")
    paired = next((row["paired_with"] for row in rows if row["connection"] == connection), None)
    return paired[0] if paired else None


def _decided(decision: Row, steps: list[Step]) -> int:
    """The step the balancer held last when it decided: the packet the record names, or the last one by that time."""
    named = [i for i, step in enumerate(steps) if step.front and step.front["number"] == decision.get("packet")]
    earlier = [i for i, step in enumerate(steps) if step.row["time"] <= decision["time"]]
    return (named or earlier or [0])[-1]


def _told(mode: str, capture: CaptureTables, decision: Row, steps: list[Step], past: int = 0, over: str = "") -> Story:
    steps.sort(key=lambda step: step.row["time"])
    if not steps:
        raise CaptureError("The balancer's own vantage points are not in this capture. Capture at all of them.")
    seen = capture.packets()
    opened = seen[seen["connection"] == steps[0].row["connection"]]["vantage"]
    client = next((str(name) for name in opened if ":" not in name and name != decision["backend"]), "client")
    balancer = str(steps[0].row["vantage"]).partition(":")[0]
    return Story(
        mode, client, balancer, str(decision["backend"]), tuple(steps), _decided(decision, steps),
        str(decision["rule"] or ""), tuple(str(field) for field in decision["read"]), past, over,
    )  # fmt: skip


def _first(decisions: Any, mode: str, connection: Any = None) -> Row:
    rows: list[Row] = decisions[decisions["mode"] == mode].to_dict("records")
    found = next((row for row in rows if connection is None or row["connection"] == connection), None)
    if found is None:
        raise CaptureError(
            f"This capture holds no decision at {mode.upper()}. Make a request inside lab.capture() after "
            f"lab.balancer.{mode}()."
        )
    return found


def _records(packets: Any, connection: Any) -> list[Row]:
    rows: list[Row] = packets[packets["connection"] == connection].to_dict("records")
    return rows


def _sides(decision: Row, before: list[Row], behind: list[Row]) -> tuple[str, str]:
    """The balancer's vantage points that saw the connection first in front, last behind.

    The balancer is where the decision was made; a router beside it has vantage points of both sides too.
    """
    made_at = decision.get("vantage", next((row["vantage"] for row in before if ":" in row["vantage"]), None))
    own = f"{str(made_at).partition(':')[0]}:"
    front = [str(row["vantage"]) for row in before if str(row["vantage"]).startswith(own)]
    back = [str(row["vantage"]) for row in behind if str(row["vantage"]).startswith(own)]
    if not front or not back:
        raise CaptureError("The balancer's own vantage points are not in this capture. Capture at all of them.")
    return front[0], list(dict.fromkeys(back))[-1]


def _directed(rows: list[Row], vantage: str) -> list[tuple[Row, bool]]:
    """The rows of one vantage point, each with whether it travels towards the backend."""
    here = [row for row in rows if row["vantage"] == vantage]
    opener = (here[0]["src"], here[0]["sport"]) if here else None
    return [(row, (row["src"], row["sport"]) == opener) for row in here]


def _past(rows: list[Row], front: str) -> tuple[int, str]:
    """How many packets went to the client elsewhere than at the balancer's vantage point *front*, and by which node."""
    client = next((row["src"], row["sport"]) for row in rows if row["vantage"] == front)
    seen = Counter(str(row["vantage"]) for row in rows if (row["dst"], row["dport"]) == client)
    routers = [name.partition(":")[0] for name in seen if ":" in name]
    return max(seen.values(), default=0), next(iter(routers), "")


def _same(row: Row, from_client: bool) -> tuple[Any, ...]:
    """What NAT leaves alone."""
    return (from_client, row["proto"], row["flags"], row["seq"], row["ack"], row["payload_length"])
