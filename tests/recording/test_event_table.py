"""Many events as a table: the same events come back, and of a damaged table what is sound."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from labkit.recording import event_table, read_pcapng, write_pcapng
from labkit.recording.events import are_sound, is_sound
from tests.recording.recordings import make


def decision(dice: random.Random, number: int) -> dict[str, Any]:
    return {
        "kind": "decision", "time_ns": number, "mode": "l4", "proto": dice.choice(["TCP", "UDP"]),
        "client": f"10.0.1.{dice.randrange(9)}", "client_port": dice.randrange(65536), "server": "10.0.1.10",
        "server_port": 80, "backend": dice.choice(["api1", None]), "read": dice.choice([[], ["ip.dst", "tcp.dport"]]),
    }  # fmt: skip


def decisions(count: int, seed: int = 1) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [decision(dice, number) for number in range(count)]


def table_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    (piece,) = event_table.pieces(events)
    return json.loads(json.dumps(piece))["events"]


def test_a_long_run_is_a_table_and_what_stands_between_is_not() -> None:
    mode = {"kind": "mode", "time_ns": 5, "mode": "l4"}
    many = decisions(event_table.MOST_ROWS + 70)
    given = [mode, *many, mode, *many[: event_table.A_RUN - 1], {**many[0], "deep": {"a": [1]}}]
    pieces = list(event_table.pieces(given))
    assert [next(iter(piece)) for piece in pieces] == [
        "event",
        "events",
        "events",
        *["event"] * (event_table.A_RUN + 1),
    ]
    back = []
    for piece in json.loads(json.dumps(pieces)):
        found = event_table.read(piece["events"]) if "events" in piece else None
        back += found.events(dict)[0] if found else [piece["event"]]
    assert back == given


def test_values_that_python_takes_for_equal_stay_apart() -> None:
    given = [{"kind": "later", "time_ns": 1, "any": value} for value in [1, True, 0, False, "1", None] * 20]
    found = event_table.read(table_of(given))
    assert found is not None
    back = [event["any"] for event in found.events(dict)[0]]
    assert [(type(value), value) for value in back] == [(type(event["any"]), event["any"]) for event in given]


def test_a_file_keeps_them_in_few_blocks(tmp_path: Path) -> None:
    recording = make(3)
    recording.events[:] = [*recording.events, *decisions(500)]
    path = write_pcapng(recording, tmp_path / "a.pcapng")
    assert path.read_bytes().count(b'"labkit":1') < 20
    assert read_pcapng(path).events == tuple(recording.events)


@pytest.mark.parametrize(
    ("column", "value"),
    [("client_port", "80"), ("client_port", True), ("client_port", 65536), ("time_ns", -1), ("server", None),
     ("read", [1]), ("kind", 7), ("backend", 1)],
)  # fmt: skip
def test_a_wrong_value_costs_one_event(column: str, value: Any) -> None:
    events = json.loads(json.dumps(decisions(100)))
    events[17][column] = value
    keys = list(events[0])
    found = event_table.read({"keys": keys, "columns": [[event[key] for event in events] for key in keys]})
    assert found is not None
    good, damaged = found.events(dict)
    assert (good, damaged) == (events[:17] + events[18:], 1)


@pytest.mark.parametrize("value", [
    None, [], {}, {"keys": [], "columns": []}, {"keys": ["a"], "columns": []}, {"keys": ["a"], "columns": [[]]},
    {"keys": [1], "columns": [[1]]}, {"keys": ["a", "a"], "columns": [[1], [1]]}, {"keys": ["a"], "columns": [7]},
    {"keys": ["a", "b"], "columns": [[1], [1, 2]]}, {"keys": ["a"], "columns": [{"words": [1], "at": [1]}]},
    {"keys": ["a"], "columns": [{"words": [1], "at": [-1]}]},
    {"keys": ["a"], "columns": [{"words": [1], "at": [True]}]},
    {"keys": ["a"], "columns": [{"words": ["x" * 501], "at": [0]}]},
    {"keys": ["a"], "columns": [{"words": [{}], "at": [0]}]},
    {"keys": ["a"], "columns": [{"words": [1]}]}, {"keys": ["a"], "columns": [[1] * (event_table.MOST_ROWS + 1)]},
])  # fmt: skip
def test_what_is_no_table(value: Any) -> None:
    assert event_table.read(value) is None


def test_sound_together_is_sound_one_by_one() -> None:
    dice = random.Random(4)
    wrong = (None, True, -1, 65536, "x", [1], {}, 1.5)
    told = {True: 0, False: 0}
    for seed in range(300):
        event = copy.deepcopy(decisions(1, seed)[0])
        if dice.random() < 0.6:
            event[dice.choice(list(event))] = dice.choice(wrong)
        if dice.random() < 0.1:
            del event[dice.choice(list(event))]
        together = are_sound({key: [value] for key, value in event.items()})
        assert together == is_sound(event)
        told[together] += 1
    assert min(told.values()) > 30
