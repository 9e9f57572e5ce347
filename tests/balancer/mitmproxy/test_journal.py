"""The fence: a flush is answered after all that had ended, and waits for nothing that began later."""

from typing import Any

from labkit.balancer.mitmproxy.journal import Exchange, Journal

FRONT = {"id": "f", "client": ["10.0.1.11", 40000], "server": ["10.0.1.10", 80]}


def test_a_flush_waits_for_what_is_ending_and_for_nothing_else() -> None:
    told: list[Any] = []
    journal = Journal(lambda message: told.append(message.get("id", message.get("request"))))
    first, second, open_one = (Exchange(dict(FRONT), request=name) for name in ("first", "second", "open"))

    journal.flush(1)
    assert told == [1], "nothing is ending: the answer is immediate"

    journal.ending(first)
    journal.flush(2)
    journal.ending(second)
    journal.flush(3)
    assert told == [1]

    journal.finish(second)
    assert told == [1, "second"]
    journal.finish(first)
    assert told == [1, "second", "first", 2, 3]

    journal.finish(open_one)
    assert told[-1] == "open"


def test_an_event_holds_every_field_of_its_exchange_and_ends_when_told() -> None:
    told: list[dict[str, Any]] = []
    journal = Journal(told.append)
    exchange = Exchange(FRONT, method="GET", status=404)
    journal.finish(exchange)
    (event,) = told
    assert event["kind"] == "request"
    assert event["time_ns"] == event["ended_ns"] >= event["started_ns"]
    assert (event["front"], event["method"], event["status"], event["back"]) == (FRONT, "GET", 404, None)
    assert event["front"] is not FRONT
