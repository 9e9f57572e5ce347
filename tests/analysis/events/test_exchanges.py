from labkit.analysis.events.exchanges import COLUMNS, table
from labkit.analysis.study import Study
from tests.analysis.wire import API1, LB_BACK, VIP, Link, Talk, Wire, get, l4_wire, l7_wire, request


def rows(wire: Wire) -> list[dict[str, object]]:
    return [
        {str(name): value for name, value in row.items()}
        for row in table(Study(wire.recording()).exchanges).to_dict("records")
    ]


def test_each_request_names_its_two_connections() -> None:
    found = rows(l7_wire(3))
    assert [(row["front_connection"], row["back_connection"]) for row in found] == [(1, 2), (3, 4), (5, 6)]
    first = found[0]
    wanted = {
        "method": "GET", "target": "/api/users", "host": "lb", "status": 200, "rule": "/api/*", "backend": "api1",
        "front": "10.0.1.11:41000", "back": f"{LB_BACK}:51000", "websocket": False, "error": None,
    }  # fmt: skip
    assert wanted.items() <= first.items()
    event = l7_wire(1).events[-1]
    assert first["seconds"] == (event["ended_ns"] - event["started_ns"]) / 1e9


def test_at_l4_there_are_none_and_the_columns_stay() -> None:
    frame = table(Study(l4_wire(1).recording()).exchanges)
    assert (len(frame), tuple(frame.columns)) == (0, COLUMNS)


def test_what_was_not_captured_is_none() -> None:
    wire = l7_wire(1)
    wire.seen = [one for one in wire.seen if one[1] in ("lb:back", "api1")]
    row = rows(wire)[0]
    assert (row["front_connection"], row["back_connection"]) == (None, 1)
    assert row["front"] == "10.0.1.11:41000"  # by the proxy's own word


def test_an_answer_by_the_balancer_has_no_back() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    Talk(wire, front).open().ask(get("/none"), b"HTTP/1.1 404 Not Found\r\n\r\n")
    wire.events.append(request(wire.now, wire.now, wire.now, front, None, status=404, rule=None, backend=None))
    row = rows(wire)[0]
    assert (row["front_connection"], row["back_connection"], row["back"], row["backend"]) == (1, None, None, None)


def test_a_port_used_again_goes_to_the_connection_of_its_time() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    for seed in (1, 2):
        outer = Talk(wire, front, seed=seed).open()
        outer.send(0, "PA", get())
        back = Link("lb:back", "api1", 51000)
        started = wire.wait(50_000_000)
        Talk(wire, back, seed=seed + 5).open().ask(get()).close()
        wire.events.append(request(started, started + 10, wire.wait(), front, back))
        outer.send(1, "PA", b"HTTP/1.1 200 OK\r\n\r\n")
        outer.close()
        wire.wait(50_000_000)
    assert [(row["front_connection"], row["back_connection"]) for row in rows(wire)] == [(1, 2), (3, 4)]


def test_times_that_fit_two_connections_of_a_tuple_are_answered_with_none() -> None:
    wire = Wire()
    front, back = Link("alice", "lb:front", 41000), Link("lb:back", "api1", 51000)
    Talk(wire, front).open()
    started = wire.now
    for seed in (5, 6):
        Talk(wire, back, seed=seed).open().ask(get()).close()
    wire.events.append(request(started, started, wire.wait(), front, back))
    assert rows(wire)[0]["back_connection"] is None


def test_a_request_that_the_end_of_the_capture_cut_off_still_finds_its_connection() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    Talk(wire, front).open().send(0, "PA", get("/slow/9"))
    wire.events.append(request(wire.now + 10**9, wire.now + 10**9, wire.now + 2 * 10**9, front, None))
    assert rows(wire)[0]["front_connection"] == 1


def test_a_connection_that_was_over_before_is_not_it() -> None:
    wire = Wire()
    front = Link("alice", "lb:front", 41000)
    Talk(wire, front).open().close()
    wire.events.append(request(wire.now + 10**9, wire.now + 10**9, wire.now + 2 * 10**9, front, None))
    assert rows(wire)[0]["front_connection"] is None


def test_addresses_are_compared_by_value_not_by_spelling() -> None:
    wire = l7_wire(1)
    event = dict(wire.events[-1])
    event["front"] = {"id": "x", "client": ["::ffff:10.0.1.11", 41000], "server": [f"::ffff:{VIP}", 80]}
    wire.events[-1] = event
    assert rows(wire)[0]["front_connection"] == 1
    assert rows(wire)[0]["front"] == "10.0.1.11:41000"


def test_an_event_without_times_or_sides_is_listed_all_the_same() -> None:
    wire = l7_wire(1)
    bare = {"kind": "request", "time_ns": wire.now, "request": "x", "front": None, "back": {"id": "y"}}
    wire.events.append(bare)
    row = rows(wire)[-1]
    assert (row["request"], row["method"], row["front"], row["back"], row["front_connection"]) == (
        "x",
        None,
        None,
        None,
        None,
    )
    assert str(row["seconds"]) == "nan"


def test_ipv6_endpoints_are_bracketed() -> None:
    wire = l7_wire(1)
    event = dict(wire.events[-1])
    event["front"] = {"id": "x", "client": ["fd00:0::1", 41000], "server": ["fd00::2", 80]}
    wire.events.append(event)
    assert rows(wire)[-1]["front"] == "[fd00::1]:41000"
    assert API1 not in str(rows(wire)[-1]["front"])
