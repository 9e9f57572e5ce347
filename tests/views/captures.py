"""The tables of one request at L4 and one at L7, written by hand after the documented columns."""

from typing import Any

import pandas as pd

ALICE, VIP, API1, LB = "10.0.1.11", "10.0.1.10", "10.0.2.11", "10.0.2.1"
START = pd.Timestamp("2026-01-01")
VISIBLE = ("layer", "field", "alice", "lb:front", "lb:back", "api1", "state", "rewritten")


class Tables:
    """A capture that is nothing but its tables."""

    def __init__(self, packets: Any, decisions: Any, exchanges: Any, visibility: Any) -> None:
        self._tables = (packets, decisions, exchanges, visibility)

    def packets(self) -> Any:
        return self._tables[0]

    def decisions(self) -> Any:
        return self._tables[1]

    def exchanges(self) -> Any:
        return self._tables[2]

    def visibility(self) -> Any:
        return self._tables[3]


def packets(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    names = ("vantage", "connection", "src", "sport", "dst", "dport", "flags", "seq", "ack", "payload_length")
    frame = pd.DataFrame(rows, columns=list(names))
    frame.insert(0, "number", range(1, len(frame) + 1))
    frame.insert(1, "time", [START + pd.Timedelta(microseconds=10 * i) for i in range(len(frame))])
    frame["proto"] = "TCP"
    return frame


def l4_capture() -> Tables:
    rows: list[tuple[Any, ...]] = []

    def out(*what: Any) -> None:
        rows.extend((v, 1, ALICE, 40000, VIP, 80, *what) for v in ("alice", "lb:front"))
        rows.extend((v, 1, ALICE, 40000, API1, 80, *what) for v in ("lb:back", "api1"))

    def back(*what: Any) -> None:
        rows.extend((v, 1, API1, 80, ALICE, 40000, *what) for v in ("api1", "lb:back"))
        rows.extend((v, 1, VIP, 80, ALICE, 40000, *what) for v in ("lb:front", "alice"))

    out("S", 1000, 0, 0)
    back("SA", 9000, 1001, 0)
    out("A", 1001, 9001, 0)
    out("PA", 1001, 9001, 87)
    back("PA", 9001, 1088, 310)
    frame = packets(rows)
    decision = {
        "time": frame["time"][1], "mode": "l4", "connection": 1, "read": ("ip.dst", "tcp.dport"),
        "rule": "http-80", "backend": "api1", "packet": 2, "vantage": "lb:front",
    }  # fmt: skip
    used, unread = "read and used for the decision", "in clear, not read"
    visible = [
        ("IP", "ip.dst", VIP, VIP, API1, API1, used, (VIP, API1)),
        ("IP", "ip.ttl", 64, 64, 63, 63, "read", (64, 63)),
        ("HTTP", "http.target", *["/api/users"] * 4, unread, None),
        ("HTTP", "http.cookie", *[""] * 4, "encrypted", None),
    ]
    return Tables(
        frame,
        pd.DataFrame([decision]),
        pd.DataFrame(columns=["back_connection"]),
        pd.DataFrame(visible, columns=list(VISIBLE)),
    )


def direct_capture() -> Tables:
    """Direct server return: the same over gw on the way back; an earlier packet of another connection met gw alone."""
    rows: list[tuple[Any, ...]] = [("gw:front", 2, VIP, 80, ALICE, 39000, "A", 1, 1, 0)]

    def out(*what: Any) -> None:
        rows.extend((v, 1, ALICE, 40000, VIP, 80, *what) for v in ("alice", "lb:front", "lb:back", "api1"))

    def back(*what: Any) -> None:
        rows.extend((v, 1, VIP, 80, ALICE, 40000, *what) for v in ("api1", "gw:back", "gw:front", "alice"))

    out("S", 1000, 0, 0)
    back("SA", 9000, 1001, 0)
    out("PA", 1001, 9001, 87)
    back("PA", 9001, 1088, 310)
    frame = packets(rows)
    decisions = l4_capture().decisions().assign(packet=3, time=frame["time"][2])
    return Tables(frame, decisions, None, l4_capture().visibility())


def l7_capture() -> Tables:
    rows: list[tuple[Any, ...]] = []

    def front(way: bool, *what: Any) -> None:
        ends = (ALICE, 40000, VIP, 80) if way else (VIP, 80, ALICE, 40000)
        rows.extend((v, 1, *ends, *what) for v in (("alice", "lb:front") if way else ("lb:front", "alice")))

    def behind(way: bool, *what: Any) -> None:
        ends = (LB, 51000, API1, 80) if way else (API1, 80, LB, 51000)
        rows.extend((v, 2, *ends, *what) for v in (("lb:back", "api1") if way else ("api1", "lb:back")))

    front(True, "S", 1000, 0, 0)
    front(False, "SA", 9000, 1001, 0)
    front(True, "A", 1001, 9001, 0)
    front(True, "PA", 1001, 9001, 87)
    front(False, "A", 9001, 1088, 0)
    behind(True, "S", 5000, 0, 0)
    behind(False, "SA", 7000, 5001, 0)
    behind(True, "PA", 5001, 7001, 87)
    behind(False, "PA", 7001, 5088, 310)
    front(False, "PA", 9001, 1088, 310)
    frame = packets(rows)
    decision = {
        "time": frame["time"][9] + pd.Timedelta(microseconds=1), "mode": "l7", "connection": 1,
        "read": ("http.target",), "rule": "/api/*", "backend": "api1", "packet": 8, "vantage": "lb:front",
    }  # fmt: skip
    exchange = {"request": "1", "backend": "api1", "front_connection": 1, "back_connection": 2}
    refused = {"request": "0", "backend": None, "front_connection": 1, "back_connection": None}
    visible = [
        ("HTTP", "http.target", *["/api/users"] * 4, "read and used for the decision", None),
        ("HTTP", "http.host", *["lb"] * 4, "read", None),
    ]
    return Tables(
        frame,
        pd.DataFrame([decision]),
        pd.DataFrame([refused, exchange]),
        pd.DataFrame(visible, columns=list(VISIBLE)),
    )
