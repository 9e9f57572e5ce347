"""Decisions of both modes as one table, made of recorded events. pandas is loaded when a table is asked for."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labkit.balancer.describe import endpoint

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("time", "mode", "connection", "read", "rule", "backend", "request")


def decisions_table(events: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """One row a decision, oldest first: a connection at L4, a request at L7. Other events are passed over.

    Columns: time (datetime64[ns], UTC), mode, connection ("10.0.1.11:40000 → 10.0.1.10:80", client first), read
    (tuple of field names), rule (a listener at L4, a pattern at L7, None if none matched), backend (None if the
    balancer answered itself), request (method and target, as far as they could be read; None at L4).
    """
    import pandas as pd

    rows = sorted(
        (_ROWS[event["kind"]](event) for event in events if _decided(event)), key=lambda row: int(row["time"])
    )
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return table.assign(
        time=pd.to_datetime(table["time"].astype("int64")).astype("datetime64[ns]"),
        mode=table["mode"].astype("str"),
        connection=table["connection"].astype("str"),
    )


def _decided(event: Mapping[str, Any]) -> bool:
    return event["kind"] in ("decision", "relay") or (event["kind"] == "request" and event["decided_ns"] is not None)


def _of_connection(event: Mapping[str, Any]) -> dict[str, Any]:
    client = endpoint(event["client"], event["client_port"])
    return {
        "time": event["time_ns"],
        "mode": "l4",
        "connection": f"{client} → {endpoint(event['server'], event['server_port'])}",
        "read": tuple(event["read"]),
        "rule": event["rule"],
        "backend": event["backend"],
        "request": None,
    }


def _of_request(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": event["decided_ns"],
        "mode": "l7",
        "connection": f"{endpoint(*event['front']['client'])} → {endpoint(*event['front']['server'])}",
        "read": tuple(event["read"]),
        "rule": event["rule"],
        "backend": event["backend"],
        "request": f"{event['method']} {event['target']}".strip(),
    }


def _of_relay(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "time": event["decided_ns"],
        "mode": "l4",
        "connection": f"{endpoint(*event['front']['client'])} → {endpoint(*event['front']['server'])}",
        "read": tuple(event["read"]),
        "rule": event["rule"],
        "backend": event["backend"],
        "request": None,
    }


_ROWS = {"decision": _of_connection, "request": _of_request, "relay": _of_relay}
