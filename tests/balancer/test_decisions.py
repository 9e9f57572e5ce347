"""Events of both modes, as one table."""

from typing import Any

import pandas as pd

from labkit.balancer.decisions import decisions_table

L4 = {
    "kind": "decision",
    "time_ns": 2_000,
    "mode": "l4",
    "client": "10.0.1.11",
    "client_port": 40000,
    "server": "10.0.1.10",
    "server_port": 80,
    "backend": "api1",
    "rule": "http",
    "read": ["ip.dst", "tcp.dport"],
}
L7: dict[str, Any] = {
    "kind": "request",
    "time_ns": 5_000,
    "decided_ns": 1_000,
    "front": {"id": "f", "client": ["fd00::11", 40001], "server": ["fd00::10", 80]},
    "method": "GET",
    "target": "/none?x",
    "rule": None,
    "backend": None,
    "read": ["http.target"],
}


def test_rows_are_in_the_order_of_the_decisions_with_the_promised_columns() -> None:
    table = decisions_table([L4, L7, {"kind": "mode", "time_ns": 0}, {**L7, "decided_ns": None}])
    assert list(table.columns) == ["time", "mode", "connection", "read", "rule", "backend", "request"]
    assert table["time"].dtype == "datetime64[ns]"
    assert table["time"].astype("int64").tolist() == [1_000, 2_000]
    assert table["connection"].tolist() == ["[fd00::11]:40001 → [fd00::10]:80", "10.0.1.11:40000 → 10.0.1.10:80"]
    assert table["mode"].tolist() == ["l7", "l4"]
    assert table["read"].tolist() == [("http.target",), ("ip.dst", "tcp.dport")]
    assert table["rule"].tolist() == [None, "http"]
    assert table["backend"].tolist() == [None, "api1"]
    assert table["request"].tolist() == ["GET /none?x", None]


def test_no_decisions_are_an_empty_table_of_the_same_shape() -> None:
    table = decisions_table([])
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 0
    assert list(table.dtypes) == list(decisions_table([L4]).dtypes)
